package backcompat_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/internal/interop"
	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Most scenarios call the service of package interop. What it lacks has the names that
// the cases of package conformance use, and messages of a text.
type message = packetrpcv1.PingRequest

// The actions, which never change.
var (
	noteSpec     = &packetrpc.Spec{Action: conformance.ActionNote, Type: packetrpc.OneWay}
	failSpec     = &packetrpc.Spec{Action: conformance.ActionFail}
	waitSpec     = &packetrpc.Spec{Action: conformance.ActionWait, Type: packetrpc.ServerStream}
	heardSpec    = &packetrpc.Spec{Action: "Heard"}    // returns the next note that was handled
	timeSpec     = &packetrpc.Spec{Action: "Time"}     // returns how much time its call has left
	lingerSpec   = &packetrpc.Spec{Action: "Linger"}   // takes two seconds, whatever its context says
	callBackSpec = &packetrpc.Spec{Action: "CallBack"} // makes the server call its caller in many ways
	enterSpec    = &packetrpc.Spec{Action: "Enter"}    // lets its caller join a group
	shoutSpec    = &packetrpc.Spec{Action: "Shout"}    // broadcasts to a group or to all, and returns how many were queued
	publishSpec  = &packetrpc.Spec{Action: "Publish"}  // pushes two notes to its caller
	stopSpec     = &packetrpc.Spec{Action: "Stop"}     // shuts its server down, and returns a while later
	leaveSpec    = &packetrpc.Spec{Action: "Leave"}    // disconnects its caller
	silenceSpec  = &packetrpc.Spec{Action: "Silence", Type: packetrpc.ServerStream}
)

// handleText registers a unary action.
func handleText(r packetrpc.Registrar, spec *packetrpc.Spec, handle func(context.Context, string) (string, error)) {
	packetrpc.HandleUnary(r, spec, func(ctx context.Context, in *message) (*message, error) {
		text, err := handle(ctx, in.GetText())
		return &message{Text: text}, err
	})
}

// callText calls one.
func callText(ctx context.Context, caller packetrpc.Caller, spec *packetrpc.Spec, text string) (string, error) {
	out, err := packetrpc.CallUnary[message](ctx, caller, spec, &message{Text: text})
	return out.GetText(), err
}

// wantText calls a unary action and checks what it returns.
func wantText(ctx context.Context, caller packetrpc.Caller, spec *packetrpc.Spec, text, wanted string) error {
	got, err := callText(ctx, caller, spec, text)
	if err != nil {
		return fmt.Errorf("%s: %w", spec.Action, err)
	}
	return want("the reply of "+spec.Action, got, wanted)
}

// serveInterop serves package interop's service.
func serveInterop(r packetrpc.Registrar) {
	interopv1packetrpc.RegisterInteropServiceHandler(r, new(interop.Handler))
}

// serveInteropOnly is serveInterop as the server's part of a scenario.
func serveInteropOnly(s *stage) { serveInterop(s) }

// unary makes an interop call and checks the reply.
func unary(ctx context.Context, caller packetrpc.Caller, body string, replySize int) error {
	reply, err := interopv1packetrpc.NewInteropServiceClient(caller).Unary(ctx, &interopv1.UnaryRequest{
		ResponseSize: uint32(replySize), Body: []byte(body),
	})
	if err != nil {
		return err
	}
	if err := want("the size that the handler received", int(reply.GetReceived()), len(body)); err != nil {
		return err
	}
	return want("the reply", string(reply.GetBody()), strings.Repeat("\x00", replySize))
}

// notes are one-way calls that have been handled.
type notes chan string

func newNotes() notes { return make(notes, 100) }

// serve registers the action that takes notes.
func (n notes) serve(r packetrpc.Registrar) {
	packetrpc.HandleOneWay(r, noteSpec, func(_ context.Context, in *message) error {
		n <- in.GetText()
		return nil
	})
}

// want waits for notes.
func (n notes) want(texts ...string) error {
	for _, wanted := range texts {
		select {
		case got := <-n:
			if err := want("the note", got, wanted); err != nil {
				return err
			}
		case <-time.After(patience):
			return fmt.Errorf("the note %q does not come", wanted)
		}
	}
	return nil
}

// push sends a note.
func push(ctx context.Context, caller packetrpc.Caller, texts ...string) error {
	for _, text := range texts {
		if err := caller.CallOneWay(ctx, noteSpec, &message{Text: text}); err != nil {
			return err
		}
	}
	return nil
}

// inTurn runs parts of a scenario one after the other, and says which one has failed.
func inTurn(parts ...part) error {
	for _, p := range parts {
		if err := p.do(); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

type part struct {
	name string
	do   func() error
}
