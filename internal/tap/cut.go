package tap

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// maxPacket is the number of bytes that a packet may have to be shown: what servers and
// clients take unless they are told otherwise.
const maxPacket = 4<<20 + 128<<10

// piece is what a link hands to the decoder: a packet, or an event that is ready.
type piece struct {
	at         time.Time
	connection int
	from       Side
	// event is ready but for the time, the connection and the side; nil for a packet.
	event *Event
	// form, body and size are those of a packet. The size is that on the wire.
	form packet.Form
	body []byte
	size int
	// oversized is set for a packet that is too large, of which there is no body.
	oversized *packet.OversizedError
}

// opening is what both cutters of a connection know of how it began.
type opening struct {
	form atomic.Uint32 // the packet.Form and 1; 0 until the client has sent its first bytes
}

func (o *opening) known() (packet.Form, bool) {
	form := o.form.Load()
	return packet.Form(form - 1), form > 0
}

func (o *opening) set(form packet.Form) { o.form.Store(uint32(form) + 1) }

// cutter cuts what one side of a connection sends into packets. It belongs to the
// goroutine that copies these bytes.
type cutter struct {
	from     Side
	opening  *opening
	emit     func(piece) // must not keep the body
	unread   []byte
	splitter *packet.Splitter // nil until the first packet begins
	dead     bool             // nothing more can be cut
}

// write takes the next bytes. It emits the packets that are whole.
func (c *cutter) write(b []byte) {
	if c.dead || len(b) == 0 {
		return
	}
	c.unread = append(c.unread, b...)
	if c.splitter == nil && !c.begin() {
		return
	}
	rest := c.unread
	for !c.dead && len(rest) > 0 {
		n := c.next(rest)
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	c.keep(rest)
}

// next cuts one packet, and returns how many bytes it took.
func (c *cutter) next(unread []byte) int {
	form, _ := c.opening.known()
	body, n, err := c.splitter.Next(unread)
	var oversized *packet.OversizedError
	switch {
	case errors.As(err, &oversized):
		size := n
		if oversized.Size > 0 {
			size = int(oversized.Size)
		}
		c.emit(piece{from: c.from, form: form, size: size, oversized: oversized})
	case err != nil:
		c.fail(KindGarbage, unread, err.Error())
	case body != nil:
		c.emit(piece{from: c.from, form: form, body: body, size: n})
	}
	return n
}

// keep moves what is left to the front. A buffer that was large for one packet is not
// kept for the others.
func (c *cutter) keep(rest []byte) {
	const most = 64 << 10
	switch {
	case c.dead || len(rest) == 0 && cap(c.unread) > most:
		c.unread = nil
	default:
		c.unread = c.unread[:copy(c.unread, rest)]
	}
}

// begin finds out how packets are written, and reports whether that is known.
func (c *cutter) begin() bool {
	if c.from == Server {
		return c.beginServer()
	}
	first := c.unread[0]
	switch {
	case first == '{' || strings.IndexByte(" \t\r\n", first) >= 0:
		c.start(packet.JSON)
	case bytes.HasPrefix(c.unread, []byte(packet.Preface)):
		c.unread = c.unread[len(packet.Preface):]
		c.start(packet.Binary)
	case strings.HasPrefix(packet.Preface, string(c.unread)):
		return false
	case first == tlsHandshake:
		c.fail(KindGarbage, nil, "TLS, which the tap cannot look into without a key of its own and the server's pin")
	default:
		c.fail(KindGarbage, c.unread, "neither form of packets begins so")
	}
	return !c.dead
}

// refusal is how a server's line of text begins that stands in place of packets.
const refusal = "packetrpc: "

func (c *cutter) beginServer() bool {
	form, known := c.opening.known()
	switch {
	case bytes.HasPrefix(c.unread, []byte(refusal)):
		line, _, ended := bytes.Cut(c.unread, []byte("\n"))
		if ended || len(c.unread) > packet.MaxBeforeHandshake {
			c.fail(KindText, nil, string(line))
		}
		return false
	case strings.HasPrefix(refusal, string(c.unread)):
		return false
	case !known:
		c.fail(KindGarbage, c.unread, "the server speaks although the client has sent no packet")
		return false
	}
	c.start(form)
	return true
}

func (c *cutter) start(form packet.Form) {
	c.opening.set(form)
	c.splitter = packet.NewSplitter(form, maxPacket)
}

// fail gives this side up. Of what cannot be read only a few bytes are shown.
func (c *cutter) fail(kind string, begin []byte, why string) {
	const most = 4
	c.dead = true
	e := &Event{Kind: kind, Message: why}
	if begin = begin[:min(len(begin), most)]; len(begin) > 0 {
		e.Notes = []string{fmt.Sprintf("begins with % x %q", begin, begin)}
	}
	c.emit(piece{from: c.from, event: e})
}

// end is called when the side sends nothing more.
func (c *cutter) end() {
	switch n := len(c.unread); {
	case n == 0 || c.dead:
	case c.splitter == nil && bytes.HasPrefix(c.unread, []byte(refusal)):
		c.fail(KindText, nil, string(c.unread))
	default:
		c.emit(piece{from: c.from, event: &Event{Kind: KindGarbage, Size: n, Message: "the connection ends within a packet"}})
	}
	c.dead, c.unread = true, nil
}
