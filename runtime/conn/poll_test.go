package conn_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// TestLoneCallsLeaveNobodyUnread: a caller that is alone for a while reads by
// itself. What comes between its calls, and what others begin, is read all the same.
func TestLoneCallsLeaveNobodyUnread(t *testing.T) {
	checkLeaks(t)
	p := newPair(t, overBinary, nil)
	lone := func() {
		t.Helper()
		for i := range 30 {
			want := fmt.Sprint(i)
			if got, err := call(timeout(t), p.dialled, echo, want); err != nil || got != want {
				t.Fatalf("call %d: %q, %v", i, got, err)
			}
		}
	}
	for pause := time.Duration(0); pause < 2*time.Millisecond; pause += 100 * time.Microsecond {
		lone()
		time.Sleep(pause)
		if !p.accepted.Push(conn.NewShared(note, wrapperspb.String("pushed"))) {
			t.Fatal("a push was refused")
		}
		receive(t, p.dialledService.notes)

		lone()
		stream, err := packetrpc.CallBidiStream[text, text](timeout(t), p.dialled, talk)
		if err == nil {
			err = stream.Send(wrapperspb.String("x"))
		}
		if err == nil {
			_, err = stream.Receive()
		}
		if err != nil {
			t.Fatal(err)
		}
		lone() // beside the open stream
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}

		lone()
		if got, err := call(timeout(t), p.accepted, echo, "back"); err != nil || got != "back" {
			t.Fatalf("a call the other way: %q, %v", got, err)
		}
	}
	lone()
	p.accepted.Close("over")
	receive(t, p.dialled.Context().Done())
}

// TestLoneCallCancelled: a lone caller whose handler takes its time is told of its
// context's end.
func TestLoneCallCancelled(t *testing.T) {
	checkLeaks(t)
	p := newPair(t, overBinary, nil)
	for range 5 {
		for range 30 {
			if _, err := call(timeout(t), p.dialled, echo, "x"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(timeout(t))
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := call(ctx, p.dialled, block, "x"); packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
			t.Fatal(err)
		}
		receive(t, p.acceptedService.ended)
	}
}
