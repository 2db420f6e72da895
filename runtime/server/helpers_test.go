package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// Actions made by hand: one that answers with the text it was sent, and one
// one-way.
var (
	echoSpec = &packetrpc.Spec{
		Action: "test.Echo/Echo", Service: "test.Echo", Method: "Echo",
		Request: "google.protobuf.StringValue", Response: "google.protobuf.StringValue",
	}
	noteSpec = &packetrpc.Spec{
		Action: "test.Echo/Note", Service: "test.Echo", Method: "Note", Type: packetrpc.OneWay,
		Request: "google.protobuf.StringValue", Response: "google.protobuf.Empty",
	}
)

type text = wrapperspb.StringValue

func handleEcho(r packetrpc.Registrar, handle func(ctx context.Context, s string) (string, error)) {
	packetrpc.HandleUnary(r, echoSpec, func(ctx context.Context, request *text) (*text, error) {
		reply, err := handle(ctx, request.GetValue())
		return wrapperspb.String(reply), err
	})
}

func echo(ctx context.Context, caller packetrpc.Caller, s string) (string, error) {
	reply, err := packetrpc.CallUnary[text](ctx, caller, echoSpec, wrapperspb.String(s))
	return reply.GetValue(), err
}

// notes is the handlers of a client, and what has been pushed to it.
func notes() (*packetrpc.Handlers, <-chan string) {
	handlers, received := new(packetrpc.Handlers), make(chan string, 100)
	packetrpc.HandleOneWay(handlers, noteSpec, func(ctx context.Context, note *text) error {
		select {
		case received <- note.GetValue():
		case <-ctx.Done():
		}
		return nil
	})
	return handlers, received
}

func ping(ctx context.Context, caller packetrpc.Caller, s string) (string, error) {
	reply, err := packetrpcv1packetrpc.NewCoreServiceClient(caller).Ping(ctx, &packetrpcv1.PingRequest{Text: s})
	return reply.GetText(), err
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for a value.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// listen serves srv on a port of its own until the test ends, and returns the
// address.
func listen(t *testing.T, srv *server.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, srv, listener)
	return listener.Addr().String()
}

func serve(t *testing.T, srv *server.Server, listener net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil && err != server.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
}

// dial returns a client that the server has in its registry.
func dial(t *testing.T, address string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(within(t), address, options...)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := ping(within(t), c, ""); err != nil {
		t.Fatalf("the first ping: %v", err)
	}
	return c
}

// raw is a connection that speaks no protocol by itself.
type raw struct {
	t *testing.T
	net.Conn
	lines *bufio.Reader
}

func dialRaw(t *testing.T, address string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &raw{t, nc, bufio.NewReader(nc)}
}

func (r *raw) write(s string) {
	r.t.Helper()
	if _, err := r.Write([]byte(s)); err != nil {
		r.t.Fatal(err)
	}
}

// reply is a JSON packet as another program would decode it.
type reply struct {
	Action  string
	Kind    string
	ID      uint64
	Token   *string
	Status  string
	Message string
	Reason  string
	Data    any
}

// field returns a field of the reply's data.
func (p reply) field(name string) any {
	object, _ := p.Data.(map[string]any)
	return object[name]
}

func (r *raw) read() reply {
	r.t.Helper()
	line, err := r.lines.ReadString('\n')
	if err != nil {
		r.t.Fatalf("reading a packet: %v, after %q", err, line)
	}
	return parseReply(r.t, line)
}

func parseReply(t *testing.T, line string) (p reply) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &p); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return p
}

// shake shakes hands as the old programs do and returns the token.
func (r *raw) shake() string {
	r.t.Helper()
	r.write(`{"action":"handShake","data":{"username":"demo","password":"test"},"packet-created":1712345678.9,"token":null}`)
	p := r.read()
	if p.Action != "handShake" || p.field("status") != "success" || p.Token == nil {
		r.t.Fatalf("the handshake was answered by %+v", p)
	}
	return *p.Token
}

// ends checks that the server closes the connection and says no more.
func (r *raw) ends() {
	r.t.Helper()
	if rest, err := r.lines.ReadString(0); rest != "" || strings.Contains(err.Error(), "timeout") {
		r.t.Errorf("after the last packet there is %q, %v", rest, err)
	}
}

// quiet drops what is logged.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
