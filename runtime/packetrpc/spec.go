package packetrpc

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// CallType tells how many messages travel in a call.
type CallType uint8

// The call types.
const (
	// Unary: one request, one reply.
	Unary CallType = iota
	// OneWay: one request, no reply.
	OneWay
	// ServerStream: one request, a stream of replies.
	ServerStream
	// ClientStream: a stream of requests, one reply.
	ClientStream
	// BidiStreaming: streams of messages in both directions.
	BidiStreaming
)

// String returns "unary", "one-way", "server-stream", "client-stream" or
// "bidi-stream".
func (t CallType) String() string {
	switch t {
	case OneWay:
		return "one-way"
	case ServerStream:
		return "server-stream"
	case ClientStream:
		return "client-stream"
	case BidiStreaming:
		return "bidi-stream"
	default:
		return "unary"
	}
}

// StreamsRequests reports whether the caller sends any number of messages.
func (t CallType) StreamsRequests() bool { return t == ClientStream || t == BidiStreaming }

// StreamsReplies reports whether the callee sends any number of messages.
func (t CallType) StreamsReplies() bool { return t == ServerStream || t == BidiStreaming }

// Idempotency tells what happens when a call is made twice; it is the
// idempotency_level of the .proto file.
type Idempotency uint8

// The idempotency levels.
const (
	// IdempotencyUnknown: a second call may have a second effect.
	IdempotencyUnknown Idempotency = iota
	// NoSideEffects: a call changes nothing.
	NoSideEffects
	// Idempotent: a second call changes nothing more.
	Idempotent
)

// Spec describes an action. Generated code makes one for each rpc; it must not
// be changed.
type Spec struct {
	// Action is the name on the wire.
	Action string
	// Service and Method are the names in the .proto file, as in
	// "chat.v1.ChatService" and "Send".
	Service, Method string
	// Type tells how many messages travel.
	Type CallType
	// Request and Response are the full names of the messages.
	Request, Response protoreflect.FullName
	// Requires is the role that a server demands of the caller; "" is none.
	Requires string
	// Timeout is how long a call may take when its context has no deadline; 0 is
	// no limit.
	Timeout time.Duration
	// Idempotency tells whether a call may be repeated.
	Idempotency Idempotency
	// Sealed: data travels encrypted to the receiver's key.
	Sealed bool
	// Comments is a JSON object: the comments of the .proto file that declares the
	// action, by the full names of what they are about; "" is none. Reflection shows
	// them.
	Comments string
	// NonBlocking: the handler may run on the goroutine that reads the connection.
	NonBlocking bool
}
