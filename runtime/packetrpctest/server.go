package packetrpctest

import (
	"context"
	"testing"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// dialTime is how long a client of a test may take to connect.
const dialTime = 10 * time.Second

// Server is a server that is served in memory for a test.
type Server struct {
	// Listener is where the server is reached.
	Listener *Listener
}

// Start serves srv in memory and shuts it down when the test has ended.
func Start(t testing.TB, srv *server.Server) *Server {
	t.Helper()
	listener := NewListener()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil && err != server.ErrServerClosed {
			t.Errorf("serving: %v", err)
		}
	})
	return &Server{Listener: listener}
}

// Dial returns a client that is connected to the server and closed when the test
// has ended. The server has the client in its registry, and its hook for
// connected clients has returned. The test fails when connecting fails.
func (s *Server) Dial(t testing.TB, options ...client.Option) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	options = append([]client.Option{client.WithDialer(s.Listener.Dial)}, options...)
	conn, err := client.Dial(ctx, "memory:0", options...)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	ping := packetrpcv1packetrpc.NewCoreServiceClient(conn)
	if _, err := ping.Ping(ctx, &packetrpcv1.PingRequest{}); err != nil {
		t.Fatalf("the first ping: %v", err)
	}
	return conn
}

// Dial serves srv in memory and returns a client that is connected to it; both
// end with the test. It may be called several times with the same server, but
// not by a subtest with the server of its parent, as the server shuts down when
// the first of them ends: use [Start] in the parent.
func Dial(t testing.TB, srv *server.Server, options ...client.Option) *client.Client {
	t.Helper()
	return Start(t, srv).Dial(t, options...)
}
