package conn_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const beat = 20 * time.Millisecond

func often(cfg *conn.Config) { cfg.Keepalive = conn.Keepalive{Interval: beat, Timeout: 20 * beat} }

// A side that says nothing more is found out, and calls that wait for it fail.
func TestSilentSideIsFoundOut(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) {
			cfg.Keepalive = conn.Keepalive{Interval: beat, Timeout: beat}
		})
		call := r.unary("waits")
		r.wantRequest()
		r.want(packet.KindPing, 0)
		select {
		case <-r.conn.Context().Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the connection lives on")
		}
		cause := context.Cause(r.conn.Context())
		if packetrpc.CodeOf(cause) != packetrpc.CodeUnavailable || !strings.Contains(cause.Error(), "has not answered a ping for 20ms") {
			t.Errorf("the cause is %v", cause)
		}
		if err := (<-call.done).err; packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
			t.Errorf("the call ended with %v", err)
		}
	})
}

// A side that answers lives, and so does one that says something else.
func TestAnsweredPings(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, often)
		for range 5 {
			r.want(packet.KindPing, 0)
			r.send(&packet.Packet{Kind: packet.KindPong})
		}
		r.fresh()
	})
}

func TestIdleConnectionsLive(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			p := newPair(t, over, func(d, a *conn.Config) { often(d); often(a) })
			time.Sleep(5 * beat) // however long, nothing may happen
			if out, err := call(timeout(t), p.dialled, echo, "still here"); err != nil || out != "still here" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// Whoever talks is not pinged, and an old program never is.
func TestWhoIsNotPinged(t *testing.T) {
	r := newRaw(t, packet.JSON, false, func(cfg *conn.Config) {
		often(cfg)
		cfg.Plain = true
	})
	select {
	case p := <-r.got:
		t.Errorf("an old program was sent %v", p)
	case <-time.After(5 * beat):
	}
}

func TestKeepaliveThatIsTold(t *testing.T) {
	for _, k := range []conn.Keepalive{{}, {Interval: time.Minute, Timeout: time.Second}} {
		if got := conn.KeepaliveFromProto(k.Proto()); got != k {
			t.Errorf("%v arrives as %v", k, got)
		}
	}
	hasty := conn.Keepalive{Interval: 1, Timeout: 1}
	if got := conn.KeepaliveFromProto(hasty.Proto()); got.Interval < time.Millisecond || got.Timeout < time.Millisecond {
		t.Errorf("%v is taken as %v", hasty, got)
	}
}
