package packetrpc

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// Caller makes calls to the other side of a connection. A dialled client is one,
// and so is a [Peer], the server's side of a connection. Its methods are for
// generated code; they may be called concurrently.
//
// Every error is or wraps an [*Error].
type Caller interface {
	// CallUnary sends request and waits for the reply, which it decodes into
	// response, an empty message. When it fails, response must not be touched any
	// more.
	CallUnary(ctx context.Context, spec *Spec, request, response proto.Message) error
	// CallOneWay returns when the message is queued for sending. While the queue
	// is full it waits, as long as ctx allows.
	CallOneWay(ctx context.Context, spec *Spec, message proto.Message) error
	// OpenStream begins a streaming call. The request of a [ServerStream] is sent
	// at once; it is nil for the other types. The stream must be received from to
	// its end, or closed, or its context cancelled.
	OpenStream(ctx context.Context, spec *Spec, request proto.Message) (Stream, error)
}

// Audience is a set of connections that a one-way message can be sent to
// together, such as the members of a group.
type Audience interface {
	// Broadcast encodes the message once and queues it for each member. It never
	// waits: a member whose queue is full is counted as refused. It fails, with
	// nothing queued, when the message cannot be encoded.
	Broadcast(ctx context.Context, spec *Spec, message proto.Message) (Delivery, error)
}

// Delivery counts what became of a broadcast.
type Delivery struct {
	// Queued is the number of connections that the message was queued for.
	Queued int
	// Refused is the number of connections whose queue was full or that ended.
	Refused int
}

// CallUnary makes a unary call; generated code calls it.
func CallUnary[Response any](ctx context.Context, caller Caller, spec *Spec, request proto.Message) (*Response, error) {
	response := new(Response)
	if err := caller.CallUnary(ctx, spec, request, message(response)); err != nil {
		return nil, err
	}
	return response, nil
}

// CallServerStream begins a call with one request and a stream of replies;
// generated code calls it.
func CallServerStream[Response any](ctx context.Context, caller Caller, spec *Spec, request proto.Message) (ReceiveStream[Response], error) {
	stream, err := caller.OpenStream(ctx, spec, request)
	if err != nil {
		return nil, err
	}
	return typedStream[Response, Response]{stream}, nil
}

// CallClientStream begins a call with a stream of requests and one reply;
// generated code calls it.
func CallClientStream[Request, Response any](ctx context.Context, caller Caller, spec *Spec) (SendStream[Request, Response], error) {
	stream, err := caller.OpenStream(ctx, spec, nil)
	if err != nil {
		return nil, err
	}
	return typedStream[Request, Response]{stream}, nil
}

// CallBidiStream begins a call with streams in both directions; generated code
// calls it.
func CallBidiStream[Request, Response any](ctx context.Context, caller Caller, spec *Spec) (BidiStream[Request, Response], error) {
	stream, err := caller.OpenStream(ctx, spec, nil)
	if err != nil {
		return nil, err
	}
	return typedStream[Request, Response]{stream}, nil
}

// message views a pointer to a generated message as what it is. Generated code
// names message types only, so the assertion holds.
func message[T any](pointer *T) proto.Message { return any(pointer).(proto.Message) }
