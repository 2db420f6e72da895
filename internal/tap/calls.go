package tap

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// What is remembered of each side of a connection. Beyond it calls are shown without
// their action, and messages without their data.
const (
	maxCalls      = 8192
	maxWaiting    = 1024
	maxNumbers    = 4096
	maxAction     = 1 << 10  // bytes of an action's name, as in PROTOCOL section 3
	maxRequest    = 1 << 10  // bytes of a request that are kept until the call ends
	maxIncomplete = 16 << 20 // bytes of messages that are not complete
)

// The lanes are the ids of one-way packets.
const (
	clientLane = 1
	serverLane = 2
)

// call is a call that has been opened.
type call struct {
	id       uint64
	action   string
	by       Side
	opened   time.Time
	requests Messages
	replies  Messages
	request  *content // of the request, if it is small
	canceled bool
}

// half is what one side of a connection has opened and not completed.
type half struct {
	numbers map[uint64]string // the actions that numbers stand for
	calls   map[uint64]*call
	waiting []*call // those without an id, in their order
	parts   map[partKey]*message
	kept    int // the bytes of the parts, on the wire
}

func newHalf() *half {
	return &half{
		numbers: make(map[uint64]string),
		calls:   make(map[uint64]*call),
		parts:   make(map[partKey]*message),
	}
}

// define notes that a number stands for an action. The first definition counts.
func (h *half) define(number uint64, action string) {
	if _, defined := h.numbers[number]; !defined && len(h.numbers) < maxNumbers {
		h.numbers[number] = action
	}
}

// open adds a call, if there is room.
func (h *half) open(c *call) {
	switch {
	case c.id == 0 && len(h.waiting) < maxWaiting:
		h.waiting = append(h.waiting, c)
	case c.id != 0:
		if len(h.calls) >= maxCalls {
			maps.DeleteFunc(h.calls, func(_ uint64, c *call) bool { return c.canceled })
		}
		if len(h.calls) < maxCalls {
			h.calls[c.id] = c
		}
	}
}

// answered returns the call that a packet without an id answers: the first one of its
// action, or the first one if it names none.
func (h *half) answered(action string) *call {
	for i, c := range h.waiting {
		if action == "" || action == c.action || action == plainReply(c.action) {
			h.waiting = slices.Delete(h.waiting, i, i+1)
			return c
		}
	}
	return nil
}

// plainReply returns the action that a reply bears on plain connections.
func plainReply(action string) string {
	if action == "CoreListClients" {
		return "ListClients"
	}
	return action
}

// end forgets a call.
func (h *half) end(c *call) {
	if h.calls[c.id] == c {
		delete(h.calls, c.id)
	}
}

// unanswered returns the calls that are not over, in the order of their ids.
func (h *half) unanswered() []*call {
	var open []*call
	for _, c := range h.calls {
		if !c.canceled {
			open = append(open, c)
		}
	}
	slices.SortFunc(open, func(a, b *call) int { return cmp.Compare(a.id, b.id) })
	return append(h.waiting, open...)
}

// partKey tells messages apart that are under way at once.
type partKey struct {
	id   uint64
	kind packet.Kind
}

// message is a packet, or the packets that carry a message together.
type message struct {
	packet.Packet     // the first one, with the data of all
	size          int // of all, on the wire
	fragments     int
	kept          int   // how much of the size half.kept counts
	cut           bool  // it was too much to keep
	call          *call // that it opens; nil for none
}

// join adds a packet to the message that it belongs to. It returns the message, and
// whether it is complete. A packet that cannot be shown is cut; one that opens a call has
// it.
func (h *half) join(p *packet.Packet, opened *call, size int, cut bool) (*message, bool) {
	key := partKey{p.CallID, p.Kind}
	m := h.parts[key]
	switch {
	case m == nil && (!p.More || len(h.parts) >= maxCalls):
		return &message{Packet: *p, call: opened, size: size, fragments: 1, cut: cut || p.More}, true
	case m == nil:
		m = &message{Packet: *p, call: opened}
		m.Data = nil
		h.parts[key] = m
	}
	m.size += size
	m.fragments++
	h.add(m, p.Data, size, cut)
	if p.More {
		return m, false
	}
	h.drop(key)
	return m, true
}

// add adds a fragment, which has a size on the wire, unless that is too much. What stands
// beside the data, which the first one has, takes memory too.
func (h *half) add(m *message, data []byte, size int, cut bool) {
	if m.cut = m.cut || cut || len(m.Data)+len(data) > maxPacket || h.kept+size > maxIncomplete; m.cut {
		h.kept -= m.kept
		m.kept, m.Packet = 0, packet.Packet{Kind: m.Kind, CallID: m.CallID, Action: m.Action}
		return
	}
	m.Data = append(m.Data, data...)
	m.kept += size
	h.kept += size
}

// drop forgets an incomplete message.
func (h *half) drop(key partKey) {
	h.kept -= h.parts[key].kept
	delete(h.parts, key)
}

// giveUp forgets the incomplete messages of a call, and returns their size on the wire.
func (h *half) giveUp(id uint64) (size int) {
	for key, m := range h.parts {
		if key.id == id {
			size += m.size
			h.drop(key)
		}
	}
	return size
}

// giveUpAll forgets all incomplete messages.
func (h *half) giveUpAll() {
	clear(h.parts)
	h.kept = 0
}

// incomplete returns the messages of which the rest has not come, in the order of their
// ids.
func (h *half) incomplete() []*message {
	return slices.SortedFunc(maps.Values(h.parts), func(a, b *message) int {
		return cmp.Or(cmp.Compare(a.CallID, b.CallID), cmp.Compare(a.Kind, b.Kind))
	})
}

// remember keeps a request until its call ends.
func (c *call) remember(request content) {
	if len(request.data) <= maxRequest {
		request.data = bytes.Clone(request.data)
		c.request = &request
	}
}
