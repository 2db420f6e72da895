package conformance

import (
	"fmt"
	"sync"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// rules are what the command's packets must keep to in every case. Its methods may
// be called concurrently.
type rules struct {
	form    packet.Form
	dialled bool // the runner is the dialling side

	mu      sync.Mutex
	limits  *packetrpcv1.Limits // what the runner takes; nil before the handshake
	token   string
	credit  int64               // of the connection
	windows map[uint64]*account // of the lane and of calls
	made    map[uint64]*made    // the command's calls
	taken   map[uint64]bool     // the runner's calls; false once they are answered
	numbers map[uint32]string
	partial map[uint64]packet.Kind // messages of which only a part has come, by their ids
	sizes   map[uint64]size
	highest uint64
	closed  bool
	broken  error // the first rule that was broken
}

type account struct{ credit int64 }

// size is how large a message has become, and how large it was said to be.
type size struct{ sum, told uint64 }

// made is a call of the command.
type made struct {
	streams    bool // it sends any number of messages
	halfClosed bool
	ended      bool // cancelled by the command
}

func newRules(form packet.Form, dialled bool) *rules {
	return &rules{
		form: form, dialled: dialled,
		windows: make(map[uint64]*account),
		made:    make(map[uint64]*made),
		taken:   make(map[uint64]bool),
		numbers: make(map[uint32]string),
		partial: make(map[uint64]packet.Kind),
		sizes:   make(map[uint64]size),
	}
}

// lane is the id of the command's one-way packets.
func (r *rules) lane() uint64 {
	if r.dialled {
		return 2
	}
	return 1
}

// open begins the connection after the handshake.
func (r *rules) open(limits *packetrpcv1.Limits, token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits, r.token = limits, token
	r.credit = int64(limits.GetConnectionWindow())
}

// grant notes credit that the runner is about to give.
func (r *rules) grant(id, credit uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == 0 {
		r.credit += int64(credit)
		return
	}
	r.window(id).credit += int64(credit)
}

// window returns that of a call or of the lane, which begins full.
func (r *rules) window(id uint64) *account {
	if r.windows[id] == nil {
		r.windows[id] = &account{int64(r.limits.GetCallWindow())}
	}
	return r.windows[id]
}

// calls notes a call that the runner makes.
func (r *rules) calls(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[id] = true
}

// lastOpened returns the highest id that the command has used.
func (r *rules) lastOpened() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.highest
}

// failure returns the first rule that was broken, or nil.
func (r *rules) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

func (r *rules) breaks(section, format string, args ...any) {
	if r.broken == nil {
		r.broken = fmt.Errorf("%s (section %s)", fmt.Sprintf(format, args...), section)
	}
}

// breaksRule notes a rule that is broken outside of a packet.
func (r *rules) breaksRule(section, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaks(section, format, args...)
}

// check looks at a packet that the command has sent after the handshake. Where the
// action is named by its number it sets the name.
func (r *rules) check(p *packet.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		r.breaks("12", "%v came after the close", p)
	}
	switch p.Kind {
	case packet.KindRequest, packet.KindOneWay:
		if p.Action == "" && p.ActionNumber == 0 {
			r.continues(p)
		} else {
			r.opens(p)
		}
	case packet.KindMessage:
		r.message(p)
	case packet.KindHalfClose:
		r.halfClose(p)
	case packet.KindResponse, packet.KindError:
		r.answers(p)
	case packet.KindCancel:
		if call := r.made[p.CallID]; call != nil {
			call.ended = true
			delete(r.partial, p.CallID)
		} else if p.CallID%2 != r.lane()%2 {
			// One for a call that was given up before it was sent is of no use and dropped.
			r.breaks("6", "a cancel came for call %d: only callers cancel", p.CallID)
		}
	case packet.KindClose:
		r.closed = true
	case packet.KindCredit, packet.KindPing, packet.KindPong, packet.KindAck, packet.KindDrain:
	default:
		r.breaks("6", "%v has a kind that there is not", p)
	}
	r.charge(p)
}

// opens checks a packet that opens a call.
func (r *rules) opens(p *packet.Packet) {
	if !r.dialled && p.Token != r.token {
		r.breaks("7", "%v opens a call without the session's token", p)
	}
	r.number(p)
	if p.Kind == packet.KindOneWay {
		if p.CallID != 0 && p.CallID != r.lane() {
			r.breaks("7", "%v is a one-way packet with another id than its lane's", p)
		}
		r.begins(p)
		return
	}
	switch id := p.CallID; {
	case id < 3 || id%2 != r.lane()%2 || id >= 1<<53:
		r.breaks("7", "%v opens a call with an id that its side may not use", p)
	case r.made[id] != nil:
		r.breaks("7", "%v uses an id for the second time", p)
	}
	r.highest = max(r.highest, p.CallID)
	call := &made{streams: p.Action == ActionJoin || p.Action == ActionTalk}
	r.made[p.CallID] = call
	if call.streams && (len(p.Data) > 0 && string(p.Data) != "{}" || p.More) {
		r.breaks("6", "%v opens a stream of requests and has data", p)
	}
	r.begins(p)
}

// number checks the action's number, and sets the name that it stands for.
func (r *rules) number(p *packet.Packet) {
	n := p.ActionNumber
	switch known := r.numbers[n]; {
	case n == 0:
	case n > r.limits.GetMaxActionNumbers():
		r.breaks("7", "%v has the action number %d, beyond the limit of %d", p, n, r.limits.GetMaxActionNumbers())
	case p.Action == "" && known == "":
		r.breaks("7", "%v has the action number %d, which has not been defined", p, n)
	case p.Action == "":
		p.Action = known
	case known != "" && known != p.Action:
		r.breaks("7", "%v defines the action number %d, which is %q, anew", p, n, known)
	default:
		r.numbers[n] = p.Action
	}
}

// begins notes the first packet of a message.
func (r *rules) begins(p *packet.Packet) {
	if kind, incomplete := r.partial[p.CallID]; incomplete {
		r.breaks("8", "%v came between the fragments of a %v", p, kind)
	}
	r.sizes[p.CallID] = size{told: p.MessageSize}
	r.adds(p)
}

// continues checks the second and further fragments of a message.
func (r *rules) continues(p *packet.Packet) {
	if kind, incomplete := r.partial[p.CallID]; !incomplete || kind != p.Kind {
		r.breaks("8", "%v continues nothing", p)
	}
	if p.Token != "" || p.Metadata.Len() > 0 || p.Timeout != 0 || p.MessageSize != 0 {
		r.breaks("8", "%v is a further fragment and has more than kind, id, more and data", p)
	}
	r.adds(p)
}

// adds notes a part of a message.
func (r *rules) adds(p *packet.Packet) {
	s := r.sizes[p.CallID]
	s.sum += uint64(len(p.Data))
	r.sizes[p.CallID] = s
	if limit := r.limits.GetMaxMessageSize(); limit > 0 && s.sum > limit {
		r.breaks("9", "%v has a message of %d bytes, above the limit of %d", p, s.sum, limit)
	}
	if p.More {
		r.partial[p.CallID] = p.Kind
		return
	}
	delete(r.partial, p.CallID)
	if s.told != 0 && s.told != s.sum {
		r.breaks("8", "%v ends a message of %d bytes whose message-size is %d", p, s.sum, s.told)
	}
}

// message checks a message of a stream.
func (r *rules) message(p *packet.Packet) {
	if call := r.made[p.CallID]; call != nil {
		switch {
		case !call.streams:
			r.breaks("6", "%v is a message of a call that has one request", p)
		case call.halfClosed:
			r.breaks("6", "%v came after the half-close", p)
		case call.ended:
			r.breaks("6", "%v came after the cancel", p)
		}
	} else if !r.taken[p.CallID] {
		r.breaks("6", "%v is a message of a call that is not open", p)
	}
	if _, incomplete := r.partial[p.CallID]; incomplete {
		r.continues(p)
	} else {
		r.begins(p)
	}
}

func (r *rules) halfClose(p *packet.Packet) {
	call := r.made[p.CallID]
	_, incomplete := r.partial[p.CallID]
	switch {
	case call == nil || !call.streams:
		r.breaks("6", "%v ends no stream of requests", p)
	case call.halfClosed:
		r.breaks("6", "%v is the second half-close", p)
	case incomplete:
		r.breaks("8", "%v came between the fragments of a message", p)
	default:
		call.halfClosed = true
	}
}

// answers checks the end of a call that the runner has made.
func (r *rules) answers(p *packet.Packet) {
	if p.CallID == 0 && r.form == packet.JSON {
		return // to a request without an id
	}
	open, known := r.taken[p.CallID]
	if known && !open {
		r.breaks("6", "%v answers a call that has ended", p)
	}
	if p.Kind == packet.KindError {
		if p.Status < packetrpc.CodeCanceled || p.Status > packetrpc.CodeUnauthenticated {
			r.breaks("11", "%v has no status", p)
		}
		delete(r.partial, p.CallID)
	} else {
		if !known {
			r.breaks("6", "%v answers a call that there is not", p)
		}
		if _, incomplete := r.partial[p.CallID]; incomplete {
			r.continues(p)
		} else {
			r.begins(p)
		}
	}
	if known && !p.More {
		r.taken[p.CallID] = false
	}
}

// Cost returns what a packet takes from the windows, in bytes (section 8).
func Cost(form packet.Form, p *packet.Packet) int64 {
	data := len(p.Data)
	if form == packet.JSON && string(p.Data) == "{}" {
		data = 0
	}
	switch p.Kind {
	case packet.KindMessage, packet.KindOneWay:
		return int64(data) + 32
	case packet.KindRequest, packet.KindResponse:
		if data > 0 {
			return int64(data) + 32
		}
	}
	return 0
}

// charge takes the packet's cost from its windows, which must not be used up.
func (r *rules) charge(p *packet.Packet) {
	takes := Cost(r.form, p)
	if takes == 0 {
		return
	}
	if r.limits.GetConnectionWindow() > 0 {
		if r.credit <= 0 {
			r.breaks("8", "%v came without credit for the connection (%d)", p, r.credit)
		}
		r.credit -= takes
	}
	if r.limits.GetCallWindow() > 0 && (p.CallID != 0 || p.Kind == packet.KindOneWay) {
		id := p.CallID
		if p.Kind == packet.KindOneWay {
			id = r.lane()
		}
		w := r.window(id)
		if w.credit <= 0 {
			r.breaks("8", "%v came without credit for its call (%d)", p, w.credit)
		}
		w.credit -= takes
	}
}
