package conn

import (
	"context"
	"runtime/debug"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// runsAtOnce runs a handler that is declared not to block on this goroutine, the
// reading one, if its answer can be queued without waiting.
func (c *Conn) runsAtOnce(call *takenCall, p *packet.Packet) bool {
	if !call.method.Spec.NonBlocking || c.in.polled || call.request == nil || p.CallID == 0 || c.cfg.Plain || !c.ready() {
		return false
	}
	if !c.out.tryLock(&call.window) {
		return false
	}
	c.out.unlock(nil)
	c.account.taken(call.held)
	c.taken.leave(call)
	response, err := c.invoke(call)
	c.answerNow(call, response, err)
	return true
}

// ready reports whether calls may be handled.
func (c *Conn) ready() bool {
	select {
	case <-c.cfg.Ready:
		return true
	default:
		return c.cfg.Ready == nil
	}
}

// runCall runs a call's handler and answers.
func (c *Conn) runCall(call *takenCall) {
	if !c.ready() {
		select {
		case <-c.cfg.Ready:
		case <-c.ctx.Done():
		}
	}
	if call.held > 0 {
		c.account.taken(call.held)
	}
	if call.reply && call.refusal == nil && call.over() == nil {
		call.refusal = c.account.roomToSend()
		if call.refusal != nil && c.cfg.Refused != nil {
			c.cfg.Refused(call.method.Spec.Action, call.refusal)
		}
	}
	if call.over() != nil {
		c.taken.leave(call)
		call.sequence = 0 // a push that comes again
		return
	}
	response, err := c.invoke(call)
	c.taken.leave(call) // before the answer invites the caller to make another
	if call.reply {
		c.answer(call, response, err)
	} else if err != nil {
		c.logger().Error("packetrpc: a one-way handler failed, which no caller learns", "action", call.method.Spec.Action, "error", err)
	}
	call.end(errReturned)
}

// invoke runs the handler, behind the interceptors, and contains its panics. The
// error is the call's answer.
func (c *Conn) invoke(call *takenCall) (response proto.Message, err error) {
	if call.refusal != nil {
		return nil, call.refusal
	}
	if call.request == nil && call.method.Unary != nil {
		if err := call.takeRequest(); err != nil {
			return nil, err
		}
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		if cause := recover(); cause != nil {
			c.logger().Error("packetrpc: a handler panicked", "action", call.method.Spec.Action, "panic", cause, "stack", string(debug.Stack()))
			response, err = nil, packetrpc.Errorf(packetrpc.CodeInternal, "the handler of %s panicked", call.method.Spec.Action)
			return
		}
		// The handler ends its goroutine, so nobody is going to answer for it.
		c.taken.leave(call)
		if call.reply {
			c.answer(call, nil, packetrpc.Errorf(packetrpc.CodeInternal, "the handler of %s did not return", call.method.Spec.Action))
			c.flushQueued()
		}
		call.end(errReturned)
	}()
	response, err = c.callHandler(call)
	returned = true
	return response, err
}

// callHandler runs the handler behind the interceptors.
func (c *Conn) callHandler(call *takenCall) (proto.Message, error) {
	if c.incoming == nil && call.method.Unary != nil {
		return call.method.Unary(call, call.request)
	}
	invocation := &packetrpc.Call{Spec: call.method.Spec, Peer: c.cfg.Peer, Request: call.request}
	if call.method.Stream != nil {
		invocation.Stream = &takenStream{call: call}
	}
	var err error
	if c.incoming == nil {
		err = c.handle(call, invocation)
	} else {
		err = c.incoming(call, invocation)
	}
	return invocation.Response, err
}

// handle is the innermost Invoke of incoming calls.
func (c *Conn) handle(ctx context.Context, invocation *packetrpc.Call) (err error) {
	call, ok := ctx.Value(packetrpc.HandlerCallKey{}).(*takenCall)
	if !ok {
		return packetrpc.Errorf(packetrpc.CodeInternal, "an interceptor passed on a context that is not derived from its own")
	}
	if call.method.Unary != nil {
		invocation.Response, err = call.method.Unary(ctx, invocation.Request)
		return err
	}
	if err := call.method.Stream(ctx, invocation.Stream); err != nil {
		return err
	}
	invocation.Response = call.response
	return nil
}

// takeRequest decodes a request that arrived in parts.
func (t *takenCall) takeRequest() *packetrpc.Error {
	data, err := t.box.take(t, func() {})
	if err != nil {
		return packetrpc.AsError(err)
	}
	request := t.method.NewRequest()
	failure := t.conn.decodeRequest(data, request, t.seal)
	t.box.done()
	if failure == nil {
		t.request = request
	}
	return failure
}
