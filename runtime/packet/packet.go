// Package packet implements the envelope of everything that travels on a
// connection, in its binary and its JSON form: appending, parsing, finding
// packets in a stream of bytes, and encoding the messages inside. It holds pure
// functions: it opens no socket, starts no goroutine and reads no bytes itself.
//
// docs/PROTOCOL.md is the specification. Its section "2. Forms" is implemented
// by [Form], [Preface] and [Splitter], "3. Fields" by [Packet], "4. Binary form"
// by [AppendBinary] and [ParseBinary], and "5. JSON form" by [AppendJSON] and
// [ParseJSON].
//
// [Create], [Decode] and the methods of [Packet] make and read JSON packets by
// hand.
package packet

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Form is how packets are written on a connection; see "2. Forms" of
// docs/PROTOCOL.md.
type Form uint8

// The forms.
const (
	// Binary is the protobuf encoding of a packet behind its length.
	Binary Form = iota
	// JSON is one JSON object for each packet.
	JSON
)

// String returns "binary" or "json".
func (f Form) String() string {
	switch f {
	case Binary:
		return "binary"
	case JSON:
		return "json"
	default:
		return "form_" + strconv.Itoa(int(f))
	}
}

// Version is the version of the protocol that this package implements.
const Version = 1

// Preface opens a connection in the binary form; its last byte is [Version].
const Preface = "\xf5pkt\x01"

// MaxBeforeHandshake is the size in bytes that a packet may have before the
// handshake has succeeded. A [Splitter] without a limit of its own uses it.
const MaxBeforeHandshake = 4 << 10

// Kind tells what a packet is; see "3. Fields" of docs/PROTOCOL.md.
type Kind uint8

// The kinds. Their numbers are those of the packetrpc.v1.Kind enum.
const (
	// KindRequest opens a call that is answered. A packet that does not name its
	// kind is a request; so is one whose Kind is 0, when it is appended.
	KindRequest Kind = 1
	// KindOneWay is a call that is not answered.
	KindOneWay Kind = 2
	// KindMessage is one message of a stream, in either direction.
	KindMessage Kind = 3
	// KindHalfClose says that the caller's last message has been sent.
	KindHalfClose Kind = 4
	// KindResponse ends a call well.
	KindResponse Kind = 5
	// KindError ends a call badly and carries the status.
	KindError Kind = 6
	// KindCancel says that the caller no longer wants the call.
	KindCancel Kind = 7
	// KindCredit lets the other side send more.
	KindCredit Kind = 8
	// KindPing asks for a pong.
	KindPing Kind = 9
	// KindPong answers a ping, with its data.
	KindPong Kind = 10
	// KindAck acknowledges pushes.
	KindAck Kind = 11
	// KindDrain says that the sender takes no new calls.
	KindDrain Kind = 12
	// KindClose is the last packet of its sender, with the reason.
	KindClose Kind = 13
	// KindUnknown stands for what a Kind cannot hold: a name that is none of the
	// kinds in the JSON form, a number that does not fit in the binary form. A
	// smaller number that is none of the kinds is kept as it is.
	KindUnknown Kind = 255
)

// kindNames is indexed by kind.
var kindNames = [...]string{
	KindRequest:   "request",
	KindOneWay:    "one-way",
	KindMessage:   "message",
	KindHalfClose: "half-close",
	KindResponse:  "response",
	KindError:     "error",
	KindCancel:    "cancel",
	KindCredit:    "credit",
	KindPing:      "ping",
	KindPong:      "pong",
	KindAck:       "ack",
	KindDrain:     "drain",
	KindClose:     "close",
}

// String returns the kind's name in the JSON form, and "kind_N" for a number
// that is none of the kinds.
func (k Kind) String() string {
	if k.Valid() {
		return kindNames[k]
	}
	return "kind_" + strconv.Itoa(int(k))
}

// Valid reports whether k is one of the kinds that this version knows.
func (k Kind) Valid() bool { return k >= KindRequest && k <= KindClose }

// carriesMessage reports whether packets of this kind carry a message, so that
// programs look for their data.
func (k Kind) carriesMessage() bool {
	switch k {
	case 0, KindRequest, KindOneWay, KindMessage, KindResponse:
		return true
	default:
		return false
	}
}

// Packet is the envelope; see "3. Fields" of docs/PROTOCOL.md.
//
// A Packet may be parsed into again and again. It remembers the last action and
// token that it held, so that parsing the same ones once more allocates nothing.
type Packet struct {
	// Action is the name of what is to be done.
	Action string
	// Data is the message: its protobuf encoding in the binary form, a JSON value
	// in the JSON form. A parsed packet's Data is part of what was parsed.
	Data []byte
	// Created is when the sender made the packet, in microseconds since 1970-01-01
	// UTC; 0 is not known. Negative values are not written.
	Created int64
	// Token is the session's token, ASCII text that is the same in both forms.
	Token string
	// Kind is what the packet is.
	Kind Kind
	// CallID is the call that the packet belongs to; 0 is the connection itself.
	CallID uint64
	// More says that the message is continued in the next packet of this call and
	// kind. The JSON form has no such thing and does not write it.
	More bool
	// ActionNumber stands for the action; 0 is none.
	ActionNumber uint32
	// Timeout is how long the caller is going to wait; 0 is no limit. It is
	// written in whole microseconds, rounded up, so that one that has nearly or
	// wholly run out does not become endless.
	Timeout time.Duration
	// Metadata is what the caller or the handler adds to the call.
	Metadata packetrpc.Metadata
	// Status is why the call failed; 0 is no failure.
	Status packetrpc.Code
	// Message is the failure in words.
	Message string
	// Details are the failure in messages.
	Details []*anypb.Any
	// Credit is how many more bytes the sender takes.
	Credit uint64
	// Reason is why the connection drains or closes.
	Reason string
	// Sequence is the place of a push among all pushes of its session.
	Sequence uint64
	// Acknowledged is the last sequence whose handler has returned.
	Acknowledged uint64
	// RetryAfter is how long to wait before the call is tried again. It is
	// written like Timeout, but not at all when it is negative.
	RetryAfter time.Duration
	// MayHaveRun says that the call failed after its handler may have begun.
	MayHaveRun bool
	// Sealed says that the data is encrypted to the receiver's key.
	Sealed bool
	// MessageSize is how many bytes the whole message has, on the first packet of
	// several that carry it; 0 is not known. Like More it has no JSON form.
	MessageSize uint64

	lastAction, lastToken string
}

// reset empties p apart from the strings it remembers. Most packets set few fields
// that hold pointers, and those that are not set are not touched: while garbage is
// collected that is expensive.
func (p *Packet) reset() {
	remember(&p.lastAction, p.Action)
	remember(&p.lastToken, p.Token)
	if p.Message != "" || p.Reason != "" || p.Details != nil || p.Metadata.Len() > 0 {
		p.Message, p.Reason, p.Details, p.Metadata = "", "", nil, packetrpc.Metadata{}
	}
	if p.Action != "" {
		p.Action = ""
	}
	if p.Token != "" {
		p.Token = ""
	}
	p.Data = nil
	p.Created, p.Kind, p.CallID, p.More, p.MessageSize = 0, KindRequest, 0, false, 0
	p.ActionNumber, p.Timeout, p.Status, p.Credit = 0, 0, 0, 0
	p.Sequence, p.Acknowledged = 0, 0
	p.RetryAfter, p.MayHaveRun, p.Sealed = 0, false, false
}

// remember keeps a text for the next packet. A long one is not worth it: a
// connection that idles would hold on to it.
func remember(last *string, now string) {
	const most = 256
	if now != "" && len(now) <= most && now != *last {
		*last = now
	}
}

// reuse returns b as a string: old, when that is the same.
func reuse(old string, b []byte) string {
	if string(b) == old {
		return old
	}
	return string(b)
}

// Append appends p in the given form; see [AppendBinary] and [AppendJSON].
func Append(form Form, dst []byte, p *Packet) []byte {
	if form == JSON {
		return AppendJSON(dst, p)
	}
	return AppendBinary(dst, p)
}

// Parse parses a packet of the given form into p; see [ParseBinary] and
// [ParseJSON].
func Parse(form Form, p *Packet, body []byte) error {
	if form == JSON {
		return ParseJSON(p, body)
	}
	return ParseBinary(p, body)
}

// validText returns s with each run of bytes that are not UTF-8 replaced, since
// a receiver refuses them. Texts of failures may hold anything.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// timeoutMicros returns how a timeout is written: 0 only when there is none.
func timeoutMicros(d time.Duration) uint64 {
	if d < 0 {
		return 1
	}
	return ceilMicros(d)
}

// retryMicros returns how a wait is written.
func retryMicros(d time.Duration) uint64 {
	if d < 0 {
		return 0
	}
	return ceilMicros(d)
}

func ceilMicros(d time.Duration) uint64 {
	return (uint64(d) + 999) / 1000
}

// microsDuration returns a number of microseconds as a duration, the longest one
// when it is longer still.
func microsDuration(micros uint64) time.Duration {
	if micros > math.MaxInt64/1000 {
		return math.MaxInt64
	}
	return time.Duration(micros) * time.Microsecond
}
