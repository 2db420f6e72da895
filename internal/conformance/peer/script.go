package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// message is what all actions of the cases take and return.
type message = packetrpcv1.PingRequest

// script carries out the steps of a task.
type script struct {
	caller packetrpc.Caller
	ctx    context.Context // ends with the connection
	out    *observer
	calls  map[string]*call
}

// call is one that the script has begun.
type call struct {
	name   string
	typ    packetrpc.CallType
	cancel context.CancelFunc
	info   *packetrpc.CallInfo
	stream packetrpc.Stream
	reply  *message
	result chan error // of a unary call
}

func newScript(caller packetrpc.Caller, ctx context.Context, out *observer) *script {
	return &script{caller: caller, ctx: ctx, out: out, calls: make(map[string]*call)}
}

func (s *script) run(steps []conformance.Step) error {
	defer func() {
		for _, c := range s.calls {
			c.cancel()
		}
	}()
	for _, step := range steps {
		if err := s.do(step); err != nil {
			return err
		}
	}
	return nil
}

func (s *script) do(step conformance.Step) error {
	c := s.calls[step.Call]
	switch step.Do {
	case conformance.DoCall:
		return s.begin(step)
	case conformance.DoHandled:
		s.out.awaitHandled(s.ctx, step.Count)
		return nil
	case conformance.DoClosed:
		<-s.ctx.Done()
		s.out.tell(conformance.Event{Event: conformance.EventClosed, Message: packetrpc.AsError(context.Cause(s.ctx)).Message})
		return nil
	}
	if c == nil {
		return fmt.Errorf("the step %q is for the call %q, which there is not", step.Do, step.Call)
	}
	switch step.Do {
	case conformance.DoSend:
		s.send(c, step.Message.String())
	case conformance.DoHalfClose:
		if c.stream != nil {
			c.stream.CloseSend()
		}
	case conformance.DoReceive:
		s.receive(c, step.Count)
	case conformance.DoFinish:
		s.finish(c)
	case conformance.DoCancel:
		c.cancel()
	default:
		return fmt.Errorf("there is no step %q", step.Do)
	}
	return nil
}

// begin begins a call.
func (s *script) begin(step conformance.Step) error {
	ctx, cancel := context.WithCancel(context.Background())
	if step.Timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(step.Timeout*float64(time.Second)))
	}
	for _, pair := range step.Metadata {
		ctx = packetrpc.WithMetadata(ctx, pair[0], pair[1])
	}
	c := &call{name: step.Call, cancel: cancel}
	ctx, c.info = packetrpc.WithCallInfo(ctx)
	s.calls[step.Call] = c
	var known bool
	if c.typ, known = callTypes()[step.Type]; !known {
		return fmt.Errorf("there is no type of calls %q", step.Type)
	}
	spec := &packetrpc.Spec{Action: step.Action, Type: c.typ}
	request := &message{Text: step.Message.String()}
	switch c.typ {
	case packetrpc.Unary:
		c.result, c.reply = make(chan error, 1), new(message)
		go func() { c.result <- s.caller.CallUnary(ctx, spec, request, c.reply) }()
	case packetrpc.OneWay:
		if err := s.caller.CallOneWay(ctx, spec, request); err != nil {
			s.end(c, "", err)
		}
	default:
		var err error
		if c.stream, err = s.caller.OpenStream(ctx, spec, request); err != nil {
			c.result = make(chan error, 1)
			c.result <- err
		}
	}
	return nil
}

func callTypes() map[string]packetrpc.CallType {
	types := make(map[string]packetrpc.CallType)
	for t := packetrpc.Unary; t <= packetrpc.BidiStreaming; t++ {
		types[t.String()] = t
	}
	return types
}

// send sends a message. That the call has ended is told when it is finished.
func (s *script) send(c *call, text string) {
	if c.stream == nil {
		return
	}
	if err := c.stream.Send(&message{Text: text}); err != nil && !errors.Is(err, io.EOF) {
		event := conformance.Event{Event: conformance.EventUnsent, Call: c.name}
		setFailure(&event, err)
		s.out.tell(event)
	}
}

// receive waits for so many messages of a stream; -1 is all.
func (s *script) receive(c *call, count int) {
	for ; count != 0; count-- {
		in := new(message)
		err := c.stream.Receive(in)
		switch {
		case errors.Is(err, io.EOF):
			s.end(c, "", nil)
			return
		case err != nil:
			s.end(c, "", err)
			return
		case !c.typ.StreamsReplies():
			s.end(c, in.GetText(), nil)
			return
		}
		event := conformance.Event{Event: conformance.EventMessage, Call: c.name}
		event.SetText(in.GetText())
		s.out.tell(event)
	}
}

// finish waits for the end of a call.
func (s *script) finish(c *call) {
	switch {
	case c.result == nil:
		s.receive(c, -1)
	default:
		err := <-c.result
		text := ""
		if err == nil {
			text = c.reply.GetText()
		}
		s.end(c, text, err)
	}
}

// end tells the end of a call.
func (s *script) end(c *call, text string, err error) {
	event := conformance.Event{Event: conformance.EventEnd, Call: c.name}
	event.SetText(text)
	if err != nil {
		setFailure(&event, err)
	}
	for key, value := range c.info.Metadata.All() {
		event.Metadata = append(event.Metadata, [2]string{key, value})
	}
	s.out.tell(event)
}
