package conn

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// decodeAtOnce is how large a message may be that the reading goroutine decodes,
// right from where it was read; whoever it is for decodes larger ones, from a
// copy.
const decodeAtOnce = lastFragmentMax

// madeCalls is the calls that this side has made. Conn.mu guards it.
type madeCalls struct {
	calls   callTable[madeCall]
	laneID  uint64 // of the one-way packets that this side sends: 1 or 2; never changes
	nextID  uint64
	slots   line             // callers that wait until fewer calls are open
	refused *packetrpc.Error // the other side takes no new calls
}

func newMadeCalls(dialled bool) madeCalls {
	lane := uint64(2)
	if dialled {
		lane = 1
	}
	return madeCalls{laneID: lane, nextID: lane + 2}
}

// otherLaneID is the call id of the one-way packets that the other side sends.
func (m *madeCalls) otherLaneID() uint64 { return 3 - m.laneID }

// abandon empties the table and returns what was in it.
func (m *madeCalls) abandon() callTable[madeCall] {
	calls := m.calls
	m.calls = callTable[madeCall]{}
	m.slots.all()
	return calls
}

// madeCall is a call that this side has made and that has not ended.
type madeCall struct {
	id     uint64
	spec   *packetrpc.Spec
	window sendWindow // the writer's lock guards it
	seal   *callSeal

	// A unary call's reply is decoded into response by whoever took the call out
	// of the table, who then signals done; err and metadata come with it.
	response proto.Message
	large    []byte
	err      *packetrpc.Error
	metadata packetrpc.Metadata
	done     chan struct{}

	// box holds a stream's messages, and the parts of a large reply to a unary
	// call. Conn.mu guards the pointer.
	box *inbox
}

// begin puts a call into the table, when the other side may have one more. It
// reports whether it is the only one.
func (c *Conn) begin(ctx context.Context, spec *packetrpc.Spec, response proto.Message) (call *madeCall, alone bool, err error) {
	if err := c.callable(ctx, spec); err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for served := false; ; served = true {
		if reason := c.refusesCalls(); reason != nil {
			return nil, false, notSent(reason)
		}
		limit := c.cfg.Remote.MaxOpenCalls
		if limit == 0 || c.made.calls.len() < limit && (served || c.made.slots.empty()) {
			break
		}
		place := c.made.slots.join(served)
		c.mu.Unlock()
		err := place.wait(ctx)
		c.mu.Lock()
		if err != nil {
			c.made.slots.leave(place)
			return nil, false, notSent(contextError(ctx))
		}
	}
	call = c.cfg.Workers.call()
	call.id, call.spec, call.response = c.made.nextID, spec, response
	call.window = newSendWindow(c.cfg.Remote.CallWindow)
	c.made.nextID += 2
	c.made.calls.put(call.id, call)
	alone = c.made.calls.len() == 1
	call.seal = c.newSeal(spec, call.id, true)
	if response == nil || spec.Sealed {
		call.box = c.newInbox(call.id)
	}
	c.countAlone(alone && response != nil)
	return call, alone, nil
}

func (c *Conn) newInbox(id uint64) *inbox {
	return newInbox(c.cfg.Workers, &c.account, c.cfg.Local.CallWindow, func(credit int) { c.sendCredit(id, credit) })
}

// callable refuses calls that need not be tried.
func (c *Conn) callable(ctx context.Context, spec *packetrpc.Spec) error {
	switch {
	case ctx.Err() != nil:
		return notSent(contextError(ctx))
	case c.cfg.Plain:
		return notSent(packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"the other side shook hands without a version; such connections take replies only"))
	}
	if err := c.cfg.Sealing.allows(spec, true); err != nil {
		return notSent(err)
	}
	return nil
}

// refusesCalls tells why no call can be made any more. c.mu is held.
func (c *Conn) refusesCalls() *packetrpc.Error {
	switch {
	case c.ended != nil:
		return c.ended
	case c.closing != nil:
		return c.closing
	}
	return c.made.refused
}

// refuses is refusesCalls for who does not hold c.mu.
func (c *Conn) refuses() *packetrpc.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusesCalls()
}

// remove takes a call out of the table and reports whether it was still there;
// if not, somebody else is ending it. c.mu is held.
func (c *Conn) remove(call *madeCall) bool {
	if !c.made.calls.remove(call.id, call) {
		return false
	}
	c.made.slots.next()
	c.settled()
	return true
}

// withdraw ends a call that nobody waits for any more and reports whether it was
// still open; the other side is told.
func (c *Conn) withdraw(call *madeCall, reason error) bool {
	c.mu.Lock()
	open := c.remove(call)
	c.mu.Unlock()
	if !open {
		return false
	}
	c.out.control(c.form, &packet.Packet{Kind: packet.KindCancel, CallID: call.id})
	c.out.flushSoon()
	c.out.end(&call.window, io.EOF)
	if call.box != nil {
		call.box.discard(reason)
	}
	return true
}

// openingToken returns the token that the packets bear by which this side opens a
// call. Nobody checks those of the accepting side, so they bear none.
func (c *Conn) openingToken() string {
	if c.cfg.Dialled {
		return c.cfg.Token
	}
	return ""
}

// opening returns the packet that opens a call.
func (c *Conn) opening(ctx context.Context, kind packet.Kind, id uint64) packet.Packet {
	p := packet.Packet{
		Kind:     kind,
		CallID:   id,
		Token:    c.openingToken(),
		Created:  time.Now().UnixMicro(),
		Metadata: packetrpc.OutgoingMetadata(ctx),
	}
	if deadline, limited := ctx.Deadline(); limited && kind == packet.KindRequest {
		p.Timeout = max(time.Until(deadline), time.Microsecond)
	}
	return p
}

// withTimeout applies the timeout that an action was declared with.
func withTimeout(ctx context.Context, spec *packetrpc.Spec) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); spec.Timeout == 0 || limited {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, spec.Timeout)
}

// CallUnary implements [packetrpc.Caller].
func (c *Conn) CallUnary(ctx context.Context, spec *packetrpc.Spec, request, response proto.Message) error {
	if c.outgoing == nil {
		return c.unary(ctx, spec, request, response)
	}
	call := &packetrpc.Call{Spec: spec, Peer: c.cfg.Peer, Outgoing: true, Request: request, Response: response}
	if err := c.outgoing(ctx, call); err != nil {
		return packetrpc.AsError(err)
	}
	if call.Response != response {
		proto.Reset(response)
		proto.Merge(response, call.Response)
	}
	return nil
}

// CallOneWay implements [packetrpc.Caller].
func (c *Conn) CallOneWay(ctx context.Context, spec *packetrpc.Spec, message proto.Message) error {
	if c.outgoing == nil {
		return c.oneWay(ctx, spec, message)
	}
	err := c.outgoing(ctx, &packetrpc.Call{Spec: spec, Peer: c.cfg.Peer, Outgoing: true, Request: message})
	if err != nil {
		return packetrpc.AsError(err)
	}
	return nil
}

// OpenStream implements [packetrpc.Caller].
func (c *Conn) OpenStream(ctx context.Context, spec *packetrpc.Spec, request proto.Message) (packetrpc.Stream, error) {
	if c.outgoing == nil {
		return c.openStream(ctx, spec, request)
	}
	call := &packetrpc.Call{Spec: spec, Peer: c.cfg.Peer, Outgoing: true, Request: request}
	if err := c.outgoing(ctx, call); err != nil {
		return nil, packetrpc.AsError(err)
	}
	return call.Stream, nil
}

// carryOut is the innermost Invoke of outgoing calls.
func (c *Conn) carryOut(ctx context.Context, call *packetrpc.Call) (err error) {
	switch call.Spec.Type {
	case packetrpc.Unary:
		return c.unary(ctx, call.Spec, call.Request, call.Response)
	case packetrpc.OneWay:
		return c.oneWay(ctx, call.Spec, call.Request)
	default:
		call.Stream, err = c.openStream(ctx, call.Spec, call.Request)
		return err
	}
}

// unary makes a unary call.
func (c *Conn) unary(ctx context.Context, spec *packetrpc.Spec, request, response proto.Message) error {
	ctx, cancel := withTimeout(ctx, spec)
	defer cancel()
	call, alone, err := c.begin(ctx, spec, response)
	if err != nil {
		return err
	}
	p := c.opening(ctx, packet.KindRequest, call.id)
	if err := c.send(ctx, &call.window, &p, spec, request, call.seal); err != nil && c.withdraw(call, err) {
		return err // otherwise the other side has ended the call, and its reply tells why
	}
	c.flushTogether(alone)
	if alone {
		c.pollForReply(call)
	}
	return c.reply(ctx, call)
}

// flushTogether lets a caller's packet leave: at once if it is alone, and
// otherwise in the same write as those of the other callers who are about to queue
// theirs. One of them sees to that for all.
func (c *Conn) flushTogether(alone bool) {
	if alone || c.out.ample() {
		c.flushQueued()
		return
	}
	if c.flushPromised.CompareAndSwap(false, true) {
		runtime.Gosched()
		c.flushPromised.Store(false) // before looking what is queued, so that nothing is left behind
		c.flushQueued()
	}
}

// flushQueued writes what is queued unless somebody is at it.
func (c *Conn) flushQueued() {
	if c.out.dirty() {
		c.out.flush()
	}
}

// reply waits for a unary call's reply.
func (c *Conn) reply(ctx context.Context, call *madeCall) error {
	select {
	case <-call.done:
	case <-ctx.Done():
		if err := contextError(ctx); c.withdraw(call, err) {
			return err
		}
		<-call.done
	}
	if info := packetrpc.CallInfoFrom(ctx); info != nil {
		info.Metadata = call.metadata
	}
	if call.err != nil {
		return call.err
	}
	var err error
	switch {
	case call.box != nil:
		var data []byte
		if data, err = call.box.take(ctx, func() {}); err == nil {
			err = c.decode(data, call.response, call.seal)
			call.box.done()
		}
	case call.large != nil:
		err = c.decode(call.large, call.response, nil)
	}
	if call.box == nil { // otherwise the reading goroutine may still hold it
		c.cfg.Workers.recycle(call)
	}
	return err
}

// decode opens and unmarshals a message that the other side sent in answer.
func (c *Conn) decode(data []byte, message proto.Message, with *callSeal) error {
	data, err := with.open(c.form, data)
	if err != nil {
		return packetrpc.Errorf(packetrpc.CodeInternal, "the reply was refused: %w", err)
	}
	if err := packet.UnmarshalMessage(c.form, data, message); err != nil {
		return packetrpc.Errorf(packetrpc.CodeInternal, "the reply is no %s: %w", message.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// oneWay makes a one-way call.
func (c *Conn) oneWay(ctx context.Context, spec *packetrpc.Spec, message proto.Message) error {
	ctx, cancel := withTimeout(ctx, spec)
	defer cancel()
	if err := c.callable(ctx, spec); err != nil {
		return err
	}
	if reason := c.refuses(); reason != nil && !c.cfg.Pushes.resumable() {
		return notSent(reason)
	}
	lane := c.made.laneID
	p := c.opening(ctx, packet.KindOneWay, lane)
	err := c.send(ctx, &c.lane, &p, spec, message, c.newSeal(spec, lane, true))
	if err == nil {
		c.out.flushSoon()
		return nil
	}
	if err.Outcome != packetrpc.OutcomeNotSent {
		// The other side waits for the rest of a message that will not come.
		c.out.control(c.form, &packet.Packet{Kind: packet.KindCancel, CallID: lane})
		c.out.flushSoon()
	}
	return err
}

// handleResponse ends a call well, or adds a part to its reply.
func (c *Conn) handleResponse(p *packet.Packet) {
	call := c.answered(p)
	if call == nil {
		c.dropped(p)
		return
	}
	switch {
	case call.response != nil && call.box == nil:
		c.account.arrived(packetCost(p), 0)
		call.metadata = p.Metadata
		switch limit := c.cfg.Local.MaxMessageSize; {
		case len(p.Data) > limit:
			call.err = tooLarge(len(p.Data), limit)
		case len(p.Data) > decodeAtOnce:
			call.large = bytes.Clone(p.Data)
		default:
			if err := c.decode(p.Data, call.response, nil); err != nil {
				call.err = packetrpc.AsError(err)
			}
		}
		c.in.replies++
		call.done <- struct{}{}
	case call.spec.Type.StreamsReplies() && p.More:
		c.reject(p, packetrpc.Errorf(packetrpc.CodeInternal, "the response to a stream of replies came in parts"))
	case call.spec.Type.StreamsReplies():
		c.dropped(p)
		call.box.addMetadata(p.Metadata)
		if call.box.incomplete() {
			c.endMade(call, packetrpc.Errorf(packetrpc.CodeInternal, "the response came before the rest of a message"))
			return
		}
		c.endMade(call, io.EOF)
	default:
		c.collectReply(call, p)
	}
}

// answered finds the call of a response and, unless more of it follows, takes it
// out of the table.
func (c *Conn) answered(p *packet.Packet) *madeCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.made.calls.get(p.CallID)
	switch {
	case call == nil:
	case !p.More:
		c.remove(call)
	case call.box == nil:
		call.box = c.newInbox(call.id)
	}
	return call
}

// collectReply adds to a reply that arrives in parts, or to a client-streaming
// call's only one.
func (c *Conn) collectReply(call *madeCall, p *packet.Packet) {
	if p.Metadata.Len() > 0 {
		call.metadata = p.Metadata
		call.box.addMetadata(p.Metadata)
	}
	if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
		c.dropped(p)
		if p.More {
			c.failMade(call.id, err)
		} else {
			c.endMade(call, err)
		}
		return
	}
	if !p.More {
		c.endMade(call, io.EOF)
	}
}

// endMade tells whoever uses a call that has been taken out of the table that it
// has ended: with io.EOF well, otherwise with the reason.
func (c *Conn) endMade(call *madeCall, end error) {
	c.out.end(&call.window, io.EOF)
	if call.box != nil {
		call.box.finish(end)
	}
	if call.response != nil {
		if end != io.EOF {
			call.err = packetrpc.AsError(end)
		}
		call.done <- struct{}{}
	}
}

// takeOut takes a call out of the table by its id and returns it, or nil.
func (c *Conn) takeOut(id uint64) *madeCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.made.calls.get(id)
	if call != nil {
		c.remove(call)
	}
	return call
}

// failMade ends a call of this side that the other one does wrong, and tells it.
// It reports whether the call was open.
func (c *Conn) failMade(id uint64, reason *packetrpc.Error) bool {
	call := c.takeOut(id)
	if call == nil {
		return false
	}
	c.out.control(c.form, &packet.Packet{Kind: packet.KindCancel, CallID: id})
	c.endMade(call, reason)
	return true
}

// handleError ends a call badly.
func (c *Conn) handleError(p *packet.Packet) {
	err := packetrpc.NewRemoteError(p.Status, p.Message, p.Details)
	err.RetryAfter = p.RetryAfter
	if err.Code == packetrpc.CodeUnavailable && p.Reason != "" {
		err.Outcome = packetrpc.OutcomeNotSent
	}
	if err.Code == 0 {
		err.Code = packetrpc.CodeUnknown
	}
	if p.CallID == 0 || p.CallID == c.made.laneID {
		c.logger().Warn("packetrpc: the other side refused a packet that is not answered", "error", err)
		return
	}
	call := c.takeOut(p.CallID)
	if call == nil {
		return
	}
	if call.box != nil {
		call.box.addMetadata(p.Metadata)
	}
	call.metadata = p.Metadata
	c.endMade(call, err)
}

// madeMessage puts a message of a stream of replies into its inbox.
func (c *Conn) madeMessage(p *packet.Packet) {
	call := c.in.lastMade
	if call == nil || call.id != p.CallID {
		c.mu.Lock()
		call = c.made.calls.get(p.CallID)
		c.mu.Unlock()
	}
	switch {
	case call == nil:
		c.dropped(p)
	case !call.spec.Type.StreamsReplies():
		c.dropped(p)
		c.failMade(p.CallID, packetrpc.Errorf(packetrpc.CodeInternal,
			"the other side streams replies to %s, which has one", call.spec.Action))
	default:
		c.in.lastMade = call // a unary call might be used again for another one
		if p.Metadata.Len() > 0 {
			call.box.addMetadata(p.Metadata)
		}
		if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
			c.dropped(p)
			c.failMade(p.CallID, err)
		}
	}
}

// dropped gives back the connection's credit for a packet that nobody wants.
func (c *Conn) dropped(p *packet.Packet) {
	if charge := packetCost(p); charge > 0 {
		c.account.arrived(charge, 0)
	}
}
