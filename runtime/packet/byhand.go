package packet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// Create makes a request packet in the JSON form, created now; see "5. JSON form"
// of docs/PROTOCOL.md. The action must not be empty. The data must be a
// JSON object: nil for an empty one, a protobuf message, a [json.RawMessage], or
// anything that [json.Marshal] makes an object of.
func Create(action string, data any) (*Packet, error) {
	if action == "" {
		return nil, errors.New("a request needs an action")
	}
	object, err := objectOf(data)
	if err != nil {
		return nil, fmt.Errorf("data of %s: %w", quoteShort(action), err)
	}
	return &Packet{
		Action:  action,
		Data:    object,
		Created: time.Now().UnixMicro(),
		Kind:    KindRequest,
	}, nil
}

// objectOf returns data as a JSON object without white space.
func objectOf(data any) ([]byte, error) {
	var text []byte
	var err error
	switch data := data.(type) {
	case nil:
		return []byte("{}"), nil
	case proto.Message:
		text, err = AppendMessage(JSON, nil, data)
	default:
		// Raw messages are checked and compacted by this as well.
		text, err = json.Marshal(data)
	}
	if err != nil {
		return nil, err
	}
	if text[0] != '{' {
		return nil, fmt.Errorf("%s is not a JSON object", quoteShort(string(text)))
	}
	return text, nil
}

// Decode parses one packet of the JSON form with white space around it. Anything
// after it is refused. The packet shares no memory with text.
func Decode(text []byte) (*Packet, error) {
	p := new(Packet)
	if err := ParseJSON(p, bytes.Clone(text)); err != nil {
		return nil, err
	}
	return p, nil
}

// Encode returns p in the JSON form as [AppendJSON] writes it, but with the token
// null when there is none, so that a packet made by [Create] has the four keys
// that every packet of the original system has.
func (p *Packet) Encode() []byte {
	return appendJSON(nil, p, `"token":null,`)
}

// DataInto decodes the data of a packet of the JSON form into v: a protobuf
// message or a pointer that [json.Unmarshal] takes. A packet without data has an
// empty object.
func (p *Packet) DataInto(v any) error {
	if m, ok := v.(proto.Message); ok {
		return UnmarshalMessage(JSON, p.Data, m)
	}
	data := p.Data
	if len(data) == 0 {
		data = []byte("{}")
	}
	return json.Unmarshal(data, v)
}
