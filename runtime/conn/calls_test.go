package conn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// recorder is an interceptor that notes every call, and the messages that
// streams receive.
type recorder struct {
	mu    sync.Mutex
	notes []string
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// wait returns the notes once there are n of them.
func (r *recorder) wait(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		notes := r.notes
		r.mu.Unlock()
		if len(notes) >= n {
			return notes
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %q", notes)
		}
	}
}

func (r *recorder) intercept(next packetrpc.Invoke) packetrpc.Invoke {
	return func(ctx context.Context, call *packetrpc.Call) error {
		if call.Stream != nil {
			call.Stream = recordedStream{call.Stream, r}
		}
		err := next(ctx, call)
		if call.Outgoing && call.Stream != nil {
			call.Stream = recordedStream{call.Stream, r}
		}
		in, _ := call.Request.(*text)
		out, _ := call.Response.(*text)
		r.note("%s %s(%s) = %q %v", call.Spec.Type, call.Spec.Action, in.GetValue(), out.GetValue(), err)
		return err
	}
}

type recordedStream struct {
	packetrpc.Stream
	recorder *recorder
}

func (s recordedStream) Receive(message proto.Message) error {
	err := s.Stream.Receive(message)
	if err == nil {
		s.recorder.note("received %s", message.(*text).GetValue())
	}
	return err
}

func TestInterceptorsSeeEveryCall(t *testing.T) {
	made := []string{
		`unary echo(hello) = "hello" <nil>`,
		`unary fail(x) = "" not_found: no x here`,
		`server-stream count(2) = "" <nil>`,
		"received 0",
		"received 1",
		`client-stream join() = "" <nil>`,
		"received 1",
		`one-way note(n) = "" <nil>`,
	}
	taken := []string{
		`unary echo(hello) = "hello" <nil>`,
		`unary fail(x) = "" not_found: no x here`,
		"received 2",
		`server-stream count() = "" <nil>`,
		"received part",
		`client-stream join() = "1" <nil>`,
		`one-way note(n) = "" <nil>`,
	}
	for _, dialledCalls := range []bool{true, false} {
		t.Run(fmt.Sprint("dialled calls ", dialledCalls), func(t *testing.T) {
			var dialled, accepted recorder
			p := newPair(t, overBinary, func(d, a *conn.Config) {
				d.Interceptor, a.Interceptor = dialled.intercept, accepted.intercept
			})
			caller, callerNotes, calleeNotes := p.dialled, &dialled, &accepted
			if !dialledCalls {
				caller, callerNotes, calleeNotes = p.accepted, &accepted, &dialled
			}
			oneOfEach(t, caller)
			if diff := cmp.Diff(made, callerNotes.wait(t, len(made))); diff != "" {
				t.Error("caller:", diff)
			}
			if diff := cmp.Diff(taken, calleeNotes.wait(t, len(taken))); diff != "" {
				t.Error("callee:", diff)
			}
		})
	}
}

// oneOfEach makes calls of several types one after the other.
func oneOfEach(t *testing.T, caller *conn.Conn) {
	t.Helper()
	ctx := timeout(t)
	if _, err := call(ctx, caller, echo, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := call(ctx, caller, fail, "x"); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
		t.Fatal(err)
	}
	replies, err := packetrpc.CallServerStream[text](ctx, caller, count, wrapperspb.String("2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range replies.All() {
		if err != nil {
			t.Fatal(err)
		}
	}
	upload, err := packetrpc.CallClientStream[text, text](ctx, caller, join)
	if err != nil {
		t.Fatal(err)
	}
	if err := upload.Send(wrapperspb.String("part")); err != nil {
		t.Fatal(err)
	}
	if sum, err := upload.CloseAndReceive(); err != nil || sum.Value != "1" {
		t.Fatal(sum, err)
	}
	if err := caller.CallOneWay(ctx, note, wrapperspb.String("n")); err != nil {
		t.Fatal(err)
	}
}

// TestInterceptorAnswers: an interceptor may answer a call itself, on either
// side.
func TestInterceptorAnswers(t *testing.T) {
	refuse := errors.New("not today")
	answer := func(next packetrpc.Invoke) packetrpc.Invoke {
		return func(ctx context.Context, call *packetrpc.Call) error {
			switch {
			case call.Spec == echo:
				call.Response = wrapperspb.String("cached")
				return nil
			case call.Spec == note:
				return next(ctx, call)
			}
			return refuse
		}
	}
	for _, outgoing := range []bool{true, false} {
		p := newPair(t, overBinary, func(d, a *conn.Config) {
			if outgoing {
				d.Interceptor = answer
			} else {
				a.Interceptor = answer
			}
		})
		if out, err := call(timeout(t), p.dialled, echo, "x"); err != nil || out != "cached" {
			t.Error(outgoing, out, err)
		}
		_, err := call(timeout(t), p.dialled, fail, "x")
		if packetrpc.CodeOf(err) != packetrpc.CodeUnknown || !strings.Contains(err.Error(), "not today") {
			t.Error(outgoing, err)
		}
		replies, err := packetrpc.CallServerStream[text](timeout(t), p.dialled, count, wrapperspb.String("2"))
		if err == nil {
			_, err = replies.Receive()
		}
		if packetrpc.CodeOf(err) != packetrpc.CodeUnknown {
			t.Error(outgoing, err)
		}
	}
}

func TestMetadataBothWays(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		ctx := packetrpc.WithMetadata(timeout(t), "in", "1", "in", "2 ü")
		ctx, info := packetrpc.WithCallInfo(ctx)
		if out, err := call(ctx, c, meta, ""); err != nil || out != "[1 2 ü]" {
			t.Fatal(out, err)
		}
		if got := info.Metadata.Values("out"); len(got) != 2 || got[1] != "b" {
			t.Fatal(got)
		}

		ctx, info = packetrpc.WithCallInfo(timeout(t))
		chat, err := packetrpc.CallBidiStream[text, text](ctx, c, metaStream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chat.Receive(); err != nil || info.Metadata.Get("first") != "yes" {
			t.Fatal(err, info.Metadata)
		}
		if _, err := chat.Receive(); packetrpc.CodeOf(err) != packetrpc.CodeAborted || info.Metadata.Get("last") != "yes" {
			t.Fatal(err, info.Metadata)
		}
	})
}

// TestDeclaredTimeout: the timeout of the action's declaration holds where the
// context has no deadline, and reaches the handler.
func TestDeclaredTimeout(t *testing.T) {
	limited := *block
	limited.Timeout = 20 * time.Millisecond
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		if _, err := call(context.Background(), c, &limited, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := <-callee.ended; err == nil {
			t.Fatal("the handler's context did not end")
		}
	})
}

// TestCancelledUploadIsNotComplete: a handler must not take the part of a stream
// that has come for all of it when the caller has given up.
func TestCancelledUploadIsNotComplete(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			var handled recorder
			p := newPair(t, over, func(d, a *conn.Config) { a.Interceptor = handled.intercept })
			ctx, cancel := context.WithCancel(timeout(t))
			upload, err := packetrpc.CallClientStream[text, text](ctx, p.dialled, join)
			if err != nil {
				t.Fatal(err)
			}
			if err := upload.Send(wrapperspb.String("part")); err != nil {
				t.Fatal(err)
			}
			handled.wait(t, 1) // else the handler might never run
			cancel()
			if _, err := upload.CloseAndReceive(); packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
				t.Errorf("the caller got %v, want canceled", err)
			}
			if got := handled.wait(t, 2)[1]; !strings.Contains(got, "canceled") {
				t.Errorf("the handler ended with %s, want canceled", got)
			}
		})
	}
}

// TestCallsBeyondTheLimitWait: callers wait at their own side while as many calls
// are open as the other side takes.
func TestCallsBeyondTheLimitWait(t *testing.T) {
	p := newPair(t, overBinary, func(d, a *conn.Config) { a.Local.MaxOpenCalls = 2 })
	ctx, cancel := context.WithCancel(timeout(t))
	var blocked sync.WaitGroup
	for range 2 {
		blocked.Go(func() { call(ctx, p.dialled, block, "") })
		<-p.acceptedService.blocked
	}
	short, stop := context.WithTimeout(timeout(t), 20*time.Millisecond)
	defer stop()
	_, err := call(short, p.dialled, echo, "x")
	if coded := packetrpc.AsError(err); coded.Code != packetrpc.CodeDeadlineExceeded || coded.Outcome != packetrpc.OutcomeNotSent {
		t.Fatal(err, coded.Outcome)
	}
	waiting := make(chan error)
	go func() {
		_, err := call(timeout(t), p.dialled, echo, "x")
		waiting <- err
	}()
	cancel()
	blocked.Wait()
	if err := <-waiting; err != nil && packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted {
		t.Fatal(err) // a cancelled call holds its place there until its handler has returned
	}
}

func TestPush(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			p := newPair(t, over, nil)
			shared := conn.NewShared(note, wrapperspb.String("to all"))
			for range 3 {
				if !p.accepted.Push(shared) {
					t.Fatal("refused")
				}
			}
			for range 3 {
				if got := <-p.dialledService.notes; got != "to all" {
					t.Fatal(got)
				}
			}
			large := conn.NewShared(note, wrapperspb.String(strings.Repeat("x", 300_000)))
			if !p.accepted.Push(large) {
				t.Fatal("refused")
			}
			if got := <-p.dialledService.notes; len(got) != 300_000 {
				t.Fatal(len(got))
			}
			if p.accepted.Push(conn.NewShared(note, wrapperspb.String("\xff"))) {
				t.Fatal("a message that cannot be encoded was queued")
			}
			p.dialled.Close("")
			p.accepted.Wait()
			if p.accepted.Push(shared) {
				t.Fatal("queued for a connection that has ended")
			}
		})
	}
}

// TestPushNeverWaits: a lane whose handler stands still takes a window's worth
// and then refuses, and what was queued arrives.
func TestPushNeverWaits(t *testing.T) {
	p := newPair(t, overBinary, nil)
	p.dialledService.notes = make(chan string) // so the handler stands still
	shared := conn.NewShared(note, wrapperspb.String(strings.Repeat("x", 1000)))
	queued := 0
	for p.accepted.Push(shared) {
		queued++
	}
	if queued < 200 || queued > 300 {
		t.Fatalf("%d messages of 1,000 bytes were queued with a window of 256 KiB", queued)
	}
	if _, err := call(timeout(t), p.accepted, echo, "others go on"); err != nil {
		t.Fatal(err)
	}
	for range queued {
		<-p.dialledService.notes
	}
}

// TestCloseTellsWhy: both sides learn why a connection ended, and calls fail.
func TestCloseTellsWhy(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		waiting := make(chan error)
		go func() {
			_, err := call(timeout(t), c, block, "")
			waiting <- err
		}()
		<-callee.blocked
		c.Close("moving house")
		coded := packetrpc.AsError(<-waiting)
		if coded.Code != packetrpc.CodeUnavailable || coded.Outcome != packetrpc.OutcomeUnknown || !strings.Contains(coded.Message, "moving house") {
			t.Fatalf("%v, %v", coded, coded.Outcome)
		}
		<-callee.ended
		_, err := call(timeout(t), c, echo, "")
		if coded := packetrpc.AsError(err); coded.Code != packetrpc.CodeUnavailable || coded.Outcome != packetrpc.OutcomeNotSent {
			t.Fatalf("%v, %v", coded, coded.Outcome)
		}
	})
	p := newPair(t, overBinary, nil)
	p.accepted.Close("moving house")
	<-p.dialled.Context().Done()
	if cause := context.Cause(p.dialled.Context()); !strings.Contains(cause.Error(), "closed by the other side: moving house") {
		t.Fatal(cause)
	}
}

func TestDrain(t *testing.T) {
	p := newPair(t, overBinary, nil)
	waiting := make(chan error)
	ctx, cancel := context.WithCancel(timeout(t))
	go func() {
		_, err := call(ctx, p.dialled, block, "")
		waiting <- err
	}()
	<-p.acceptedService.blocked
	p.accepted.Drain("restarting")
	for {
		_, err := call(timeout(t), p.dialled, echo, "")
		if packetrpc.CodeOf(err) == packetrpc.CodeUnavailable {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-p.accepted.Idle():
		t.Fatal("idle although a call runs")
	case <-time.After(10 * time.Millisecond):
	}
	if _, err := call(timeout(t), p.accepted, echo, "the draining side still calls"); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-waiting
	<-p.accepted.Idle()
}

// TestLastWords: one-way packets are handled although their sender closes right
// after.
func TestLastWords(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		for range 100 {
			if err := c.CallOneWay(timeout(t), note, wrapperspb.String("last words")); err != nil {
				t.Fatal(err)
			}
		}
		c.Close("leaving")
		for range 100 {
			<-callee.notes
		}
		c.Wait()
	})
}
