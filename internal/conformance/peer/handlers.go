package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// newHandlers returns the actions that a command serves on every connection.
func newHandlers(out *observer) *packetrpc.Handlers {
	var handlers packetrpc.Handlers
	spec := func(action string, typ packetrpc.CallType) *packetrpc.Spec {
		return &packetrpc.Spec{Action: action, Type: typ}
	}
	packetrpc.HandleUnary(&handlers, spec(conformance.ActionEcho, packetrpc.Unary), echo)
	packetrpc.HandleOneWay(&handlers, spec(conformance.ActionNote, packetrpc.OneWay), func(_ context.Context, in *message) error {
		event := conformance.Event{Event: conformance.EventHandled, Action: conformance.ActionNote}
		event.SetText(in.GetText())
		out.tell(event)
		return nil
	})
	packetrpc.HandleServerStream(&handlers, spec(conformance.ActionCount, packetrpc.ServerStream), count)
	packetrpc.HandleClientStream(&handlers, spec(conformance.ActionJoin, packetrpc.ClientStream), join)
	packetrpc.HandleBidiStream(&handlers, spec(conformance.ActionTalk, packetrpc.BidiStreaming),
		func(_ context.Context, stream packetrpc.BidiStream[message, message]) error {
			return cancelled(out, conformance.ActionTalk, talk(stream))
		})
	packetrpc.HandleUnary(&handlers, spec(conformance.ActionFail, packetrpc.Unary), fail)
	packetrpc.HandleServerStream(&handlers, spec(conformance.ActionWait, packetrpc.ServerStream),
		func(ctx context.Context, _ *message, replies packetrpc.Sender[message]) error {
			if err := replies.Send(&message{Text: "waiting"}); err != nil {
				return err
			}
			<-ctx.Done()
			return cancelled(out, conformance.ActionWait, ctx.Err())
		})
	return &handlers
}

// cancelled tells that a handler has been cancelled, if it has.
func cancelled(out *observer, action string, err error) error {
	if err != nil {
		out.tell(conformance.Event{Event: conformance.EventCancelled, Action: action})
	}
	return err
}

func echo(ctx context.Context, in *message) (*message, error) {
	for key, value := range packetrpc.MetadataFrom(ctx).All() {
		packetrpc.SetMetadata(ctx, key, value)
	}
	return in, nil
}

func count(_ context.Context, in *message, replies packetrpc.Sender[message]) error {
	n, err := strconv.Atoi(in.GetText())
	if err != nil {
		return packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	for i := range n {
		if err := replies.Send(&message{Text: strconv.Itoa(i + 1)}); err != nil {
			return err
		}
	}
	return nil
}

func join(_ context.Context, requests packetrpc.Receiver[message]) (*message, error) {
	var joined strings.Builder
	for in, err := range requests.All() {
		if err != nil {
			return nil, err
		}
		joined.WriteString(in.GetText())
	}
	return &message{Text: joined.String()}, nil
}

func talk(stream packetrpc.BidiStream[message, message]) error {
	for in, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(in); err != nil {
			return err
		}
	}
	return nil
}

func fail(_ context.Context, in *message) (*message, error) {
	code, known := packetrpc.ParseCode(in.GetText())
	if !known {
		code = packetrpc.CodeInvalidArgument
	}
	return nil, packetrpc.Errorf(code, "as asked")
}
