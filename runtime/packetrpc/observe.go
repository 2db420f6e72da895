package packetrpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"
)

// Observer is told what becomes of one call. Of a stream, Sent and Received may be
// called at the same time as each other, and as End. None of the methods may keep a
// message or change it.
type Observer interface {
	// Sent is told of each message that this side sends.
	Sent(message proto.Message)
	// Received is told of each message that this side receives.
	Received(message proto.Message)
	// End is called once, when the call has ended for this side. The error is the
	// call's; nil is success.
	End(err error)
}

// Observe returns an interceptor that calls begin for each call, in both directions,
// and tells the Observer that it returns what becomes of the call. The call goes on
// with the context that begin returns, which must be derived from its own; a nil
// Observer is told nothing.
//
// An incoming call ends when its handler returns or panics, and an outgoing one when it
// returns. An outgoing stream ends when its last message has been received, when it
// fails, when it is closed, when its context ends, and at the latest when the peer's
// does.
func Observe(begin func(ctx context.Context, call *Call) (context.Context, Observer)) Interceptor {
	return func(next Invoke) Invoke {
		return func(ctx context.Context, call *Call) error {
			ctx, observer := begin(ctx, call)
			switch {
			case observer == nil:
				return next(ctx, call)
			case call.Outgoing && call.Spec.Type.streams():
				return observeOpening(ctx, call, observer, next)
			default:
				return observeToEnd(ctx, call, observer, next)
			}
		}
	}
}

func (t CallType) streams() bool { return t.StreamsRequests() || t.StreamsReplies() }

// errNoReturn is how calls end that panic, or end their goroutine. It is never changed.
var errNoReturn = NewError(CodeInternal, errors.New("the handler did not return"))

// observeToEnd carries out a call that ends when next returns.
func observeToEnd(ctx context.Context, call *Call, observer Observer, next Invoke) error {
	var err error = errNoReturn
	defer func() { observer.End(err) }()
	if call.Stream != nil {
		call.Stream = &observedStream{call.Stream, observer}
		err = next(ctx, call)
		return err
	}
	tell(observer, call.Outgoing, call.Request)
	if err = next(ctx, call); err == nil {
		tell(observer, !call.Outgoing, call.Response)
	}
	return err
}

// tell tells of a message that has passed the interceptors by itself; nil is none.
func tell(observer Observer, sent bool, message proto.Message) {
	switch {
	case message == nil:
	case sent:
		observer.Sent(message)
	default:
		observer.Received(message)
	}
}

// observeOpening opens a stream, which goes on when next has returned.
func observeOpening(ctx context.Context, call *Call, observer Observer, next Invoke) error {
	var err error = errNoReturn
	defer func() {
		if err != nil {
			observer.End(err)
		}
	}()
	tell(observer, true, call.Request)
	if err = next(ctx, call); err != nil {
		return err
	}
	s := &openedStream{observedStream: observedStream{call.Stream, observer}, replies: call.Spec.Type.StreamsReplies()}
	call.Stream = s
	s.endWith(ctx, context.Context.Err)
	if call.Peer != nil {
		s.endWith(call.Peer.Context(), context.Cause)
	}
	return nil
}

// observedStream tells of the messages of a stream.
type observedStream struct {
	Stream
	observer Observer
}

func (s *observedStream) Send(message proto.Message) error {
	err := s.Stream.Send(message)
	if err == nil {
		s.observer.Sent(message)
	}
	return err
}

func (s *observedStream) Receive(message proto.Message) error {
	err := s.Stream.Receive(message)
	if err == nil {
		s.observer.Received(message)
	}
	return err
}

// openedStream also tells of the end, which at the calling end nothing returns from.
type openedStream struct {
	observedStream
	replies bool // any number of them

	mu    sync.Mutex
	ended bool
	stops []func() bool // what waits for contexts to end
}

func (s *openedStream) Receive(message proto.Message) error {
	err := s.observedStream.Receive(message)
	switch {
	case errors.Is(err, io.EOF):
		s.end(nil)
	case err != nil || !s.replies:
		s.end(err)
	}
	return err
}

func (s *openedStream) Close() error {
	err := s.Stream.Close()
	s.end(Errorf(CodeCanceled, "the stream was closed"))
	return err
}

// endWith ends the stream with a context, whose reason is the call's error.
func (s *openedStream) endWith(ctx context.Context, reason func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.stops = append(s.stops, context.AfterFunc(ctx, func() { s.end(AsError(reason(ctx))) }))
	}
}

// end tells of the end; only the first reason counts.
func (s *openedStream) end(err error) {
	s.mu.Lock()
	ended, stops := s.ended, s.stops
	s.ended, s.stops = true, nil
	s.mu.Unlock()
	if ended {
		return
	}
	for _, stop := range stops {
		stop()
	}
	s.observer.End(err)
}
