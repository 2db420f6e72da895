package packet

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// vtMessage is a message with the methods that vtprotobuf generates, which are
// faster than reflection and are used for the binary form.
type vtMessage interface {
	SizeVT() int
	MarshalToSizedBufferVT(b []byte) (int, error)
	UnmarshalVT(b []byte) error
}

// Size returns the size of a message in the binary form.
func Size(m proto.Message) int {
	if fast, ok := m.(vtMessage); ok {
		return fast.SizeVT()
	}
	return proto.Size(m)
}

// AppendMessage appends a message as the data of a packet of the given form; see
// "2. Forms" of docs/PROTOCOL.md. A nil message is an empty one. The JSON form has
// no white space, so that a packet stays on one line. When it fails, it returns dst
// as it was.
func AppendMessage(form Form, dst []byte, m proto.Message) ([]byte, error) {
	if form == Binary {
		if _, ok := m.(vtMessage); ok {
			return AppendSized(dst, m, Size(m))
		}
		return appendWith(proto.MarshalOptions{}, dst, m)
	}
	text, err := protojson.MarshalOptions{}.MarshalAppend(dst, present(m))
	if err != nil {
		return dst, err
	}
	return compact(text, len(dst)), nil
}

// AppendSized appends a message in the binary form, whose size [Size] has just
// returned. The message must not have changed since: its sizes are not computed
// again. When it fails, it returns dst as it was.
func AppendSized(dst []byte, m proto.Message, size int) ([]byte, error) {
	fast, ok := m.(vtMessage)
	if !ok {
		return appendWith(proto.MarshalOptions{UseCachedSize: true}, dst, m)
	}
	end := len(dst) + size
	dst = slices.Grow(dst, size)
	n, err := fast.MarshalToSizedBufferVT(dst[len(dst):end])
	if err == nil && n != size {
		err = fmt.Errorf("%T wrote %d bytes and said %d", m, n, size)
	}
	if err != nil {
		return dst, err
	}
	return dst[:end], nil
}

func appendWith(options proto.MarshalOptions, dst []byte, m proto.Message) ([]byte, error) {
	encoded, err := options.MarshalAppend(dst, m)
	if err != nil {
		return dst, err
	}
	return encoded, nil
}

// UnmarshalMessage decodes the data of a packet of the given form into m, which
// must be empty. Fields that m's type does not have are ignored, in the JSON form as
// well. No data, and null in the JSON form, is an empty message.
func UnmarshalMessage(form Form, data []byte, m proto.Message) error {
	if form == Binary {
		if fast, ok := m.(vtMessage); ok {
			return fast.UnmarshalVT(data)
		}
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(data, m) // which spares emptying it again
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
