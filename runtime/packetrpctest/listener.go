package packetrpctest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Listener is a [net.Listener] in memory. A server serves it like any other one,
// and clients reach it through [Listener.Dial].
type Listener struct {
	accepted chan net.Conn
	clients  atomic.Int64
	close    sync.Once
	closed   chan struct{}
}

// NewListener returns a listener that nobody has dialled yet.
func NewListener() *Listener {
	return &Listener{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.opError("accept", net.ErrClosed)
	default:
	}
	select {
	case nc := <-l.accepted:
		return nc, nil
	case <-l.closed:
		return nil, l.opError("accept", net.ErrClosed)
	}
}

// Dial connects to the listener, whatever the network and the address are: it
// has the type that client.WithDialer wants. It fails like a dial to a port that
// nobody listens on when the listener is closed.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := newPipe(address(fmt.Sprintf("client-%d", l.clients.Add(1))), l.Addr())
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		return nil, l.opError("dial", syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, l.opError("dial", ctx.Err())
	}
}

// Close makes Accept and Dial fail. Connections that exist live on.
func (l *Listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the listener's address, whose network is "memory".
func (l *Listener) Addr() net.Addr { return address("server") }

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "memory", Addr: l.Addr(), Err: err}
}
