package packetrpc

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Interceptor wraps every call of a connection, of each type and in both
// directions. The first of a list is the outermost:
//
//	call ─▶ first ─▶ second ─▶ … ─▶ the wire, or the handler
//	     ◀─       ◀─        ◀─
//
// It is called once for each connection; the Invoke that it returns runs for
// each call, concurrently.
type Interceptor func(next Invoke) Invoke

// Invoke carries out a call.
//
//   - An outgoing unary call has its Request; after next has returned nil, its
//     Response is set.
//   - An outgoing stream is open when next has returned nil, and Stream is set;
//     an interceptor that wants to see its messages puts a wrapper there.
//   - An incoming unary or one-way call has its Request; next runs the handler,
//     and the Response is set afterwards.
//   - An incoming stream has its Stream, which may be wrapped before next, which
//     runs the handler to its end.
//
// The error that Invoke returns is the call's.
type Invoke func(ctx context.Context, call *Call) error

// Call is one call on its way through the interceptors.
type Call struct {
	// Spec describes the action.
	Spec *Spec
	// Peer is the other side.
	Peer Peer
	// Outgoing is true where the call is made and false where it is handled.
	Outgoing bool
	// Request is the message of a call whose type does not stream requests; for
	// an incoming [ServerStream] it is nil, as the stream receives it.
	Request proto.Message
	// Response is the reply of a [Unary] call once it is there.
	Response proto.Message
	// Stream is the stream of a streaming call once it is there.
	Stream Stream
}

// Chain returns one interceptor that applies the given ones, the first
// outermost, or nil for none.
func Chain(interceptors ...Interceptor) Interceptor {
	if len(interceptors) == 0 {
		return nil
	}
	return func(next Invoke) Invoke {
		for _, interceptor := range slices.Backward(interceptors) {
			next = interceptor(next)
		}
		return next
	}
}
