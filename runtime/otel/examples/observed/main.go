// Command observed is a chat server and a client that are traced, measured and logged,
// in one process. It prints the trace of a call that goes from the client to the server
// and back to the client, and what a monitor would see. Copy from it.
//
//	cd runtime/otel && go run ./examples/observed
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	packetrpcotel "github.com/packetrpc/packetrpc/runtime/otel"
	"github.com/packetrpc/packetrpc/runtime/otel/packetrpcprom"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/status"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// setUp tells OpenTelemetry where traces and metrics go. Spans are kept in memory here;
// a program would give an exporter to a collector instead, as that of the module
// go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc.
func setUp() (*tracetest.InMemoryExporter, http.Handler, error) {
	spans := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	meters, page, err := packetrpcprom.New()
	if err != nil {
		return nil, nil, err
	}
	otel.SetMeterProvider(meters)
	return spans, page, nil
}

// newServer returns a chat server that is observed, and the handler of what monitors ask.
func newServer(page http.Handler, logger *slog.Logger) (*server.Server, http.Handler, error) {
	srv := server.New(server.WithInterceptors(packetrpcotel.Interceptor(), packetrpc.AccessLog(logger)))
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	if _, err := packetrpcotel.ObserveServer(srv); err != nil {
		return nil, nil, err
	}
	monitors := http.NewServeMux()
	monitors.Handle("/metrics", page)
	monitors.Handle("/", status.Handler(srv))
	return srv, monitors, nil
}

func run(ctx context.Context, out io.Writer) error {
	spans, page, err := setUp()
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	srv, monitors, err := newServer(page, logger)
	if err != nil {
		return err
	}
	chats, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	probes, err := net.Listen("tcp", "127.0.0.1:0") // an address of its own
	if err != nil {
		return err
	}
	monitor := &http.Server{Handler: monitors}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(ctx, chats) }()
	go func() { ended <- monitor.Serve(probes) }()

	err = visit(ctx, out, chats.Addr().String(), "http://"+probes.Addr().String())
	stop()
	monitor.Close()
	<-ended
	<-ended
	fmt.Fprint(out, "\n", render(spans.GetSpans()))
	return err
}

// visit calls the server and looks at what it shows.
func visit(ctx context.Context, out io.Writer, chat, monitor string) error {
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, guest{})
	conn, err := client.Dial(ctx, chat, client.WithName("ada"), client.WithHandlers(handlers),
		client.WithInterceptors(packetrpcotel.Interceptor()))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := chatv1packetrpc.NewChatServiceClient(conn).Who(ctx, &chatv1.WhoRequest{}); err != nil {
		return err
	}
	if err := show(out, monitor+"/healthz?service="+chatv1packetrpc.ChatServiceName, ""); err != nil {
		return err
	}
	return show(out, monitor+"/metrics", "rpc_server_call_duration_seconds_count", "packetrpc_server_sessions")
}

// show prints the lines of a page that begin with one of the prefixes.
func show(out io.Writer, address string, prefixes ...string) error {
	answer, err := http.Get(address)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	for line := range strings.Lines(string(body)) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(line, prefix) {
				fmt.Fprint(out, line)
			}
		}
	}
	return nil
}

// room handles the ChatService.
type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
}

// Who asks the caller how it is. The context that it has is that of the call's trace.
func (room) Who(ctx context.Context, _ *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	caller := packetrpc.PeerFrom(ctx)
	reply, err := chatv1packetrpc.NewChatEventsClient(caller).Status(ctx, &chatv1.StatusRequest{})
	if err != nil {
		return nil, err
	}
	person := &chatv1.Person{Name: caller.Identity().Name, Status: reply.GetStatus()}
	return &chatv1.WhoResponse{People: []*chatv1.Person{person}}, nil
}

// guest handles the ChatEvents.
type guest struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
}

func (guest) Status(context.Context, *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	return &chatv1.StatusResponse{Status: "fine"}, nil
}
