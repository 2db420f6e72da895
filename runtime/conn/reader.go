package conn

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxPing is how much data a ping may have, which the pong bears as well.
const maxPing = 1 << 10

// reader finds the packets in what has been read. It belongs to the goroutine
// that holds the reading role.
type reader struct {
	source
	splitter packet.Splitter
	packet   packet.Packet // the one being handled; its strings are used again
	numbers  []string      // the actions that the other side's numbers stand for
	highest  uint64        // the highest id by which the other side has opened a call
	opened   []*takenCall  // calls that workers are not shown yet; see Conn.publish
	serves   bool          // the other side makes few calls at once, and this one waits for none
	batch    int           // how many calls were opened at once
	odds     odds          // of polling
	replies  int           // how many replies ended unary calls since the last read
	polled   bool          // a caller reads; see Conn.pollForReply
	// The calls that the last messages of streams were for, to spare looking them up.
	lastTaken *takenCall
	lastMade  *madeCall
	room      int  // how many more calls may be opened before Conn.mu is asked
	over      bool // nothing more is read

	// Of an oversized packet without a length, as in the JSON form: how much of it
	// has been dropped and not been accounted for, and its kind; 0 without one.
	dropped int
	drops   packet.Kind
}

func newReader(nc net.Conn, workers *Workers, form packet.Form) *reader {
	return &reader{source: newSource(nc, workers), splitter: newSplitter(form)}
}

func newSplitter(form packet.Form) packet.Splitter {
	return *packet.NewSplitter(form, packet.MaxBeforeHandshake)
}

// next returns the next packet of those that have arrived, or nil.
func (r *reader) next() (body []byte, err error) {
	for {
		body, n, err := r.splitter.Next(r.unread())
		r.start += n
		if body == nil && err == nil {
			r.dropped += n
		}
		if body != nil || err != nil || n == 0 {
			return body, err
		}
	}
}

// read handles what arrives until calls wait to be run, or the connection is
// over. The caller holds the reading role.
func (c *Conn) read() {
	for !c.in.over {
		if c.handleArrived() || c.out.dirty() {
			break
		}
		if err := c.awaitMore(); err != nil {
			c.readingEnded(err)
		}
	}
	if c.in.over {
		c.in.drop()
	}
}

// handleArrived handles all packets that have been read and reports whether
// there is something to do before more is read.
func (c *Conn) handleArrived() bool {
	c.in.replies = 0
	defer c.giveBackRoom()
	c.in.lastTaken, c.in.lastMade = nil, nil
	for {
		body, err := c.in.next()
		c.settleDropped()
		switch {
		case err != nil:
			c.handleUnsplit(err)
		case body == nil:
			c.publish()
			c.in.packet.Data = nil // it lies in the buffer, which may change hands
			return c.pausesReading()
		default:
			c.handleBody(body)
		}
		if c.in.over || c.paused() {
			c.publish()
			return true
		}
	}
}

// pausesReading reports whether the reading goroutine has something else to do, or
// leaves the reading to a caller.
func (c *Conn) pausesReading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.serves = c.in.highest > 0 && c.in.batch <= fewCalls && c.made.calls.len() == 0
	return c.callWaits() || c.leaveToCaller()
}

// handleBody handles a packet that has arrived whole.
func (c *Conn) handleBody(body []byte) {
	c.in.drops = 0
	p := &c.in.packet
	err := packet.Parse(c.form, p, body)
	if p.Kind != packet.KindRequest {
		c.publish() // it may be for a call that has just been opened
	}
	c.learnNumber(p)
	switch p.Data = weighed(c.form, p.Data); {
	case err != nil:
		c.handleMalformed(p, err)
	case len(body)-len(p.Data) > maxEnvelope:
		c.handleStuffed(p, len(body)-len(p.Data))
	case packetCost(p) > 0 && c.account.overdrawn():
		c.handleUncredited(p)
	default:
		c.handlePacket(p)
	}
}

// handleUnsplit answers a packet that is too large, and ends the connection when
// what has arrived is no packet.
func (c *Conn) handleUnsplit(err error) {
	var oversized *packet.OversizedError
	if errors.As(err, &oversized) {
		c.handleOversized(oversized)
		return
	}
	c.in.over = true
	c.shut(err.Error(), packetrpc.Errorf(packetrpc.CodeUnavailable, "the other side sent something that is no packet: %w", err))
}

// paused reports whether a plain connection has sent more packets ahead than may
// wait.
func (c *Conn) paused() bool {
	if !c.cfg.Plain {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.todo.lane.len() >= lanePause
}

// readingEnded ends the connection, but leaves an old program that has only
// closed its sending side its replies.
func (c *Conn) readingEnded(err error) {
	c.in.over = true
	atEnd := errors.Is(err, io.EOF)
	if atEnd {
		err = errors.New("closed by the other side")
	} else {
		err = fmt.Errorf("reading failed: %w", err)
	}
	reason := packetrpc.NewError(packetrpc.CodeUnavailable, err)
	c.mu.Lock()
	if c.closing != nil {
		c.mu.Unlock()
		c.terminate(c.closing)
		return
	}
	patient := c.cfg.Plain && atEnd && c.taken.open > 0
	if patient {
		c.taken.departure = reason
	}
	c.mu.Unlock()
	if !patient {
		c.depart(reason)
	}
}

// handlePacket gives a packet to what it is for (PROTOCOL section 6).
func (c *Conn) handlePacket(p *packet.Packet) {
	switch p.Kind {
	case packet.KindRequest:
		c.handleRequest(p)
	case packet.KindOneWay:
		c.handleOneWay(p)
	case packet.KindMessage:
		c.handleMessage(p)
	case packet.KindHalfClose:
		if c.isMine(p.CallID) {
			c.reject(p, packetrpc.Errorf(packetrpc.CodeInternal, "the other side half-closed a call that this side has made"))
			return
		}
		c.handleHalfClose(p)
	case packet.KindResponse:
		c.handleResponse(p)
	case packet.KindError:
		c.handleError(p)
	case packet.KindCancel:
		c.handleCancel(p)
	case packet.KindCredit:
		c.handleCredit(p)
	case packet.KindPing:
		if len(p.Data) > maxPing {
			c.refuse(p, packetrpc.Errorf(packetrpc.CodeResourceExhausted,
				"the ping has %d bytes of data; it may have %d", len(p.Data), maxPing))
			return
		}
		c.out.control(c.form, &packet.Packet{Kind: packet.KindPong, CallID: p.CallID, Data: p.Data})
	case packet.KindAck:
		if c.cfg.Pushes != nil {
			c.cfg.Pushes.acknowledge(p.Acknowledged)
		}
	case packet.KindPong:
		if string(p.Data) == string(drainReasonData(c.form)) {
			c.drainKnown()
		}
		// Nothing waits for others: they have proved by arriving that the other side
		// lives.
	case packet.KindDrain:
		if c.cfg.Drained != nil {
			c.cfg.Drained()
		}
		c.mu.Lock()
		c.made.refused = packetrpc.Errorf(packetrpc.CodeUnavailable, "the other side takes no new calls: %s", p.Reason)
		c.made.slots.all()
		c.mu.Unlock()
	case packet.KindClose:
		c.in.over = true
		c.mu.Lock()
		c.dismissed = true
		c.mu.Unlock()
		text := "closed by the other side"
		if p.Reason != "" {
			text += ": " + p.Reason
		}
		c.depart(packetrpc.NewError(packetrpc.CodeUnavailable, errors.New(text)))
	default:
		c.reject(p, unknownKind(p.Kind))
	}
}

// unknownKind is the answer to a packet of a kind that is not known here.
func unknownKind(kind packet.Kind) *packetrpc.Error {
	if kind == packet.KindUnknown { // what was sent is not known any more
		return packetrpc.Errorf(packetrpc.CodeUnimplemented, "the packet's kind is not known here")
	}
	return packetrpc.Errorf(packetrpc.CodeUnimplemented, "packets of kind %d are not known here", kind)
}

// isMine reports whether a call id is of this side's calls.
func (c *Conn) isMine(id uint64) bool { return id != 0 && id%2 == 1 == c.cfg.Dialled }

// handleCredit lets calls or the connection send more.
func (c *Conn) handleCredit(p *packet.Packet) {
	switch {
	case p.CallID == 0:
		c.out.grant(&c.out.window, p.Credit)
	case p.CallID == c.made.laneID:
		c.out.grant(&c.lane, p.Credit)
	case c.isMine(p.CallID):
		c.mu.Lock()
		call := c.made.calls.get(p.CallID)
		c.mu.Unlock()
		if call != nil {
			c.out.grant(&call.window, p.Credit)
		}
	default:
		c.mu.Lock()
		call := c.taken.calls.get(p.CallID)
		c.mu.Unlock()
		if call != nil {
			c.out.grant(&call.window, p.Credit)
		}
	}
}

// handleMessage puts a message of a stream into its call's inbox.
func (c *Conn) handleMessage(p *packet.Packet) {
	if c.isMine(p.CallID) {
		c.madeMessage(p)
	} else {
		c.takenMessage(p)
	}
}

// handleMalformed answers a packet that is delimited and cannot be read.
func (c *Conn) handleMalformed(p *packet.Packet, err error) {
	reason := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "malformed packet: %w", err)
	if p.Kind == packet.KindOneWay {
		c.spoilLane(p, cost(len(p.Data)), reason)
	}
	c.reject(p, reason)
}

// handleStuffed answers a packet that holds too much besides its message, which
// takes memory and costs no credit.
func (c *Conn) handleStuffed(p *packet.Packet, size int) {
	reason := packetrpc.Errorf(packetrpc.CodeResourceExhausted,
		"the packet has %d bytes besides its data; it may have %d", size, maxEnvelope)
	if p.Kind == packet.KindOneWay {
		c.spoilLane(p, cost(len(p.Data)), reason)
	}
	c.reject(p, reason)
}

// handleUncredited answers a packet that was sent although the connection has no
// credit.
func (c *Conn) handleUncredited(p *packet.Packet) {
	reason := packetrpc.Errorf(packetrpc.CodeResourceExhausted,
		"a message was sent without credit of the connection; its window is %d bytes", c.account.window)
	if p.Kind == packet.KindOneWay {
		c.spoilLane(p, cost(len(p.Data)), reason)
	}
	c.reject(p, reason)
}

// handleOversized answers a packet that is larger than this side takes.
func (c *Conn) handleOversized(oversized *packet.OversizedError) {
	c.learnNumber(&oversized.Packet)
	size := int(oversized.Size) + packetOverhead // about what the sender was charged
	if oversized.Size == 0 {
		size += oversized.Limit
		c.in.drops = oversized.Packet.Kind
	}
	reason := packetrpc.Errorf(packetrpc.CodeResourceExhausted, "%w (WithMaxMessageSize)", oversized)
	c.account.arrived(size, 0)
	if oversized.Packet.Kind == packet.KindOneWay {
		c.spoilLane(&oversized.Packet, size, reason)
	}
	c.reject(&oversized.Packet, reason)
}

// settleDropped gives the credit back for what has been dropped of an oversized
// packet whose size was not known.
func (c *Conn) settleDropped() {
	size := c.in.dropped
	c.in.dropped = 0
	if size == 0 || c.in.drops == 0 {
		return
	}
	c.account.arrived(size, 0)
	if c.in.drops == packet.KindOneWay {
		c.mu.Lock()
		c.taken.lane.credit -= size
		c.refundLane(size)
		c.mu.Unlock()
	}
}

// reject ends the call of a packet that cannot be taken, whatever the kind. One
// that would have opened a call is answered; others for calls that have ended are
// late.
func (c *Conn) reject(p *packet.Packet, reason *packetrpc.Error) {
	c.publish() // it may be for a call that has just been opened
	opens := p.Kind == packet.KindRequest || p.Kind == packet.KindOneWay
	switch {
	case c.isMine(p.CallID):
		if !c.failMade(p.CallID, reason) && opens {
			c.refuse(p, reason)
			return
		}
	case opens && !c.handles(p.CallID):
		c.refuse(p, reason)
		return
	case p.Kind != packet.KindError: // errors are not answered
		c.failTaken(p.CallID, reason)
	}
	c.dropped(p)
}
