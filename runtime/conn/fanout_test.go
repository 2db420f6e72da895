package conn_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// endless gives both sides endless credit, so that only sockets hold pushes up.
func endless(configs ...*conn.Config) {
	for _, cfg := range configs {
		cfg.Local.CallWindow, cfg.Local.ConnectionWindow = 0, 0
		cfg.Remote.CallWindow, cfg.Remote.ConnectionWindow = 0, 0
	}
}

// TestPushAll: messages for more connections than one worker takes arrive on each
// in the order in which they were pushed, beside its calls.
func TestPushAll(t *testing.T) {
	checkLeaks(t)
	const rounds = 30
	var pairs []*pair
	var conns []*conn.Conn
	for range 70 {
		p := newPair(t, overBinary, func(dialled, accepted *conn.Config) { endless(dialled, accepted) })
		pairs, conns = append(pairs, p), append(conns, p.accepted)
	}
	gone := newPair(t, overBinary, nil)
	gone.dialled.Close("")
	gone.accepted.Wait()
	conns = slices.Insert(conns, 35, gone.accepted)
	for i := range rounds {
		shared := conn.NewShared(note, wrapperspb.String(fmt.Sprint(i)))
		if queued, refused := shared.PushAll(slices.Values(conns)); queued != len(pairs) || refused != 1 {
			t.Fatalf("queued on %d and refused by %d, want %d and 1", queued, refused, len(pairs))
		}
		if _, err := call(timeout(t), pairs[i].accepted, echo, "beside"); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		for i := range rounds {
			if got := receive(t, p.dialledService.notes); got != fmt.Sprint(i) {
				t.Fatalf("got %q, want %d", got, i)
			}
		}
	}
	if queued, refused := conn.NewShared(note, wrapperspb.String("")).PushAll(slices.Values[[]*conn.Conn](nil)); queued+refused != 0 {
		t.Error(queued, refused)
	}
}

// TestPushAllPassesByAFullSocket: a connection whose socket takes no more holds up
// none of those behind it. What was queued on it arrives when it is read again,
// with nothing lost where the socket took a part.
func TestPushAllPassesByAFullSocket(t *testing.T) {
	stuck := newUnreadRaw(t, packet.Binary, false, func(cfg *conn.Config) { endless(cfg) })
	live := newPair(t, overBinary, func(dialled, accepted *conn.Config) { endless(dialled, accepted) })
	conns := []*conn.Conn{stuck.conn, live.accepted}
	text := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", 20_000)) }
	queued := 0
	for full := false; !full; {
		shared := conn.NewShared(note, wrapperspb.String(text(queued)))
		n, refused := shared.PushAll(slices.Values(conns))
		if full = refused > 0; !full {
			queued++
		}
		if n+refused != 2 || n == 0 || queued > 10_000 {
			t.Fatalf("message %d was queued on %d and refused by %d", queued, n, refused)
		}
		receive(t, live.dialledService.notes)
	}
	go stuck.read()
	for i := range queued {
		if p := stuck.want(packet.KindOneWay, 2); !strings.Contains(string(p.Data), text(i)) {
			t.Fatalf("message %d of %d is %.30q", i, queued, p.Data)
		}
	}
}
