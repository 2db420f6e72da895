package conn_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

// TestPeerThatDoesNotRead: its connection ends after the write timeout; others do
// not notice.
func TestPeerThatDoesNotRead(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		healthy := newRaw(t, form, connDialled, nil)
		r := newUnreadRaw(t, form, connDialled, func(cfg *conn.Config) {
			cfg.WriteTimeout = 200 * time.Millisecond
			cfg.Remote.CallWindow, cfg.Remote.ConnectionWindow = 0, 0
		})
		stream, err := packetrpc.CallBidiStream[text, text](timeout(t), r.conn, talk)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		for err == nil {
			err = stream.Send(wrapperspb.String(strings.Repeat("x", 100_000)))
		}
		receive(t, r.conn.Context().Done())
		if cause := context.Cause(r.conn.Context()); !strings.Contains(cause.Error(), "has read nothing") {
			t.Fatal(cause)
		}
		if _, err := stream.Receive(); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
			t.Fatal(err)
		}
		healthy.fresh()
	})
}

// TestWriteTimeout: it counts from the last byte that the other side has taken, and not
// from when a write began that it has taken a part of; who takes a little now and then is
// not cut.
func TestWriteTimeout(t *testing.T) {
	const limit = 10 * time.Second
	for _, reads := range []int{0, 1, 10} {
		synctest.Test(t, func(t *testing.T) {
			near, far := packetrpctest.Pipe()
			workers := conn.NewWorkers()
			defer workers.Close()
			remote := conn.DefaultLimits()
			remote.CallWindow, remote.ConnectionWindow = 0, 0
			c := conn.New(conn.Open(near, packet.Binary, workers), conn.Config{
				Dialled: true, Workers: workers, Local: conn.DefaultLimits(), Remote: remote, WriteTimeout: limit})
			c.Start()
			defer c.Wait()
			defer far.Close()
			stream, err := packetrpc.CallBidiStream[text, text](t.Context(), c, talk)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			go func() {
				for stream.Send(wrapperspb.String(strings.Repeat("x", 100_000))) == nil {
				}
			}()
			for range reads {
				time.Sleep(limit * 9 / 10)
				if _, err := far.Read(make([]byte, 1)); err != nil {
					t.Fatalf("%d reads, each in time: %v", reads, err)
				}
			}
			last := time.Now()
			<-c.Context().Done()
			if took := time.Since(last); took < limit || took > limit*5/4 {
				t.Errorf("after %d reads the connection ends in %v, and should in %v or a quarter more", reads, took, limit)
			}
		})
	}
}

// TestCloseCrosses: a packet that crosses with the close and wants an answer, which can
// no longer be sent, does not end the connection before the other side has read why.
func TestCloseCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := packetrpctest.Pipe()
		workers := conn.NewWorkers()
		defer workers.Close()
		c := conn.New(conn.Open(near, packet.Binary, workers), conn.Config{
			Dialled: true, Workers: workers, Local: conn.DefaultLimits(), Remote: conn.DefaultLimits()})
		c.Start()
		c.Close("good-bye")
		synctest.Wait()
		if _, err := far.Write(packet.AppendBinary(nil, &packet.Packet{Kind: packet.KindPing})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := context.Cause(c.Context()); err != nil {
			t.Errorf("the connection has ended before the other side has closed it: %v", err)
		}
		if told, err := io.ReadAll(far); err != nil || !bytes.Contains(told, []byte("good-bye")) {
			t.Errorf("the other side reads %q, %v", told, err)
		}
		far.Close()
		c.Wait()
	})
}

// TestAnswersNobodyReads: who asks for answers and does not read them makes the
// other side keep only so many.
func TestAnswersNobodyReads(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		if connDialled {
			return // the same there takes as long again
		}
		healthy := newRaw(t, form, connDialled, nil)
		for _, kind := range []packet.Kind{packet.KindPing, packet.KindRequest, 99} {
			r := newUnreadRaw(t, form, connDialled, nil)
			p := &packet.Packet{Kind: kind, CallID: 1<<40 + r.lane(), Action: "unknown"}
			if kind == packet.KindPing {
				p.Data = r.data("0123456789")
			}
			flood := bytes.Repeat(packet.Append(form, nil, p), 1000)
			r.nc.SetWriteDeadline(time.Now().Add(patience))
			for written := 0; r.conn.Context().Err() == nil; written += len(flood) {
				if written > 256<<20 {
					t.Fatal("256 MiB were taken")
				}
				if _, err := r.nc.Write(flood); err != nil {
					break
				}
			}
			receive(t, r.conn.Context().Done())
			if cause := context.Cause(r.conn.Context()); !strings.Contains(cause.Error(), "does not read") {
				t.Fatal(cause)
			}
		}
		healthy.fresh()
	})
}

// TestPings: they are answered, each with its id and data, however many come.
func TestPings(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		const pings = 20_000
		var all []byte
		for i := range uint64(pings) {
			all = packet.Append(form, all, &packet.Packet{Kind: packet.KindPing, CallID: i, Data: r.data(fmt.Sprint(i))})
		}
		r.write(all)
		for i := range uint64(pings) {
			if p := r.want(packet.KindPong, i); r.text(p) != fmt.Sprint(i) {
				t.Fatalf("pong %d bears %q", i, p.Data)
			}
		}
		r.send(&packet.Packet{Kind: packet.KindPing, CallID: 5, Data: r.data(strings.Repeat("x", 300<<10))})
		r.wantError(5, packetrpc.CodeResourceExhausted)
		r.fresh()
	})
}

// TestSlowReaderOfErrors: handlers that fail wait until their answers can leave,
// as those do that succeed. Whoever reads late still gets all of them.
func TestSlowReaderOfErrors(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newUnreadRaw(t, form, connDialled, nil)
		const calls = 1000
		value := strings.Repeat("x", 4000)
		for range calls {
			r.send(r.request(r.newID(), fail, value))
		}
		select {
		case <-r.conn.Context().Done():
			t.Fatal(context.Cause(r.conn.Context()))
		case <-time.After(20 * time.Millisecond):
		}
		go r.read()
		for range calls {
			if p := r.next(); p.Kind != packet.KindError || p.Status != packetrpc.CodeNotFound {
				t.Fatalf("got %s", show(p))
			}
		}
		r.fresh()
	})
}

// TestManyRefusals: as many calls as may be open, refused all at once, do not end
// a connection whose other side reads a little later.
func TestManyRefusals(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newUnreadRaw(t, form, connDialled, nil)
		calls := conn.DefaultLimits().MaxOpenCalls
		action := spec(strings.Repeat("x", 850), packetrpc.Unary) // long, so that the answers fill the socket's buffers
		for range calls {
			r.send(r.request(r.newID(), action, "x"))
		}
		go r.read()
		for range calls {
			if p := r.next(); p.Kind != packet.KindError || p.Status != packetrpc.CodeUnimplemented {
				t.Fatalf("got %s", show(p))
			}
		}
		r.fresh()
	})
}

// TestRunningCallsAreLimited: further calls wait, and reading goes on.
func TestRunningCallsAreLimited(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) { cfg.MaxRunningCalls = 2 })
		const calls = 5
		for range calls {
			r.send(r.request(r.newID(), hold, "x"))
		}
		receive(t, r.service.started)
		receive(t, r.service.started)
		r.silence()
		result := r.unary("the other direction is free")
		id := r.wantRequest().CallID
		r.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("yes")})
		wantValue(t, result.done, "yes")
		if len(r.service.started) > 0 {
			t.Fatal("three handlers run")
		}
		for range calls {
			r.service.release <- struct{}{}
			r.next()
		}
		r.fresh()
	})
}

// TestOpenCallsAreLimited: calls beyond the limit are refused, until others have
// been answered.
func TestOpenCallsAreLimited(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) { cfg.Local.MaxOpenCalls = 2 })
		first, second, third := r.newID(), r.newID(), r.newID()
		r.send(r.request(first, hold, "x"), r.request(second, slowStream, ""), r.request(third, echo, "x"))
		r.wantError(third, packetrpc.CodeResourceExhausted)
		receive(t, r.service.started)
		receive(t, r.service.started)
		r.send(r.note(note, "one-way calls do not count"))
		receive(t, r.service.notes)
		// A cancelled call counts until its handler has returned. This one does not
		// look at its context.
		fourth := r.newID()
		r.send(&packet.Packet{Kind: packet.KindCancel, CallID: second}, r.request(fourth, echo, "x"))
		r.wantError(fourth, packetrpc.CodeResourceExhausted)
		r.send(&packet.Packet{Kind: packet.KindCancel, CallID: first})
		r.cancelled()
		eventually(t, "room for a call", func() bool {
			id := r.newID()
			r.send(r.request(id, echo, "x"))
			return r.next().Kind == packet.KindResponse
		})
		r.service.release <- struct{}{}
		receive(t, r.service.over)
		r.fresh()
	})
}

func TestDeadlines(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		for _, timeout := range []time.Duration{0, math.MaxInt64, 1 << 60, time.Hour} {
			id := r.newID()
			p := r.request(id, hold, "x")
			p.Timeout = timeout
			r.send(p)
			receive(t, r.service.started)
			r.silence()
			r.released(id)
		}
		for _, timeout := range []time.Duration{1, time.Microsecond, 20 * time.Millisecond} {
			for _, spec := range []*packetrpc.Spec{hold, holdStream} {
				p := r.request(r.newID(), spec, "x")
				p.Timeout = timeout
				r.send(p)
				r.wantError(p.CallID, packetrpc.CodeDeadlineExceeded)
				if err := receive(t, r.service.over); packetrpc.CodeOf(err) != packetrpc.CodeDeadlineExceeded {
					t.Fatal(err)
				}
			}
		}

		// A call of the Conn tells how long it waits.
		for _, wait := range []time.Duration{time.Hour, 100 * 365 * 24 * time.Hour} {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			go call(ctx, r.conn, echo, "x")
			p := r.wantRequest()
			if p.Timeout <= wait-time.Minute || p.Timeout > wait {
				t.Fatalf("timeout %v for %v", p.Timeout, wait)
			}
			cancel()
			r.want(packet.KindCancel, p.CallID)
		}
		ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Hour))
		defer cancel()
		if _, err := call(ctx, r.conn, echo, "x"); packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent {
			t.Fatal(err)
		}
		r.silence()
		r.fresh()
	})
}

// TestHandlersThatExit: a handler may end its goroutine, as testing.T.FailNow
// does. Its call fails, and the next ones are handled.
func TestHandlersThatExit(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) { cfg.MaxRunningCalls = 1 })
		for range 5 {
			for _, spec := range []*packetrpc.Spec{exit, exitInline, exitStream} {
				id := r.newID()
				r.send(r.request(id, spec, "x"))
				r.wantError(id, packetrpc.CodeInternal)
				r.freshThere()
			}
			// Those that wait for it in the queue and in the lane get their turn,
			// although nothing more arrives.
			id := r.newID()
			r.send(r.request(id, hold, "x"))
			receive(t, r.service.started)
			exits, after := r.newID(), r.newID()
			r.send(r.note(exitNote, "x"), r.note(note, "next"), r.request(exits, exit, "x"), r.request(after, echo, "x"))
			r.sync()
			r.service.release <- struct{}{}
			if got := receive(t, r.service.notes); got != "next" {
				t.Fatal(got)
			}
			r.want(packet.KindResponse, id)
			r.wantError(exits, packetrpc.CodeInternal)
			r.want(packet.KindResponse, after)
		}
		r.fresh()
	})
}

// TestHandlersThatCallBack: calls nest across a connection.
func TestHandlersThatCallBack(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			p := newPair(t, over, nil)
			for _, service := range []*service{p.dialledService, p.acceptedService} {
				packetrpc.HandleUnary(&service.Handlers, back, func(ctx context.Context, in *text) (*text, error) {
					if len(in.Value) == 0 {
						return wrapperspb.String("."), nil
					}
					out, err := call(ctx, packetrpc.PeerFrom(ctx), back, in.Value[1:])
					return wrapperspb.String(out + in.Value[:1]), err
				})
			}
			for _, caller := range []*conn.Conn{p.dialled, p.accepted} {
				if out, err := call(timeout(t), caller, back, strings.Repeat("x", 100)); err != nil || len(out) != 101 {
					t.Fatal(out, err)
				}
			}
		})
	}
}

func TestDrainToldAndHeard(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		running := r.newID()
		r.send(r.request(running, hold, "x"))
		receive(t, r.service.started)
		r.conn.Drain("restarting")
		if p := r.want(packet.KindDrain, 0); p.Reason != "restarting" {
			t.Fatal(p.Reason)
		}
		ping := r.want(packet.KindPing, 0)
		id := r.newID()
		r.send(r.request(id, echo, "x"))
		if p := r.wantError(id, packetrpc.CodeUnavailable); p.Reason != "drain" {
			t.Errorf("the refusal has the reason %q", p.Reason)
		}
		r.send(&packet.Packet{Kind: packet.KindPong, Data: ping.Data})
		select {
		case <-r.conn.Idle():
			t.Fatal("idle although a call runs")
		default:
		}
		// It still makes calls, until it is told not to.
		result := r.unary("x")
		mine := r.wantRequest().CallID
		r.send(&packet.Packet{Kind: packet.KindDrain, Reason: "restarting too"})
		r.silence()
		_, err := call(timeout(t), r.conn, echo, "x")
		if coded := packetrpc.AsError(err); coded.Code != packetrpc.CodeUnavailable || coded.Outcome != packetrpc.OutcomeNotSent || !strings.Contains(coded.Message, "restarting too") {
			t.Fatal(err)
		}
		r.send(&packet.Packet{Kind: packet.KindResponse, CallID: mine, Data: r.data("finished")})
		wantValue(t, result.done, "finished")
		r.released(running)
		receive(t, r.conn.Idle())
	})
}

func TestCloseToldAndHeard(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		// The Conn closes: the reason comes, then the end.
		r := newRaw(t, form, connDialled, nil)
		result := r.unary("x")
		r.wantRequest()
		r.conn.Close("moving house")
		if p := r.want(packet.KindClose, 0); p.Reason != "moving house" {
			t.Fatal(p.Reason)
		}
		if p, more := <-r.got; more {
			t.Fatalf("got %s after the close", show(p))
		}
		r.nc.Close()
		if got := receive(t, result.done); packetrpc.CodeOf(got.err) != packetrpc.CodeUnavailable || !strings.Contains(got.err.Error(), "moving house") {
			t.Fatal(got.err)
		}

		for _, end := range []struct {
			how  func(r *raw)
			want string
		}{
			{func(r *raw) { r.send(&packet.Packet{Kind: packet.KindClose, Reason: "had enough"}) }, "had enough"},
			{func(r *raw) { r.nc.Close() }, ""},
			{func(r *raw) { r.nc.(*net.TCPConn).CloseWrite() }, "closed by the other side"},
		} {
			r := newRaw(t, form, connDialled, nil)
			result := r.unary("x")
			r.wantRequest()
			r.send(r.request(r.newID(), hold, "x"))
			receive(t, r.service.started)
			end.how(r)
			r.cancelled()
			got := receive(t, result.done)
			if coded := packetrpc.AsError(got.err); coded.Code != packetrpc.CodeUnavailable || coded.Outcome != packetrpc.OutcomeUnknown || !strings.Contains(coded.Message, end.want) {
				t.Fatalf("%v, %v", coded, coded.Outcome)
			}
			r.conn.Wait()
		}
	})
}

// TestCloseWithoutReason: the end of the bytes says enough, where it can be told
// without closing the other direction.
func TestCloseWithoutReason(t *testing.T) {
	checkLeaks(t)
	for name, hide := range map[string]bool{"half-close": false, "none": true} {
		t.Run(name, func(t *testing.T) {
			dialling, accepting := tcpPair(t)
			defer accepting.Close()
			if hide {
				dialling = struct{ net.Conn }{dialling}
			}
			workers := conn.NewWorkers()
			defer workers.Close()
			c := newConn(conn.Open(dialling, packet.JSON, workers), conn.Config{
				Dialled: true, Local: conn.DefaultLimits(), Remote: conn.DefaultLimits(), Workers: workers})
			c.Start()
			ended := make(chan error, 2)
			c.AfterEnd(func() { ended <- context.Cause(c.Context()) })
			go c.CloseAndWait("")
			sent, err := io.ReadAll(accepting)
			accepting.Close()
			if err != nil || (len(sent) > 0) != hide || hide && !strings.Contains(string(sent), `"kind":"close"`) {
				t.Errorf("closing sent %q, %v", sent, err)
			}
			if reason := receive(t, ended); reason == nil {
				t.Error("AfterEnd's function was called before the end")
			}
			c.AfterEnd(func() { ended <- nil })
			receive(t, ended)
			c.Wait()
		})
	}
}

// TestNoPacket: bytes of which nobody can tell where a packet ends end the
// connection, with the reason.
func TestNoPacket(t *testing.T) {
	for form, all := range map[packet.Form][]string{
		packet.JSON:   {"]", "x", "{\x01", `{"a":]`, strings.Repeat(`{"a":`, 600)},
		packet.Binary: {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"},
	} {
		for _, bytes := range all {
			checkLeaks(t)
			r := newRaw(t, form, false, nil)
			r.write([]byte(bytes))
			if p := r.want(packet.KindClose, 0); p.Reason == "" {
				t.Fatalf("%q: no reason", bytes)
			}
			if _, more := <-r.got; more {
				t.Fatal("more comes after the close")
			}
		}
	}
}

// A large call that is cancelled before its handler has begun ends once: the calls after
// it still keep the connection from being idle.
func TestCancelledBeforeItRuns(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) { cfg.MaxRunningCalls = 1 })
		first, second := r.newID(), r.newID()
		r.send(r.request(first, hold, "first"), r.request(second, hold, strings.Repeat("x", 100_000)))
		receive(t, r.service.started)
		r.send(&packet.Packet{Kind: packet.KindCancel, CallID: second})
		r.sync()
		r.service.release <- struct{}{}
		r.want(packet.KindResponse, first)

		third := r.newID()
		r.send(r.request(third, hold, "third"))
		receive(t, r.service.started)
		r.conn.Drain("restarting")
		r.want(packet.KindDrain, 0)
		r.send(&packet.Packet{Kind: packet.KindPong, Data: r.want(packet.KindPing, 0).Data})
		r.sync()
		select {
		case <-r.conn.Idle():
			t.Error("the connection is idle although a handler runs")
		default:
		}
		r.service.release <- struct{}{}
		r.want(packet.KindResponse, third)
		receive(t, r.conn.Idle())
	})
}

// TestDrainBesideCalls: when calls cross with a drain, each whose handler runs is
// answered before the connection counts as idle.
func TestDrainBesideCalls(t *testing.T) {
	checkLeaks(t)
	for round := range 200 {
		var ran atomic.Int64
		r := newRaw(t, packet.Binary, false, func(cfg *conn.Config) {
			cfg.Interceptor = func(next packetrpc.Invoke) packetrpc.Invoke {
				return func(ctx context.Context, call *packetrpc.Call) error {
					ran.Add(1)
					return next(ctx, call)
				}
			}
		})
		var all []*packet.Packet
		for range 200 {
			all = append(all, r.request(r.newID(), echo, "x"))
		}
		go func() {
			time.Sleep(time.Duration(round%50) * 10 * time.Microsecond)
			r.conn.Drain("restarting")
			<-r.conn.Idle()
			r.conn.Close("over")
		}()
		r.send(all...)
		replies := int64(0)
		for p := range r.got {
			if p.Kind == packet.KindResponse {
				replies++
			}
			switch p.Kind {
			case packet.KindPing: // behind the drain
				r.send(&packet.Packet{Kind: packet.KindPong, Data: p.Data})
			case packet.KindClose:
				r.nc.Close()
			}
		}
		r.conn.Wait()
		if replies != ran.Load() {
			t.Fatalf("%d handlers ran, and %d replies came", ran.Load(), replies)
		}
	}
}

// TestNothingAfterTheEnd: who learns by the context that the connection has ended
// cannot send any more.
func TestNothingAfterTheEnd(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		for range 20_000 { // they are cancelled one after the other, which takes a while
			_, cancel := context.WithCancel(r.conn.Context())
			defer cancel()
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			for r.conn.Context().Err() == nil {
				runtime.Gosched()
			}
			r.conn.Drain("too late")
		}()
		r.nc.(*net.TCPConn).CloseWrite()
		receive(t, drained)
		for p := range r.got {
			t.Errorf("got %s after the end", show(p))
		}
	})
}

// A one-way call that waits for credit of the lane ends with the connection, whatever
// its context.
func TestOneWayCallsEndWithTheirConnection(t *testing.T) {
	for name, end := range map[string]func(r *raw){
		"lost":   func(r *raw) { r.nc.Close() },
		"closed": func(r *raw) { r.conn.Close("over") },
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			r := newRaw(t, packet.Binary, true, func(cfg *conn.Config) { cfg.Remote.CallWindow = 100 })
			var blocked [3]chan error
			for i := range blocked {
				blocked[i] = make(chan error, 1)
				go func() {
					for err := error(nil); ; {
						if err = r.conn.CallOneWay(context.Background(), note, wrapperspb.String("x")); err != nil {
							blocked[i] <- err
							return
						}
					}
				}()
			}
			r.want(packet.KindOneWay, 1)
			r.want(packet.KindOneWay, 1)
			end(r)
			for _, done := range blocked {
				if err := receive(t, done); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
					t.Errorf("it ended with %v", err)
				}
			}
		})
	}
}

// Messages of a side's own calls that wait do not keep it from handling calls: the other
// side's handler may call back before it takes more.
func TestCallsBackDuringUploads(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			upload := spec("upload", packetrpc.ClientStream)
			p := newPair(t, over, nil)
			const uploads = 5
			var begun sync.WaitGroup
			begun.Add(uploads)
			packetrpc.HandleClientStream(&p.acceptedService.Handlers, upload, func(ctx context.Context, in packetrpc.Receiver[text]) (*text, error) {
				begun.Done()
				begun.Wait()
				if _, err := call(ctx, packetrpc.PeerFrom(ctx), echo, "go on?"); err != nil {
					return nil, err
				}
				for _, err := range in.All() {
					if err != nil {
						return nil, err
					}
				}
				return new(text), nil
			})
			large := wrapperspb.String(strings.Repeat("x", 4_000_000))
			var all sync.WaitGroup
			for range uploads {
				all.Go(func() {
					stream, err := packetrpc.CallClientStream[text, text](timeout(t), p.dialled, upload)
					for range 2 {
						if err == nil {
							err = stream.Send(large)
						}
					}
					if err == nil {
						_, err = stream.CloseAndReceive()
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}
