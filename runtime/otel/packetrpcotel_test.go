package packetrpcotel_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	packetrpcotel "github.com/packetrpc/packetrpc/runtime/otel"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// propagator is what programs usually set.
func propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}

// noPings leaves out the call that packetrpctest makes.
func noPings(call *packetrpc.Call) bool { return call.Spec.Method != "Ping" }

// spans hands on the spans that have ended.
type spans chan sdktrace.ReadOnlySpan

func (spans) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (s spans) OnEnd(span sdktrace.ReadOnlySpan)              { s <- span }
func (spans) Shutdown(context.Context) error                  { return nil }
func (spans) ForceFlush(context.Context) error                { return nil }

// next waits for so many spans.
func (s spans) next(t *testing.T, count int) []sdktrace.ReadOnlySpan {
	t.Helper()
	var got []sdktrace.ReadOnlySpan
	for range count {
		select {
		case span := <-s:
			got = append(got, span)
		case <-time.After(10 * time.Second):
			t.Fatalf("%d spans have ended, and no more:\n%s", len(got), render(got))
		}
	}
	return got
}

// provider returns one whose spans come out of s.
func (s spans) provider() *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s))
}

// render draws traces as trees: what has no parent among the spans, and below it what it
// is the parent of.
func render(list []sdktrace.ReadOnlySpan) string {
	children := make(map[trace.SpanID][]sdktrace.ReadOnlySpan)
	known := make(map[trace.SpanID]bool)
	for _, span := range list {
		known[span.SpanContext().SpanID()] = true
	}
	for _, span := range list {
		parent := span.Parent().SpanID()
		if !known[parent] {
			parent = trace.SpanID{}
		}
		children[parent] = append(children[parent], span)
	}
	var out strings.Builder
	var draw func(of trace.SpanID, depth int)
	draw = func(of trace.SpanID, depth int) {
		slices.SortFunc(children[of], func(a, b sdktrace.ReadOnlySpan) int {
			return cmp.Or(a.StartTime().Compare(b.StartTime()), cmp.Compare(a.Name(), b.Name()))
		})
		for _, span := range children[of] {
			fmt.Fprintf(&out, "%s%s %s %s", strings.Repeat("  ", depth), span.SpanKind(), span.Name(), attributeOf(span.Attributes(), "rpc.status_code"))
			if span.Status().Code == codes.Error {
				fmt.Fprintf(&out, " (%s)", span.Status().Description)
			}
			out.WriteString("\n")
			draw(span.SpanContext().SpanID(), depth+1)
		}
	}
	draw(trace.SpanID{}, 0)
	return out.String()
}

func attributeOf(list []attribute.KeyValue, key attribute.Key) string {
	for _, a := range list {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// room handles the ChatService for the tests.
type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
}

func (room) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	switch request.GetText() {
	case "":
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no text")
	case "lose":
		return nil, packetrpc.Errorf(packetrpc.CodeDataLoss, "it is lost")
	case "panic":
		panic("on demand")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &chatv1.SendResponse{Number: 1}, nil
}

// Typing pushes to the caller.
func (room) Typing(ctx context.Context, _ *chatv1.TypingRequest) error {
	return chatv1packetrpc.NewChatEventsClient(packetrpc.PeerFrom(ctx)).Typed(ctx, &chatv1.TypedRequest{})
}

// History sends two messages, and without a limit goes on until nobody waits.
func (room) History(ctx context.Context, request *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	for range 2 {
		if err := stream.Send(&chatv1.HistoryResponse{}); err != nil {
			return err
		}
	}
	if request.GetLimit() == 0 {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (room) Import(_ context.Context, stream packetrpc.Receiver[chatv1.ImportRequest]) (*chatv1.ImportResponse, error) {
	for _, err := range stream.All() {
		if err != nil {
			return nil, err
		}
	}
	return &chatv1.ImportResponse{}, nil
}

func (room) Talk(_ context.Context, stream packetrpc.BidiStream[chatv1.TalkResponse, chatv1.TalkRequest]) error {
	for _, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(&chatv1.TalkResponse{}); err != nil {
			return err
		}
	}
	return nil
}

// Who asks the caller how it is.
func (room) Who(ctx context.Context, _ *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	_, err := chatv1packetrpc.NewChatEventsClient(packetrpc.PeerFrom(ctx)).Status(ctx, &chatv1.StatusRequest{})
	return &chatv1.WhoResponse{}, err
}

// guest handles the ChatEvents.
type guest struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
	baggage chan string
}

func (guest) Typed(context.Context, *chatv1.TypedRequest) error { return nil }

func (g guest) Status(ctx context.Context, _ *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	if g.baggage != nil {
		g.baggage <- baggage.FromContext(ctx).String()
	}
	return &chatv1.StatusResponse{}, nil
}

// connect starts a server and a client with interceptors that have the options.
func connect(t testing.TB, g guest, options []packetrpcotel.Option, more ...client.Option) (*server.Server, *client.Client, chatv1packetrpc.ChatServiceClient) {
	t.Helper()
	options = append([]packetrpcotel.Option{packetrpcotel.WithPropagator(propagator()), packetrpcotel.WithFilter(noPings)}, options...)
	calls := packetrpcotel.Interceptor(options...)
	srv := server.New(server.WithInterceptors(calls), server.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, g)
	conn := packetrpctest.Dial(t, srv, append(more, client.WithName("ada"), client.WithHandlers(handlers), client.WithInterceptors(calls))...)
	return srv, conn, chatv1packetrpc.NewChatServiceClient(conn)
}

func forms() map[string][]client.Option {
	return map[string][]client.Option{"binary": nil, "JSON": {client.WithJSON()}}
}

type conversation func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient)

func send(text string) conversation {
	return func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
		chat.Send(ctx, &chatv1.SendRequest{Text: text})
	}
}

func TestTraces(t *testing.T) {
	for _, test := range []struct {
		name string
		talk conversation
		want string
	}{
		{"unary", send("hello"), `
client chat.v1.ChatService/Send ok
  server chat.v1.ChatService/Send ok
`},
		{"failure of the caller", send(""), `
client chat.v1.ChatService/Send invalid_argument (there is no text)
  server chat.v1.ChatService/Send invalid_argument
`},
		{"failure of the callee", send("lose"), `
client chat.v1.ChatService/Send data_loss (it is lost)
  server chat.v1.ChatService/Send data_loss (it is lost)
`},
		{"panic", send("panic"), `
client chat.v1.ChatService/Send internal (the handler of chat.v1.ChatService/Send panicked)
  server chat.v1.ChatService/Send internal (the handler did not return)
`},
		{"the server calls back", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			chat.Who(ctx, &chatv1.WhoRequest{})
		}, `
client chat.v1.ChatService/Who ok
  server chat.v1.ChatService/Who ok
    client chat.v1.ChatEvents/Status ok
      server chat.v1.ChatEvents/Status ok
`},
		{"one-way, both ways", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			chat.Typing(ctx, &chatv1.TypingRequest{})
		}, `
client chat.v1.ChatService/Typing ok
  server chat.v1.ChatService/Typing ok
    client chat.v1.ChatEvents/Typed ok
      server chat.v1.ChatEvents/Typed ok
`},
		{"stream of replies", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			if stream, err := chat.History(ctx, &chatv1.HistoryRequest{Limit: 2}); err == nil {
				for range stream.All() {
				}
			}
		}, `
client chat.v1.ChatService/History ok
  server chat.v1.ChatService/History ok
`},
		{"stream left early", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			if stream, err := chat.History(ctx, &chatv1.HistoryRequest{}); err == nil {
				for range stream.All() {
					break
				}
			}
		}, `
client chat.v1.ChatService/History canceled (the stream was closed)
  server chat.v1.ChatService/History canceled
`},
		{"stream whose context ends", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			ctx, cancel := context.WithCancel(ctx)
			if stream, err := chat.History(ctx, &chatv1.HistoryRequest{}); err == nil {
				stream.Receive() // the handler runs
			}
			cancel()
		}, `
client chat.v1.ChatService/History canceled (context canceled)
  server chat.v1.ChatService/History canceled
`},
		{"stream of requests", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			if stream, err := chat.Import(ctx); err == nil {
				stream.Send(&chatv1.ImportRequest{})
				stream.CloseAndReceive()
			}
		}, `
client chat.v1.ChatService/Import ok
  server chat.v1.ChatService/Import ok
`},
		{"streams in both directions", func(ctx context.Context, chat chatv1packetrpc.ChatServiceClient) {
			if stream, err := chat.Talk(ctx); err == nil {
				stream.Send(&chatv1.TalkRequest{})
				stream.CloseSend()
				for range stream.All() {
				}
			}
		}, `
client chat.v1.ChatService/Talk ok
  server chat.v1.ChatService/Talk ok
`},
	} {
		for form, options := range forms() {
			t.Run(test.name+", "+form, func(t *testing.T) {
				ended := make(spans, 20)
				_, conn, chat := connect(t, guest{}, []packetrpcotel.Option{packetrpcotel.WithTracerProvider(ended.provider())}, options...)
				test.talk(t.Context(), chat)
				want := strings.TrimPrefix(test.want, "\n")
				got := ended.next(t, strings.Count(want, "\n"))
				conn.Close()
				for len(ended) > 0 {
					got = append(got, <-ended)
				}
				if diff := gocmp.Diff(want, render(got)); diff != "" {
					t.Error(diff)
				}
				for _, span := range got {
					if span.SpanContext().TraceID() != got[0].SpanContext().TraceID() {
						t.Errorf("%s is in another trace", span.Name())
					}
				}
			})
		}
	}
}

// A handler that waits until its caller gives up.
func TestTraceOfCanceledCall(t *testing.T) {
	ended := make(spans, 20)
	_, _, chat := connect(t, guest{}, []packetrpcotel.Option{packetrpcotel.WithTracerProvider(ended.provider())})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	send("wait")(ctx, chat)
	const want = "client chat.v1.ChatService/Send deadline_exceeded (context deadline exceeded)\n" +
		"  server chat.v1.ChatService/Send "
	if got := render(ended.next(t, 2)); !strings.HasPrefix(got, want) { // the server hears of it by the cancel or by its own clock
		t.Errorf("got\n%s, want\n%s…", got, want)
	}
}

// A stream that its caller has forgotten ends with the client.
func TestTraceOfForgottenStream(t *testing.T) {
	ended := make(spans, 20)
	_, conn, chat := connect(t, guest{}, []packetrpcotel.Option{packetrpcotel.WithTracerProvider(ended.provider())})
	stream, err := chat.Talk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&chatv1.TalkRequest{})
	if _, err := stream.Receive(); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	const want = "client chat.v1.ChatService/Talk unavailable (closed by this side)\n  server chat.v1.ChatService/Talk "
	if got := render(ended.next(t, 2)); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s, want\n%s…", got, want)
	}
}

func TestSpanAttributes(t *testing.T) {
	ended := make(spans, 20)
	_, conn, chat := connect(t, guest{}, []packetrpcotel.Option{
		packetrpcotel.WithTracerProvider(ended.provider()),
		packetrpcotel.WithAttributes(attribute.String("server.address", "chat.example.com")),
	})
	send("lose")(t.Context(), chat)
	want := map[trace.SpanKind][]attribute.KeyValue{
		trace.SpanKindClient: {
			attribute.String("error.type", "data_loss"),
			attribute.String("network.peer.address", "server"),
			attribute.String("packetrpc.call.type", "unary"),
			attribute.String("rpc.method", "chat.v1.ChatService/Send"),
			attribute.String("rpc.status_code", "data_loss"),
			attribute.String("rpc.system.name", "packetrpc"),
			attribute.String("server.address", "chat.example.com"),
		},
		trace.SpanKindServer: {
			attribute.String("error.type", "data_loss"),
			attribute.String("network.peer.address", "client-1"),
			attribute.String("packetrpc.call.type", "unary"),
			attribute.String("packetrpc.client.id", conn.ID()),
			attribute.String("rpc.method", "chat.v1.ChatService/Send"),
			attribute.String("rpc.status_code", "data_loss"),
			attribute.String("rpc.system.name", "packetrpc"),
			attribute.String("server.address", "chat.example.com"),
		},
	}
	for _, span := range ended.next(t, 2) {
		set := attribute.NewSet(span.Attributes()...)
		if diff := gocmp.Diff(want[span.SpanKind()], set.ToSlice(), gocmp.Comparer(func(a, b attribute.KeyValue) bool { return a == b })); diff != "" {
			t.Errorf("%v: %s", span.SpanKind(), diff)
		}
	}
}

func TestMessageEvents(t *testing.T) {
	ended := make(spans, 20)
	_, _, chat := connect(t, guest{}, []packetrpcotel.Option{
		packetrpcotel.WithTracerProvider(ended.provider()), packetrpcotel.WithMessageEvents()})
	stream, err := chat.Talk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&chatv1.TalkRequest{Text: "hello"})
	stream.CloseSend()
	for range stream.All() {
	}
	want := map[trace.SpanKind]string{
		trace.SpanKindClient: "transmit 1 (7 bytes), receive 1 (0 bytes)",
		trace.SpanKindServer: "receive 1 (7 bytes), transmit 1 (0 bytes)",
	}
	for _, span := range ended.next(t, 2) {
		var got []string
		for _, event := range span.Events() {
			got = append(got, fmt.Sprintf("%s %s (%s bytes)", attributeOf(event.Attributes, "network.io.direction"),
				attributeOf(event.Attributes, "packetrpc.message.number"), attributeOf(event.Attributes, "packetrpc.message.size")))
		}
		if got := strings.Join(got, ", "); got != want[span.SpanKind()] {
			t.Errorf("%v has the events %s, want %s", span.SpanKind(), got, want[span.SpanKind()])
		}
	}
}

// Baggage goes the same way as the trace, there and back.
func TestBaggage(t *testing.T) {
	for form, options := range forms() {
		t.Run(form, func(t *testing.T) {
			g := guest{baggage: make(chan string, 1)}
			_, _, chat := connect(t, g, []packetrpcotel.Option{packetrpcotel.WithTracerProvider(sdktrace.NewTracerProvider())}, options...)
			member, err := baggage.NewMember("tenant", "blue")
			if err != nil {
				t.Fatal(err)
			}
			bag, err := baggage.New(member)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := chat.Who(baggage.ContextWithBaggage(t.Context(), bag), &chatv1.WhoRequest{}); err != nil {
				t.Fatal(err)
			}
			if got := <-g.baggage; got != "tenant=blue" {
				t.Errorf("the callback has the baggage %q", got)
			}
		})
	}
}

// Who passes on metadata that has come with a trace makes its calls in its own.
func TestOlderTraceInMetadata(t *testing.T) {
	ended := make(spans, 20)
	_, _, chat := connect(t, guest{}, []packetrpcotel.Option{packetrpcotel.WithTracerProvider(ended.provider())})
	ctx := packetrpc.WithMetadata(t.Context(), "traceparent", "00-11111111111111111111111111111111-2222222222222222-01")
	send("hello")(ctx, chat)
	const want = "client chat.v1.ChatService/Send ok\n  server chat.v1.ChatService/Send ok\n"
	if diff := gocmp.Diff(want, render(ended.next(t, 2))); diff != "" {
		t.Error(diff)
	}
}

// A server whose clients are strangers begins traces of its own, and says whose they
// were.
func TestPublicEndpoint(t *testing.T) {
	ended := make(spans, 20)
	_, _, chat := connect(t, guest{}, []packetrpcotel.Option{
		packetrpcotel.WithTracerProvider(ended.provider()), packetrpcotel.WithPublicEndpoint()})
	send("hello")(t.Context(), chat)
	byKind := make(map[trace.SpanKind]sdktrace.ReadOnlySpan)
	for _, span := range ended.next(t, 2) {
		byKind[span.SpanKind()] = span
	}
	caller, callee := byKind[trace.SpanKindClient], byKind[trace.SpanKindServer]
	if callee.Parent().IsValid() || callee.SpanContext().TraceID() == caller.SpanContext().TraceID() {
		t.Error("the callee's span is in the caller's trace")
	}
	if links := callee.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != caller.SpanContext().SpanID() {
		t.Errorf("the callee's span has the links %v", links)
	}
}

// What is filtered out is neither traced nor measured, and works all the same.
func TestFilter(t *testing.T) {
	ended := make(spans, 20)
	_, _, chat := connect(t, guest{}, []packetrpcotel.Option{
		packetrpcotel.WithTracerProvider(ended.provider()),
		packetrpcotel.WithFilter(func(call *packetrpc.Call) bool { return call.Spec.Method == "Who" })})
	if _, err := chat.Send(t.Context(), &chatv1.SendRequest{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Who(t.Context(), &chatv1.WhoRequest{}); err != nil {
		t.Fatal(err)
	}
	const want = "client chat.v1.ChatService/Who ok\n  server chat.v1.ChatService/Who ok\n"
	if diff := gocmp.Diff(want, render(ended.next(t, 2))); diff != "" {
		t.Error(diff)
	}
}

// A broadcast is part of the trace of who makes it, and what its receivers do as well.
func TestAudience(t *testing.T) {
	ended := make(spans, 20)
	options := []packetrpcotel.Option{packetrpcotel.WithTracerProvider(ended.provider()), packetrpcotel.WithPropagator(propagator())}
	srv, _, _ := connect(t, guest{}, options)
	events := chatv1packetrpc.NewChatEventsBroadcast(packetrpcotel.Audience(srv.All(), options...))
	if delivery, err := events.Typed(t.Context(), &chatv1.TypedRequest{}); err != nil || delivery.Queued != 1 {
		t.Fatal(delivery, err)
	}
	got := ended.next(t, 2)
	const want = "producer chat.v1.ChatEvents/Typed ok\n  server chat.v1.ChatEvents/Typed ok\n"
	if diff := gocmp.Diff(want, render(got)); diff != "" {
		t.Error(diff)
	}
	for _, span := range got {
		if span.SpanKind() == trace.SpanKindProducer && attributeOf(span.Attributes(), "packetrpc.broadcast.queued") != "1" {
			t.Errorf("the broadcast has the attributes %v", span.Attributes())
		}
	}
	if _, err := events.Typed(t.Context(), &chatv1.TypedRequest{Name: "\xff"}); err == nil {
		t.Fatal("a name that is no UTF-8 was broadcast")
	}
	if got := render(ended.next(t, 1)); !strings.HasPrefix(got, "producer chat.v1.ChatEvents/Typed internal (the message cannot be encoded") {
		t.Errorf("a failed broadcast is %s", got)
	}
}
