package packetrpctest_test

import (
	"fmt"
	"strings"
	"testing"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestDialConnectsForTheTest(t *testing.T) {
	packetrpctest.CheckLeaks(t)
	joined := false // the hook has returned when Dial has, so this needs no lock
	srv := server.New(server.WithConnected(func(packetrpc.Peer) { joined = true }))
	conn := packetrpctest.Dial(t, srv, client.WithName("ada"))
	if peer, ok := srv.Connection(conn.ID()); !ok || peer.Identity().Name != "ada" || !joined {
		t.Errorf("the server has %v", peer)
	}
	if _, err := packetrpcv1packetrpc.NewCoreServiceClient(conn).Ping(t.Context(), &packetrpcv1.PingRequest{}); err != nil {
		t.Error(err)
	}
}

func TestOneServerForSubtests(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			started.Dial(t)
			started.Dial(t, client.WithJSON())
		})
	}
}

func TestSeveralDialsToOneServer(t *testing.T) {
	srv := server.New()
	packetrpctest.Dial(t, srv)
	packetrpctest.Dial(t, srv)
	if srv.Count() != 2 {
		t.Errorf("%d clients are connected, want 2", srv.Count())
	}
}

// recorder is a test that records what it is told.
type recorder struct {
	testing.TB
	said     []string
	cleanups []func()
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) { r.said = append(r.said, fmt.Sprint(args...)) }

func TestCheckLeaksFindsOne(t *testing.T) {
	blocked := make(chan struct{})
	defer close(blocked)
	inner := &recorder{TB: t}
	packetrpctest.CheckLeaks(inner)
	go func() { <-blocked }()
	inner.cleanups[0]()
	if len(inner.said) != 1 || !strings.Contains(inner.said[0], "TestCheckLeaksFindsOne") {
		t.Errorf("said %q", inner.said)
	}
}
