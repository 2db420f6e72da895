package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// TestEveryKindInEveryState holds the engine to the tables in sections 6.2 to 6.4
// of docs/PROTOCOL.md: each packet kind in each state of a call, on both sides, in
// both forms. Whatever it sends, the connection serves calls afterwards.
func TestEveryKindInEveryState(t *testing.T) {
	for _, table := range []struct {
		section string
		states  map[string]state
	}{
		{"### 6.2", handledStates},
		{"### 6.3", madeStates},
		{"### 6.4", connectionStates},
	} {
		columns, rows := protocolTable(t, table.section)
		if len(columns) != len(table.states) || len(rows) != len(tableKinds) {
			t.Fatalf("%s: %d states and %d kinds, want %d and %d", table.section, len(columns), len(rows), len(table.states), len(tableKinds))
		}
		for _, row := range rows {
			for i, column := range columns {
				state, known := table.states[column]
				if !known {
					t.Fatalf("%s: there is no state %q", table.section, column)
				}
				make, known := tableKinds[row.kind]
				if !known {
					t.Fatalf("%s: there is no kind %q", table.section, row.kind)
				}
				t.Run(row.kind+"/"+column, func(t *testing.T) {
					eachRaw(t, func(t *testing.T, form packet.Form, connDialled bool) {
						if state.not != nil && *state.not == form {
							return // there is no such state
						}
						tryPair(t, newRaw(t, form, connDialled, nil), state, row.kind, make, row.cells[i])
					})
				})
			}
		}
	}
}

type tableRow struct {
	kind  string
	cells []string
}

// protocolTable reads the first table of a section of the specification.
func protocolTable(t *testing.T, section string) (columns []string, rows []tableRow) {
	t.Helper()
	text, err := os.ReadFile("../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+section)
	if !found {
		t.Fatalf("PROTOCOL.md has no section %s", section)
	}
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		switch {
		case columns == nil:
			columns = cells[1:]
		case !strings.HasPrefix(cells[0], "--"):
			if len(cells) != len(columns)+1 {
				t.Fatalf("%s: %d cells in %q", section, len(cells), line)
			}
			rows = append(rows, tableRow{cells[0], cells[1:]})
		}
	}
	return columns, rows
}

// tableKinds makes the packets of the tables' rows.
var tableKinds = map[string]func(r *raw, id uint64) *packet.Packet{
	"request with an action": func(r *raw, id uint64) *packet.Packet { return r.request(id, echo, "tried") },
	"request without an action": func(r *raw, id uint64) *packet.Packet {
		return &packet.Packet{Kind: packet.KindRequest, CallID: id, Token: "secret", Data: r.data("tail")}
	},
	"one-way": func(r *raw, id uint64) *packet.Packet {
		p := r.note(note, "tried")
		p.CallID = id
		return p
	},
	"message":    func(r *raw, id uint64) *packet.Packet { return r.message(id, "tried") },
	"half-close": bare(packet.KindHalfClose),
	"response": func(r *raw, id uint64) *packet.Packet {
		return &packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("answer")}
	},
	"error": func(_ *raw, id uint64) *packet.Packet {
		return &packet.Packet{Kind: packet.KindError, CallID: id, Status: packetrpc.CodeAborted, Message: "tried"}
	},
	"cancel": bare(packet.KindCancel),
	"credit": func(_ *raw, id uint64) *packet.Packet {
		return &packet.Packet{Kind: packet.KindCredit, CallID: id, Credit: 100}
	},
	"ping":         bare(packet.KindPing),
	"pong":         bare(packet.KindPong),
	"ack":          bare(packet.KindAck),
	"drain":        bare(packet.KindDrain),
	"close":        bare(packet.KindClose),
	"unknown kind": bare(99),
}

func bare(kind packet.Kind) func(*raw, uint64) *packet.Packet {
	return func(_ *raw, id uint64) *packet.Packet { return &packet.Packet{Kind: kind, CallID: id} }
}

// state is a state of a call. A call that is open has an end: alive ends it well
// and fails unless it was open, over fails unless it has been ended.
type state struct {
	not   *packet.Form // the form that does not have it
	setup func(r *raw) open
}

type open struct {
	id    uint64
	alive func()
	over  func()
	taken map[string]func() // checks that a packet of a kind was taken; nil func: alive tells
}

func nothing() {}

var jsonForm, binaryForm = packet.JSON, packet.Binary

// handledStates are the states of calls that the Conn handles.
var handledStates = map[string]state{
	"never opened": {setup: func(r *raw) open {
		return open{id: r.newID() + 100, alive: nothing, over: nothing}
	}},
	// The parts are whole messages, of whose fields the last ones count.
	"request arriving": {not: &jsonForm, setup: func(r *raw) open {
		id := r.newID()
		head := r.request(id, hold, "head")
		head.More = true
		r.send(head)
		tail := &packet.Packet{Kind: packet.KindRequest, CallID: id, Data: r.data("tail")}
		whole := func() {
			if got := receive(r.t, r.service.started); got != "tail" {
				r.t.Fatalf("the handler got %q", got)
			}
			r.released(id)
		}
		return open{id: id,
			alive: func() {
				r.send(tail)
				whole()
			},
			over: func() {
				if r.conn.Context().Err() == nil {
					r.send(tail)
					r.silence()
				}
				if len(r.service.started) > 0 {
					r.t.Fatal("the handler ran")
				}
			},
			taken: map[string]func(){"request without an action": whole},
		}
	}},
	"unary": {setup: func(r *raw) open {
		id := r.newID()
		r.send(r.request(id, hold, "held"))
		receive(r.t, r.service.started)
		return open{id: id, alive: func() { r.released(id) }, over: r.cancelled}
	}},
	"stream": {setup: func(r *raw) open {
		id := r.newID()
		r.send(r.request(id, holdStream, ""))
		receive(r.t, r.service.started)
		halfClosed := func() {
			receive(r.t, r.service.eof)
			r.released(id)
		}
		return open{id: id, over: r.cancelled,
			alive: func() {
				r.send(&packet.Packet{Kind: packet.KindHalfClose, CallID: id})
				halfClosed()
			},
			taken: map[string]func(){
				"half-close": halfClosed,
				"message": func() {
					if got := receive(r.t, r.service.received); got != "tried" {
						r.t.Fatalf("the handler got %q", got)
					}
					r.send(&packet.Packet{Kind: packet.KindHalfClose, CallID: id})
					halfClosed()
				},
			},
		}
	}},
	"stream, half-closed": {setup: func(r *raw) open {
		id := r.newID()
		r.send(r.request(id, holdStream, ""), &packet.Packet{Kind: packet.KindHalfClose, CallID: id})
		receive(r.t, r.service.started)
		receive(r.t, r.service.eof)
		return open{id: id, alive: func() { r.released(id) }, over: r.cancelled}
	}},
	"ended": {setup: func(r *raw) open {
		id := r.newID()
		r.send(r.request(id, echo, "x"))
		r.want(packet.KindResponse, id)
		r.freshThere()
		return open{id: id, alive: nothing, over: nothing}
	}},
}

// released ends a held call and waits for its response.
func (r *raw) released(id uint64) {
	r.t.Helper()
	r.service.release <- struct{}{}
	if err := receive(r.t, r.service.over); err != nil {
		r.t.Fatalf("the held call ended: %v", err)
	}
	r.want(packet.KindResponse, id)
}

// cancelled waits for a held call's context to end.
func (r *raw) cancelled() {
	r.t.Helper()
	if err := receive(r.t, r.service.over); !errors.Is(err, context.Canceled) && packetrpc.CodeOf(err) == packetrpc.CodeUnknown {
		r.t.Fatalf("the held call ended with %v, not by a cancellation", err)
	}
}

// madeStates are the states of calls that the Conn has made.
var madeStates = map[string]state{
	"never made": {setup: func(r *raw) open {
		return open{id: r.connLane() + 200, alive: nothing, over: nothing}
	}},
	"unary": {setup: func(r *raw) open {
		result := r.unary("x")
		id := r.wantRequest().CallID
		return open{id: id, over: func() { wantFailure(r.t, result.done) },
			alive: func() {
				r.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("fine")})
				wantValue(r.t, result.done, "fine")
			},
			taken: map[string]func(){
				"response": func() { wantValue(r.t, result.done, "answer") },
				"error":    func() { wantAborted(r.t, receive(r.t, result.done).err) },
			},
		}
	}},
	"reply arriving": {not: &jsonForm, setup: func(r *raw) open {
		result := r.unary("x")
		id := r.wantRequest().CallID
		r.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("head"), More: true})
		return open{id: id, over: func() { wantFailure(r.t, result.done) },
			alive: func() {
				r.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("tail")})
				wantValue(r.t, result.done, "tail")
			},
			taken: map[string]func(){
				"response": func() { wantValue(r.t, result.done, "answer") },
				"error":    func() { wantAborted(r.t, receive(r.t, result.done).err) },
			},
		}
	}},
	"stream":              {setup: func(r *raw) open { return r.madeStream(false) }},
	"stream, half-closed": {setup: func(r *raw) open { return r.madeStream(true) }},
	"ended": {setup: func(r *raw) open {
		result := r.unary("x")
		id := r.wantRequest().CallID
		r.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: r.data("fine")})
		wantValue(r.t, result.done, "fine")
		return open{id: id, alive: nothing, over: nothing}
	}},
}

func (r *raw) madeStream(halfClosed bool) open {
	r.t.Helper()
	stream, err := packetrpc.CallBidiStream[text, text](timeout(r.t), r.conn, talk)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { stream.Close() })
	id := r.wantRequest().CallID
	if halfClosed {
		stream.CloseSend()
		r.want(packet.KindHalfClose, id)
	}
	wantMessage := func(want string) {
		r.t.Helper()
		if got, err := stream.Receive(); err != nil || got.Value != want {
			r.t.Fatalf("received %v, %v, want %q", got, err, want)
		}
	}
	wantEnd := func() {
		r.t.Helper()
		if got, err := stream.Receive(); err != io.EOF {
			r.t.Fatalf("received %v, %v, want the end", got, err)
		}
	}
	alive := func() {
		r.t.Helper()
		r.send(r.message(id, "last"), &packet.Packet{Kind: packet.KindResponse, CallID: id})
		wantMessage("last")
		wantEnd()
	}
	return open{id: id, alive: alive,
		over: func() {
			if _, err := stream.Receive(); err == nil || err == io.EOF {
				r.t.Fatalf("the stream goes on: %v", err)
			}
		},
		taken: map[string]func(){
			"response": wantEnd,
			"error": func() {
				_, err := stream.Receive()
				wantAborted(r.t, err)
			},
			"message": func() {
				wantMessage("tried")
				alive()
			},
		},
	}
}

func wantValue(t testing.TB, done <-chan outcome, want string) {
	t.Helper()
	if got := receive(t, done); got.err != nil || got.value != want {
		t.Fatalf("the call returned %q, %v, want %q", got.value, got.err, want)
	}
}

func wantFailure(t testing.TB, done <-chan outcome) {
	t.Helper()
	if got := receive(t, done); got.err == nil {
		t.Fatalf("the call returned %q, want an error", got.value)
	}
}

func wantAborted(t testing.TB, err error) {
	t.Helper()
	if packetrpc.CodeOf(err) != packetrpc.CodeAborted || !packetrpc.AsError(err).Remote() {
		t.Fatalf("the call failed with %v, want the other side's error", err)
	}
}

// connectionStates are the ids that are no calls.
var connectionStates = map[string]state{
	"id 0, binary form": {not: &jsonForm, setup: func(r *raw) open { return r.noCall(0) }},
	"id 0, JSON form":   {not: &binaryForm, setup: func(r *raw) open { return r.noCall(0) }},
	"the sender's lane": {setup: func(r *raw) open { return r.noCall(r.lane()) }},
	"the receiver's lane": {setup: func(r *raw) open {
		return r.noCall(r.connLane())
	}},
}

func (r *raw) noCall(id uint64) open {
	r.freshThere() // so that the id is below one that has been used
	return open{id: id, alive: nothing, over: nothing, taken: map[string]func(){
		"one-way": func() {
			if got := receive(r.t, r.service.notes); got != "tried" {
				r.t.Fatalf("the handler got %q", got)
			}
		},
	}}
}

// tryPair sends a packet to a call and checks that what the cell says happens.
func tryPair(t *testing.T, r *raw, state state, kind string, make func(*raw, uint64) *packet.Packet, cell string) {
	call := state.setup(r)
	r.send(make(r, call.id))
	drained := false
	switch cell {
	case "opens":
		if got := r.text(r.want(packet.KindResponse, call.id)); got != "tried" {
			t.Fatalf("answered %q", got)
		}
		r.silence()
	case "–":
		r.silence()
		call.alive()
	case "drain":
		r.silence()
		call.alive()
		drained = true
	case "taken":
		r.silence()
		if check := call.taken[kind]; check != nil {
			check()
		} else {
			call.alive()
		}
	case "ends":
		r.silence()
		call.over()
	case "cancel":
		r.want(packet.KindCancel, call.id)
		call.over()
	case "pong":
		r.want(packet.KindPong, call.id)
		call.alive()
	case "close":
		receive(t, r.conn.Context().Done())
		call.over()
		return
	default:
		code, known := packetrpc.ParseCode(cell)
		if !known {
			t.Fatalf("the table says %q, which this test does not know", cell)
		}
		r.wantError(call.id, code)
		call.over()
		r.silence()
	}
	if drained {
		r.freshThere()
		if _, err := callTimed(t, r, echo); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
			t.Fatalf("a call after drain: %v", err)
		}
		return
	}
	r.fresh()
}

func callTimed(t *testing.T, r *raw, spec *packetrpc.Spec) (string, error) {
	return call(timeout(t), r.conn, spec, "x")
}

var _ = fmt.Sprint
var _ = wrapperspb.String
