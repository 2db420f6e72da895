package backcompat_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func callScenarios() []scenario {
	return []scenario{
		{
			name: "unary", about: "Unary calls: the second one of an action bears its number alone. Two actions that there are not.",
			serve: serveInteropOnly, call: callUnary,
		},
		{
			name: "one-way", about: "One-way calls of the client, handled in their order.",
			serve: serveNotes, call: callOneWay,
		},
		{
			name: "streams", about: "Streams of requests, of replies, and in both directions; one without any message.",
			serve: serveInteropOnly, call: callStreams,
		},
		{
			name: "errors", about: "Calls that fail: with a code and a message, with details and retry-after, and a stream after a message.",
			serve: serveErrors, call: callErrors,
		},
		{
			name: "metadata", about: "Metadata of a call, and of its reply, with several values of a key.",
			serve: serveInteropOnly, call: callMetadata,
		},
		{
			name: "deadline", about: "A timeout that the handler is told, and one that runs out.",
			serve: serveDeadlines, call: callDeadlines,
		},
		{
			name: "cancel", about: "A stream that is cancelled while its handler runs, which another call watches.",
			serve: serveInteropOnly, call: callCancel,
		},
		{
			name: "core", about: "The Core actions.",
			options: []server.Option{server.WithRoles("ada", "admin")},
			serve:   func(s *stage) { serveInterop(s) }, call: callCore,
		},
	}
}

func callUnary(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	service := interopv1packetrpc.NewInteropServiceClient(conn)
	for _, body := range []string{"first", "second"} {
		if err := unary(ctx, conn, body, 5); err != nil {
			return err
		}
	}
	if _, err := service.Empty(ctx, &interopv1.EmptyRequest{}); err != nil {
		return err
	}
	_, err = service.Unimplemented(ctx, &interopv1.UnimplementedRequest{})
	if err := wantCode(err, packetrpc.CodeUnimplemented); err != nil {
		return err
	}
	_, err = interopv1packetrpc.NewUnregisteredServiceClient(conn).Call(ctx, &interopv1.CallRequest{})
	return wantCode(err, packetrpc.CodeUnimplemented)
}

func serveNotes(s *stage) {
	heard := newNotes()
	heard.serve(s)
	handleText(s, heardSpec, func(ctx context.Context, _ string) (string, error) {
		select {
		case text := <-heard:
			return text, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
}

func callOneWay(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	if err := push(ctx, conn, "one", "two"); err != nil {
		return err
	}
	for _, text := range []string{"one", "two"} {
		if err := wantText(ctx, conn, heardSpec, "", text); err != nil {
			return err
		}
	}
	return nil
}

func callStreams(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	return inTurn(
		part{"requests", func() error { return sendStream(ctx, conn, "abc", "de", "") }},
		part{"replies", func() error { return receiveStream(ctx, conn, 3, 0, 5) }},
		part{"both", func() error { return talk(ctx, conn, "one", "two") }},
		part{"neither", func() error { return talk(ctx, conn) }},
		part{"no requests", func() error { return sendStream(ctx, conn) }},
	)
}

// sendStream sends bodies, whose sizes the reply sums up.
func sendStream(ctx context.Context, caller packetrpc.Caller, bodies ...string) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).ClientStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	sum := 0
	for _, body := range bodies {
		sum += len(body)
		if err := stream.Send(&interopv1.ClientStreamRequest{Body: []byte(body)}); err != nil {
			return err
		}
	}
	reply, err := stream.CloseAndReceive()
	if err != nil {
		return err
	}
	return want("the sum", int(reply.GetReceived()), sum)
}

// receiveStream asks for bodies of some sizes.
func receiveStream(ctx context.Context, caller packetrpc.Caller, sizes ...uint32) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).ServerStream(ctx, &interopv1.ServerStreamRequest{ResponseSizes: sizes})
	if err != nil {
		return err
	}
	defer stream.Close()
	var got []uint32
	for reply, err := range stream.All() {
		if err != nil {
			return err
		}
		got = append(got, uint32(len(reply.GetBody())))
	}
	if !slices.Equal(got, sizes) {
		return fmt.Errorf("the sizes are %v, want %v", got, sizes)
	}
	return nil
}

// talk sends bodies, each of which is answered by one of four bytes.
func talk(ctx context.Context, caller packetrpc.Caller, bodies ...string) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, body := range bodies {
		if err := stream.Send(&interopv1.BidiStreamRequest{Body: []byte(body), ResponseSizes: []uint32{4}}); err != nil {
			return err
		}
		reply, err := stream.Receive()
		if err != nil {
			return err
		}
		if err := want("the size received", int(reply.GetReceived()), len(body)); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Receive(); err != io.EOF {
		return fmt.Errorf("the stream ended with %w", err)
	}
	return nil
}

func serveErrors(s *stage) {
	serveInterop(s)
	handleText(s, failSpec, func(_ context.Context, text string) (string, error) {
		err := packetrpc.Errorf(packetrpc.CodeResourceExhausted, "%s, %s", text, asked)
		err.RetryAfter = 1500 * time.Millisecond
		if err := err.AddDetail(&message{Text: "the first detail"}); err != nil {
			return "", err
		}
		if err := err.AddDetail(&packetrpcv1.PingResponse{Text: "the second"}); err != nil {
			return "", err
		}
		return "", err
	})
}

func callErrors(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	return inTurn(
		part{"with a code", func() error {
			_, err := interopv1packetrpc.NewInteropServiceClient(conn).Unary(ctx, &interopv1.UnaryRequest{Status: notFound()})
			return wantFailure(err, packetrpc.CodeNotFound, "not here, as asked")
		}},
		part{"with details", func() error {
			_, err := callText(ctx, conn, failSpec, "too much")
			return wantDetails(err)
		}},
		part{"of a stream", func() error { return failingStream(ctx, conn) }},
	)
}

func notFound() *interopv1.Status {
	return &interopv1.Status{Code: uint32(packetrpc.CodeNotFound), Message: "not here, " + asked}
}

func wantFailure(err error, code packetrpc.Code, text string) error {
	if err := wantCode(err, code); err != nil {
		return err
	}
	return want("the message", packetrpc.AsError(err).Message, text)
}

func wantDetails(err error) error {
	if err := wantFailure(err, packetrpc.CodeResourceExhausted, "too much, as asked"); err != nil {
		return err
	}
	failure := packetrpc.AsError(err)
	if err := want("retry-after", failure.RetryAfter, 1500*time.Millisecond); err != nil {
		return err
	}
	var first message
	var second packetrpcv1.PingResponse
	if len(failure.Details) != 2 || failure.Details[0].UnmarshalTo(&first) != nil || failure.Details[1].UnmarshalTo(&second) != nil {
		return fmt.Errorf("the details are %v", failure.Details)
	}
	return want("the details", first.GetText()+", "+second.GetText(), "the first detail, the second")
}

func failingStream(ctx context.Context, caller packetrpc.Caller) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.Send(&interopv1.BidiStreamRequest{ResponseSizes: []uint32{1}, Status: notFound()}); err != nil {
		return err
	}
	if _, err := stream.Receive(); err != nil {
		return err
	}
	_, err = stream.Receive()
	return wantFailure(err, packetrpc.CodeNotFound, "not here, as asked")
}

func callMetadata(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	ctx, info := packetrpc.WithCallInfo(packetrpc.WithMetadata(ctx,
		"interop-echo-initial", "one", "other", "value", "interop-echo-initial", "two", "interop-echo-trailing-bin", "q6ur"))
	if err := unary(ctx, conn, "", 1); err != nil {
		return err
	}
	if got := info.Metadata.Values("interop-echo-initial"); !slices.Equal(got, []string{"one", "two"}) {
		return fmt.Errorf("the metadata is %q", got)
	}
	return want("the metadata of the end", info.Metadata.Get("interop-echo-trailing-bin"), "q6ur")
}

func serveDeadlines(s *stage) {
	handleText(s, timeSpec, func(ctx context.Context, _ string) (string, error) {
		deadline, limited := ctx.Deadline()
		if !limited {
			return "no limit", nil
		}
		return time.Until(deadline).String(), nil
	})
	handleText(s, lingerSpec, func(ctx context.Context, _ string) (string, error) {
		time.Sleep(2 * time.Second)
		return "", ctx.Err()
	})
}

func callDeadlines(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	return inTurn(
		part{"a timeout", func() error {
			ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
			defer cancel()
			return wantText(ctx, conn, timeSpec, "", "1.5s")
		}},
		part{"no timeout", func() error { return wantText(ctx, conn, timeSpec, "", "no limit") }},
		part{"time runs out", func() error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := callText(ctx, conn, lingerSpec, "")
			time.Sleep(2 * time.Second)
			return wantCode(err, packetrpc.CodeDeadlineExceeded)
		}},
		part{"afterwards", func() error { return wantText(ctx, conn, timeSpec, "", "no limit") }},
	)
}

func callCancel(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	service := interopv1packetrpc.NewInteropServiceClient(conn)
	watch, err := service.Watch(ctx, &interopv1.WatchRequest{Call: "talk"})
	if err != nil {
		return err
	}
	defer watch.Close()
	if err := reach(watch, interopv1.State_STATE_AWAITED, 0); err != nil {
		return err
	}
	calling, cancel := context.WithCancel(packetrpc.WithMetadata(ctx, "interop-call", "talk"))
	defer cancel()
	stream, err := service.BidiStream(calling)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := reach(watch, interopv1.State_STATE_BEGUN, 0); err != nil {
		return err
	}
	cancel()
	if _, err := stream.Receive(); packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
		return fmt.Errorf("the stream ended with %w", err)
	}
	if err := reach(watch, interopv1.State_STATE_ENDED, packetrpc.CodeCanceled); err != nil {
		return err
	}
	if _, err = watch.Receive(); err != io.EOF {
		return fmt.Errorf("the watch ended with %w", err)
	}
	return nil
}

func reach(watch packetrpc.ReceiveStream[interopv1.WatchResponse], state interopv1.State, code packetrpc.Code) error {
	reply, err := watch.Receive()
	if err != nil {
		return err
	}
	if err := want("the state", reply.GetState(), state); err != nil {
		return err
	}
	return want("the code", packetrpc.Code(reply.GetCode()), code)
}

func callCore(ctx context.Context, p *program) error {
	heard := newNotes()
	var handlers packetrpc.Handlers
	heard.serve(&handlers)
	conn, err := p.connect(ctx, withHandlers(&handlers))
	if err != nil {
		return err
	}
	core := packetrpcv1packetrpc.NewCoreServiceClient(conn)
	note := &packetrpcv1.Push{Action: interopv1packetrpc.InteropServiceEmptyAction}
	return inTurn(
		part{"ping", func() error {
			reply, err := core.Ping(ctx, &packetrpcv1.PingRequest{Text: "hi"})
			if err != nil {
				return err
			}
			return want("the text", reply.GetText(), "hi")
		}},
		part{"info", func() error {
			reply, err := core.Info(ctx, &packetrpcv1.InfoRequest{})
			if err != nil {
				return err
			}
			return want("the client", reply.GetClient().GetId()+reply.GetClient().GetName()+fmt.Sprint(reply.GetRoles()), conn.ID()+"ada[admin]")
		}},
		part{"list", func() error {
			reply, err := core.ListClients(ctx, &packetrpcv1.ListClientsRequest{})
			if err != nil {
				return err
			}
			return want("the number of clients", len(reply.GetClients()), 1)
		}},
		part{"a push of an action that is not one-way", func() error {
			_, err := core.Send(ctx, &packetrpcv1.SendRequest{Id: conn.ID(), Push: note})
			return wantCode(err, packetrpc.CodeUnimplemented)
		}},
		part{"a push to nobody", func() error {
			_, err := core.Disconnect(ctx, &packetrpcv1.DisconnectRequest{Id: "nobody"})
			return wantCode(err, packetrpc.CodeNotFound)
		}},
		part{"an unknown push", func() error {
			_, err := core.Broadcast(ctx, &packetrpcv1.BroadcastRequest{Push: &packetrpcv1.Push{Action: "Nothing"}})
			return wantCode(err, packetrpc.CodeUnimplemented)
		}},
	)
}
