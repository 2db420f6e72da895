package tap

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// Side is one end of a connection.
type Side uint8

// The sides.
const (
	// Client is the dialling side.
	Client Side = iota + 1
	// Server is the accepting side.
	Server
)

// String returns "client" or "server".
func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Server:
		return "server"
	default:
		return "side_" + strconv.Itoa(int(s))
	}
}

// MarshalText returns what String returns.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Side) UnmarshalText(text []byte) error {
	switch string(text) {
	case "client":
		*s = Client
	case "server":
		*s = Server
	default:
		return fmt.Errorf("%.20q is neither client nor server", text)
	}
	return nil
}

func (s Side) other() Side { return Client + Server - s }

// The kinds of events that are no packets. Those that are have the kind of the packet,
// by its name in the JSON form, such as "request".
const (
	// KindConnected is a new connection.
	KindConnected = "connected"
	// KindFailed is a connection that the proxy could not forward.
	KindFailed = "failed"
	// KindClosed is the end of a connection.
	KindClosed = "closed"
	// KindUnanswered is a call whose connection has ended before its answer.
	KindUnanswered = "unanswered"
	// KindText is a line of text in place of packets, by which a server refuses a
	// connection.
	KindText = "text"
	// KindGarbage is bytes that are no packets. Nothing more of what the side sends can
	// be shown.
	KindGarbage = "garbage"
	// KindMissed tells how much could not be shown, because the tap was too slow.
	KindMissed = "missed"
)

// Kinds returns the kinds of events: those of packets, and those above.
func Kinds() []string {
	var kinds []string
	for kind := packet.KindRequest; kind.Valid(); kind++ {
		kinds = append(kinds, kind.String())
	}
	return append(kinds, KindConnected, KindFailed, KindClosed, KindUnanswered, KindText, KindGarbage, KindMissed)
}

// Event is something that has happened on a connection: a packet, with all fragments of
// its message, or one of the kinds above. It holds no secrets. Its JSON form is a line of
// a recording.
type Event struct {
	// Time is when it passed, in whole microseconds; of fragments it is that of the last.
	Time time.Time `json:"time"`
	// Connection counts the connections from 1; 0 is none of them.
	Connection int `json:"connection,omitzero"`
	// From is who has sent it, or at whom it happened.
	From Side `json:"from,omitzero"`
	// Kind is what it is.
	Kind string `json:"kind"`
	// Action is the action of the packet's call, where it is known.
	Action string `json:"action,omitzero"`
	// ID is the call id.
	ID uint64 `json:"id,omitzero"`
	// Size is the number of bytes on the wire, inside of TLS.
	Size int `json:"size,omitzero"`
	// Fragments is how many packets the message came in, if not in one.
	Fragments int `json:"fragments,omitzero"`
	// Created is when the sender says that it made the packet.
	Created time.Time `json:"created,omitzero"`
	// Timeout is how long the caller waits; zero is no limit.
	Timeout Seconds `json:"timeout,omitzero"`
	// Metadata has the values by their keys.
	Metadata map[string][]string `json:"metadata,omitzero"`
	// Sealed says that the data is sealed, so that it cannot be shown.
	Sealed bool `json:"sealed,omitzero"`
	// Data is the message as JSON, where it can be shown.
	Data json.RawMessage `json:"data,omitempty"`
	// Status is how a call has ended: "ok", or the name of a code. Other events have none.
	Status string `json:"status,omitzero"`
	// Message is the failure in words.
	Message string `json:"message,omitzero"`
	// Details are the failure in messages, as JSON.
	Details []json.RawMessage `json:"details,omitempty"`
	// RetryAfter is how long the sender asks to wait.
	RetryAfter Seconds `json:"retry-after,omitzero"`
	// MayHaveRun says that the call failed after its handler may have begun.
	MayHaveRun bool `json:"may-have-run,omitzero"`
	// Credit is how many more bytes the sender takes.
	Credit uint64 `json:"credit,omitzero"`
	// Sequence is the place of a push in its session.
	Sequence uint64 `json:"sequence,omitzero"`
	// Acknowledged is the last push that has been handled.
	Acknowledged uint64 `json:"acknowledged,omitzero"`
	// Reason is why the connection drains or closes.
	Reason string `json:"reason,omitzero"`
	// Call tells about the call that this event ends.
	Call *Call `json:"call,omitzero"`
	// Closed tells about the connection that this event ends.
	Closed *Closed `json:"closed,omitzero"`
	// Missed is what could not be shown.
	Missed *Missed `json:"missed,omitzero"`
	// Notes are what the tap has to say about it.
	Notes []string `json:"notes,omitempty"`
}

// Call is what there is to tell about a call when it has ended.
type Call struct {
	// By is the side that has made it.
	By Side `json:"by,omitzero"`
	// Duration is the time from its first packet to its last; zero for one-way calls.
	Duration Seconds `json:"duration,omitzero"`
	// Requests and Replies are the messages of the caller and of the callee.
	Requests Messages `json:"requests,omitzero"`
	Replies  Messages `json:"replies,omitzero"`
	// Request is the message that came with the request as JSON, unless the event has
	// it, or it was large or cannot be shown.
	Request json.RawMessage `json:"request,omitempty"`
}

// Messages is how much one side has sent in a call.
type Messages struct {
	// Count is the number of messages.
	Count int `json:"count"`
	// Bytes is the size of all packets of the call, on the wire.
	Bytes int `json:"bytes"`
}

func (m *Messages) add(size int, message bool) {
	m.Bytes += size
	if message {
		m.Count++
	}
}

// Closed is what there is to tell about a connection when it has ended.
type Closed struct {
	// By is the side that has ended it; zero is the tap.
	By Side `json:"by,omitzero"`
	// Duration is how long there was a connection.
	Duration Seconds `json:"duration,omitzero"`
	// FromClient and FromServer are the bytes that have passed, inside of TLS.
	FromClient int64 `json:"from-client"`
	FromServer int64 `json:"from-server"`
}

// Missed is how much could not be shown.
type Missed struct {
	// Packets, Bytes is what the decoder could not keep up with.
	Packets int `json:"packets,omitzero"`
	Bytes   int `json:"bytes,omitzero"`
	// Lines is what the reader of the output could not keep up with.
	Lines int `json:"lines,omitzero"`
}

// Seconds is a duration in whole microseconds, a number of seconds in JSON.
type Seconds time.Duration

// longest is the longest duration that is told, as JSON holds it exactly: 100 years.
const longest = 100 * 365 * 24 * time.Hour

// secondsOf rounds a duration down.
func secondsOf(d time.Duration) Seconds {
	return Seconds(min(max(d, 0), longest).Truncate(time.Microsecond))
}

// MarshalJSON writes the number.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	var number float64
	if err := json.Unmarshal(text, &number); err != nil {
		return err
	}
	if number < 0 || number > longest.Seconds() {
		return fmt.Errorf("%v seconds are out of range", number)
	}
	*s = Seconds(time.Duration(math.Round(number*1e6)) * time.Microsecond)
	return nil
}

// String returns the duration with three digits at most, such as "1.23ms".
func (s Seconds) String() string {
	d := time.Duration(s)
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d.Abs() < unit {
			continue
		}
		switch {
		case d.Abs() < 10*unit:
			return d.Round(unit / 100).String()
		case d.Abs() < 100*unit:
			return d.Round(unit / 10).String()
		default:
			return d.Round(unit).String()
		}
	}
	return d.String()
}
