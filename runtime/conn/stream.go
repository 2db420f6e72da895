package conn

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// madeStream is the calling end of a streaming call.
type madeStream struct {
	conn *Conn
	call *madeCall
	ctx  context.Context
	info *packetrpc.CallInfo
	// release frees what waits for the context's end.
	release func()
	sentAll atomic.Bool
}

// openStream begins a streaming call.
func (c *Conn) openStream(ctx context.Context, spec *packetrpc.Spec, request proto.Message) (packetrpc.Stream, error) {
	ctx, cancel := withTimeout(ctx, spec)
	call, _, err := c.begin(ctx, spec, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	p := c.opening(ctx, packet.KindRequest, call.id)
	if err := c.send(ctx, &call.window, &p, spec, request, call.seal); err != nil && c.withdraw(call, err) {
		cancel()
		return nil, err // otherwise the other side has ended the call, and Receive tells why
	}
	c.out.flushSoon()
	s := &madeStream{conn: c, call: call, ctx: ctx, info: packetrpc.CallInfoFrom(ctx)}
	s.sentAll.Store(!spec.Type.StreamsRequests())
	stop := context.AfterFunc(ctx, func() { s.abandon(contextError(ctx)) })
	s.release = func() {
		stop()
		cancel()
	}
	return s, nil
}

// Send implements [packetrpc.Stream].
func (s *madeStream) Send(message proto.Message) error {
	if s.sentAll.Load() {
		return notSent(packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "the stream's sending end is closed"))
	}
	p := packet.Packet{Kind: packet.KindMessage, CallID: s.call.id}
	if err := s.conn.send(s.ctx, &s.call.window, &p, nil, message, s.call.seal); err != nil {
		if errors.Is(err, io.EOF) || err.Code == packetrpc.CodeUnavailable {
			return io.EOF
		}
		if err.Outcome != packetrpc.OutcomeNotSent {
			s.conn.withdraw(s.call, err) // half a message cannot be taken back
		}
		return err
	}
	s.conn.out.flushSoon()
	return nil
}

// CloseSend implements [packetrpc.Stream].
func (s *madeStream) CloseSend() error {
	if !s.sentAll.CompareAndSwap(false, true) {
		return nil
	}
	if s.ctx.Err() != nil {
		// The cancel may be yet to leave, and a half-close before it would pass off
		// what has been sent as all there is.
		s.abandon(contextError(s.ctx))
		return nil
	}
	s.conn.mu.Lock()
	open := s.conn.made.calls.get(s.call.id) == s.call
	s.conn.mu.Unlock()
	if open {
		s.conn.out.control(s.conn.form, &packet.Packet{Kind: packet.KindHalfClose, CallID: s.call.id})
		s.conn.out.flushSoon()
	}
	return nil
}

// Receive implements [packetrpc.Stream].
func (s *madeStream) Receive(message proto.Message) error {
	data, err := s.call.box.take(s.ctx, s.conn.flushQueued)
	if s.info != nil {
		s.call.box.takeMetadata(s.info)
	}
	if err == nil {
		err = s.conn.decode(data, message, s.call.seal)
	}
	if err != nil {
		s.abandon(err)
		s.release()
	}
	return err
}

// Close implements [packetrpc.Stream].
func (s *madeStream) Close() error {
	s.abandon(packetrpc.NewError(packetrpc.CodeCanceled, errors.New("the stream was closed")))
	s.release()
	return nil
}

// abandon ends the call if it is open, and drops what nobody is going to receive.
func (s *madeStream) abandon(reason error) {
	s.conn.withdraw(s.call, reason)
	s.call.box.discard(reason)
}

// takenStream is the handler's end of a streaming call.
type takenStream struct {
	call   *takenCall
	closed bool
}

// Send implements [packetrpc.Stream]. What a client-streaming handler sends is
// the reply, which leaves when the handler has returned.
func (s *takenStream) Send(message proto.Message) error {
	call := s.call
	if !call.method.Spec.Type.StreamsReplies() {
		call.response = message
		return nil
	}
	if s.closed {
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "the stream's sending end is closed")
	}
	p := packet.Packet{Kind: packet.KindMessage, CallID: call.id, Metadata: call.takeMetadata()}
	if err := call.conn.send(call, &call.window, &p, nil, message, call.seal); err != nil {
		return err
	}
	call.conn.out.flushSoon()
	return nil
}

// CloseSend implements [packetrpc.Stream].
func (s *takenStream) CloseSend() error {
	s.closed = true
	return nil
}

// Receive implements [packetrpc.Stream].
func (s *takenStream) Receive(message proto.Message) error {
	call := s.call
	data, err := call.box.take(call, call.conn.flushQueued)
	if err != nil {
		return err
	}
	if err := call.conn.decodeRequest(data, message, call.seal); err != nil {
		return err
	}
	return nil
}

// Close implements [packetrpc.Stream]: a handler ends its call by returning.
func (s *takenStream) Close() error { return nil }
