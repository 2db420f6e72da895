package client

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Client is a client of a server. It is a [packetrpc.Caller], which generated clients
// are made of. Its methods may be called concurrently.
//
// When its connection is lost, it connects again by itself, unless [WithoutReconnect]
// is given, and goes on with its session if the server still has it: what the server
// has pushed meanwhile then arrives, in order, each push once. Calls that were under
// way fail with [packetrpc.CodeUnavailable] and say whether they can have run; those
// that cannot have, and those of actions that may be repeated, are made again within
// their deadline. New calls wait for the connection; see [WithPatience].
//
// A client has ended, which [Client.Done] tells, when it is closed, when the server
// has closed the connection for good, and when connecting again is of no use, because
// the password is no longer right for instance.
type Client struct {
	options   options
	addresses []address
	budget    budget

	// life ends with the client.
	life context.Context
	end  context.CancelCauseFunc

	// current is the link that calls are made over; nil while there is none.
	current atomic.Pointer[link]
	// load counts what all links have received and sent. It limits nothing.
	load *conn.Load

	mu      sync.Mutex
	changed chan struct{} // closed when current changes
	state   State
	failure error          // why the last attempt to connect failed
	untold  []State        // what the state hook has not been told
	stats   Stats          // what is counted here
	closing bool           // this side has closed the client
	leaving []*link        // those that finish what they have; see moveOn
	tending sync.WaitGroup // links, and goroutines for them; raised under mu before life ends

	telling sync.Mutex // held while the state hook is called; locked before mu
}

var _ packetrpc.Caller = (*Client)(nil)

// CallUnary implements [packetrpc.Caller].
func (c *Client) CallUnary(ctx context.Context, spec *packetrpc.Spec, request, response proto.Message) error {
	l := c.current.Load()
	if l != nil {
		if err := l.conn.CallUnary(ctx, spec, request, response); err == nil || !c.mayRepeat(l, spec, err) {
			return err
		}
	}
	return c.repeat(ctx, spec, func(l *link) error { return l.conn.CallUnary(ctx, spec, request, response) })
}

// CallOneWay implements [packetrpc.Caller].
func (c *Client) CallOneWay(ctx context.Context, spec *packetrpc.Spec, message proto.Message) error {
	l := c.current.Load()
	if l != nil {
		if err := l.conn.CallOneWay(ctx, spec, message); err == nil || !c.mayRepeat(l, spec, err) {
			return err
		}
	}
	return c.repeat(ctx, spec, func(l *link) error { return l.conn.CallOneWay(ctx, spec, message) })
}

// OpenStream implements [packetrpc.Caller]. A stream that is open ends with its
// connection.
func (c *Client) OpenStream(ctx context.Context, spec *packetrpc.Spec, request proto.Message) (stream packetrpc.Stream, err error) {
	err = c.repeat(ctx, spec, func(l *link) error {
		stream, err = l.conn.OpenStream(ctx, spec, request)
		return err
	})
	return stream, err
}

// ID returns the public id of the client's session, by which the server and other
// clients know it. It is another one when the client has connected again and its
// session could not go on.
func (c *Client) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.state.ID)
}

// Server returns the server as the peer that handlers get from
// [packetrpc.PeerFrom]. It has no id, no name and no groups.
func (c *Client) Server() packetrpc.Peer { return &serverPeer{Caller: c, client: c} }

// Context returns a context that ends with the client; its cause says why it ended.
func (c *Client) Context() context.Context { return c.life }

// Done returns a channel that is closed when the client has ended.
func (c *Client) Done() <-chan struct{} { return c.life.Done() }

// Err returns why the client has ended, or nil while it lives.
func (c *Client) Err() error { return context.Cause(c.life) }

// Close ends the client and waits until the handlers of the server's calls have
// returned, whose contexts it ends. Calls that are under way fail. It may be called
// several times and always returns nil. A handler must not call it, as it would wait
// for itself; it can call Disconnect of [Client.Server].
func (c *Client) Close() error {
	for _, l := range c.dismiss() {
		l.conn.CloseAndWait("")
	}
	<-c.life.Done()
	c.tending.Wait()
	return nil
}

// dismiss lets no more links be made, and returns those that there are.
func (c *Client) dismiss() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	links := slices.Clone(c.leaving)
	if l := c.current.Load(); l != nil {
		return append(links, l)
	}
	c.finish(packetrpc.Errorf(packetrpc.CodeUnavailable, "closed by this side"))
	return links
}

// serverPeer is the server as a client sees it, over one connection or whichever
// there is.
type serverPeer struct {
	packetrpc.Caller
	client *Client
}

func (*serverPeer) ID() string                   { return "" }
func (*serverPeer) Identity() packetrpc.Identity { return packetrpc.Identity{} }
func (*serverPeer) Groups() []string             { return nil }
func (*serverPeer) Join(string) error            { return errNoGroups() }
func (*serverPeer) Leave(string) error           { return errNoGroups() }
func (p *serverPeer) Context() context.Context   { return p.client.life }

// RemoteAddr returns the address that the client is connected to, or was last.
func (p *serverPeer) RemoteAddr() net.Addr { return p.client.remoteAddr() }

// Disconnect ends the client.
func (p *serverPeer) Disconnect(reason string) {
	for _, l := range p.client.dismiss() {
		l.conn.Close(reason)
	}
}

func errNoGroups() error {
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "a server is in no groups; its clients are")
}
