package packetrpc

import (
	"errors"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"
)

// Stream is one streaming call seen from one end, without types; generated code
// wraps it. One goroutine may send while another receives; two may not do the
// same at once. Close may be called at any time.
type Stream interface {
	// Send sends a message. It waits while the other side has given no credit.
	// After it has returned the message may be changed. When the call has ended
	// it returns io.EOF at the calling end, where Receive tells why, and an
	// [*Error] in a handler.
	Send(message proto.Message) error
	// CloseSend says that nothing more will be sent. A handler need not call it.
	CloseSend() error
	// Receive waits for the next message and decodes it into message, which must be
	// empty. It returns io.EOF when the other side has sent its last one and, at the
	// calling end, the call has succeeded; otherwise an [*Error].
	Receive(message proto.Message) error
	// Close ends the call if it has not ended; nobody needs its messages any
	// more. At the calling end that cancels the handler's context; in a handler,
	// where returning ends the call, it does nothing.
	Close() error
}

// ReceiveStream is the calling end of a server-streaming call. It must be
// received from to its end, or closed, or its context cancelled. Only one
// goroutine may receive; Close may be called at any time.
type ReceiveStream[Response any] interface {
	// Receive waits for the next message. It returns io.EOF after the last one
	// when the call has succeeded, and an [*Error] when it has failed.
	Receive() (*Response, error)
	// All yields the messages until the stream ends; a failure is yielded last,
	// with a nil message. Leaving the loop early closes the stream.
	All() iter.Seq2[*Response, error]
	// Close cancels the call if it has not ended.
	Close() error
}

// SendStream is the calling end of a client-streaming call. It must be ended by
// CloseAndReceive or Close, or by cancelling its context. Only one goroutine may
// use it; Close may be called at any time.
type SendStream[Request, Response any] interface {
	// Send sends a message, waiting while the other side has given no credit. It
	// returns io.EOF when the call has ended already; CloseAndReceive tells why.
	Send(*Request) error
	// CloseAndReceive says that nothing more will be sent and waits for the reply.
	CloseAndReceive() (*Response, error)
	// Close cancels the call if it has not ended.
	Close() error
}

// BidiStream is either end of a call with streams in both directions: Out is
// what this side sends, In what it receives. One goroutine may send while
// another receives. The calling end must receive to the end, or close, or cancel
// the context; in a handler, returning ends the stream.
type BidiStream[Out, In any] interface {
	// Send sends a message, waiting while the other side has given no credit. At
	// the calling end it returns io.EOF when the call has ended already; Receive
	// tells why.
	Send(*Out) error
	// CloseSend says that nothing more will be sent. A handler need not call it.
	CloseSend() error
	// Receive waits for the next message. It returns io.EOF after the last one,
	// and an [*Error] when the call has failed.
	Receive() (*In, error)
	// All yields the messages until the other side has sent its last; a failure is
	// yielded last, with a nil message. Leaving the loop early closes the stream
	// at the calling end.
	All() iter.Seq2[*In, error]
	// Close cancels the call at the calling end if it has not ended; in a handler
	// it does nothing.
	Close() error
}

// Sender is how a server-streaming handler sends its messages. Only one
// goroutine may use it, and not after the handler has returned.
type Sender[Response any] interface {
	// Send sends a message, waiting while the other side has given no credit. It
	// fails with an [*Error] when the call has been cancelled or its time has run
	// out.
	Send(*Response) error
}

// Receiver is how a client-streaming handler receives its messages. Only one
// goroutine may use it, and not after the handler has returned.
type Receiver[Request any] interface {
	// Receive waits for the next message. It returns io.EOF after the last one,
	// and an [*Error] when the call has been cancelled or its time has run out.
	Receive() (*Request, error)
	// All yields the messages until the last; a failure is yielded last, with a
	// nil message.
	All() iter.Seq2[*Request, error]
}

// typedStream gives a Stream the types of one method, whichever of the
// interfaces above the method uses.
type typedStream[Out, In any] struct{ Stream }

func (s typedStream[Out, In]) Send(out *Out) error { return s.Stream.Send(message(out)) }

func (s typedStream[Out, In]) Receive() (*In, error) {
	in := new(In)
	if err := s.Stream.Receive(message(in)); err != nil {
		return nil, err
	}
	return in, nil
}

func (s typedStream[Out, In]) All() iter.Seq2[*In, error] {
	return func(yield func(*In, error) bool) {
		defer s.Close()
		for {
			in, err := s.Receive()
			if errors.Is(err, io.EOF) || !yield(in, err) || err != nil {
				return
			}
		}
	}
}

func (s typedStream[Out, In]) CloseAndReceive() (*In, error) {
	defer s.Close()
	if err := s.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	in, err := s.Receive()
	if errors.Is(err, io.EOF) {
		return nil, Errorf(CodeInternal, "the call ended without a reply")
	}
	return in, err
}
