package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Dial connects to a server and shakes hands with it. The address is "host:port",
// or "unix:/path" for a Unix socket.
//
// The context bounds connecting and shaking hands, which may take 10 s when it
// has no deadline; once Dial has returned it no longer matters. Errors are coded:
// unavailable when nobody answers there or what answers is no packetrpc server,
// unauthenticated when the name or the password is wrong, invalid_argument for
// options that make no sense, already_exists for actions registered twice.
func Dial(ctx context.Context, address string, opts ...Option) (*Client, error) {
	o := newOptions(opts)
	if err := o.check(); err != nil {
		return nil, err
	}
	network, where, err := setup.ParseAddress(address)
	if err != nil {
		return nil, err
	}
	request, err := session.NewRequest(o.form, o.username, o.password, o.limits.Proto())
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDialTimeout)
		defer cancel()
	}
	nc, err := o.dialer(ctx, network, where)
	if err != nil {
		return nil, dialError(ctx, address, err)
	}
	workers := conn.NewWorkers()
	opening, answer, err := o.shakeHands(ctx, nc, workers, request)
	if err != nil {
		nc.Close()
		return nil, handshakeError(ctx, address, err)
	}
	return o.newClient(opening, workers, answer), nil
}

// shakeHands sends the handshake and waits for the answer.
func (o *options) shakeHands(ctx context.Context, nc net.Conn, workers *conn.Workers, request *packet.Packet) (*conn.Opening, session.Answer, error) {
	if o.password != "" && !o.allowPlaintext && !setup.Encrypted(nc) && !setup.Local(nc.RemoteAddr()) {
		return nil, session.Answer{}, packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"the connection is not encrypted and leaves this machine, so the password is not sent (client.AllowPlaintextPassword sends it)")
	}
	interrupt := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer interrupt()
	opening := conn.Open(nc, o.form, workers)
	if err := opening.Send(request); err != nil {
		return nil, session.Answer{}, err
	}
	reply, err := opening.Receive()
	if err != nil {
		return nil, session.Answer{}, err
	}
	answer, err := session.ParseAnswer(o.form, reply)
	if err == nil && !interrupt() {
		err = ctx.Err()
	}
	return opening, answer, err
}

// newClient hands the connection over.
func (o *options) newClient(opening *conn.Opening, workers *conn.Workers, answer session.Answer) *Client {
	c := &Client{id: answer.ID, peer: new(serverPeer), workers: workers}
	c.conn = conn.New(opening, conn.Config{
		Dialled:         true,
		Token:           answer.Token.Reveal(),
		Local:           o.limits,
		Remote:          conn.LimitsFromProto(answer.Limits),
		MaxRunningCalls: o.runningCalls,
		Handlers:        o.handlers,
		Interceptor:     packetrpc.Chain(o.interceptors...),
		Peer:            c.peer,
		Workers:         workers,
		OwnWorkers:      true,
		WriteTimeout:    o.writeTimeout,
		Logger:          o.logger,
	})
	c.peer.Conn = c.conn
	c.conn.Start()
	return c
}

// dialError says in words why nobody could be reached.
func dialError(ctx context.Context, address string, err error) error {
	if ended := contextError(ctx, "connecting to "+address); ended != nil {
		return ended
	}
	why := ""
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nobody listens there (connection refused)"
	case errors.Is(err, os.ErrNotExist):
		why = "there is no such socket"
	default:
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s cannot be reached: %w", address, err)
	}
	coded := packetrpc.NewError(packetrpc.CodeUnavailable, err)
	coded.Message = address + " cannot be reached: " + why
	return coded
}

// handshakeError says in words why the handshake failed.
func handshakeError(ctx context.Context, address string, err error) error {
	var coded *packetrpc.Error
	if errors.As(err, &coded) && coded.Remote() {
		return err
	}
	if ended := contextError(ctx, "the handshake with "+address); ended != nil {
		return ended
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s closed the connection without answering the handshake: %w", address, err)
	case errors.Is(err, session.ErrNotAnAnswer):
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s is no packetrpc server: %w", address, err)
	case coded != nil && (coded.Code == packetrpc.CodeFailedPrecondition || coded.Code == packetrpc.CodeUnavailable):
		return packetrpc.Errorf(coded.Code, "%s: %s", address, coded.Message)
	default:
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s is no packetrpc server: what it answers is no packet: %w", address, err)
	}
}

// contextError returns the error of a context that has ended, or nil.
func contextError(ctx context.Context, what string) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeOf(err), "%s: %w", what, err)
}
