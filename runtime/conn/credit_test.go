package conn_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// TestCreditIsDemanded: who sends without credit is refused, and nobody else.
func TestCreditIsDemanded(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) { cfg.Local.CallWindow = 1000 })
		id := r.newID()
		r.send(r.request(id, lazyStream, ""))
		receive(t, r.service.started)
		for range 2 { // the second one overdraws
			r.send(r.message(id, strings.Repeat("x", 900)))
		}
		r.silence()
		r.send(r.message(id, "x"))
		r.wantError(id, packetrpc.CodeResourceExhausted)
		r.cancelled()

		r.send(r.note(holdNote, strings.Repeat("x", 900)), r.note(holdNote, strings.Repeat("x", 900)))
		receive(t, r.service.started)
		r.silence()
		r.send(r.note(holdNote, "beyond"))
		r.wantError(r.lane(), packetrpc.CodeResourceExhausted)
		for range 2 {
			r.service.release <- struct{}{}
			receive(t, r.service.over)
		}
		if got := receive(t, r.service.started); len(got) != 900 {
			t.Fatalf("%.20q ran", got)
		}
		r.creditFor(r.lane())
		r.send(r.note(holdNote, "with credit again"))
		if got := receive(t, r.service.started); got != "with credit again" {
			t.Fatalf("%.20q ran", got)
		}
		r.service.release <- struct{}{}

		if form == packet.Binary {
			// A message in fragments gets no credit while others wait before it.
			id = r.newID()
			r.send(r.request(id, lazyStream, ""))
			receive(t, r.service.started)
			r.send(r.message(id, "whole"))
			all := fragments(r.message(id, strings.Repeat("x", 5000)), 950)
			r.send(all[0])
			r.silence()
			r.send(all[1:]...)
			r.wantError(id, packetrpc.CodeResourceExhausted)
			r.cancelled()
		}
		r.fresh()
	})
}

// TestCreditIsHonoured: the Conn sends while it has credit of the call and of the
// connection, and not further.
func TestCreditIsHonoured(t *testing.T) {
	for _, window := range []string{"call", "connection", "lane"} {
		t.Run(window, func(t *testing.T) {
			eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) { honourCredit(t, form, connDialled, window) })
		})
	}
}

func honourCredit(t *testing.T, form packet.Form, connDialled bool, window string) {
	r := newRaw(t, form, connDialled, func(cfg *conn.Config) {
		cfg.Remote.CallWindow, cfg.Remote.ConnectionWindow = 10_000, 1_000_000
		if window == "connection" {
			cfg.Remote.CallWindow, cfg.Remote.ConnectionWindow = 0, 10_000
		}
	})
	value := strings.Repeat("x", 966)
	cost := len(r.data(value)) + 32
	ctx, cancel := context.WithCancel(timeout(t))
	send := func() error { return r.conn.CallOneWay(ctx, note, wrapperspb.String(value)) }
	kind, id := packet.KindOneWay, r.connLane()
	if window != "lane" {
		stream, err := packetrpc.CallBidiStream[text, text](ctx, r.conn, talk)
		if err != nil {
			t.Fatal(err)
		}
		kind, id = packet.KindMessage, r.wantRequest().CallID
		send = func() error { return stream.Send(wrapperspb.String(value)) }
	}
	credited := id
	if window == "connection" {
		credited = 0
	}
	stopped := make(chan error, 1)
	go func() {
		err := send()
		for err == nil {
			err = send()
		}
		stopped <- err
	}()
	// While the credit is above 0 a packet may be sent, and then no more.
	spent, credit := 0, 10_000
	for _, more := range []int{0, 1, 5000, 40_000, 1} {
		if more > 0 {
			r.send(&packet.Packet{Kind: packet.KindCredit, CallID: credited, Credit: uint64(more)})
			credit += more
		}
		for spent < credit {
			p := r.want(kind, id)
			spent += len(p.Data) + 32
		}
		r.silence()
	}
	if spent-credit >= cost {
		t.Fatalf("%d spent of %d", spent, credit)
	}
	// Others wait when the connection's credit is used up, and only then.
	if window == "connection" {
		result := r.unary("x")
		r.silence()
		r.turnComes()
		result.cancel()
		<-result.done
	} else {
		r.fresh()
	}
	cancel()
	receive(t, stopped)
}

// turnComes gives the connection credit until a request comes.
func (r *raw) turnComes() {
	r.t.Helper()
	for range 1000 {
		r.send(&packet.Packet{Kind: packet.KindCredit, Credit: 2000})
		for _, p := range r.sync() {
			if p.Kind == packet.KindRequest {
				return
			}
		}
	}
	r.t.Fatal("a stream leaves no credit to others")
}

// charge returns what a packet costs by the specification.
func (r *raw) charge(p *packet.Packet) int {
	size := len(p.Data)
	if r.form == packet.JSON && string(p.Data) == "{}" {
		size = 0
	}
	switch {
	case p.Kind == packet.KindMessage, p.Kind == packet.KindOneWay:
		return size + 32
	case size > 0 && (p.Kind == packet.KindRequest || p.Kind == packet.KindResponse):
		return size + 32
	}
	return 0
}

// granted adds up the credit that has come for an id.
func (r *raw) granted(id uint64) (sum int) {
	for range len(r.credits) {
		p := <-r.credits
		if p.CallID == id {
			sum += int(p.Credit)
		}
		r.credits <- p
	}
	return sum
}

const balanceLimit = 50 << 10

// balanced makes packets of which each kind is to cost what it says.
var balanced = map[string]func(r *raw) []*packet.Packet{
	"unary": func(r *raw) []*packet.Packet { return []*packet.Packet{r.request(r.newID(), echo, "hello")} },
	"large unary": func(r *raw) []*packet.Packet {
		return []*packet.Packet{r.request(r.newID(), echo, strings.Repeat("x", 30<<10))}
	},
	"inline":  func(r *raw) []*packet.Packet { return []*packet.Packet{r.request(r.newID(), inline, "hello")} },
	"unknown": func(r *raw) []*packet.Packet { return []*packet.Packet{r.request(r.newID(), unknown, "hello")} },
	"beyond the limit": func(r *raw) []*packet.Packet {
		return []*packet.Packet{r.request(r.newID(), echo, strings.Repeat("x", balanceLimit+1))}
	},
	"oversized": func(r *raw) []*packet.Packet {
		return []*packet.Packet{r.request(r.newID(), echo, strings.Repeat("x", 4*balanceLimit))}
	},
	"oversized one-way": func(r *raw) []*packet.Packet {
		return []*packet.Packet{r.note(note, strings.Repeat("x", 4*balanceLimit))}
	},
	"one-way":         func(r *raw) []*packet.Packet { return []*packet.Packet{r.note(note, "hello")} },
	"refused one-way": func(r *raw) []*packet.Packet { return []*packet.Packet{r.note(echo, "hello")} },
	"server stream":   func(r *raw) []*packet.Packet { return []*packet.Packet{r.request(r.newID(), count, "1")} },
	"late message":    func(r *raw) []*packet.Packet { return []*packet.Packet{r.message(r.lane()+2, "hello")} },
	"late response": func(r *raw) []*packet.Packet {
		return []*packet.Packet{{Kind: packet.KindResponse, CallID: r.connLane() + 2, Data: r.data("hello")}}
	},
	"empty request": func(r *raw) []*packet.Packet {
		p := r.request(r.newID(), count, "")
		p.Data = nil
		return []*packet.Packet{p}
	},
	"undecodable": func(r *raw) []*packet.Packet {
		p := r.request(r.newID(), echo, "")
		p.Data = []byte(`[]`)
		if r.form == packet.Binary {
			p.Data = []byte{0xff, 0xff, 0xff}
		}
		return []*packet.Packet{p}
	},
	"message to a unary call": func(r *raw) []*packet.Packet {
		id := r.newID()
		return []*packet.Packet{r.request(id, hold, "hello"), r.message(id, "hello"), r.message(id, "late")}
	},
	"unread stream": func(r *raw) []*packet.Packet {
		id := r.newID()
		return []*packet.Packet{r.request(id, lazyStream, ""), r.message(id, "hello"), {Kind: packet.KindCancel, CallID: id}}
	},
	"stream without an id": func(r *raw) []*packet.Packet { return []*packet.Packet{r.request(0, count, "100")} },
}

// TestCreditBalances: the connection gets back what it has been charged, no more,
// and all of it but for less than half a window, whatever becomes of the packets.
func TestCreditBalances(t *testing.T) {
	for name, make := range balanced {
		t.Run(name, func(t *testing.T) {
			eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
				const window, times = 1000, 60
				r := newRaw(t, form, connDialled, func(cfg *conn.Config) {
					cfg.Local.MaxMessageSize, cfg.Local.ConnectionWindow, cfg.Local.CallWindow = balanceLimit, window, 0
				})
				r.fresh()
				spent := r.charge(r.request(0, echo, "fresh")) + r.charge(&packet.Packet{Kind: packet.KindResponse, Data: r.data("yes")})
				for range times {
					packets := make(r)
					r.send(packets...)
					for _, p := range packets {
						spent += r.charge(p)
					}
				}
				r.sync()
				balance := func() int { return spent - r.granted(0) }
				eventually(t, fmt.Sprintf("of %d spent, %d are owed", spent, balance()), func() bool { return balance() < window/2 })
				r.sync()
				slack := 0
				if strings.Contains(name, "oversized") {
					slack = times * 400 // their envelopes are counted, as the data is not looked for
				}
				if balance() < -slack {
					t.Fatalf("%d bytes more were given back than were spent", -balance())
				}
			})
		})
	}
}

// TestEmptyRepliesGiveNoCredit: nothing was charged for them.
func TestEmptyRepliesGiveNoCredit(t *testing.T) {
	for _, connDialled := range []bool{false, true} {
		checkLeaks(t)
		r := newRaw(t, packet.Binary, connDialled, func(cfg *conn.Config) { cfg.Local.ConnectionWindow = 100 })
		for range 20 {
			stream, err := packetrpc.CallClientStream[text, text](timeout(t), r.conn, join)
			if err != nil {
				t.Fatal(err)
			}
			r.send(&packet.Packet{Kind: packet.KindResponse, CallID: r.wantRequest().CallID})
			if _, err := stream.CloseAndReceive(); err != nil {
				t.Fatal(err)
			}
			result := r.unary("x")
			p := r.next()
			for p.Kind != packet.KindRequest { // the half-close above
				p = r.next()
			}
			r.send(&packet.Packet{Kind: packet.KindResponse, CallID: p.CallID})
			if got := receive(t, result.done); got.err != nil {
				t.Fatal(got.err)
			}
		}
		r.sync()
		if r.granted(0) > 0 {
			t.Fatalf("%d bytes of credit for nothing", r.granted(0))
		}
	}
}

// TestAbandonedMessagesAreForgotten: what a stream leaves unread does not count
// against the connection for ever.
func TestAbandonedMessagesAreForgotten(t *testing.T) {
	const streams, size = 300, 240 << 10 // together more than a connection holds
	t.Run("handler returns", func(t *testing.T) {
		checkLeaks(t)
		r := newRaw(t, packet.Binary, false, nil)
		value := strings.Repeat("x", size)
		for range streams {
			id := r.newID()
			r.send(r.request(id, lazyStream, ""), r.message(id, value))
			receive(t, r.service.started)
			r.sync()
			r.released(id)
		}
		eventually(t, "credit", func() bool { return streams*size-r.granted(0) < 1<<20 })
		r.fresh()
	})
	t.Run("caller closes", func(t *testing.T) {
		checkLeaks(t)
		r := newRaw(t, packet.Binary, false, nil)
		value := strings.Repeat("x", size)
		for range streams {
			stream, err := packetrpc.CallBidiStream[text, text](timeout(t), r.conn, talk)
			if err != nil {
				t.Fatal(err)
			}
			id := r.wantRequest().CallID
			r.send(r.message(id, value), &packet.Packet{Kind: packet.KindResponse, CallID: id})
			r.sync()
			stream.Close()
		}
		eventually(t, "credit", func() bool { return streams*size-r.granted(0) < 1<<20 })
		r.fresh()
	})
}

// TestCutStreamsDoNotEndWell: a stream whose messages are dropped before they are
// received does not look like one that has been received to its end.
func TestCutStreamsDoNotEndWell(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		id := r.newID()
		r.send(r.request(id, slowStream, ""))
		receive(t, r.service.started)
		r.send(r.message(id, "1"), r.message(id, "2"), &packet.Packet{Kind: packet.KindHalfClose, CallID: id},
			&packet.Packet{Kind: packet.KindCancel, CallID: id})
		r.silence()
		r.service.release <- struct{}{}
		if err := receive(t, r.service.over); packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
			t.Fatalf("the handler received to the end: %v", err)
		}

		ctx, cancel := context.WithCancel(timeout(t))
		stream, err := packetrpc.CallBidiStream[text, text](ctx, r.conn, talk)
		if err != nil {
			t.Fatal(err)
		}
		id = r.wantRequest().CallID
		r.send(r.message(id, "1"), r.message(id, "2"), &packet.Packet{Kind: packet.KindResponse, CallID: id})
		r.silence()
		cancel()
		got := 0
		for _, err = stream.Receive(); err == nil; _, err = stream.Receive() {
			got++
		}
		if err == io.EOF && got != 2 || err != io.EOF && packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
			t.Fatalf("%d of 2 messages, and then %v", got, err)
		}
		r.fresh()
	})
}

// TestCutMessagesDoNotEndWell: a stream that ends in the middle of a message has
// not been received to its end.
func TestCutMessagesDoNotEndWell(t *testing.T) {
	for _, connDialled := range []bool{false, true} {
		checkLeaks(t)
		r := newRaw(t, packet.Binary, connDialled, nil)
		id := r.newID()
		half := r.message(id, "half of it")
		half.More = true
		r.send(r.request(id, holdStream, ""))
		receive(t, r.service.started)
		r.send(half, &packet.Packet{Kind: packet.KindHalfClose, CallID: id})
		r.wantError(id, packetrpc.CodeInvalidArgument)
		r.cancelled()
		stream := r.madeStream(false)
		half.CallID = stream.id
		r.send(half, &packet.Packet{Kind: packet.KindResponse, CallID: stream.id})
		stream.over()
		r.fresh()
	}
}

// creditFor waits for credit of a call.
func (r *raw) creditFor(id uint64) int {
	r.t.Helper()
	for {
		if p := receive(r.t, r.credits); p.CallID == id {
			return int(p.Credit)
		}
	}
}

// sendWithCredit sends a message in fragments as credit of the call allows.
func (r *raw) sendWithCredit(p *packet.Packet, window int) {
	r.t.Helper()
	for _, part := range fragments(p, 64<<10) {
		for window <= 0 {
			window += r.creditFor(p.CallID)
		}
		r.send(part)
		window -= len(part.Data) + 32
	}
}

// TestUnreadStreamsStallOnlyThemselves: streams that nobody reads keep what they
// were sent, and other calls go on: small ones, and messages that are as large as
// may be, even when incomplete messages wait that nobody completes.
func TestUnreadStreamsStallOnlyThemselves(t *testing.T) {
	checkLeaks(t)
	const limit = 20 << 20
	r := newRaw(t, packet.Binary, false, func(cfg *conn.Config) { cfg.Local.MaxMessageSize = limit })
	part := strings.Repeat("x", 200<<10)
	const stalled = 120 // their parts are 24 MiB
	for range stalled {
		id := r.newID()
		half := r.message(id, part)
		half.More = true
		r.send(r.request(id, lazyStream, ""), r.message(id, "before"), half)
		receive(t, r.service.started)
	}
	r.silence()
	r.fresh()
	upload := r.newID()
	r.sendWithCredit(r.request(upload, size, strings.Repeat("x", limit-100)), conn.DefaultLimits().CallWindow)
	if got := r.text(r.want(packet.KindResponse, upload)); got != fmt.Sprint(limit-100) {
		t.Fatal(got)
	}
	for range stalled {
		r.service.release <- struct{}{}
		receive(t, r.service.over)
		r.next()
	}
	r.fresh()
}

// TestUnreadStreamOfAPeer is the same between two Conns: the sender waits, with
// its context, and the connection's other calls go on.
func TestUnreadStreamOfAPeer(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		unread := spec("unread", packetrpc.ClientStream)
		started, release := make(chan struct{}), make(chan struct{})
		packetrpc.HandleClientStream(&callee.Handlers, unread, func(ctx context.Context, _ packetrpc.Receiver[text]) (*text, error) {
			close(started)
			<-release
			return new(text), nil
		})
		ctx, cancel := context.WithCancel(timeout(t))
		upload, err := packetrpc.CallClientStream[text, text](ctx, c, unread)
		if err != nil {
			t.Fatal(err)
		}
		<-started
		stopped := make(chan error, 1)
		go func() {
			var err error
			for err == nil {
				err = upload.Send(wrapperspb.String(strings.Repeat("x", 50_000)))
			}
			stopped <- err
		}()
		for range 500 {
			if _, err := call(timeout(t), c, echo, strings.Repeat("x", 5000)); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case err := <-stopped:
			t.Fatal(err)
		default:
		}
		cancel()
		receive(t, stopped)
		close(release)
	})
}

// TestLargeUploadBesideSmallCalls: one message of 64 MiB does not hold others up.
func TestLargeUploadBesideSmallCalls(t *testing.T) {
	p := newPair(t, overBinary, func(d, a *conn.Config) { a.Local.MaxMessageSize = 65 << 20 })
	ctx := timeout(t)
	done := make(chan error, 1)
	go func() {
		stream, err := packetrpc.CallClientStream[text, text](ctx, p.dialled, join)
		if err == nil {
			err = stream.Send(wrapperspb.String(strings.Repeat("x", 64<<20)))
		}
		if err == nil {
			_, err = stream.CloseAndReceive()
		}
		done <- err
	}()
	for calls := 0; ; calls++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if calls < 10 {
				t.Fatalf("%d small calls were answered meanwhile", calls)
			}
			return
		default:
		}
		for _, c := range []*conn.Conn{p.dialled, p.accepted} {
			if _, err := call(ctx, c, echo, "small"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBeyondTheConnectionsCredit: what nobody takes is kept up to a bound, even
// when the other side sends without credit.
func TestBeyondTheConnectionsCredit(t *testing.T) {
	checkLeaks(t)
	r := newRaw(t, packet.Binary, false, nil)
	value := strings.Repeat("x", 3<<20)
	refused := 0
	var ids []uint64
	for range 40 { // 120 MiB, where 64 MiB and a window are kept
		id := r.newID()
		ids = append(ids, id)
		r.send(r.request(id, lazyStream, ""), r.message(id, value))
		for _, p := range r.sync() {
			if p.Kind != packet.KindError || p.CallID != id || p.Status != packetrpc.CodeResourceExhausted {
				t.Fatalf("got %s", show(p))
			}
			refused++
		}
	}
	if refused == 0 {
		t.Fatalf("%d messages of 3 MiB are kept", len(ids))
	}
	for _, id := range ids {
		r.send(&packet.Packet{Kind: packet.KindCancel, CallID: id})
	}
	r.silence()
	r.fresh()
}
