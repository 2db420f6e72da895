package conn

import (
	"crypto/subtle"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

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
		c.refuseCall(call, p, err)
		return
	}
	if !c.runsAtOnce(call, p) {
		call.collects = p.More && call.method.Stream == nil
		c.in.opened = append(c.in.opened, call)
	}
}

// publish shows workers the calls that have been opened since the last time, with
// one lock for them all. The reading goroutine does so before it looks for a call
// by its id, and before it does something else.
func (c *Conn) publish() {
	if len(c.in.opened) == 0 {
		return
	}
	c.mu.Lock()
	refused := c.takesNoCalls()
	if refused == nil && c.ended != nil {
		refused = c.ended
	}
	for _, call := range c.in.opened {
		if refused != nil {
			break
		}
		c.taken.calls.put(call.id, call)
		c.taken.open++
		if !call.collects {
			c.todo.queue.push(call)
		}
	}
	c.mu.Unlock()
	if refused != nil {
		c.turnAway(c.in.opened, refused)
	}
	c.in.batch = len(c.in.opened)
	clear(c.in.opened)
	c.in.opened = c.in.opened[:0]
}

// turnAway refuses calls that were opened just when this side stopped taking any.
func (c *Conn) turnAway(calls []*takenCall, reason *packetrpc.Error) {
	for _, call := range calls {
		c.taken.leave(call)
		c.account.taken(call.held)
		if call.box != nil {
			call.box.discard(reason)
		}
		c.out.control(c.form, c.errorPacket(call.id, "", reason))
		if c.cfg.Refused != nil {
			c.cfg.Refused(call.method.Spec.Action, reason)
		}
	}
}

// takesNoCalls tells why this side takes no more calls, or returns nil. c.mu is
// held.
func (c *Conn) takesNoCalls() *packetrpc.Error {
	if c.draining || c.closing != nil {
		return errDraining
	}
	return nil
}

// errDraining is why a side that drains or closes takes no calls. It is never changed:
// the refusal of a call that has crossed with the drain is known by it, and says that
// the call has not run (PROTOCOL section 12).
var errDraining = &packetrpc.Error{Code: packetrpc.CodeUnavailable, Message: "this side takes no new calls"}

// continuesRequest handles packets of kind request whose id is known.
func (c *Conn) continuesRequest(p *packet.Packet) bool {
	if p.CallID < 3 || p.CallID > c.in.highest || c.isMine(p.CallID) {
		return false // no call, or none that there has been
	}
	c.publish()
	c.mu.Lock()
	call := c.taken.calls.get(p.CallID)
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
		c.failTaken(p.CallID, err)
		return true
	}
	if p.More {
		return true
	}
	call.box.finish(io.EOF)
	if call.method.Stream == nil {
		c.enqueue(call)
	}
	return true
}

// enqueue lets a call be handled whose request has arrived whole at last.
func (c *Conn) enqueue(call *takenCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		c.taken.leave(call) // no worker will
		return
	}
	c.todo.queue.push(call)
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
	}
	if err := c.cfg.Sealing.takes(method.Spec, p); err != nil {
		return nil, err
	}
	if c.cfg.Authorize != nil {
		if err := c.cfg.Authorize(method.Spec); err != nil {
			return nil, packetrpc.AsError(err)
		}
	}
	if err := c.takeRoom(p.Kind, method.Spec); err != nil {
		return nil, err
	}
	call := &takenCall{conn: c, id: p.CallID, method: method, metadata: p.Metadata, reply: p.Kind == packet.KindRequest}
	call.hasRoom.Store(call.reply)
	call.seal = c.newSeal(method.Spec, p.CallID, false)
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

// maxOpened is how many calls are opened before workers are shown them.
const maxOpened = 64

// takeRoom refuses calls beyond the limit and on a connection that drains. How
// many there may be is found out for several at once: meanwhile it can only become
// more.
func (c *Conn) takeRoom(kind packet.Kind, spec *packetrpc.Spec) *packetrpc.Error {
	if kind == packet.KindRequest && c.in.room > 0 {
		c.in.room--
		return nil
	}
	c.publish()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.takesNoCalls(); err != nil {
		return err
	}
	if kind != packet.KindRequest {
		return nil
	}
	room := maxOpened
	if limit := c.cfg.Local.MaxOpenCalls; limit > 0 {
		room = min(room, limit-int(c.taken.waiting.Load()))
		if room <= 0 {
			return c.cfg.Load.refused("%d calls are open (WithMaxOpenCalls)", limit)
		}
	}
	if spec.NonBlocking {
		c.taken.squeezeIn()
		return nil
	}
	if room = c.taken.makeRoom(room); room == 0 {
		return c.cfg.Load.refused("the server has %d calls under way (server.WithMaxCalls)", c.cfg.Load.maxCalls)
	}
	c.in.room = room - 1
	return nil
}

// giveBackRoom gives the room back that has not been used.
func (c *Conn) giveBackRoom() {
	c.taken.giveBackRoom(c.in.room)
	c.in.room = 0
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
	case p.More || call.method.Stream != nil || call.seal != nil || len(p.Data) > decodeAtOnce:
		call.box = c.newInbox(call.id)
		if p.CallID == 0 || p.Kind == packet.KindOneWay {
			call.box = newInbox(c.cfg.Workers, &c.account, 0, nil) // the lane's window governs
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
	if err := c.account.roomFor(len(p.Data)); err != nil {
		return err
	}
	call.request = call.method.NewRequest()
	if err := c.decodeRequest(p.Data, call.request, nil); err != nil {
		return err
	}
	if call.held = packetCost(p); call.held > 0 {
		c.account.arrived(call.held, call.held)
	}
	return nil
}

// decodeRequest opens and unmarshals a message that the caller sent.
func (c *Conn) decodeRequest(data []byte, request proto.Message, with *callSeal) *packetrpc.Error {
	data, err := with.open(c.form, data)
	if err != nil {
		return packetrpc.AsError(err)
	}
	if err := packet.UnmarshalMessage(c.form, data, request); err != nil {
		name := request.ProtoReflect().Descriptor().FullName()
		if with != nil { // what is wrong in the data may be what was sealed, and the error is not
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the sealed data is no %s", name)
		}
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the data is no %s: %w", name, err)
	}
	return nil
}

// refuseCall answers a packet that opens no call after all; nil is a call that was not
// admitted.
func (c *Conn) refuseCall(call *takenCall, p *packet.Packet, reason *packetrpc.Error) {
	if call != nil {
		c.taken.leave(call)
	}
	c.refuse(p, reason)
}

// tellRefused tells of a call that is refused.
func (c *Conn) tellRefused(p *packet.Packet, reason *packetrpc.Error) {
	if c.cfg.Refused == nil {
		return
	}
	action, err := c.actionOf(p)
	if err != nil {
		action = p.Action
	}
	c.cfg.Refused(action, reason)
}

// refuse answers a packet that opens no call. An old program tells answers apart
// by their order, so there the answer waits for those before it.
func (c *Conn) refuse(p *packet.Packet, reason *packetrpc.Error) {
	c.dropped(p)
	if p.Kind == packet.KindRequest || p.Kind == packet.KindOneWay {
		c.tellRefused(p, reason)
	}
	if c.cfg.Plain && p.CallID == 0 {
		c.pushLane(&takenCall{conn: c, reply: true, inLane: true, refusal: reason,
			method: &packetrpc.Method{Spec: &packetrpc.Spec{Action: p.Action}}})
		return
	}
	c.out.control(c.form, c.errorPacket(p.CallID, p.Action, reason))
}
