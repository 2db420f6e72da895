package conn_test

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func TestWrongTokens(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		for _, token := range []string{"", "Secret", "secre", "secrets", strings.Repeat("secret", 1000)} {
			for _, p := range []*packet.Packet{r.request(r.newID(), hold, "x"), r.request(r.newID(), holdStream, ""), r.note(holdNote, "x")} {
				p.Token = token
				r.send(p)
				if !connDialled {
					r.wantError(p.CallID, packetrpc.CodeUnauthenticated)
					continue
				}
				// What the accepting side sends needs no token.
				receive(t, r.service.started)
				if p.Action == holdStream.Action {
					r.send(&packet.Packet{Kind: packet.KindHalfClose, CallID: p.CallID})
				}
				r.service.release <- struct{}{}
				if p.Kind == packet.KindRequest {
					r.want(packet.KindResponse, p.CallID)
				}
			}
		}
		if len(r.service.started) > 0 {
			t.Fatal("a handler ran")
		}
		r.fresh()
	})
}

// numbered gives a packet an action number, and takes the name away unless it is
// to be defined.
func numbered(p *packet.Packet, number uint32, defines bool) *packet.Packet {
	p.ActionNumber = number
	if !defines {
		p.Action = ""
	}
	return p
}

func TestActionNumbers(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, func(cfg *conn.Config) {
			cfg.Local.MaxActionNumbers = 10
			cfg.Local.MaxMessageSize = 1 << 10
		})
		calls := func(number uint32) {
			t.Helper()
			id := r.newID()
			r.send(numbered(r.request(id, echo, "by number"), number, false))
			if got := r.text(r.want(packet.KindResponse, id)); got != "by number" {
				t.Fatalf("number %d: %q", number, got)
			}
		}
		refused := func(code packetrpc.Code, p *packet.Packet) {
			t.Helper()
			r.send(p)
			r.wantError(p.CallID, code)
		}
		refused(packetrpc.CodeInvalidArgument, numbered(r.request(r.newID(), echo, "x"), 1, false))
		for range 2 { // the same definition again is fine
			id := r.newID()
			r.send(numbered(r.request(id, echo, "x"), 1, true))
			r.want(packet.KindResponse, id)
			calls(1)
		}
		refused(packetrpc.CodeInvalidArgument, numbered(r.request(r.newID(), fail, "x"), 1, true))
		calls(1)

		// Definitions hold although their packets are refused.
		if !connDialled {
			p := numbered(r.request(r.newID(), echo, "x"), 2, true)
			p.Token = "wrong"
			refused(packetrpc.CodeUnauthenticated, p)
			calls(2)
		}
		p := numbered(r.request(r.newID(), echo, "x"), 3, true)
		p.Kind, p.CallID = packet.KindOneWay, r.lane()
		refused(packetrpc.CodeUnimplemented, p) // it is not one-way
		calls(3)
		p = numbered(r.request(r.newID(), echo, "x"), 4, true)
		p.CallID = r.connLane() + 2 // an id of the other side
		refused(packetrpc.CodeInvalidArgument, p)
		calls(4)
		refused(packetrpc.CodeResourceExhausted, numbered(r.request(r.newID(), echo, strings.Repeat("x", 2<<10)), 5, true))
		calls(5)
		refused(packetrpc.CodeResourceExhausted, numbered(r.request(r.newID(), echo, strings.Repeat("x", 200<<10)), 6, true))
		calls(6)
		refused(packetrpc.CodeUnimplemented, numbered(r.request(r.newID(), unknown, "x"), 7, true))
		refused(packetrpc.CodeUnimplemented, numbered(r.request(r.newID(), unknown, "x"), 7, false))

		refused(packetrpc.CodeResourceExhausted, numbered(r.request(r.newID(), echo, "x"), 11, true))
		refused(packetrpc.CodeResourceExhausted, numbered(r.request(r.newID(), echo, "x"), 11, false))
		refused(packetrpc.CodeResourceExhausted, numbered(r.request(r.newID(), echo, "x"), math.MaxUint32, true))
		calls(1)
		r.fresh()
	})
}

// TestEnvelopesAreBounded: what is not data costs no credit, and the names that
// numbers stand for are kept as long as the connection lives.
func TestEnvelopesAreBounded(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		for _, size := range []int{200 << 10, 2 << 10} {
			id := r.newID()
			r.send(numbered(r.request(id, spec(strings.Repeat("x", size), packetrpc.Unary), "x"), 1, true))
			r.wantError(id, packetrpc.CodeResourceExhausted)
		}
		for _, size := range []int{200 << 10, 30 << 10} {
			id := r.newID()
			p := r.request(id, echo, "x")
			p.Metadata.Add("key", strings.Repeat("x", size))
			r.send(p)
			if size > 128<<10 {
				r.wantError(id, packetrpc.CodeResourceExhausted)
			} else {
				r.want(packet.KindResponse, id)
			}
		}
		r.fresh()
	})
}

func TestCallIDs(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		largest := uint64(1)<<53 - 1
		if connDialled {
			largest--
		}
		// In any order.
		for _, id := range []uint64{r.lane() + 20, r.lane() + 2, largest, r.lane() + 10} {
			r.send(r.request(id, echo, "x"))
			r.want(packet.KindResponse, id)
		}
		r.id += 20
		if form == packet.Binary {
			for _, id := range []uint64{largest + 2, math.MaxUint64 - 1 + r.lane()%2} {
				r.send(r.request(id, echo, "x"))
				r.wantError(id, packetrpc.CodeInvalidArgument)
			}
		} else {
			r.write([]byte(`{"id":9007199254740993,"action":"echo","token":"secret"}`))
			r.wantError(0, packetrpc.CodeInvalidArgument)
		}
		r.fresh()
	})
}

func TestOversizedMessages(t *testing.T) {
	const limit = 100 << 10
	for _, size := range []int{limit + 1, limit + 70<<10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
				r := newRaw(t, form, connDialled, func(cfg *conn.Config) { cfg.Local.MaxMessageSize = limit })
				large := strings.Repeat("x", size)
				beside := r.newID()
				r.send(r.request(beside, hold, "goes on"))
				receive(t, r.service.started)

				r.oversized(func(p *packet.Packet) []*packet.Packet { return []*packet.Packet{p} }, large)
				if form == packet.Binary {
					r.oversized(func(p *packet.Packet) []*packet.Packet { return fragments(p, 30<<10) }, large)
					// One that says so at once is refused at once.
					r.oversized(func(p *packet.Packet) []*packet.Packet {
						first := *p
						first.Data, first.More, first.MessageSize = p.Data[:10], true, uint64(len(large))
						return []*packet.Packet{&first}
					}, large)
				}
				r.released(beside)
				if len(r.service.started) > 0 {
					t.Fatal("a handler ran")
				}
				r.send(r.note(note, "one-way packets go on"))
				receive(t, r.service.notes)
				r.fresh()
			})
		})
	}
}

// TestMessageSizes: what is told of a message's size makes room for it and nothing
// more. A wrong one does no harm, and many that are never completed are not believed.
func TestMessageSizes(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	for name, told := range map[string]int{"nothing": 0, "too little": 70 << 10, "the size": 300<<10 + 4, "too much": 3 << 20} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			r := newRaw(t, packet.Binary, false, nil)
			for range 3 { // buffers are used again
				id := r.newID()
				parts := fragments(r.request(id, size, large), 64<<10)
				parts[0].MessageSize = uint64(told)
				r.send(parts...)
				if got := r.text(r.want(packet.KindResponse, id)); got != fmt.Sprint(len(large)) {
					t.Fatalf("%s bytes arrived", got)
				}
			}
		})
	}
	t.Run("never completed", func(t *testing.T) {
		checkLeaks(t)
		r := newRaw(t, packet.Binary, false, nil)
		before := heap()
		for range 500 {
			part := r.request(r.newID(), size, "x")
			part.More, part.MessageSize = true, 4<<20
			r.send(part)
		}
		r.sync()
		if after := heap(); after > before+50<<20 {
			t.Fatalf("%d MiB are kept", (after-before)>>20)
		}
		r.fresh()
	})
}

// fragments cuts a packet's message into parts.
func fragments(p *packet.Packet, size int) (all []*packet.Packet) {
	data := p.Data
	for len(data) > size {
		part := *p
		part.Data, part.More = data[:size], true
		data = data[size:]
		all = append(all, &part)
		p = &packet.Packet{Kind: p.Kind, CallID: p.CallID}
	}
	last := *p
	last.Data = data
	return append(all, &last)
}

// oversized sends a message that is too large as everything that carries one.
func (r *raw) oversized(cut func(*packet.Packet) []*packet.Packet, large string) {
	r.t.Helper()
	id := r.newID()
	r.send(cut(r.request(id, hold, large))...)
	r.wantError(id, packetrpc.CodeResourceExhausted)
	r.silence()

	r.send(cut(r.note(holdNote, large))...)
	r.wantError(r.lane(), packetrpc.CodeResourceExhausted)
	r.silence()

	id = r.newID()
	r.send(r.request(id, holdStream, ""))
	receive(r.t, r.service.started)
	r.send(cut(r.message(id, large))...)
	r.wantError(id, packetrpc.CodeResourceExhausted)
	r.cancelled()
	r.silence()

	result := r.unary("x")
	id = r.wantRequest().CallID
	r.send(cut(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data(large)})...)
	if got := receive(r.t, result.done); packetrpc.CodeOf(got.err) != packetrpc.CodeResourceExhausted {
		r.t.Fatalf("a large reply: %v", got.err)
	}
	for _, p := range r.sync() { // the call may have ended with the reply
		if p.Kind != packet.KindCancel || p.CallID != id {
			r.t.Fatalf("got %s", show(p))
		}
	}

	stream := r.madeStream(false)
	r.send(cut(r.message(stream.id, large))...)
	r.want(packet.KindCancel, stream.id)
	stream.over()
	r.silence()
}

// TestMalformedPackets: what can be delimited and not be read ends its call only.
func TestMalformedPackets(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		broken := func(p *packet.Packet) {
			p.Reason = "?????"
			bytes := breakReason(form, p)
			r.write(bytes)
		}
		for _, kind := range []packet.Kind{packet.KindRequest, packet.KindMessage, packet.KindHalfClose, packet.KindPing, 99} {
			id := r.newID()
			r.send(r.request(id, holdStream, ""))
			receive(t, r.service.started)
			broken(&packet.Packet{Kind: kind, CallID: id, Token: "secret"})
			r.wantError(id, packetrpc.CodeInvalidArgument)
			r.cancelled()

			stream := r.madeStream(false)
			broken(&packet.Packet{Kind: kind, CallID: stream.id})
			r.want(packet.KindCancel, stream.id)
			stream.over()
			r.silence()
		}
		for _, kind := range []packet.Kind{packet.KindResponse, packet.KindError, packet.KindMessage} {
			result := r.unary("x")
			id := r.wantRequest().CallID
			broken(&packet.Packet{Kind: kind, CallID: id})
			r.want(packet.KindCancel, id)
			wantFailure(t, result.done)
		}
		p := r.request(r.newID(), hold, "x")
		broken(p)
		r.wantError(p.CallID, packetrpc.CodeInvalidArgument)
		p = r.note(holdNote, "x")
		broken(p)
		r.wantError(p.CallID, packetrpc.CodeInvalidArgument)
		r.silence()
		if len(r.service.started) > 0 {
			t.Fatal("a handler ran")
		}
		r.fresh()
	})
}

// breakReason encodes a packet whose reason, which is to be "?????", is no text.
func breakReason(form packet.Form, p *packet.Packet) []byte {
	text := packet.Append(form, nil, p)
	i := bytes.Index(text, []byte("?????"))
	if form == packet.JSON {
		copy(text[i:], `\x???`)
	} else {
		text[i] = 0xff
	}
	return text
}

// TestMalformedBehindItsCall: what is wrong with a call ends it, also when it comes
// together with the packet that opens it.
func TestMalformedBehindItsCall(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		for range 20 {
			id := r.newID()
			both := packet.Append(form, nil, r.request(id, hold, "x"))
			r.write(append(both, breakReason(form, &packet.Packet{CallID: id, Reason: "?????"})...))
			r.wantError(id, packetrpc.CodeInvalidArgument)
			r.fresh()
			select {
			case <-r.service.started:
				if err := receive(t, r.service.over); err == nil {
					t.Fatal("the handler was not cancelled")
				}
			default:
			}
		}
	})
}

// TestMessagesForUnaryCalls: what is sent to a unary call again and again, in one
// go, fails that call and does not touch those that are made meanwhile.
func TestMessagesForUnaryCalls(t *testing.T) {
	checkLeaks(t)
	r := newRaw(t, packet.Binary, true, nil)
	for range 100 {
		result := r.unary("x")
		id := r.wantRequest().CallID
		var wrong []*packet.Packet
		for range 50 {
			wrong = append(wrong, r.message(id, "y"))
		}
		r.send(wrong...)
		if got := receive(t, result.done); packetrpc.CodeOf(got.err) != packetrpc.CodeInternal {
			t.Fatal(got.err)
		}
		after := r.unary("z")
		r.want(packet.KindCancel, id)
		p := r.wantRequest()
		r.send(&packet.Packet{Kind: packet.KindResponse, CallID: p.CallID, Data: r.data("yes")})
		if got := receive(t, after.done); got.err != nil || got.value != "yes" {
			t.Fatalf("the call after it: %q, %v", got.value, got.err)
		}
	}
}

// TestErrorsAreNotAnswered, whatever is wrong with them.
func TestErrorsAreNotAnswered(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		for _, id := range []uint64{0, r.lane(), r.connLane(), r.newID() + 10, r.connLane() + 10} {
			r.send(&packet.Packet{Kind: packet.KindError, CallID: id, Status: 99})
			r.write(breakReason(form, &packet.Packet{Kind: packet.KindError, CallID: id, Reason: "?????"}))
			r.send(&packet.Packet{Kind: packet.KindError, CallID: id, Message: strings.Repeat("x", 200<<10)})
			r.silence()
		}
		r.fresh()
	})
}

// TestLate: what comes for calls that have ended is dropped.
func TestLate(t *testing.T) {
	eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
		r := newRaw(t, form, connDialled, nil)
		result := r.unary("x")
		id := r.wantRequest().CallID
		result.cancel()
		if got := receive(t, result.done); packetrpc.CodeOf(got.err) != packetrpc.CodeCanceled {
			t.Fatal(got.err)
		}
		r.want(packet.KindCancel, id)
		r.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("late")}, r.message(id, "late"),
			&packet.Packet{Kind: packet.KindError, CallID: id, Status: packetrpc.CodeAborted})
		r.silence()

		id = r.newID()
		r.send(r.request(id, hold, "x"))
		receive(t, r.service.started)
		r.send(&packet.Packet{Kind: packet.KindCancel, CallID: id})
		r.cancelled()
		r.send(&packet.Packet{Kind: packet.KindCancel, CallID: id}, &packet.Packet{Kind: packet.KindHalfClose, CallID: id}, r.message(id, "late"))
		r.silence()
		r.fresh()
	})
}

// TestLaneParts: a one-way message in fragments that is not completed is given
// up, and those after it arrive whole.
func TestLaneParts(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprint("busy ", busy), func(t *testing.T) {
			for _, connDialled := range []bool{false, true} {
				checkLeaks(t)
				tryLaneParts(t, newRaw(t, packet.Binary, connDialled, nil), busy)
			}
		})
	}
}

func tryLaneParts(t *testing.T, r *raw, busy bool) {
	if busy {
		r.send(r.note(holdNote, "busy"))
		receive(t, r.service.started)
	}
	half := func(action *packetrpc.Spec) *packet.Packet {
		p := r.note(action, "given up")
		p.More = true
		return p
	}
	tail := func(value string) *packet.Packet {
		return &packet.Packet{Kind: packet.KindOneWay, CallID: r.lane(), Data: r.data(value), Token: "secret"}
	}
	// Another message begins.
	r.send(half(note), r.note(note, "1"))
	r.wantError(r.lane(), packetrpc.CodeInvalidArgument)
	r.send(half(note), half(note), tail("2"))
	r.wantError(r.lane(), packetrpc.CodeInvalidArgument)
	// The tail of what was given up names no action.
	r.send(tail("nothing"))
	r.wantError(r.lane(), packetrpc.CodeInvalidArgument)
	// It is cancelled, and so is one that has been refused.
	r.send(half(note), &packet.Packet{Kind: packet.KindCancel, CallID: r.lane()})
	r.send(half(note), tail("3"))
	r.send(half(unknown))
	r.wantError(r.lane(), packetrpc.CodeUnimplemented)
	r.send(&packet.Packet{Kind: packet.KindCancel, CallID: r.lane()})
	r.send(half(note), tail("4"))
	// A refused one without an end.
	r.send(half(unknown))
	r.wantError(r.lane(), packetrpc.CodeUnimplemented)
	r.send(half(note), tail("5"))
	// The rest of a refused one is refused with it.
	r.send(half(unknown), half(unknown), tail("x"))
	r.wantError(r.lane(), packetrpc.CodeUnimplemented)
	r.wantError(r.lane(), packetrpc.CodeUnimplemented)
	// A part that cannot be read.
	r.send(half(note))
	r.write(breakReason(packet.Binary, &packet.Packet{Kind: packet.KindOneWay, CallID: r.lane(), More: true, Reason: "?????"}))
	r.wantError(r.lane(), packetrpc.CodeInvalidArgument)
	r.send(tail("x"))
	r.send(half(note), tail("6"))
	r.silence()
	if busy {
		r.service.release <- struct{}{}
	}
	for i := range 6 {
		if got := receive(t, r.service.notes); got != fmt.Sprint(i+1) {
			t.Fatalf("message %d is %q", i+1, got)
		}
	}
	r.fresh()
}

// TestLanePartsAreBounded: parts of one-way messages that are never completed are
// not kept.
func TestLanePartsAreBounded(t *testing.T) {
	checkLeaks(t)
	r := newRaw(t, packet.Binary, false, nil)
	part := r.note(note, strings.Repeat("x", 100<<10))
	part.More = true
	before := heap()
	for range 1000 {
		r.send(part)
	}
	r.sync()
	if after := heap(); after > before+50<<20 {
		t.Fatalf("%d MiB are kept", (after-before)>>20)
	}
	r.fresh()
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestRequestsWithoutID: in the JSON form they run one after another, and are
// answered in their order.
func TestRequestsWithoutID(t *testing.T) {
	for _, connDialled := range []bool{false, true} {
		checkLeaks(t)
		r := newRaw(t, packet.JSON, connDialled, nil)
		r.send(r.request(0, hold, "first"), r.request(0, echo, "second"), r.note(note, "third"), r.request(0, echo, "fourth"))
		receive(t, r.service.started)
		r.silence()
		if len(r.service.notes) > 0 {
			t.Fatal("a handler of the lane did not wait for the one before it")
		}
		r.released(0)
		for _, want := range []string{"second", "fourth"} {
			if got := r.text(r.want(packet.KindResponse, 0)); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		receive(t, r.service.notes)
		r.send(r.request(0, count, "3"))
		r.wantError(0, packetrpc.CodeInvalidArgument)
		r.fresh()
	}
}

// Who sends a kind that nobody knows is told so, in words that do not depend on how
// this side remembers it.
func TestUnknownKinds(t *testing.T) {
	for form, kind := range map[packet.Form]packet.Kind{packet.Binary: 77, packet.JSON: packet.KindUnknown} {
		r := newRaw(t, form, false, nil)
		id := r.newID()
		p := r.request(id, hold, "x")
		p.Kind = kind
		r.send(p)
		if got := r.wantError(id, packetrpc.CodeUnimplemented); strings.Contains(got.Message, "kind_") {
			t.Errorf("%v: %s", form, got.Message)
		}
	}
}

// However many messages begin that never arrive whole, there is a bound for all of
// them together, beyond which the oldest can still be completed.
func TestIncompleteMessagesAreBounded(t *testing.T) {
	const part = 4<<20 - 64<<10
	const fit = (256 << 20) / part
	r := newRaw(t, packet.Binary, false, nil)
	data := r.data(strings.Repeat("x", part))
	begin := func() (id uint64) {
		id = r.newID()
		p := r.request(id, size, "")
		p.Data, p.More = data[:part], true
		r.send(p)
		return id
	}
	for range 2 { // the second time there must be as much room as the first time
		oldest := begin()
		for range fit - 1 {
			begin()
		}
		r.wantError(begin(), packetrpc.CodeResourceExhausted)
		r.send(&packet.Packet{CallID: oldest, Data: data[part:]})
		if got := r.text(r.want(packet.KindResponse, oldest)); got != fmt.Sprint(part) {
			t.Errorf("the oldest message has %s bytes", got)
		}
		for id := oldest + 2; id <= oldest+2*fit; id += 2 {
			r.send(&packet.Packet{Kind: packet.KindCancel, CallID: id})
		}
	}
}
