package backcompat_test

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// TestUnknownFields plays each recording with fields in every packet, and in the data of
// the handshake, that today's side does not know: it must do as if they were not there.
func TestUnknownFields(t *testing.T) {
	for _, file := range recorded(t) {
		for _, plays := range []side{theClient, theServer} {
			t.Run(file+"/old "+string(plays), func(t *testing.T) {
				if err := replay(t, readRecording(t, file).widened(t, plays), plays); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// widened returns the recording with unknown fields in the packets of a side.
func (r *recording) widened(t *testing.T, from side) *recording {
	wide := &recording{scenario: r.scenario, form: r.form, steps: slices.Clone(r.steps)}
	for i := range wide.steps {
		s := &wide.steps[i]
		if s.from != from || s.what != aPacket {
			continue
		}
		before := s.packet(r.form)
		if s.raw = widenJSON(s.raw); r.form == packet.Binary {
			s.raw = widenBinary(r.steps[i].body(r.form))
		}
		if after := s.packet(r.form); after.String() == "" || after.CallID != before.CallID || after.Action != before.Action {
			t.Fatalf("step %d has become %q", i+1, s.raw)
		}
	}
	return wide
}

// unknownFields are a varint and bytes.
func unknownFields(message []byte) []byte {
	message = protowire.AppendVarint(protowire.AppendTag(message, 98, protowire.VarintType), 7)
	return protowire.AppendString(protowire.AppendTag(message, 99, protowire.BytesType), "later")
}

func widenBinary(body []byte) []byte {
	var out []byte
	isHandshake := false
	for len(body) > 0 {
		number, typ, n := protowire.ConsumeTag(body)
		size := n + protowire.ConsumeFieldValue(number, typ, body[n:])
		field := body[:size]
		if value, _ := protowire.ConsumeBytes(field[n:]); number == 1 {
			isHandshake = string(value) == "handShake"
		} else if number == 2 && isHandshake {
			field = protowire.AppendBytes(protowire.AppendTag(nil, number, typ), unknownFields(bytes.Clone(value)))
		}
		out = append(out, field...)
		body = body[size:]
	}
	return protowire.AppendBytes(nil, unknownFields(out))
}

func widenJSON(raw []byte) []byte {
	const later = `"later":{"a":[1,null,"}"]},`
	raw = append([]byte("{"+later), raw[1:]...)
	if bytes.Contains(raw, []byte(`"action":`+handShake)) {
		raw = bytes.Replace(raw, []byte(`"data":{`), []byte(`"data":{`+later), 1)
	}
	return raw
}
