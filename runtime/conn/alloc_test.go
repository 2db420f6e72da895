//go:build !race

package conn_test

import (
	"context"
	"runtime"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// These tests hold what docs/performance.md tells of allocations. Unlike times they
// are the same on every machine. The race detector makes more, so `make test` runs
// them once more without it.

// TestAllocationsOfCalls: a unary call makes the request, the reply, their texts,
// once each where they arrive, and the context of its handler; both ends are in
// this process.
func TestAllocationsOfCalls(t *testing.T) {
	for _, spec := range []*packetrpc.Spec{echo, inline} {
		p := newPair(t, overBinary, nil)
		in := wrapperspb.String("0123456789abcdef")
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		got := testing.AllocsPerRun(2000, func() {
			if _, err := packetrpc.CallUnary[text](ctx, p.dialled, spec, in); err != nil {
				t.Error(err)
			}
		})
		// The handler's reply, the decoded request and reply, two texts, the context.
		if got > 6 {
			t.Errorf("a call of %s makes %v allocations, want 6", spec.Action, got)
		}
	}
}

// TestAllocationsOfStreams: a message of a stream makes itself and its text, where
// it arrives.
func TestAllocationsOfStreams(t *testing.T) {
	const messages = 1000
	p := newPair(t, overBinary, nil)
	in := wrapperspb.String("0123456789abcdef")
	got := testing.AllocsPerRun(20, func() {
		upload, err := packetrpc.CallClientStream[text, text](context.Background(), p.dialled, join)
		for range messages {
			if err == nil {
				err = upload.Send(in)
			}
		}
		if err == nil {
			_, err = upload.CloseAndReceive()
		}
		if err != nil {
			t.Error(err)
		}
	})
	if each := got / messages; each > 2.1 {
		t.Errorf("a message makes %v allocations, want 2 and a few for the call", each)
	}
}

// TestAllocationsOfLargeCalls: what carries a message of 1 MiB is used again, so
// that a call makes little more memory than the two messages have.
func TestAllocationsOfLargeCalls(t *testing.T) {
	p := newPair(t, overBinary, nil)
	in := wrapperspb.String(string(make([]byte, 1<<20)))
	const calls = 200
	before := allocated()
	for range calls {
		if _, err := packetrpc.CallUnary[text](context.Background(), p.dialled, echo, in); err != nil {
			t.Fatal(err)
		}
	}
	if each := (allocated() - before) / calls; each > 4<<20 {
		t.Errorf("a call with 1 MiB each way makes %d KiB", each>>10)
	}
}

func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// TestAllocationsOfPushes: a push to another connection makes nothing.
func TestAllocationsOfPushes(t *testing.T) {
	p := newPair(t, overBinary, func(dialled, accepted *conn.Config) { endless(dialled, accepted) })
	shared := conn.NewShared(note, wrapperspb.String("0123456789abcdef"))
	got := testing.AllocsPerRun(200, func() {
		if !p.accepted.Push(shared) {
			t.Error("a push was refused")
		}
		<-p.dialledService.notes
	})
	// At the other end: the message, its text, the context of its handler.
	if got > 3 {
		t.Errorf("a push makes %v allocations, want 3", got)
	}
}
