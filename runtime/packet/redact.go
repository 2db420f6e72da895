package packet

import (
	"fmt"
	"io"
	"log/slog"
)

// String returns what identifies the packet, for people. It shows neither the token
// nor the data.
func (p Packet) String() string {
	kind, action := p.Kind, p.Action
	if kind == 0 {
		kind = KindRequest
	}
	if action == "" && p.ActionNumber > 0 {
		action = fmt.Sprintf("number %d", p.ActionNumber)
	}
	text := fmt.Sprintf("%v %q, call %d, %d bytes", kind, action, p.CallID, len(p.Data))
	if p.Status != 0 {
		text += fmt.Sprintf(", %v: %s", p.Status, p.Message)
	}
	return text
}

// Format writes what String returns, whatever the verb: a packet's token must not get
// into logs.
func (p Packet) Format(state fmt.State, _ rune) { io.WriteString(state, p.String()) }

// LogValue returns what String returns.
func (p Packet) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns what String returns. Packets are written with [Append].
func (p Packet) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
