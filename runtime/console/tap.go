package console

import (
	"net"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxPackets is how many packets of a call are shown, in each direction.
const maxPackets = 250

// tap shows the packets of one call out of all that pass over a connection, which is
// made for that call.
type tap struct {
	spec  *packetrpc.Spec
	form  packet.Form
	types [2]func() proto.Message // by direction; they return nil where the type is not known
	show  func(packetView)

	mu      sync.Mutex
	streams [2]tappedStream
	call    uint64 // 0 until the call is open; see isOfCall
	refusal *packetrpc.Error
}

// The directions in which packets travel.
const (
	sent = iota
	received
)

// tappedStream is one direction.
type tappedStream struct {
	splitter *packet.Splitter
	unread   []byte
	prefaced bool // the preface, if there is one, has passed
	partial  bool // the last message was not complete
	shown    int
	broken   bool // what passes is not understood
}

// lane is the call id of the dialling side's one-way calls.
const lane = 1

// maxTapped is the size of a packet that a tap looks at; larger ones are not shown.
const maxTapped = 16 << 20

func newTap(method *packetrpc.Method, form packet.Form, show func(packetView)) *tap {
	t := &tap{spec: method.Spec, form: form, show: show}
	t.types = [2]func() proto.Message{method.NewRequest, func() proto.Message { return newResponse(method.Spec) }}
	for direction := range t.streams {
		t.streams[direction].splitter = packet.NewSplitter(form, maxTapped)
	}
	t.streams[sent].prefaced = form == packet.JSON
	t.streams[received].prefaced = true
	return t
}

// pass looks at bytes that pass in one direction.
func (t *tap) pass(direction int, bytes []byte) {
	t.mu.Lock()
	views := t.take(direction, bytes)
	t.mu.Unlock()
	for _, view := range views {
		t.show(view)
	}
}

// take returns the packets that are complete with these bytes. t.mu is held.
func (t *tap) take(direction int, bytes []byte) (views []packetView) {
	s := &t.streams[direction]
	if s.broken {
		return nil
	}
	s.unread = append(s.unread, bytes...)
	if !s.prefaced {
		if len(s.unread) < len(packet.Preface) {
			return nil
		}
		s.unread, s.prefaced = s.unread[len(packet.Preface):], true
	}
	for {
		body, n, err := s.splitter.Next(s.unread)
		if n == 0 {
			s.broken = err != nil
			return views
		}
		if view, ok := t.look(direction, body); ok {
			views = append(views, view)
		}
		s.unread = s.unread[n:]
	}
}

// look returns a packet as it is shown, if it is one of the call's. t.mu is held.
func (t *tap) look(direction int, body []byte) (packetView, bool) {
	var p packet.Packet
	if body == nil || packet.Parse(t.form, &p, body) != nil || !t.isOfCall(direction, &p) {
		return packetView{}, false
	}
	if direction == received && p.Kind == packet.KindError {
		t.refusal = packetrpc.NewRemoteError(p.Status, p.Message, p.Details)
	}
	s := &t.streams[direction]
	whole := !s.partial && !p.More
	s.partial = p.More
	s.shown++
	if s.shown > maxPackets {
		return packetView{Sent: direction == sent, Omitted: true}, s.shown == maxPackets+1
	}
	var message proto.Message
	if newMessage := t.types[direction]; whole && carriesMessage(&p) {
		message = newMessage()
	}
	view := viewOf(t.form, &p, body, message)
	view.Sent = direction == sent
	return view, true
}

// isOfCall reports whether a packet belongs to the call, which the first packet with
// the action opens. t.mu is held.
func (t *tap) isOfCall(direction int, p *packet.Packet) bool {
	id := p.CallID
	if t.spec.Type == packetrpc.OneWay && id == 0 && p.Kind == packet.KindOneWay {
		id = lane
	}
	if t.call == 0 && direction == sent && p.Action == t.spec.Action {
		t.call = id
	}
	return t.call != 0 && id == t.call
}

// refused returns the error that the other side has answered with, or nil.
func (t *tap) refused() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusal == nil {
		return nil
	}
	return t.refusal
}

// carriesMessage reports whether a packet's data is a message that can be decoded.
func carriesMessage(p *packet.Packet) bool {
	switch p.Kind {
	case packet.KindRequest, packet.KindOneWay, packet.KindMessage:
		return !p.Sealed
	case packet.KindResponse: // which has none at the end of a stream
		return !p.Sealed && len(p.Data) > 0
	}
	return false
}

// tappedConn is a connection with a tap. What is written is shown before it leaves, so
// that no answer is shown before its request.
type tappedConn struct {
	net.Conn
	tap *tap
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.pass(received, b[:n])
	return n, err
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.tap.pass(sent, b)
	return c.Conn.Write(b)
}
