package client

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// address is where a server is.
type address struct {
	text, network, where string
	encryption           *tls.Config // nil for none
}

// link is a connection of a client, and the session that it carries.
type link struct {
	at       int // which address
	conn     *conn.Conn
	workers  *conn.Workers // they end with the connection
	answer   session.Answer
	received *conn.Received // the session's pushes; nil if it cannot be resumed
}

// connect makes a link to one of the addresses, which are tried in turn from a first
// one on, each once. before is the link whose session goes on; nil is none.
func (c *Client) connect(ctx context.Context, first int, before *link) (l *link, err error) {
	for i := range c.addresses {
		at := (first + i) % len(c.addresses)
		if l, err = c.connectTo(ctx, at, before); err == nil || ctx.Err() != nil {
			return l, err
		}
	}
	return nil, err
}

func (c *Client) connectTo(ctx context.Context, at int, before *link) (*link, error) {
	where := c.addresses[at]
	nc, err := c.options.dialer(ctx, where.network, where.where)
	if err != nil {
		return nil, dialError(ctx, where.text, err)
	}
	l := &link{at: at, workers: conn.NewWorkers()}
	interrupt := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	opening, err := c.options.establish(ctx, nc, where, l, before)
	if err == nil && !interrupt() {
		err = contextError(ctx, "the handshake with "+where.text)
	}
	if err != nil {
		interrupt()
		nc.Close()
		l.workers.Close()
		return nil, err
	}
	c.carry(l, opening, before)
	return l, nil
}

// carry makes a connection of an opening.
func (c *Client) carry(l *link, opening *conn.Opening, before *link) {
	o := &c.options
	switch {
	case l.answer.Resumed && before != nil:
		l.received = before.received
	case l.answer.ResumeWithin > 0:
		l.received = conn.NewReceived(o.gap)
	}
	peer := &serverPeer{client: c}
	l.conn = conn.New(opening, conn.Config{
		Dialled:         true,
		Token:           l.answer.Token.Reveal(),
		Sealing:         o.sealing(opening, l.answer),
		Local:           o.limits,
		Remote:          conn.LimitsFromProto(l.answer.Limits),
		MaxRunningCalls: o.runningCalls,
		Handlers:        o.handlers,
		Interceptor:     packetrpc.Chain(o.interceptors...),
		Peer:            peer,
		Workers:         l.workers,
		OwnWorkers:      true,
		WriteTimeout:    o.writeTimeout,
		Keepalive:       conn.KeepaliveFromProto(l.answer.Keepalive),
		Received:        l.received,
		Load:            c.load,
		Drained:         func() { c.moveOn(l) },
		Logger:          o.logger,
	})
	peer.Caller = l.conn
}

// remoteAddr returns the address of the current link, or nil.
func (c *Client) remoteAddr() net.Addr {
	if l := c.current.Load(); l != nil {
		return l.conn.RemoteAddr()
	}
	return nil
}
