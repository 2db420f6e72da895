package conn

import (
	"io"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// laneWindow is the credit of the other side's one-way packets, which is given
// back when their handlers have run, so that a slow one holds up the lane and
// nothing else. Conn.mu guards it.
type laneWindow struct {
	window   int // 0 is endless credit
	credit   int // what the sender has left
	owed     int // what it gets back soon
	withheld int // of a message that has not arrived whole
}

// handleOneWay opens a one-way call, or adds a part to its message.
func (c *Conn) handleOneWay(p *packet.Packet) {
	if id := p.CallID; id != 0 && id != c.made.otherLaneID() {
		c.reject(p, packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"one-way packets bear call id %d or none, not %d", c.made.otherLaneID(), id))
		return
	}
	c.takeInLane(p, false)
}

// takeInLane opens a call that is handled in order: a one-way call, or in the
// JSON form a request without an id.
func (c *Conn) takeInLane(p *packet.Packet, reply bool) {
	if !reply {
		if err := c.chargeLane(p); err != nil {
			c.refuse(p, err)
			return
		}
		if c.continuesLane(p) {
			return
		}
		if p.Sequence > 0 && c.cfg.Received != nil && !c.cfg.Received.arrive(p.Sequence) {
			c.refundRefused(p) // it has come before
			c.dropped(p)
			return
		}
	}
	call, err := c.admit(p)
	if err == nil && reply && call.method.Stream != nil {
		err = packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a stream needs a call id")
	}
	if err == nil {
		call.inLane, call.reply, call.sequence = true, reply, p.Sequence
		err = c.fillRequest(call, p)
	}
	switch {
	case err != nil:
		if !reply {
			c.refundRefused(p)
			if err.Code != packetrpc.CodeUnavailable { // otherwise it comes again, over another connection
				c.received(p.Sequence)
			}
		}
		c.refuseCall(call, p, err)
	case p.More:
		c.mu.Lock()
		c.taken.lanePart = call
		c.withhold(cost(len(p.Data)))
		c.mu.Unlock()
	default:
		if !reply {
			call.laneCost = cost(len(p.Data))
		}
		c.pushLane(call)
	}
}

// pushLane lets a call be handled after those before it.
func (c *Conn) pushLane(call *takenCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		c.taken.leave(call)
		return
	}
	c.taken.open++
	c.todo.lane.push(call)
}

// chargeLane takes a one-way packet's cost from its sender's credit.
func (c *Conn) chargeLane(p *packet.Packet) *packetrpc.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	lane := &c.taken.lane
	if lane.window == 0 {
		return nil
	}
	if lane.credit <= 0 {
		return packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"a one-way packet was sent without credit; the window is %d bytes", lane.window)
	}
	lane.credit -= cost(len(p.Data))
	return nil
}

// continuesLane adds a part to a one-way message, or drops it when the message
// was refused.
func (c *Conn) continuesLane(p *packet.Packet) bool {
	if p.Action != "" || p.ActionNumber != 0 {
		c.beginsLane(p.CallID)
		return false
	}
	c.mu.Lock()
	call, skips := c.taken.lanePart, c.taken.laneSkips
	c.taken.laneSkips = skips && p.More
	c.mu.Unlock()
	switch {
	case skips:
		c.refundRefused(p)
		c.dropped(p)
		return true
	case call == nil:
		return false
	}
	if err := call.box.put(p, c.cfg.Local.MaxMessageSize); err != nil {
		c.dropped(p)
		c.dropLanePart(err)
		c.refundRefused(p)
		c.out.control(c.form, c.errorPacket(p.CallID, "", err))
		return true
	}
	c.mu.Lock()
	c.withhold(cost(len(p.Data)))
	if p.More {
		c.mu.Unlock()
		return true
	}
	call.laneCost = c.taken.lane.withheld
	c.taken.lane.withheld = 0
	c.taken.lanePart = nil
	c.mu.Unlock()
	call.box.finish(io.EOF)
	c.pushLane(call)
	return true
}

// beginsLane notes that a one-way message begins. One that has not arrived whole
// is given up then: its parts and those of the new one could not be told apart.
func (c *Conn) beginsLane(id uint64) {
	c.mu.Lock()
	given := c.taken.lanePart != nil
	c.taken.laneSkips = false
	c.mu.Unlock()
	if given {
		reason := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "another one-way message began before the rest of one had come")
		c.dropLanePart(reason)
		c.out.control(c.form, c.errorPacket(id, "", reason))
	}
}

// spoilLane gives up the one-way message that a packet is of which cannot be
// taken, and gives its credit back.
func (c *Conn) spoilLane(p *packet.Packet, cost int, reason *packetrpc.Error) {
	c.dropLanePart(reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken.laneSkips = p.More
	c.taken.lane.credit -= cost
	c.refundLane(cost)
}

// dropLanePart gives the one-way call up whose message has not arrived whole.
func (c *Conn) dropLanePart(reason *packetrpc.Error) {
	c.mu.Lock()
	part, cost := c.taken.lanePart, c.taken.lane.withheld
	c.taken.lanePart, c.taken.lane.withheld = nil, 0
	c.refundLane(cost)
	c.mu.Unlock()
	if part != nil {
		part.box.discard(reason)
		c.received(part.sequence)
	}
}

// withhold keeps a part's cost until the message is whole, or gives it back at
// once when nothing lies before the message: it could not be completed
// otherwise. c.mu is held.
func (c *Conn) withhold(cost int) {
	c.taken.lane.withheld += cost
	c.releaseLane()
}

func (c *Conn) releaseLane() {
	if c.todo.lane.len() == 0 && c.taken.lane.withheld > 0 {
		cost := c.taken.lane.withheld
		c.taken.lane.withheld = 0
		c.refundLane(cost)
	}
}

// refundRefused gives a refused one-way packet's cost back. What follows of its
// message is refused too.
func (c *Conn) refundRefused(p *packet.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken.laneSkips = p.More
	c.refundLane(cost(len(p.Data)))
}

// refundLane gives credit back to the other side's one-way packets once half a
// window is owed. c.mu is held.
func (c *Conn) refundLane(cost int) {
	lane := &c.taken.lane
	if lane.window == 0 || c.ended != nil {
		return
	}
	lane.owed += cost
	if lane.owed < lane.window/2 {
		return
	}
	credit := lane.owed
	lane.owed = 0
	lane.credit += credit
	c.sendCredit(c.made.otherLaneID(), credit)
}
