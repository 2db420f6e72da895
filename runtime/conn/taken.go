package conn

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// takenCalls is the calls that the other side has made. Conn.mu guards it.
type takenCalls struct {
	calls   map[uint64]*takenCall // those that packets can still be for
	open    int                   // those that have not been answered, one-way and cancelled ones included
	waiting int                   // those that are to be answered and whose handler has not returned

	lane      laneWindow
	lanePart  *takenCall       // the one-way call whose message has not arrived whole
	laneSkips bool             // the rest of a refused one-way message is to come
	departure *packetrpc.Error // the other side has gone; see Conn.depart
}

func newTakenCalls(window int) takenCalls {
	return takenCalls{calls: make(map[uint64]*takenCall), lane: laneWindow{window: window, credit: window}}
}

// abandon empties the table and returns what was in it.
func (t *takenCalls) abandon() map[uint64]*takenCall {
	calls := t.calls
	t.calls = nil
	return calls
}

func (t *takenCalls) count(call *takenCall) {
	t.open++
	if call.reply {
		call.counted = true
		t.waiting++
	}
}

func (t *takenCalls) uncount(call *takenCall) {
	if call.counted {
		call.counted = false
		t.waiting--
	}
}

// takenCall is a call that the other side has made. It is its handler's context,
// which costs nothing that the handler does not use: the channel and the timer
// come when somebody asks for them.
type takenCall struct {
	conn     *Conn
	id       uint64
	method   *packetrpc.Method
	metadata packetrpc.Metadata
	deadline time.Time
	request  proto.Message // of unary and one-way calls, unless it is in box
	box      *inbox        // messages of a stream, or parts of a large request
	window   sendWindow    // the writer's lock guards it
	held     int           // what the account holds for request
	laneCost int           // what the lane's window gets back once the call has run
	response proto.Message // a client-streaming call's reply
	reply    bool          // an answer is due
	counted  bool          // it is among takenCalls.waiting; Conn.mu guards it
	inLane   bool          // it runs in the lane
	refusal  *packetrpc.Error

	// mu guards what follows.
	mu     sync.Mutex
	ended  *packetrpc.Error // why nobody waits for the answer any more
	ctx    context.Context  // made when the handler asks for Done
	cancel context.CancelFunc
	extra  packetrpc.Metadata // goes out with the next packet
}

// handleRequest opens a call, or adds a part to its request.
func (c *Conn) handleRequest(p *packet.Packet) {
	if c.continuesRequest(p) {
		return
	}
	if p.CallID == 0 && c.form == packet.JSON {
		c.takeInLane(p, true)
		return
	}
	if err := c.checkRequestID(p.CallID); err != nil {
		c.reject(p, err)
		return
	}
	c.in.highest = max(c.in.highest, p.CallID)
	call, err := c.admit(p)
	if err == nil {
		err = c.fillRequest(call, p)
	}
	if err != nil {
		c.refuse(p, err)
		return
	}
	if c.runsAtOnce(call, p) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return
	}
	c.taken.calls[call.id] = call
	c.taken.count(call)
	if !p.More || call.method.Stream != nil {
		c.todo.queue.push(call)
	}
}

// continuesRequest handles packets of kind request whose id is known.
func (c *Conn) continuesRequest(p *packet.Packet) bool {
	if p.CallID < 3 || p.CallID > c.in.highest || c.isMine(p.CallID) {
		return false // no call, or none that there has been
	}
	c.mu.Lock()
	call := c.taken.calls[p.CallID]
	c.mu.Unlock()
	switch {
	case call == nil && p.Action == "" && p.ActionNumber == 0:
		c.dropped(p) // the call has ended, and this is late
		return true
	case call == nil:
		return false
	case p.Action != "" || p.ActionNumber != 0 || !call.collecting():
		c.dropped(p)
		c.violate(p.CallID, packetrpc.CodeInvalidArgument, "call %d is open already", p.CallID)
		return true
	}
	if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
		c.dropped(p)
		c.violate(p.CallID, err.Code, "%s", err.Message)
		return true
	}
	if p.More {
		return true
	}
	call.box.finish(io.EOF)
	if call.method.Stream == nil {
		c.mu.Lock()
		c.todo.queue.push(call)
		c.mu.Unlock()
	}
	return true
}

// collecting reports whether more of the request is to come.
func (t *takenCall) collecting() bool {
	if t.box == nil || t.method.Spec.Type.StreamsRequests() {
		return false
	}
	t.box.mu.Lock()
	defer t.box.mu.Unlock()
	return t.box.end == nil
}

// maxCallID is the largest number that every JSON library keeps as it is.
const maxCallID = 1<<53 - 1

func (c *Conn) checkRequestID(id uint64) *packetrpc.Error {
	switch {
	case id == 0:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a request needs a call id")
	case id > maxCallID:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "call id %d is above 2^53-1", id)
	case c.isMine(id):
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "call id %d is of this side's calls", id)
	case id < 3:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "call id %d is the one-way lane's", id)
	}
	return nil
}

// admit decides whether a packet may open a call (PROTOCOL section 7).
func (c *Conn) admit(p *packet.Packet) (*takenCall, *packetrpc.Error) {
	action, err := c.actionOf(p)
	if !c.cfg.Dialled && subtle.ConstantTimeCompare([]byte(p.Token), []byte(c.cfg.Token)) != 1 {
		return nil, packetrpc.Errorf(packetrpc.CodeUnauthenticated, "%s", tokenComplaint(p.Token))
	}
	if err != nil {
		return nil, err
	}
	method := c.cfg.Handlers.Lookup(action)
	switch {
	case method == nil:
		return nil, packetrpc.Errorf(packetrpc.CodeUnimplemented, "action %q is not served here", action)
	case p.Kind == packet.KindOneWay && method.Spec.Type != packetrpc.OneWay:
		return nil, packetrpc.Errorf(packetrpc.CodeUnimplemented, "action %q is %v and not one-way", action, method.Spec.Type)
	case c.cfg.Plain && method.Stream != nil:
		return nil, packetrpc.Errorf(packetrpc.CodeUnimplemented, "action %q streams; shake hands with \"version\":1 to call it", action)
	case method.Spec.Sealed || p.Sealed:
		return nil, packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "action %q: there is no key to open sealed data with", action)
	}
	if c.cfg.Authorize != nil {
		if err := c.cfg.Authorize(method.Spec); err != nil {
			return nil, packetrpc.AsError(err)
		}
	}
	if err := c.hasRoom(p.Kind); err != nil {
		return nil, err
	}
	call := &takenCall{conn: c, id: p.CallID, method: method, metadata: p.Metadata, reply: p.Kind == packet.KindRequest}
	if p.Timeout > 0 {
		call.deadline = time.Now().Add(p.Timeout)
	}
	call.window = newSendWindow(c.cfg.Remote.CallWindow)
	return call, nil
}

func tokenComplaint(token string) string {
	if token == "" {
		return "the packet bears no token; the handshake returned one"
	}
	return "the packet's token is not this connection's"
}

// hasRoom refuses calls beyond the limit and on a connection that drains.
func (c *Conn) hasRoom(kind packet.Kind) *packetrpc.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch limit := c.cfg.Local.MaxOpenCalls; {
	case c.draining || c.closing != nil:
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "this side takes no new calls")
	case kind == packet.KindRequest && limit > 0 && c.taken.waiting >= limit:
		return packetrpc.Errorf(packetrpc.CodeResourceExhausted, "%d calls are open (WithMaxOpenCalls)", limit)
	}
	return nil
}

// maxActionName is how long an action's name may be. Names that numbers stand
// for are kept as long as the connection.
const maxActionName = 1 << 10

// learnNumber keeps the action that a packet defines a number for, whatever
// becomes of the packet.
func (c *Conn) learnNumber(p *packet.Packet) {
	number := int(p.ActionNumber)
	if number == 0 || p.Action == "" || number > c.cfg.Local.MaxActionNumbers || len(p.Action) > maxActionName {
		return
	}
	for len(c.in.numbers) <= number {
		c.in.numbers = append(c.in.numbers, "")
	}
	if c.in.numbers[number] == "" {
		c.in.numbers[number] = p.Action
	}
}

// actionOf returns the action of a packet.
func (c *Conn) actionOf(p *packet.Packet) (string, *packetrpc.Error) {
	number := int(p.ActionNumber)
	switch {
	case number == 0 && p.Action == "":
		return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the packet names no action")
	case len(p.Action) > maxActionName:
		return "", packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"the action's name has %d bytes; it may have %d", len(p.Action), maxActionName)
	case number == 0:
		return p.Action, nil
	case number > c.cfg.Local.MaxActionNumbers:
		return "", packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"action number %d is beyond the limit of %d", number, c.cfg.Local.MaxActionNumbers)
	case p.Action == "":
		if number >= len(c.in.numbers) || c.in.numbers[number] == "" {
			return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument, "action number %d has not been defined", number)
		}
		return c.in.numbers[number], nil
	}
	if known := c.in.numbers[number]; known != p.Action {
		return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument, "action number %d is %q already", number, known)
	}
	return p.Action, nil
}

// fillRequest decodes a call's request, or puts it where its handler finds it.
func (c *Conn) fillRequest(call *takenCall, p *packet.Packet) *packetrpc.Error {
	streams := call.method.Spec.Type.StreamsRequests()
	switch {
	case streams && (p.More || len(p.Data) > 0 && string(p.Data) != "null"):
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"the request of %s carries no data; its messages follow as packets of kind message", call.method.Spec.Action)
	case streams:
		c.dropped(p)
		call.box = c.newInbox(call.id)
		return nil
	case p.More || call.method.Stream != nil || len(p.Data) > decodeAtOnce:
		call.box = c.newInbox(call.id)
		if p.CallID == 0 || p.Kind == packet.KindOneWay {
			call.box = newInbox(&c.account, 0, nil) // the lane's window governs
		}
		if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
			return err
		}
		if !p.More {
			call.box.finish(io.EOF)
		}
		return nil
	}
	if limit := c.cfg.Local.MaxMessageSize; len(p.Data) > limit {
		return tooLarge(len(p.Data), limit)
	}
	call.request = call.method.NewRequest()
	if err := c.decodeRequest(p.Data, call.request); err != nil {
		return err
	}
	if call.held = packetCost(p); call.held > 0 {
		c.account.arrived(call.held, call.held)
	}
	return nil
}

func (c *Conn) decodeRequest(data []byte, request proto.Message) *packetrpc.Error {
	if err := packet.UnmarshalMessage(c.form, data, request); err != nil {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the data is no %s: %w", request.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// refuse answers a packet that opens no call. On a call without an id the answer
// waits for those before it, as the other side tells them apart by their order.
func (c *Conn) refuse(p *packet.Packet, reason *packetrpc.Error) {
	c.dropped(p)
	if c.cfg.Plain && p.CallID == 0 {
		c.pushLane(&takenCall{conn: c, reply: true, inLane: true, refusal: reason,
			method: &packetrpc.Method{Spec: &packetrpc.Spec{Action: p.Action}}})
		return
	}
	c.out.control(c.form, c.errorPacket(p.CallID, p.Action, reason))
}

// violate ends a call that the other side does wrong, if it is open, and tells
// it. Packets for calls that have ended are merely late.
func (c *Conn) violate(id uint64, code packetrpc.Code, format string, args ...any) {
	c.mu.Lock()
	call := c.taken.calls[id]
	delete(c.taken.calls, id)
	late := call == nil && (c.isMine(id) || id > 2 && id <= c.in.highest)
	c.mu.Unlock()
	if late {
		return
	}
	reason := packetrpc.Errorf(code, format, args...)
	c.out.control(c.form, c.errorPacket(id, "", reason))
	if call != nil {
		c.endTaken(call, reason)
		c.forgetUnqueued(call)
	}
}

// handles reports whether a call of the other side is open.
func (c *Conn) handles(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken.calls[id] != nil
}

// forgetUnqueued closes the books of a call that never reached a worker, since
// its request has not arrived whole.
func (c *Conn) forgetUnqueued(call *takenCall) {
	if call.method.Stream != nil || !call.wasCollecting() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished(call)
}

// wasCollecting reports whether the call was ended before its request was there.
func (t *takenCall) wasCollecting() bool {
	if t.box == nil {
		return false
	}
	t.box.mu.Lock()
	defer t.box.mu.Unlock()
	return t.box.end != io.EOF
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
	case call.box.finished():
		c.dropped(p)
		c.violate(p.CallID, packetrpc.CodeInvalidArgument, "a message came after the half-close")
		return
	}
	if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
		c.dropped(p)
		c.violate(p.CallID, err.Code, "%s", err.Message)
	}
}

func (b *inbox) finished() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end != nil
}

// takenFor returns the open call of a packet, or nil when the packet is late or
// there never was such a call, which the other side is told.
func (c *Conn) takenFor(p *packet.Packet) *takenCall {
	c.mu.Lock()
	call := c.taken.calls[p.CallID]
	c.mu.Unlock()
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
	call := c.taken.calls[p.CallID]
	delete(c.taken.calls, p.CallID)
	c.mu.Unlock()
	if call != nil {
		c.endTaken(call, errCanceled())
		c.forgetUnqueued(call)
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

// runsAtOnce runs a handler that is declared not to block on this goroutine, the
// reading one, if its answer can be queued without waiting.
func (c *Conn) runsAtOnce(call *takenCall, p *packet.Packet) bool {
	if !call.method.Spec.NonBlocking || call.request == nil || p.CallID == 0 || c.cfg.Plain || !c.ready() {
		return false
	}
	if !c.out.tryLock(&call.window) {
		return false
	}
	c.out.unlock(nil)
	c.account.taken(call.held)
	response, err := c.invoke(call)
	c.answerNow(call, response, err)
	return true
}

// ready reports whether calls may be handled.
func (c *Conn) ready() bool {
	select {
	case <-c.cfg.Ready:
		return true
	default:
		return c.cfg.Ready == nil
	}
}

// runCall runs a call's handler and answers.
func (c *Conn) runCall(call *takenCall) {
	if !c.ready() {
		select {
		case <-c.cfg.Ready:
		case <-c.ctx.Done():
		}
	}
	if call.held > 0 {
		c.account.taken(call.held)
	}
	if call.over() != nil {
		c.waitsNoMore(call)
		return
	}
	response, err := c.invoke(call)
	c.waitsNoMore(call)
	if call.reply {
		c.answer(call, response, err)
	} else if err != nil {
		c.cfg.Logger.Error("packetrpc: a one-way handler failed, which no caller learns", "action", call.method.Spec.Action, "error", err)
	}
	call.end(errReturned())
}

// waitsNoMore makes room for another call before the answer invites the caller
// to open one.
func (c *Conn) waitsNoMore(call *takenCall) {
	if call.reply {
		c.mu.Lock()
		c.taken.uncount(call)
		c.mu.Unlock()
	}
}

// invoke runs the handler, behind the interceptors, and contains its panics. The
// error is the call's answer.
func (c *Conn) invoke(call *takenCall) (response proto.Message, err error) {
	if call.refusal != nil {
		return nil, call.refusal
	}
	if call.request == nil && call.method.Unary != nil {
		if err := call.takeRequest(); err != nil {
			return nil, err
		}
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		if cause := recover(); cause != nil {
			c.cfg.Logger.Error("packetrpc: a handler panicked", "action", call.method.Spec.Action, "panic", cause, "stack", string(debug.Stack()))
			response, err = nil, packetrpc.Errorf(packetrpc.CodeInternal, "the handler of %s panicked", call.method.Spec.Action)
			return
		}
		// The handler ends its goroutine, so nobody is going to answer for it.
		c.waitsNoMore(call)
		if call.reply {
			c.answer(call, nil, packetrpc.Errorf(packetrpc.CodeInternal, "the handler of %s did not return", call.method.Spec.Action))
			c.flushQueued()
		}
		call.end(errReturned())
	}()
	response, err = c.callHandler(call)
	returned = true
	return response, err
}

// callHandler runs the handler behind the interceptors.
func (c *Conn) callHandler(call *takenCall) (proto.Message, error) {
	if c.incoming == nil && call.method.Unary != nil {
		return call.method.Unary(call, call.request)
	}
	invocation := &packetrpc.Call{Spec: call.method.Spec, Peer: c.peer, Request: call.request}
	if call.method.Stream != nil {
		invocation.Stream = &takenStream{call: call}
	}
	var err error
	if c.incoming == nil {
		err = c.handle(call, invocation)
	} else {
		err = c.incoming(call, invocation)
	}
	return invocation.Response, err
}

// handle is the innermost Invoke of incoming calls.
func (c *Conn) handle(ctx context.Context, invocation *packetrpc.Call) (err error) {
	call, ok := ctx.Value(packetrpc.HandlerCallKey{}).(*takenCall)
	if !ok {
		return packetrpc.Errorf(packetrpc.CodeInternal, "an interceptor passed on a context that is not derived from its own")
	}
	if call.method.Unary != nil {
		invocation.Response, err = call.method.Unary(ctx, invocation.Request)
		return err
	}
	if err := call.method.Stream(ctx, invocation.Stream); err != nil {
		return err
	}
	invocation.Response = call.response
	return nil
}

// takeRequest decodes a request that arrived in parts.
func (t *takenCall) takeRequest() *packetrpc.Error {
	data, err := t.box.take(t, func() {})
	if err != nil {
		return packetrpc.AsError(err)
	}
	request := t.method.NewRequest()
	if err := t.conn.decodeRequest(data, request); err != nil {
		return err
	}
	t.request = request
	return nil
}

// answer queues a call's answer, waiting for credit and room, unless nobody
// waits for it any more.
func (c *Conn) answer(call *takenCall, response proto.Message, err error) {
	if call.over() != nil {
		return
	}
	if c.cfg.Plain {
		c.answerPlain(call, response, err)
		return
	}
	if err == nil {
		p := c.responsePacket(call)
		if failure := metadataFits(p.Metadata); failure != nil {
			c.out.answer(c.form, c.failurePacket(call, failure))
			return
		}
		if call.method.Spec.Type == packetrpc.OneWay || call.method.Spec.Type.StreamsReplies() {
			c.out.answer(c.form, &p)
			return
		}
		failure := c.send(call, &call.window, &p, nil, response)
		if failure == nil || call.over() != nil {
			return
		}
		err = failure
	}
	c.out.answer(c.form, c.failurePacket(call, err))
}

// answerNow is answer for the reading goroutine, which has made sure that a
// small answer can be queued; a large one is a worker's to send.
func (c *Conn) answerNow(call *takenCall, response proto.Message, err error) {
	if err != nil {
		c.out.control(c.form, c.failurePacket(call, err))
		call.end(errReturned())
		return
	}
	size := packet.Size(response)
	if c.form == packet.Binary && size <= lastFragmentMax && c.fits(size) == nil && c.out.tryLock(&call.window) {
		p := c.responsePacket(call)
		if err := c.encode(&call.window, &p, nil, response, size); err != nil {
			c.out.control(c.form, c.failurePacket(call, err))
		}
		call.end(errReturned())
		return
	}
	c.mu.Lock()
	c.todo.working++
	c.mu.Unlock()
	c.cfg.Workers.run(func() {
		c.answer(call, response, nil)
		call.end(errReturned())
		c.flushQueued()
		c.mu.Lock()
		c.leave()
	})
}

// answerPlain sends an old program its reply in a write of its own, which it
// takes for the reply's bounds.
func (c *Conn) answerPlain(call *takenCall, response proto.Message, err error) {
	p := c.responsePacket(call)
	if err == nil {
		p.Data, err = packet.AppendMessage(c.form, nil, response)
	}
	if err == nil && call.method.Spec.Type == packetrpc.OneWay {
		p.Data = []byte("{}")
	}
	if err != nil {
		p = *c.failurePacket(call, err)
		p.Data = []byte("{}")
	}
	p.Action = call.method.Spec.Action
	if packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
		p.Token = c.cfg.Token // whoever could not name it is not told it
	}
	if p.Action == "CoreListClients" {
		p.Action = "ListClients" // the name that they know the reply by
	}
	c.out.control(c.form, &p)
	c.out.flush()
}

func (c *Conn) responsePacket(call *takenCall) packet.Packet {
	return packet.Packet{Kind: packet.KindResponse, CallID: call.id, Created: time.Now().UnixMicro(), Metadata: call.takeMetadata()}
}

func (c *Conn) failurePacket(call *takenCall, failure error) *packet.Packet {
	p := c.errorPacket(call.id, "", packetrpc.AsError(failure))
	if metadata := call.takeMetadata(); metadataFits(metadata) == nil {
		p.Metadata = metadata
	}
	return p
}

func (c *Conn) errorPacket(id uint64, action string, reason *packetrpc.Error) *packet.Packet {
	p := &packet.Packet{
		Kind:       packet.KindError,
		CallID:     id,
		Created:    time.Now().UnixMicro(),
		Status:     reason.Code,
		Message:    reason.Message,
		Details:    reason.Details,
		RetryAfter: reason.RetryAfter,
	}
	shortenError(p)
	if id == 0 && c.form == packet.JSON {
		p.Action = action
	}
	return p
}

const (
	maxErrorMessage = 8 << 10
	maxErrorDetails = 32 << 10
)

// shortenError makes an error fit a packet whatever a handler has put into it.
func shortenError(p *packet.Packet) {
	if len(p.Message) > maxErrorMessage {
		p.Message = strings.ToValidUTF8(p.Message[:maxErrorMessage], "") + "…"
	}
	size := 0
	for i, detail := range p.Details {
		size += len(detail.GetTypeUrl()) + len(detail.GetValue())
		if size > maxErrorDetails {
			p.Details = p.Details[:i]
			return
		}
	}
}

// finished closes the books of a call whose handler has returned, or never ran.
// c.mu is held.
func (c *Conn) finished(call *takenCall) {
	if c.taken.calls[call.id] == call {
		delete(c.taken.calls, call.id)
	}
	c.taken.open--
	c.taken.uncount(call)
	if call.box != nil {
		call.box.discard(errReturned()) // what the handler has not taken nobody will
	}
	if call.inLane {
		c.refundLane(call.laneCost)
		c.releaseLane()
	}
	c.settled()
	c.departed()
}
