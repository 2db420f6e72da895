package console

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// dial connects to the server as a user, over a pipe, with a tap on it. The server sees
// the address that the user's browser has.
func dial(ctx context.Context, srv *server.Server, u *user, t *tap) (*client.Client, error) {
	options := []client.Option{
		client.WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx, srv, u.address, t) }),
		client.WithPassword(u.name, u.password),
		client.WithoutReconnect(),
		client.WithLogger(slog.New(slog.DiscardHandler)), // of pushes, which it does not handle
	}
	if t.form == packet.JSON {
		options = append(options, client.WithJSON())
	}
	return client.Dial(ctx, "console:0", options...)
}

// connect returns a connection to the server that is tapped, inside of encryption where
// the server demands that.
func connect(ctx context.Context, srv *server.Server, from net.Addr, t *tap) (net.Conn, error) {
	near, far := net.Pipe()
	if from != nil {
		far = addressed{far, from}
	}
	if err := srv.ServeConn(far); err != nil {
		near.Close()
		return nil, err
	}
	if !srv.Encrypts() {
		return &tappedConn{near, t}, nil
	}
	// Nobody can be in between, so it does not matter by what the server is known.
	encrypted := tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := encrypted.HandshakeContext(ctx); err != nil {
		near.Close()
		return nil, err
	}
	return &encryptedConn{tappedConn{encrypted, t}, encrypted}, nil
}

// addressed is a connection that comes from a given address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.from }

// encryptedConn is a connection that the client knows to be encrypted already.
type encryptedConn struct {
	tappedConn
	encrypted *tls.Conn
}

// ConnectionState tells the client so.
func (c *encryptedConn) ConnectionState() tls.ConnectionState { return c.encrypted.ConnectionState() }
