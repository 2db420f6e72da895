package load

import (
	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// request is a message that has been encoded beforehand, so that a call in the binary
// form only copies it. Its methods are those that vtprotobuf generates, which package
// packet looks for. In the JSON form the message itself is encoded for each call. It may
// be sent by several calls at once.
type request struct {
	proto.Message
	encoded []byte
}

func newRequest(message proto.Message) (*request, error) {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return nil, err
	}
	return &request{message, encoded}, nil
}

func (r *request) size() int64 { return int64(len(r.encoded)) }

// SizeVT is called by package packet.
func (r *request) SizeVT() int { return len(r.encoded) }

// MarshalToSizedBufferVT is called by package packet, with a buffer whose end is filled.
func (r *request) MarshalToSizedBufferVT(b []byte) (int, error) {
	return copy(b[len(b)-len(r.encoded):], r.encoded), nil
}

// UnmarshalVT makes up what package packet looks for; nobody decodes into a request.
func (r *request) UnmarshalVT(b []byte) error { return proto.Unmarshal(b, r.Message) }

// reply counts the bytes of a message. In the binary form it does not decode them, for
// the load must not be what limits a run.
type reply struct {
	proto.Message
	size    int
	counted bool
}

// SizeVT is called by package packet, for requests only.
func (r *reply) SizeVT() int { return proto.Size(r.Message) }

// MarshalToSizedBufferVT makes up what package packet looks for.
func (r *reply) MarshalToSizedBufferVT(b []byte) (int, error) {
	encoded, err := proto.Marshal(r.Message)
	return copy(b[len(b)-len(encoded):], encoded), err
}

// UnmarshalVT is called by package packet in place of decoding.
func (r *reply) UnmarshalVT(b []byte) error {
	r.size, r.counted = len(b), true
	return nil
}

// take returns the bytes that the message has in the binary form, whichever it came in,
// and empties it for the next one.
func (r *reply) take() int64 {
	size := r.size
	if !r.counted { // it came as JSON
		size = packet.Size(r.Message)
		proto.Reset(r.Message)
	}
	r.size, r.counted = 0, false
	return int64(size)
}
