package conn

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// takenCalls is the calls that the other side has made. Conn.mu guards it, apart
// from waiting.
type takenCalls struct {
	calls   callTable[takenCall] // those that packets can still be for
	open    int                  // those that have not been answered, one-way and cancelled ones included
	load    *Load                // of all connections
	waiting atomic.Int64         // those that are to be answered and whose handler has not returned, and those that there is room for

	lane      laneWindow
	lanePart  *takenCall       // the one-way call whose message has not arrived whole
	laneSkips bool             // the rest of a refused one-way message is to come
	departure *packetrpc.Error // the other side has gone; see Conn.depart
}

func newTakenCalls(window int, load *Load) takenCalls {
	return takenCalls{load: load, lane: laneWindow{window: window, credit: window}}
}

// abandon empties the table and returns what was in it.
func (t *takenCalls) abandon() callTable[takenCall] {
	calls := t.calls
	t.calls = callTable[takenCall]{}
	return calls
}

// makeRoom makes room for up to so many more calls, and returns for how many.
func (t *takenCalls) makeRoom(want int) int {
	room := t.load.takeCalls(want)
	t.waiting.Add(int64(room))
	return room
}

// squeezeIn makes room for a call that need not wait for others, whatever the load.
func (t *takenCalls) squeezeIn() {
	t.load.calls.Add(1)
	t.waiting.Add(1)
}

// giveBackRoom undoes makeRoom for calls that have not come.
func (t *takenCalls) giveBackRoom(room int) {
	if room > 0 {
		t.waiting.Add(int64(-room))
		t.load.giveBackCalls(room)
	}
}

// leave gives a call's room to another one.
func (t *takenCalls) leave(call *takenCall) {
	if call.hasRoom.Swap(false) {
		t.giveBackRoom(1)
	}
}

// takenCall is a call that the other side has made. It is its handler's context,
// which costs nothing that the handler does not use: the channel and the timer
// come when somebody asks for them.
type takenCall struct {
	conn       *Conn
	id         uint64
	method     *packetrpc.Method
	metadata   packetrpc.Metadata
	deadline   time.Time
	request    proto.Message // of unary and one-way calls, unless it is in box
	box        *inbox        // messages of a stream, or parts of a large request
	window     sendWindow    // the writer's lock guards it
	seal       *callSeal
	held       int           // what the account holds for request
	laneCost   int           // what the lane's window gets back once the call has run
	response   proto.Message // a client-streaming call's reply
	reply      bool          // an answer is due
	hasRoom    atomic.Bool   // it is among takenCalls.waiting
	collects   bool          // its request has not arrived whole when it is opened
	inLane     bool          // it runs in the lane
	halfClosed bool          // the caller has sent its last message; the reading goroutine's
	refusal    *packetrpc.Error
	sequence   uint64 // of a push

	ended    atomic.Pointer[packetrpc.Error]    // why nobody waits for the answer any more
	standard atomic.Pointer[standardContext]    // made when the handler asks for Done
	extra    atomic.Pointer[packetrpc.Metadata] // goes out with the next packet
}

// standardContext is a context of the standard library, with its end.
type standardContext struct {
	context.Context
	cancel context.CancelFunc
}

// violate ends a call that the other side does wrong, if it is open, and tells
// it. Packets for calls that have ended are merely late.
func (c *Conn) violate(id uint64, code packetrpc.Code, format string, args ...any) {
	c.failTaken(id, packetrpc.Errorf(code, format, args...))
}

// failTaken is violate for a reason that there is already.
func (c *Conn) failTaken(id uint64, reason *packetrpc.Error) {
	c.mu.Lock()
	call := c.taken.calls.get(id)
	c.taken.calls.remove(id, call)
	late := call == nil && (c.isMine(id) || id > 2 && id <= c.in.highest)
	c.mu.Unlock()
	if late {
		return
	}
	c.out.control(c.form, c.errorPacket(id, "", reason))
	if call != nil {
		c.abort(call, reason)
	}
}

// handles reports whether a call of the other side is open.
func (c *Conn) handles(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken.calls.get(id) != nil
}

// abort ends a call that nobody waits for any more, and closes its books if it never
// reaches a worker, since its request has not arrived whole.
func (c *Conn) abort(call *takenCall, reason *packetrpc.Error) {
	queued := call.method.Stream != nil || !call.collecting()
	c.endTaken(call, reason)
	if queued {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished(call)
}

// handleHalfClose notes that the caller has sent its last message.
func (c *Conn) handleHalfClose(p *packet.Packet) {
	call := c.takenFor(p)
	switch {
	case call == nil:
	case !call.method.Spec.Type.StreamsRequests():
		c.violate(p.CallID, packetrpc.CodeInvalidArgument, "%s has one request, which ends by itself", call.method.Spec.Action)
	case call.box.incomplete():
		c.violate(p.CallID, packetrpc.CodeInvalidArgument, "the half-close came before the rest of a message")
	default:
		call.halfClosed = true
		call.box.finish(io.EOF)
	}
}

// takenMessage puts a message of a stream of requests into its inbox.
func (c *Conn) takenMessage(p *packet.Packet) {
	call := c.takenFor(p)
	switch {
	case call == nil:
		return
	case !call.method.Spec.Type.StreamsRequests():
		c.dropped(p)
		c.violate(p.CallID, packetrpc.CodeInvalidArgument, "%s has one request and takes no messages", call.method.Spec.Action)
		return
	case call.halfClosed:
		c.dropped(p)
		c.violate(p.CallID, packetrpc.CodeInvalidArgument, "a message came after the half-close")
		return
	}
	if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
		c.dropped(p)
		c.failTaken(p.CallID, err)
	}
}

// takenFor returns the open call of a packet, or nil when the packet is late or
// there never was such a call, which the other side is told.
func (c *Conn) takenFor(p *packet.Packet) *takenCall {
	if last := c.in.lastTaken; last != nil && last.id == p.CallID && last.over() == nil {
		return last
	}
	c.mu.Lock()
	call := c.taken.calls.get(p.CallID)
	c.mu.Unlock()
	c.in.lastTaken = call
	if call == nil {
		c.dropped(p)
		c.violate(p.CallID, packetrpc.CodeFailedPrecondition, "call %d is not open", p.CallID)
	}
	return call
}

// handleCancel ends a call that its caller no longer wants.
func (c *Conn) handleCancel(p *packet.Packet) {
	if p.CallID != 0 && c.isMine(p.CallID) {
		return // only callers cancel
	}
	c.mu.Lock()
	if p.CallID == c.made.otherLaneID() {
		c.taken.laneSkips = false
		c.mu.Unlock()
		c.dropLanePart(errCanceled())
		return
	}
	call := c.taken.calls.get(p.CallID)
	c.taken.calls.remove(p.CallID, call)
	c.mu.Unlock()
	if call != nil {
		c.abort(call, errCanceled())
	}
}

func errCanceled() *packetrpc.Error {
	return packetrpc.NewError(packetrpc.CodeCanceled, errors.New("the caller cancelled the call"))
}

// endTaken ends a call that nobody waits for any more: its handler's context is
// cancelled and its streams fail.
func (c *Conn) endTaken(call *takenCall, reason *packetrpc.Error) {
	call.end(reason)
	c.out.end(&call.window, reason)
	if call.box != nil {
		call.box.discard(reason)
	}
}

// finished closes the books of a call whose handler has returned, or never ran.
// c.mu is held.
func (c *Conn) finished(call *takenCall) {
	c.taken.calls.remove(call.id, call)
	c.taken.open--
	c.taken.leave(call)
	if call.box != nil {
		call.box.discard(errReturned) // what the handler has not taken nobody will
	}
	if call.inLane {
		c.refundLane(call.laneCost)
		c.releaseLane()
	}
	c.settled()
	c.departed()
}
