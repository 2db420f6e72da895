package packetrpc_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// watcher observes the calls of one side, and says in a line how each has gone.
type watcher struct {
	side  string
	lines chan string
}

func (w watcher) begin(ctx context.Context, call *packetrpc.Call) (context.Context, packetrpc.Observer) {
	if call.Spec.Method == "Ping" {
		return ctx, nil // packetrpctest's
	}
	direction := "handles"
	if call.Outgoing {
		direction = "calls"
	}
	return ctx, &watched{watcher: w, what: w.side + " " + direction + " " + call.Spec.Method}
}

type watched struct {
	watcher
	what           string
	sent, received atomic.Int32
	ends           atomic.Int32
}

func (w *watched) Sent(proto.Message)     { w.sent.Add(1) }
func (w *watched) Received(proto.Message) { w.received.Add(1) }

func (w *watched) End(err error) {
	outcome := "ok"
	if err != nil {
		outcome = packetrpc.CodeOf(err).String()
	}
	if ends := w.ends.Add(1); ends > 1 {
		outcome += fmt.Sprintf(", end %d", ends)
	}
	w.lines <- fmt.Sprintf("%s: sent %d, received %d, %s", w.what, w.sent.Load(), w.received.Load(), outcome)
}

// room is what the observed calls call.
type room struct{ chat }

func (room) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	switch request.GetText() {
	case "panic":
		panic("on demand")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return chat{}.Send(ctx, request)
}

// History sends one message, and without a limit goes on until nobody waits.
func (room) History(ctx context.Context, request *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	if err := stream.Send(&chatv1.HistoryResponse{}); err != nil || request.GetLimit() == 1 {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (room) Typing(context.Context, *chatv1.TypingRequest) error { return nil }

// Who asks the caller how it is.
func (room) Who(ctx context.Context, _ *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	_, err := chatv1packetrpc.NewChatEventsClient(packetrpc.PeerFrom(ctx)).Status(ctx, &chatv1.StatusRequest{})
	return &chatv1.WhoResponse{}, err
}

// guest is what the server calls.
type guest struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
}

func (guest) Status(context.Context, *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	return &chatv1.StatusResponse{Status: "fine"}, nil
}

func guestHandlers() *packetrpc.Handlers {
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, guest{})
	return handlers
}

func TestObserve(t *testing.T) {
	type conversation func(ctx context.Context, cancel context.CancelFunc, conn *client.Client, chat chatv1packetrpc.ChatServiceClient)
	send := func(text string) conversation {
		return func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			chat.Send(ctx, &chatv1.SendRequest{Text: text})
		}
	}
	for _, test := range []struct {
		name string
		talk conversation
		want []string
	}{
		{"unary", send("hello"), []string{
			"client calls Send: sent 1, received 1, ok",
			"server handles Send: sent 1, received 1, ok",
		}},
		{"failure", send(""), []string{
			"client calls Send: sent 1, received 0, invalid_argument",
			"server handles Send: sent 0, received 1, invalid_argument",
		}},
		{"panic", send("panic"), []string{
			"client calls Send: sent 1, received 0, internal",
			"server handles Send: sent 0, received 1, internal",
		}},
		{"one-way", func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			chat.Typing(ctx, &chatv1.TypingRequest{})
		}, []string{
			"client calls Typing: sent 1, received 0, ok",
			"server handles Typing: sent 0, received 1, ok",
		}},
		{"stream of replies", func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			stream, err := chat.History(ctx, &chatv1.HistoryRequest{Limit: 1})
			for err == nil {
				_, err = stream.Receive()
			}
			stream.Close() // after the end it changes nothing
		}, []string{
			"client calls History: sent 1, received 1, ok",
			"server handles History: sent 1, received 1, ok",
		}},
		{"stream left early", func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			stream, err := chat.History(ctx, &chatv1.HistoryRequest{})
			if err != nil {
				return
			}
			for range stream.All() {
				break
			}
		}, []string{
			"client calls History: sent 1, received 1, canceled",
			"server handles History: sent 1, received 1, canceled",
		}},
		{"stream whose context ends", func(ctx context.Context, cancel context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			if stream, err := chat.History(ctx, &chatv1.HistoryRequest{}); err == nil {
				stream.Receive()
			}
			cancel()
		}, []string{
			"client calls History: sent 1, received 1, canceled",
			"server handles History: sent 1, received 1, canceled",
		}},
		{"stream that is forgotten", func(ctx context.Context, _ context.CancelFunc, conn *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			if stream, err := chat.History(ctx, &chatv1.HistoryRequest{}); err == nil {
				stream.Receive()
			}
			conn.Close()
		}, []string{
			"client calls History: sent 1, received 1, unavailable",
			"server handles History: sent 1, received 1, canceled",
		}},
		{"stream of requests", func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			stream, err := chat.Import(ctx)
			if err != nil {
				return
			}
			stream.Send(&chatv1.ImportRequest{})
			stream.Send(&chatv1.ImportRequest{})
			stream.CloseAndReceive()
		}, []string{
			"client calls Import: sent 2, received 1, ok",
			"server handles Import: sent 1, received 2, ok",
		}},
		{"streams in both directions", func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			stream, err := chat.Talk(ctx)
			if err != nil {
				return
			}
			stream.Send(&chatv1.TalkRequest{})
			stream.Receive()
			stream.CloseSend()
			stream.Receive()
		}, []string{
			"client calls Talk: sent 1, received 1, ok",
			"server handles Talk: sent 1, received 1, ok",
		}},
		{"the server calls back", func(ctx context.Context, _ context.CancelFunc, _ *client.Client, chat chatv1packetrpc.ChatServiceClient) {
			chat.Who(ctx, &chatv1.WhoRequest{})
		}, []string{
			"client calls Who: sent 1, received 1, ok",
			"client handles Status: sent 1, received 1, ok",
			"server calls Status: sent 1, received 1, ok",
			"server handles Who: sent 1, received 1, ok",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			packetrpctest.CheckLeaks(t)
			lines := make(chan string, 2*len(test.want)) // room for what must not come
			quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
			srv := server.New(server.WithLogger(quiet), server.WithInterceptors(packetrpc.Observe(watcher{"server", lines}.begin)))
			chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
			conn := packetrpctest.Dial(t, srv, client.WithHandlers(guestHandlers()),
				client.WithInterceptors(packetrpc.Observe(watcher{"client", lines}.begin)))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			test.talk(ctx, cancel, conn, chatv1packetrpc.NewChatServiceClient(conn))
			var got []string
			for range test.want {
				got = append(got, <-lines)
			}
			conn.Close()
			for len(lines) > 0 {
				got = append(got, <-lines)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A call that is not sent has ended all the same.
func TestObserveRefusedStream(t *testing.T) {
	lines := make(chan string, 2)
	conn := packetrpctest.Dial(t, server.New(), client.WithInterceptors(packetrpc.Observe(watcher{"client", lines}.begin)))
	stream, err := chatv1packetrpc.NewChatServiceClient(conn).History(t.Context(), &chatv1.HistoryRequest{})
	if err == nil {
		_, err = stream.Receive()
	}
	if packetrpc.CodeOf(err) != packetrpc.CodeUnimplemented {
		t.Fatal(err)
	}
	if got, want := <-lines, "client calls History: sent 1, received 0, unimplemented"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	chatv1packetrpc.NewChatServiceClient(conn).History(ctx, &chatv1.HistoryRequest{})
	if got, want := <-lines, "client calls History: sent 1, received 0, canceled"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
