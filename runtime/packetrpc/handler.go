package packetrpc

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Registrar takes the methods that one end of a connection serves. A server is
// one, and so is a [Handlers], which a client is given.
type Registrar interface {
	// Register adds a method. It must not be called any more once the server
	// serves or the client has dialled; a duplicate action is reported then.
	Register(method *Method)
}

// Method is an action with the code that handles it. Exactly one of Unary and
// Stream is set: Unary for the call types [Unary] and [OneWay], whose reply is
// ignored, and Stream for the others. A Method must not be changed once it has
// been registered.
type Method struct {
	Spec *Spec
	// NewRequest makes an empty request.
	NewRequest func() proto.Message
	// Unary handles a call with one request.
	Unary func(ctx context.Context, request proto.Message) (proto.Message, error)
	// Stream handles a streaming call. For a [ServerStream] the request is the
	// first and only message received.
	Stream func(ctx context.Context, stream Stream) error
}

// Handlers is a set of methods. The zero value is empty and ready to use. It may
// be shared by any number of clients, and must not be registered with any more
// once one of them has dialled.
type Handlers struct {
	methods    map[string]*Method
	duplicates []string
}

// Register adds a method.
func (h *Handlers) Register(method *Method) {
	if h.methods == nil {
		h.methods = make(map[string]*Method)
	}
	action := method.Spec.Action
	if _, taken := h.methods[action]; taken {
		h.duplicates = append(h.duplicates, action)
		return
	}
	h.methods[action] = method
}

// Lookup returns the method of an action, or nil. It may be called concurrently.
func (h *Handlers) Lookup(action string) *Method {
	if h == nil {
		return nil
	}
	return h.methods[action]
}

// All yields the methods in the order of their actions' names.
func (h *Handlers) All() iter.Seq[*Method] {
	return func(yield func(*Method) bool) {
		if h == nil {
			return
		}
		for _, action := range slices.Sorted(maps.Keys(h.methods)) {
			if !yield(h.methods[action]) {
				return
			}
		}
	}
}

// Err returns an error that names the actions registered more than once, or nil.
func (h *Handlers) Err() error {
	if h == nil || len(h.duplicates) == 0 {
		return nil
	}
	return Errorf(CodeAlreadyExists, "registered more than once: %s", strings.Join(h.duplicates, ", "))
}

// HandleUnary registers the handler of a unary method; generated code calls it.
func HandleUnary[Request, Response any](r Registrar, spec *Spec, handle func(context.Context, *Request) (*Response, error)) {
	r.Register(&Method{
		Spec:       spec,
		NewRequest: newMessage[Request],
		Unary: func(ctx context.Context, request proto.Message) (proto.Message, error) {
			response, err := handle(ctx, typed[Request](request))
			if err != nil {
				return nil, err
			}
			return message(response), nil
		},
	})
}

// HandleOneWay registers the handler of a one-way method; generated code calls
// it.
func HandleOneWay[Request any](r Registrar, spec *Spec, handle func(context.Context, *Request) error) {
	r.Register(&Method{
		Spec:       spec,
		NewRequest: newMessage[Request],
		Unary: func(ctx context.Context, request proto.Message) (proto.Message, error) {
			return nil, handle(ctx, typed[Request](request))
		},
	})
}

// HandleServerStream registers the handler of a server-streaming method;
// generated code calls it.
func HandleServerStream[Request, Response any](r Registrar, spec *Spec, handle func(context.Context, *Request, Sender[Response]) error) {
	r.Register(&Method{
		Spec:       spec,
		NewRequest: newMessage[Request],
		Stream: func(ctx context.Context, stream Stream) error {
			request := new(Request)
			if err := stream.Receive(message(request)); err != nil {
				return err
			}
			return handle(ctx, request, typedStream[Response, Request]{stream})
		},
	})
}

// HandleClientStream registers the handler of a client-streaming method;
// generated code calls it.
func HandleClientStream[Request, Response any](r Registrar, spec *Spec, handle func(context.Context, Receiver[Request]) (*Response, error)) {
	r.Register(&Method{
		Spec:       spec,
		NewRequest: newMessage[Request],
		Stream: func(ctx context.Context, stream Stream) error {
			response, err := handle(ctx, typedStream[Response, Request]{stream})
			if err != nil {
				return err
			}
			return stream.Send(message(response))
		},
	})
}

// HandleBidiStream registers the handler of a bidirectional streaming method;
// generated code calls it.
func HandleBidiStream[Request, Response any](r Registrar, spec *Spec, handle func(context.Context, BidiStream[Response, Request]) error) {
	r.Register(&Method{
		Spec:       spec,
		NewRequest: newMessage[Request],
		Stream: func(ctx context.Context, stream Stream) error {
			return handle(ctx, typedStream[Response, Request]{stream})
		},
	})
}

func newMessage[T any]() proto.Message { return message(new(T)) }

// typed undoes [message]. An interceptor may have replaced the request by a
// message of another type, which is its mistake and not the caller's.
func typed[T any](request proto.Message) *T {
	pointer, ok := any(request).(*T)
	if !ok {
		panic(fmt.Sprintf("packetrpc: an interceptor replaced a %T by a %T", new(T), request))
	}
	return pointer
}
