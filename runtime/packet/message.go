package packet

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Size returns the size of a message in the binary form.
func Size(m proto.Message) int { return proto.Size(m) }

// AppendMessage appends a message as the data of a packet of the given form; see
// "2. Forms" of docs/PROTOCOL.md. A nil message is an empty one. The JSON form has
// no white space, so that a packet stays on one line. When it fails, it returns dst
// as it was.
func AppendMessage(form Form, dst []byte, m proto.Message) ([]byte, error) {
	if form == Binary {
		return appendWith(proto.MarshalOptions{}, dst, m)
	}
	text, err := protojson.MarshalOptions{}.MarshalAppend(dst, present(m))
	if err != nil {
		return dst, err
	}
	return compact(text, len(dst)), nil
}

// AppendSized appends a message in the binary form. [Size] must have been called
// right before, and the message must not have changed since: its sizes are not
// computed again. When it fails, it returns dst as it was.
func AppendSized(dst []byte, m proto.Message) ([]byte, error) {
	return appendWith(proto.MarshalOptions{UseCachedSize: true}, dst, m)
}

func appendWith(options proto.MarshalOptions, dst []byte, m proto.Message) ([]byte, error) {
	encoded, err := options.MarshalAppend(dst, m)
	if err != nil {
		return dst, err
	}
	return encoded, nil
}

// UnmarshalMessage decodes the data of a packet of the given form into m, which it
// overwrites. Fields that m's type does not have are ignored, in the JSON form as
// well. No data, and null in the JSON form, is an empty message.
func UnmarshalMessage(form Form, data []byte, m proto.Message) error {
	if form == Binary {
		return proto.Unmarshal(data, m)
	}
	if isEmpty(data, m) {
		proto.Reset(m)
		return nil
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
}

// present returns m, or an empty message when it is a nil pointer. Some messages,
// such as google.protobuf.Timestamp, have no JSON form while they are nil.
func present(m proto.Message) proto.Message {
	if m == nil {
		return nil
	}
	if r := m.ProtoReflect(); !r.IsValid() {
		return r.Type().New().Interface()
	}
	return m
}

// isEmpty reports whether JSON data stands for an empty message. A
// google.protobuf.Value can be null, and then that is what it says.
func isEmpty(data []byte, m proto.Message) bool {
	data = bytes.Trim(data, " \t\r\n")
	if len(data) == 0 {
		return true
	}
	return string(data) == "null" && m.ProtoReflect().Descriptor().FullName() != "google.protobuf.Value"
}

// compact removes the white space between the tokens of the JSON text from start
// on: protojson strews some in so that nobody relies on its exact bytes.
func compact(b []byte, start int) []byte {
	to := start
	inString, escaped := false, false
	for _, c := range b[start:] {
		switch {
		case !inString:
			if isSpace(c) {
				continue
			}
			inString = c == '"'
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			inString = false
		}
		b[to] = c
		to++
	}
	return b[:to]
}
