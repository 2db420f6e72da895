package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// through dials a server over a pipe that it is handed.
func through(srv *server.Server) client.Option {
	return client.WithDialer(func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		return near, srv.ServeConn(far)
	})
}

func TestServeConn(t *testing.T) {
	k := testKeys()
	for name, test := range map[string]struct {
		server []server.Option
		client []client.Option
	}{
		"plaintext": {nil, nil},
		"json":      {nil, []client.Option{client.WithJSON()}},
		"encrypted": {[]server.Option{server.WithKey(k.server)}, []client.Option{client.WithServerKey(seal.PinKey(&k.server.PublicKey))}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := server.New(test.server...)
			upper(srv)
			if got, want := srv.Encrypts(), name == "encrypted"; got != want {
				t.Errorf("the server encrypts: %t, want %t", got, want)
			}
			c := dial(t, "memory:0", append(test.client, through(srv))...)
			if reply, err := echo(within(t), c, "x"); reply != "X" || err != nil {
				t.Errorf("got %q, %v", reply, err)
			}
			if srv.Count() != 1 {
				t.Errorf("there are %d clients", srv.Count())
			}
			if err := srv.Shutdown(within(t)); err != nil {
				t.Errorf("shutting down: %v", err)
			}
			near, far := net.Pipe()
			if err := srv.ServeConn(far); !errors.Is(err, server.ErrServerClosed) {
				t.Errorf("after that: %v", err)
			}
			if _, err := near.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("reading from the refused connection: %v", err)
			}
		})
	}
}

// exposed is a connection that others can reach.
type exposed struct{ net.Conn }

func (exposed) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestServeConnRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []server.Option
		wrap    func(net.Conn) net.Conn
		code    packetrpc.Code
	}{
		{"an exposed address", nil, func(nc net.Conn) net.Conn { return exposed{nc} }, packetrpc.CodeFailedPrecondition},
		{"options that make no sense", []server.Option{server.WithMaxCalls(-1)}, func(nc net.Conn) net.Conn { return nc }, packetrpc.CodeInvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			near, far := net.Pipe()
			srv := server.New(test.options...)
			if err := srv.ServeConn(test.wrap(far)); packetrpc.CodeOf(err) != test.code {
				t.Errorf("got %v, want %v", err, test.code)
			}
			if _, err := near.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("reading from the refused connection: %v", err)
			}
			if srv.Encrypts() {
				t.Error("the server encrypts")
			}
		})
	}
}
