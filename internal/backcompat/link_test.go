package backcompat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// maxPacket is more than any packet has.
const maxPacket = 64 << 20

// A cutter cuts the bytes of one direction of a connection into steps.
type cutter struct {
	conn     int
	from     side
	form     packet.Form
	splitter *packet.Splitter
	unread   []byte
	begun    bool
	isText   bool // no packets come
}

func newCutter(conn int, from side, form packet.Form) *cutter {
	return &cutter{conn: conn, from: from, form: form, splitter: packet.NewSplitter(form, maxPacket)}
}

// feed returns the steps that the next bytes complete.
func (c *cutter) feed(b []byte) ([]step, error) {
	c.unread = append(c.unread, b...)
	if len(c.unread) == 0 {
		return nil, nil
	}
	var steps []step
	if !c.begun {
		c.begun = true
		c.isText = c.beginsWithText()
		if c.from == theClient && c.form == packet.Binary && !c.isText {
			steps = append(steps, c.cut(aPreface, len(packet.Preface)))
		}
	}
	if c.isText {
		return append(steps, c.cut(someText, len(c.unread))), nil
	}
	for len(c.unread) > 0 {
		body, n, err := c.splitter.Next(c.unread)
		switch {
		case err != nil:
			return steps, err
		case n == 0:
			return steps, nil
		case body == nil:
			c.unread = c.unread[n:]
		default:
			steps = append(steps, c.cut(aPacket, n))
		}
	}
	return steps, nil
}

// beginsWithText tells the lines of text that refuse a connection, and whatever is
// refused by them, from packets (PROTOCOL section 2).
func (c *cutter) beginsWithText() bool {
	switch {
	case c.from == theServer:
		return bytes.HasPrefix(c.unread, []byte(refusal))
	case c.form == packet.JSON:
		return !bytes.ContainsAny(c.unread[:1], "{ \t\r\n")
	default:
		return c.unread[0] != packet.Preface[0]
	}
}

// refusal is what a line that refuses a connection begins with.
const refusal = "packetrpc: "

func (c *cutter) cut(what string, n int) step {
	n = min(n, len(c.unread))
	s := step{conn: c.conn, from: c.from, what: what, raw: bytes.Clone(c.unread[:n])}
	c.unread = c.unread[n:]
	return s
}

// A link is a connection to today's side, at whose other end a recorded side is played.
type link struct {
	nc      net.Conn
	form    packet.Form
	plays   side
	got     chan step // what today's side sends, its end at last
	queue   []step    // what has come and is not a matter of the link
	windows windows
	acked   uint64 // the last push that today's side has acknowledged
	over    bool   // today's side has ended
}

func newLink(nc net.Conn, form packet.Form, plays side) *link {
	return &link{nc: nc, form: form, plays: plays, got: make(chan step, 10_000)}
}

// read passes on what comes until the connection ends.
func (l *link) read(conn int) {
	defer close(l.got)
	cutter := newCutter(conn, l.plays.other(), l.form)
	chunk := make([]byte, 64<<10)
	for {
		n, err := l.nc.Read(chunk)
		steps, broken := cutter.feed(chunk[:n])
		for _, s := range steps {
			l.got <- s
		}
		if broken != nil {
			l.got <- step{conn: conn, from: cutter.from, what: "bytes that are no packet"}
			return
		}
		if err != nil {
			l.got <- step{conn: conn, from: cutter.from, what: anEnd}
			return
		}
	}
}

// patience is how long today's side may take for what is to come, in the time of the
// bubble.
const patience = 10 * time.Second

// errNothing is that nothing comes.
var errNothing = fmt.Errorf("nothing comes for %v", patience)

// receive takes the next thing that comes, and keeps it if it is to be compared.
func (l *link) receive(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNothing)
	defer cancel()
	select {
	case s, open := <-l.got:
		if !open {
			return errors.New("the connection has ended")
		}
		l.file(s)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// file keeps what has come.
func (l *link) file(s step) {
	p := s.packet(l.form)
	switch p.Kind {
	case packet.KindCredit:
		l.windows.grant(p.CallID, p.Credit)
	case packet.KindAck:
		l.acked = p.Acknowledged
	default:
		l.windows.learn(l.form, p)
		l.queue = append(l.queue, s)
	}
}

// next returns the next thing that is to be compared.
func (l *link) next(ctx context.Context) (step, error) {
	for len(l.queue) == 0 {
		if err := l.receive(ctx); err != nil {
			return step{}, err
		}
	}
	s := l.queue[0]
	l.queue = l.queue[1:]
	l.over = l.over || s.ends()
	return s, nil
}

// acknowledged waits until today's side has acknowledged a push.
func (l *link) acknowledged(ctx context.Context, sequence uint64) error {
	for l.acked < sequence {
		if err := l.receive(ctx); err != nil {
			return fmt.Errorf("push %d is not acknowledged, the last one is %d: %w", sequence, l.acked, err)
		}
	}
	if l.acked > sequence {
		return fmt.Errorf("push %d is acknowledged, and the last one to be was %d", l.acked, sequence)
	}
	return nil
}

// play sends what was recorded, once there is credit for it.
func (l *link) play(ctx context.Context, s step) error {
	switch s.what {
	case anEnd:
		return l.nc.(interface{ CloseWrite() error }).CloseWrite()
	case aClosing:
		return l.nc.Close()
	}
	if err := l.spend(ctx, s.packet(l.form)); err != nil {
		return err
	}
	_, err := l.nc.Write(s.raw)
	return err
}

// spend waits for the credit that a packet needs, and takes it.
func (l *link) spend(ctx context.Context, p *packet.Packet) error {
	cost := conformance.Cost(l.form, p)
	if cost == 0 || p.Action == "handShake" {
		return nil
	}
	id := p.CallID
	if p.Kind == packet.KindOneWay {
		id = l.lane()
	}
	for !l.windows.open(id) {
		if err := l.receive(ctx); err != nil {
			return fmt.Errorf("no credit comes for call %d: %w", id, err)
		}
	}
	l.windows.charge(id, cost)
	return nil
}

// lane is the id of the one-way packets that are played.
func (l *link) lane() uint64 {
	if l.plays == theClient {
		return 1
	}
	return 2
}

// windows is the credit that today's side has given (PROTOCOL section 8).
type windows struct {
	limits     *packetrpcv1.Limits // what today's side takes; nil until it has told
	connection int64
	calls      map[uint64]int64 // what was granted and not spent, beside the window
}

// learn takes the windows that a handshake tells.
func (w *windows) learn(form packet.Form, p *packet.Packet) {
	if p.Action != "handShake" || w.limits != nil {
		return
	}
	w.calls = make(map[uint64]int64)
	var told interface{ GetLimits() *packetrpcv1.Limits }
	if p.Kind == packet.KindResponse {
		response := new(packetrpcv1.HandshakeResponse)
		_ = packet.UnmarshalMessage(form, p.Data, response) // what cannot be read is found by comparing
		told = response
	} else {
		request := new(packetrpcv1.HandshakeRequest)
		_ = packet.UnmarshalMessage(form, p.Data, request)
		told = request
	}
	w.limits = told.GetLimits()
	w.connection = int64(w.limits.GetConnectionWindow())
}

func (w *windows) grant(id, credit uint64) {
	switch {
	case w.limits == nil:
	case id == 0:
		w.connection += int64(credit)
	default:
		w.calls[id] += int64(credit)
	}
}

// open reports whether a packet of a call may be sent. Calls without an id have a
// window of their own each.
func (w *windows) open(id uint64) bool {
	connection := w.limits.GetConnectionWindow() == 0 || w.connection > 0
	call := w.limits.GetCallWindow() == 0 || id == 0 || int64(w.limits.GetCallWindow())+w.calls[id] > 0
	return connection && call
}

func (w *windows) charge(id uint64, cost int64) {
	if w.limits != nil {
		w.connection -= cost
		w.calls[id] -= cost
	}
}
