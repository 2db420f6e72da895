package tap

import (
	"fmt"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// Decoding is how packets are made events of.
type Decoding struct {
	// Schema knows the actions of the server and its clients. Nil is none: data in the
	// JSON form is shown all the same, other data by the sizes of its fields. The Core
	// actions are known in any case.
	Schema *schema.Schema
	// Hide are names of fields and metadata keys whose values are hidden, beside those
	// that always are.
	Hide []string
	// Raw shows how data without a schema begins. There may be secrets in it.
	Raw bool
}

// decoder makes events of pieces. It belongs to one goroutine.
type decoder struct {
	describer *describer
	show      func(*Event)
	open      map[int]*connection
	packet    packet.Packet
}

func newDecoder(describer *describer, show func(*Event)) *decoder {
	return &decoder{describer: describer, show: show, open: make(map[int]*connection)}
}

// connection is what the decoder knows of a connection.
type connection struct {
	number         int
	secrets        secrets
	token          string // of the session; "" before the handshake
	client, server *half
	gap            bool // something was missed, so that nothing can be said of what has not come
}

// half returns what a side has opened.
func (c *connection) half(s Side) *half {
	if s == Server {
		return c.server
	}
	return c.client
}

// connection returns that of a number.
func (d *decoder) connection(number int) *connection {
	c := d.open[number]
	if c == nil {
		c = &connection{number: number, client: newHalf(), server: newHalf()}
		d.open[number] = c
	}
	return c
}

// handle makes events of a piece.
func (d *decoder) handle(p piece) {
	c := d.connection(p.connection)
	if p.event == nil {
		d.receive(c, p)
		return
	}
	if p.event.Kind == KindClosed || p.event.Kind == KindFailed {
		d.unfinished(c, p.at)
		delete(d.open, p.connection)
	}
	d.emit(c, p.at, p.from, p.event)
}

// missed tells of a gap. What is incomplete is given up, since parts of it may be missing.
func (d *decoder) missed(lost *loss, at time.Time) {
	c := d.connection(lost.stream)
	c.gap = true
	c.client.giveUpAll()
	c.server.giveUpAll()
	d.emit(c, at, 0, &Event{Kind: KindMissed, Missed: &Missed{
		Packets: lost.items, Bytes: lost.bytes - lost.items*pieceSize,
	}})
}

// emit shows an event.
func (d *decoder) emit(c *connection, at time.Time, from Side, e *Event) {
	e.Time, e.Connection, e.From = at.UTC().Truncate(time.Microsecond), c.number, from
	for _, text := range []*string{&e.Action, &e.Message, &e.Reason} {
		*text = c.secrets.text(*text)
	}
	for i := range e.Notes {
		e.Notes[i] = c.secrets.text(e.Notes[i])
	}
	d.show(e)
}

// unfinished tells, at the end of a connection, what has not come.
func (d *decoder) unfinished(c *connection, at time.Time) {
	if c.gap {
		return
	}
	for _, side := range []Side{Client, Server} {
		for _, call := range c.half(side).unanswered() {
			d.emit(c, at, side, &Event{
				Kind: KindUnanswered, Action: call.action, ID: call.id, Status: "unavailable",
				Message: "the connection has ended before the answer",
				Call:    d.finish(call, at),
			})
		}
	}
	for _, side := range []Side{Client, Server} {
		for _, m := range c.half(side).incomplete() {
			d.emit(c, at, side, &Event{
				Kind: m.Kind.String(), Action: m.Action, ID: m.CallID, Size: m.size, Fragments: m.fragments,
				Notes: []string{"the connection has ended before the rest of the message"},
			})
		}
	}
}

// receive takes a packet, and shows its message if that is complete.
func (d *decoder) receive(c *connection, p piece) {
	var notes []string
	var problem error
	if p.oversized != nil {
		d.packet = p.oversized.Packet
		notes = append(notes, p.oversized.Error()+", and is not shown")
	} else if problem = packet.Parse(p.form, &d.packet, p.body); problem != nil {
		notes = append(notes, "malformed: "+problem.Error())
	}
	if n := len(d.packet.Action); n > maxAction {
		notes = append(notes, fmt.Sprintf("the action's name has %d bytes; it may have %d", n, maxAction))
		d.packet.Action = "…"
	}
	half, opened := c.half(p.from), (*call)(nil)
	if opens(&d.packet) {
		if !half.name(&d.packet) {
			notes = append(notes, fmt.Sprintf("the tap has not seen what number %d stands for", d.packet.ActionNumber))
		}
		opened = &call{id: d.packet.CallID, action: d.packet.Action, by: p.from, opened: p.at}
		if d.packet.Kind == packet.KindRequest {
			half.open(opened)
		}
	}
	m, complete := half.join(&d.packet, opened, p.size, problem != nil || p.oversized != nil)
	if !complete {
		return
	}
	if m.cut && notes == nil {
		notes = append(notes, "a message of so many fragments is not shown")
	}
	a := arrival{message: m, connection: c, from: p.from, at: p.at, event: envelope(m)}
	a.event.Notes = notes
	d.complete(&a, p.form)
}

// opens reports whether a packet opens a call.
func opens(p *packet.Packet) bool {
	return (p.Kind == packet.KindRequest || p.Kind == packet.KindOneWay) && (p.Action != "" || p.ActionNumber > 0)
}

// name gives a packet that opens a call the action that its number stands for, and
// reports whether that is known.
func (h *half) name(p *packet.Packet) bool {
	number := uint64(p.ActionNumber)
	switch {
	case number == 0:
	case p.Action != "":
		h.define(number, p.Action)
	default:
		p.Action = h.numbers[number]
	}
	return p.Action != ""
}

// arrival is a message that has come whole. Its call is nil if that is not known.
type arrival struct {
	*message
	connection *connection
	from       Side
	at         time.Time
	event      *Event
	ends       bool // its call
	content    content
}

func (a *arrival) note(text string) { a.event.Notes = append(a.event.Notes, text) }

// answers reports whether it ends a call that the other side has made.
func (a *arrival) answers() bool {
	return a.Kind == packet.KindResponse || a.Kind == packet.KindError
}

// complete shows a message.
func (d *decoder) complete(a *arrival, form packet.Form) {
	a.findCall()
	if a.call != nil {
		a.event.Action = a.call.action
	}
	a.content = content{
		form: form, action: a.event.Action, reply: a.answers() || a.call != nil && a.from != a.call.by,
		sealed: a.Sealed, data: a.Data, secrets: &a.connection.secrets,
	}
	a.learnTokens()
	d.fill(a)
	if a.call != nil {
		d.account(a)
	}
	if a.Kind == packet.KindCancel || a.ends && a.CallID > 0 {
		if lost := a.connection.client.giveUp(a.CallID) + a.connection.server.giveUp(a.CallID); lost > 0 {
			a.note(fmt.Sprintf("%d bytes of an incomplete message are given up", lost))
		}
	}
	d.emit(a.connection, a.at, a.from, a.event)
}

// fill adds what may have secrets in it to the event.
func (d *decoder) fill(a *arrival) {
	e, secrets := a.event, a.content.secrets
	e.Metadata = d.describer.metadata(a.Metadata, secrets)
	for _, detail := range a.Details {
		e.Details = append(e.Details, d.describer.detail(detail, secrets))
	}
	if a.cut {
		return
	}
	var note string
	switch {
	case a.Kind == packet.KindPing || a.Kind == packet.KindPong:
		e.Data = d.describer.probe(a.content)
	case d.describer.carries(a.content, a.Kind), a.content.action == handshakeAction && len(a.Data) > 0:
		e.Data, note = d.describer.describe(a.content)
	}
	if note != "" {
		a.note(note)
	}
}

// envelope returns the event of a message without what may have secrets in it.
func envelope(m *message) *Event {
	e := &Event{
		Kind:         m.Kind.String(),
		Action:       m.Action,
		ID:           m.CallID,
		Size:         m.size,
		Timeout:      secondsOf(m.Timeout),
		Sealed:       m.Sealed,
		Status:       statusOf(&m.Packet),
		Message:      m.Message,
		RetryAfter:   secondsOf(m.RetryAfter),
		MayHaveRun:   m.MayHaveRun,
		Credit:       m.Credit,
		Sequence:     m.Sequence,
		Acknowledged: m.Acknowledged,
		Reason:       m.Reason,
	}
	if m.fragments > 1 {
		e.Fragments = m.fragments
	}
	if m.Created > 0 && m.Created < maxCreated {
		e.Created = time.UnixMicro(m.Created).UTC()
	}
	return e
}

// maxCreated is the year 10000 in microseconds, which times in JSON do not reach.
const maxCreated = 253402300800 * 1e6

// statusOf returns how a packet ends its call, or "".
func statusOf(p *packet.Packet) string {
	switch {
	case p.Kind == packet.KindCancel:
		return "canceled"
	case p.Kind == packet.KindError && p.Status == 0:
		return "unknown"
	case p.Kind == packet.KindError:
		return p.Status.String()
	case p.Kind == packet.KindResponse:
		return "ok"
	}
	return ""
}

// findCall finds the call of a message, and whether the message ends it.
func (a *arrival) findCall() {
	c, p := a.connection, &a.Packet
	switch {
	case a.call != nil:
		a.ends = p.Kind == packet.KindOneWay
		return
	case p.CallID == clientLane || p.CallID == serverLane:
		return
	case p.CallID != 0:
		by := Client
		if p.CallID%2 == 0 {
			by = Server
		}
		a.call = c.half(by).calls[p.CallID]
	case a.answers():
		a.call = c.half(a.from.other()).answered(p.Action)
	}
	if a.call != nil {
		a.ends = a.answers() && a.from != a.call.by || p.Kind == packet.KindCancel && a.from == a.call.by
	}
}

// learnTokens notes the tokens that must not be shown, and says what is wrong with that
// of a packet which opens a call.
func (a *arrival) learnTokens() {
	c, p := a.connection, &a.Packet
	if p.Token != c.token {
		c.secrets.add(p.Token)
	}
	if a.content.action == handshakeAction {
		for _, token := range a.content.tokens() {
			c.secrets.add(token)
		}
		if a.from == Server && p.Kind == packet.KindResponse {
			c.token = p.Token
		}
		return
	}
	if a.from == Server || c.token == "" || !opens(p) || p.Token == c.token {
		return
	}
	if p.Token == "" {
		a.note("bears no token")
	} else {
		a.note("bears another token than the session's")
	}
}

// account adds a message to its call, and tells about the call if it ends.
func (d *decoder) account(a *arrival) {
	call, hasMessage := a.call, d.describer.carries(a.content, a.Kind)
	if a.from == call.by {
		call.requests.add(a.size, hasMessage)
	} else {
		call.replies.add(a.size, hasMessage)
	}
	switch {
	case call.canceled:
		a.note("late: the call was canceled")
		if a.ends {
			a.connection.half(call.by).end(call)
		}
	case a.ends && a.Kind == packet.KindOneWay:
		a.event.Call = &Call{By: call.by, Requests: call.requests}
	case a.ends:
		d.end(a)
	case a.Kind == packet.KindRequest && hasMessage && !a.cut:
		call.remember(a.content)
	}
}

// end tells about a call that a packet has ended.
func (d *decoder) end(a *arrival) {
	c, call := a.connection, a.call
	a.event.Call = d.finish(call, a.at)
	if a.Kind == packet.KindCancel {
		call.canceled = true // what is under way still comes
		return
	}
	c.half(call.by).end(call)
}

// finish returns what there is to tell about a call.
func (d *decoder) finish(c *call, at time.Time) *Call {
	told := &Call{By: c.by, Duration: secondsOf(at.Sub(c.opened)), Requests: c.requests, Replies: c.replies}
	if c.request != nil {
		told.Request, _ = d.describer.describe(*c.request)
		c.request = nil
	}
	return told
}
