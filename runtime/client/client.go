package client

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Client is a connection to a server. It is a [packetrpc.Caller], which generated
// clients are made of. Its methods may be called concurrently. When the
// connection has ended, which [Client.Done] tells, calls fail with
// [packetrpc.CodeUnavailable]; a new Client must be dialled then.
type Client struct {
	// Set by Dial and not changed after that.
	conn    *conn.Conn
	peer    *serverPeer
	id      session.ID
	workers *conn.Workers // they end with the connection
}

var _ packetrpc.Caller = (*Client)(nil)

// CallUnary implements [packetrpc.Caller].
func (c *Client) CallUnary(ctx context.Context, spec *packetrpc.Spec, request, response proto.Message) error {
	return c.conn.CallUnary(ctx, spec, request, response)
}

// CallOneWay implements [packetrpc.Caller].
func (c *Client) CallOneWay(ctx context.Context, spec *packetrpc.Spec, message proto.Message) error {
	return c.conn.CallOneWay(ctx, spec, message)
}

// OpenStream implements [packetrpc.Caller].
func (c *Client) OpenStream(ctx context.Context, spec *packetrpc.Spec, request proto.Message) (packetrpc.Stream, error) {
	return c.conn.OpenStream(ctx, spec, request)
}

// ID returns the public id of the client's session, by which the server and other
// clients know it.
func (c *Client) ID() string { return string(c.id) }

// Server returns the server as the peer that handlers get from
// [packetrpc.PeerFrom]. It has no id, no name and no groups.
func (c *Client) Server() packetrpc.Peer { return c.peer }

// Context returns a context that ends with the connection; its cause says why it
// ended.
func (c *Client) Context() context.Context { return c.conn.Context() }

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.conn.Context().Done() }

// Err returns why the connection has ended, an error of the code unavailable, or
// nil while it lives.
func (c *Client) Err() error { return context.Cause(c.conn.Context()) }

// Close ends the connection and waits until the handlers of the server's calls
// have returned, whose contexts it ends. Calls that are under way fail. It may be
// called several times and always returns nil. A handler must not call it, as it
// would wait for itself; it can call Disconnect of [Client.Server].
func (c *Client) Close() error {
	c.conn.CloseAndWait("")
	c.workers.Close()
	return nil
}

// serverPeer is the server as a client sees it.
type serverPeer struct{ *conn.Conn }

func (*serverPeer) ID() string                   { return "" }
func (*serverPeer) Identity() packetrpc.Identity { return packetrpc.Identity{} }
func (*serverPeer) Groups() []string             { return nil }
func (p *serverPeer) Disconnect(reason string)   { p.Close(reason) }
func (*serverPeer) Join(string) error            { return errNoGroups() }
func (*serverPeer) Leave(string) error           { return errNoGroups() }

func errNoGroups() error {
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "a server is in no groups; its clients are")
}
