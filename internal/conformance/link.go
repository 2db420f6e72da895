package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// token is what the runner hands out as an accepting side.
const token = "conformance-token-0123456789"

// link is the runner's end of a connection. A case's play calls its methods, which
// give up the case where the command does not do what they wait for.
type link struct {
	nc      net.Conn
	form    packet.Form
	dialled bool // the runner is the dialling side
	// patience is how long the command may take for anything.
	patience time.Duration
	// stingy leaves it to the play to give credit.
	stingy bool
	// refused says that the handshake is to fail.
	refused bool
	// events returns what the command has observed so far.
	events func() []Event

	rules  *rules
	got    chan *packet.Packet // what comes, credit aside; closed at the end
	grants chan struct{}       // tells that credit has come
	end    error               // why reading ended; set before got is closed

	token  string              // that the dialling side shows
	theirs *packetrpcv1.Limits // what the command takes
	lastID uint64              // of the runner's calls
	pings  int

	writing sync.Mutex
	slice   int // how many bytes each write has; 0 is all. writing guards it

	mu      sync.Mutex
	given   map[uint64]uint64 // the credit that the command has given, by id
	journal []string          // what has been sent and received
}

// failure is what a play panics with to give up.
type failure struct{ error }

// failf gives up the case.
func (l *link) failf(format string, args ...any) {
	panic(failure{fmt.Errorf(format, args...)})
}

func newLink(nc net.Conn, form packet.Form, dialled bool, patience time.Duration) *link {
	l := &link{
		nc: nc, form: form, dialled: dialled, patience: patience,
		rules:  newRules(form, dialled),
		got:    make(chan *packet.Packet, 10_000),
		grants: make(chan struct{}, 1),
		given:  make(map[uint64]uint64),
	}
	l.lastID = l.lane()
	return l
}

// lane is the id of the runner's one-way packets.
func (l *link) lane() uint64 { return 3 - l.rules.lane() }

// newID returns the id of a new call of the runner.
func (l *link) newID() uint64 {
	l.lastID += 2
	return l.lastID
}

// log adds a line to the journal.
func (l *link) log(direction string, p *packet.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.journal) < 200 {
		more := ""
		if p.More {
			more = " more"
		}
		l.journal = append(l.journal, fmt.Sprintf("%s %v%s, %d bytes of data", direction, p, more, len(p.Data)))
	}
}

// read sorts what comes until the connection ends.
func (l *link) read() {
	defer close(l.got)
	l.end = l.readPackets()
}

func (l *link) readPackets() error {
	unread, err := l.readPreface()
	if err != nil {
		return err
	}
	splitter := packet.NewSplitter(l.form, 64<<20)
	parts := make(map[uint64]*packet.Packet)
	chunk := make([]byte, 64<<10)
	for {
		for {
			body, size, err := splitter.Next(unread)
			if err != nil {
				l.rules.breaksRule("2", "what came is no packet: %v", err)
				return err
			}
			if size == 0 {
				break
			}
			if body != nil {
				l.arrived(slices.Clone(body), parts)
			}
			unread = unread[size:]
		}
		n, err := l.nc.Read(chunk)
		unread = append(unread, chunk[:n]...)
		if n == 0 && err != nil {
			if len(bytes.TrimSpace(unread)) > 0 && errors.Is(err, io.EOF) {
				l.rules.breaksRule("2", "the connection ended within a packet")
			}
			return err
		}
	}
}

// readPreface reads what a dialling side in the binary form begins with.
func (l *link) readPreface() ([]byte, error) {
	if l.form == packet.JSON || l.dialled {
		return nil, nil
	}
	preface := make([]byte, len(packet.Preface))
	if _, err := io.ReadFull(l.nc, preface); err != nil {
		return nil, err
	}
	if string(preface) != packet.Preface {
		l.rules.breaksRule("2", "the connection began with % x and not with the preface", preface)
	}
	return nil, nil
}

// arrived handles one packet of the command.
func (l *link) arrived(body []byte, parts map[uint64]*packet.Packet) {
	p := new(packet.Packet)
	if err := packet.Parse(l.form, p, body); err != nil {
		l.rules.breaksRule("3", "a malformed packet came: %v: %.200q", err, body)
		return
	}
	l.log("←", p)
	switch {
	case p.Action == "handShake", l.refused && p.Kind == packet.KindError:
		l.got <- p
		return
	case !l.opened():
		l.rules.breaksRule("9", "%v came before the handshake was answered", p)
		return
	}
	l.rules.check(p)
	if charge := Cost(l.form, p); charge > 0 && !l.stingy {
		l.give(uint64(charge), 0, p.CallID)
	}
	switch p.Kind {
	case packet.KindCredit:
		l.mu.Lock()
		l.given[p.CallID] += p.Credit
		l.mu.Unlock()
		select {
		case l.grants <- struct{}{}:
		default:
		}
	case packet.KindPing:
		l.send(&packet.Packet{Kind: packet.KindPong, CallID: p.CallID, Data: p.Data})
	case packet.KindClose:
		l.got <- p
		l.closeWrite()
	default:
		l.assemble(p, parts)
	}
}

// opened reports whether the handshake has been answered.
func (l *link) opened() bool {
	l.rules.mu.Lock()
	defer l.rules.mu.Unlock()
	return l.rules.limits != nil
}

// assemble passes on messages in one piece.
func (l *link) assemble(p *packet.Packet, parts map[uint64]*packet.Packet) {
	if first := parts[p.CallID]; first != nil && first.Kind == p.Kind {
		first.Data = append(first.Data, p.Data...)
		first.More = p.More
		p = first
	}
	if p.More {
		parts[p.CallID] = p
		return
	}
	delete(parts, p.CallID)
	l.got <- p
}

// give lets the command send more.
func (l *link) give(credit uint64, ids ...uint64) {
	for _, id := range slices.Compact(ids) {
		l.rules.grant(id, credit)
		l.send(&packet.Packet{Kind: packet.KindCredit, CallID: id, Credit: credit})
	}
}

// write writes bytes as they are. That the command no longer reads is no mistake:
// what it does is seen in what it sends.
func (l *link) write(text []byte) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.nc.SetWriteDeadline(time.Now().Add(l.patience))
	piece := l.slice
	if piece == 0 {
		piece = len(text)
	}
	for part := range slices.Chunk(text, max(piece, 1)) {
		if _, err := l.nc.Write(part); err != nil {
			return
		}
	}
}

// sliceWrites lets each write have so many bytes.
func (l *link) sliceWrites(size int) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.slice = size
}

// send sends packets in one write.
func (l *link) send(packets ...*packet.Packet) {
	var text []byte
	for _, p := range packets {
		l.log("→", p)
		text = packet.Append(l.form, text, p)
	}
	l.write(text)
}

// closeWrite ends the runner's sending direction.
func (l *link) closeWrite() { l.nc.(*net.TCPConn).CloseWrite() }

// next returns the next packet that comes and is no credit and no ping.
func (l *link) next() *packet.Packet {
	p, open := l.await()
	if !open {
		l.failf("the command ended the connection (%v) where a packet was to come", l.end)
	}
	return p
}

func (l *link) await() (*packet.Packet, bool) {
	select {
	case p, open := <-l.got:
		return p, open
	case <-time.After(l.patience):
		l.failf("the command sends nothing for %v", l.patience)
		panic("unreachable")
	}
}

// over waits until the command has ended the connection, and returns what came
// before.
func (l *link) over() (before []*packet.Packet) {
	for {
		p, open := l.await()
		if !open {
			return before
		}
		before = append(before, p)
	}
}

// want returns the next packet, which must have a kind and an id.
func (l *link) want(kind packet.Kind, id uint64) *packet.Packet {
	p := l.next()
	if p.Kind != kind || p.CallID != id {
		l.failf("%v came (status %v, %q), and not a packet of kind %v for %d", p, p.Status, p.Message, kind, id)
	}
	return p
}

// wantError is want for an error of a code.
func (l *link) wantError(id uint64, code packetrpc.Code) {
	if p := l.want(packet.KindError, id); p.Status != code {
		l.failf("%v has the status %v and not %v", p, p.Status, code)
	}
}

// opening returns the next packet, which must open a call of an action.
func (l *link) opening(action string) *packet.Packet {
	p := l.next()
	if p.Action != action || p.Kind != packet.KindRequest && p.Kind != packet.KindOneWay {
		l.failf("%v came, and not one that opens a call of %s", p, action)
	}
	return p
}

// openings waits for the packets that open a call of each action, which come in any
// order: calls that begin together run concurrently.
func (l *link) openings(actions ...string) []*packet.Packet {
	calls := make([]*packet.Packet, len(actions))
	for range actions {
		p := l.next()
		i := slices.Index(actions, p.Action)
		if i < 0 || calls[i] != nil {
			l.failf("%v came, and not one that opens a call of %v", p, actions)
		}
		calls[i] = p
	}
	return calls
}

// sync waits until the command has read all that was sent, and returns what it has
// sent meanwhile.
func (l *link) sync() (before []*packet.Packet) {
	l.pings++
	stamp := l.data(fmt.Sprint("sync ", l.pings))
	l.send(&packet.Packet{Kind: packet.KindPing, Data: stamp})
	for {
		p := l.next()
		if p.Kind == packet.KindPong && l.sameData(p.Data, stamp) {
			return before
		}
		before = append(before, p)
	}
}

// sameData reports whether two packets have the same data; in the JSON form white space
// is free.
func (l *link) sameData(a, b []byte) bool {
	if l.form == packet.JSON && len(a) > 0 && len(b) > 0 {
		var compactA, compactB bytes.Buffer
		return json.Compact(&compactA, a) == nil && json.Compact(&compactB, b) == nil && bytes.Equal(compactA.Bytes(), compactB.Bytes())
	}
	return bytes.Equal(a, b)
}

// quiet gives up when the command has sent something.
func (l *link) quiet() {
	for _, p := range l.sync() {
		l.failf("%v came (status %v, %q) where nothing was to come", p, p.Status, p.Message)
	}
}

// data encodes a text as the data of a packet.
func (l *link) data(text string) []byte {
	data, err := packet.AppendMessage(l.form, nil, &packetrpcv1.PingRequest{Text: text})
	if err != nil {
		l.failf("%v", err)
	}
	return data
}

// text decodes the data of a packet.
func (l *link) text(p *packet.Packet) string {
	var message packetrpcv1.PingRequest
	if err := packet.UnmarshalMessage(l.form, p.Data, &message); err != nil {
		l.failf("%v has data that is no message: %v", p, err)
	}
	return message.GetText()
}

// wantText gives up when a packet bears another text.
func (l *link) wantText(p *packet.Packet, want string) {
	if got := l.text(p); got != want {
		l.failf("%v has a text of %d bytes (%.60q) and not of %d (%.60q)", p, len(got), got, len(want), want)
	}
}

// reply, message and fail answer a call of the command.
func (l *link) reply(id uint64, text string) {
	l.send(&packet.Packet{Kind: packet.KindResponse, CallID: id, Data: l.data(text)})
}

func (l *link) message(id uint64, text string) {
	l.send(&packet.Packet{Kind: packet.KindMessage, CallID: id, Data: l.data(text)})
}

// done ends a stream of replies.
func (l *link) done(id uint64) { l.send(&packet.Packet{Kind: packet.KindResponse, CallID: id}) }

func (l *link) fail(id uint64, code packetrpc.Code, message string) {
	l.send(&packet.Packet{Kind: packet.KindError, CallID: id, Status: code, Message: message})
}

// echo answers the command's next call, which must be of Echo with a text.
func (l *link) echo(text string) {
	p := l.opening(ActionEcho)
	l.wantText(p, text)
	l.send(&packet.Packet{Kind: packet.KindResponse, CallID: p.CallID, Data: p.Data})
}

// notify pushes a note, which the command handles after all that was sent before.
func (l *link) notify() { l.send(l.request(packet.KindOneWay, l.lane(), ActionNote, "go on")) }

// request returns a packet by which the runner opens a call.
func (l *link) request(kind packet.Kind, id uint64, action, text string) *packet.Packet {
	p := &packet.Packet{Kind: kind, CallID: id, Action: action, Token: l.token}
	if action != ActionJoin && action != ActionTalk {
		p.Data = l.data(text)
	}
	return p
}

// call opens a call to the command and returns its id.
func (l *link) call(action, text string) uint64 {
	id := l.newID()
	l.rules.calls(id)
	l.send(l.request(packet.KindRequest, id, action, text))
	return id
}

// works makes sure that the command still handles calls.
func (l *link) works() {
	id := l.call(ActionEcho, "still there")
	l.wantText(l.want(packet.KindResponse, id), "still there")
}

// awaitEvents waits until the command has observed all of these.
func (l *link) awaitEvents(want []Event) {
	for deadline := time.Now().Add(l.patience); ; time.Sleep(time.Millisecond) {
		got := l.events()
		missing := slices.IndexFunc(want, func(w Event) bool {
			return !slices.ContainsFunc(got, func(e Event) bool { return matches(w, e) })
		})
		switch {
		case missing < 0:
			return
		case time.Now().After(deadline):
			l.failf("the command did not observe %s before the connection ended", want[missing])
		}
	}
}

// awaitOpened waits until the command has begun to open a call, and returns its id.
func (l *link) awaitOpened() uint64 {
	for deadline := time.Now().Add(l.patience); ; time.Sleep(time.Millisecond) {
		if id := l.rules.lastOpened(); id > 0 {
			return id
		}
		if time.Now().After(deadline) {
			l.failf("the command opens no call")
		}
	}
}

// awaitCredit waits until the command has given so much credit for an id.
func (l *link) awaitCredit(id, least uint64) {
	deadline := time.After(l.patience)
	for {
		l.mu.Lock()
		given := l.given[id]
		l.mu.Unlock()
		if given >= least {
			return
		}
		select {
		case <-l.grants:
		case <-deadline:
			l.failf("the command has given %d bytes of credit for %d, and %d were due (section 8)", given, id, least)
		}
	}
}

// widened returns a packet with more fields, given for each form.
func (l *link) widened(p *packet.Packet, binary []byte, keys string) []byte {
	text := packet.Append(l.form, nil, p)
	if l.form == packet.JSON {
		return []byte(strings.TrimSuffix(strings.TrimSpace(string(text)), "}") + "," + keys + "}\n")
	}
	_, n := protowire.ConsumeVarint(text)
	return framed(append(text[n:], binary...))
}

// framed returns the body of a binary packet behind its length.
func framed(body []byte) []byte {
	return append(protowire.AppendVarint(nil, uint64(len(body))), body...)
}
