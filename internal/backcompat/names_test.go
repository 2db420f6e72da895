package backcompat_test

import (
	"bytes"
	"encoding/base64"

	"google.golang.org/protobuf/encoding/protowire"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// names are the tokens and public ids that a recorded client was given, and those that
// today's server gives in their place.
type names []name

type name struct{ recorded, today string }

// learn takes the names from the answers to a handshake.
func (n *names) learn(form packet.Form, recorded, today step) {
	was, is := recorded.packet(form), today.packet(form)
	if was.Action != "handShake" || was.Kind != packet.KindResponse || was.Token == "" || is.Token == "" {
		return
	}
	*n = append(*n, name{was.Token, is.Token})
	if form == packet.JSON { // as the handshake has the token to go on with
		inBase64 := base64.StdEncoding.EncodeToString
		*n = append(*n, name{inBase64([]byte(was.Token)), inBase64([]byte(is.Token))})
	}
	var old, now packetrpcv1.HandshakeResponse
	if packet.UnmarshalMessage(form, was.Data, &old) == nil && packet.UnmarshalMessage(form, is.Data, &now) == nil &&
		old.GetId() != "" && now.GetId() != "" {
		*n = append(*n, name{old.GetId(), now.GetId()})
	}
}

// forServer returns a packet of the recorded client with today's names.
func (n names) forServer(form packet.Form, s step) step {
	for _, name := range n {
		s = s.renamed(form, name.recorded, name.today)
	}
	return s
}

// asRecorded returns a packet of today's server with the recorded names.
func (n names) asRecorded(form packet.Form, s step) step {
	for _, name := range n {
		s = s.renamed(form, name.today, name.recorded)
	}
	return s
}

// renamed returns the step with another name, and otherwise byte for byte the same.
func (s step) renamed(form packet.Form, from, to string) step {
	switch {
	case s.what != aPacket || !bytes.Contains(s.raw, []byte(from)):
	case form == packet.JSON:
		s.raw = bytes.ReplaceAll(s.raw, []byte(`"`+from+`"`), []byte(`"`+to+`"`))
	default:
		if body, ok := renameField(s.body(form), from, to); ok {
			s.raw = protowire.AppendBytes(nil, body)
		}
	}
	return s
}

// renameField replaces the fields that hold a name, in messages inside of the message
// too. It reports false for what is no message.
func renameField(message []byte, from, to string) ([]byte, bool) {
	var out []byte
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		size := protowire.ConsumeFieldValue(number, typ, message[n:])
		if size < 0 {
			return nil, false
		}
		field := message[:n+size]
		if typ == protowire.BytesType && bytes.Contains(field, []byte(from)) {
			value, _ := protowire.ConsumeBytes(field[n:])
			if string(value) == from {
				value = []byte(to)
			} else if nested, ok := renameField(value, from, to); ok {
				value = nested
			}
			field = protowire.AppendBytes(protowire.AppendTag(nil, number, typ), value)
		}
		out = append(out, field...)
		message = message[n+size:]
	}
	return out, true
}
