package interop_test

import (
	"cmp"
	"context"
	"crypto/rsa"
	"iter"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/interop"
	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// caseTime is when a case is given up that hangs.
const caseTime = time.Minute

func soakCalls() int {
	if testing.Short() {
		return 200
	}
	return 2000
}

var serverKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		panic(err)
	}
	return key
})

// A transport is what carries a connection, and the form of its packets.
type transport struct {
	name string
	// address is where the server listens; "" is in memory.
	address   func(t *testing.T) string
	encrypted bool
	json      bool
}

var transports = []transport{
	{name: "binary over TCP", address: loopback},
	{name: "JSON over TCP", address: loopback, json: true},
	{name: "binary over TLS", address: loopback, encrypted: true},
	{name: "JSON over TLS", address: loopback, encrypted: true, json: true},
	{name: "Unix socket", address: socket},
	{name: "in memory", address: func(*testing.T) string { return "" }},
}

func loopback(*testing.T) string { return "127.0.0.1:0" }

func socket(t *testing.T) string {
	folder, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return "unix:" + filepath.Join(folder, "socket")
}

// connect returns both ends of a connection. Each serves what register registers,
// and calls the other.
func (tr transport) connect(t *testing.T, register func(packetrpc.Registrar)) (dialled, accepted packetrpc.Caller) {
	t.Helper()
	address := tr.address(t)
	serverOptions := []server.Option{server.WithAddress(address)}
	if address == "" {
		serverOptions = nil
	}
	var handlers packetrpc.Handlers
	register(&handlers)
	clientOptions := []client.Option{client.WithHandlers(&handlers)}
	if tr.encrypted {
		serverOptions = append(serverOptions, server.WithKey(serverKey()))
		clientOptions = append(clientOptions, client.WithServerKey(seal.PinKey(&serverKey().PublicKey)))
	}
	if tr.json {
		clientOptions = append(clientOptions, client.WithJSON())
	}
	srv := server.New(serverOptions...)
	register(srv)

	if address == "" {
		conn := packetrpctest.Dial(t, srv, clientOptions...)
		return conn, peerOf(t, srv, conn)
	}
	conn := dial(t, serve(t, srv), clientOptions...)
	return conn, peerOf(t, srv, conn)
}

// serve serves until the test has ended and returns the address to dial.
func serve(t *testing.T, srv *server.Server) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	listener, err := srv.Listen(ctx)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	if unix, ok := listener.Addr().(*net.UnixAddr); ok {
		return "unix:" + unix.Name
	}
	return listener.Addr().String()
}

func dial(t *testing.T, address string, options ...client.Option) *client.Client {
	t.Helper()
	ctx := within(t)
	conn, err := client.Dial(ctx, address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// Once a call has been answered the server has the client in its registry.
	if _, err := packetrpcv1packetrpc.NewCoreServiceClient(conn).Ping(ctx, &packetrpcv1.PingRequest{}); err != nil {
		t.Fatal(err)
	}
	return conn
}

func peerOf(t *testing.T, srv *server.Server, conn *client.Client) packetrpc.Peer {
	t.Helper()
	peer, ok := srv.Connection(conn.ID())
	if !ok {
		t.Fatal("the server does not have the client in its registry")
	}
	return peer
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	t.Cleanup(cancel)
	return ctx
}

func TestInterop(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			handler := new(interop.Handler)
			dialled, accepted := tr.connect(t, func(r packetrpc.Registrar) {
				interopv1packetrpc.RegisterInteropServiceHandler(r, handler)
			})
			t.Run("client calls server", func(t *testing.T) { runCases(t, dialled) })
			t.Run("server calls client", func(t *testing.T) { runCases(t, accepted) })
		})
	}
}

func runCases(t *testing.T, caller packetrpc.Caller) {
	for _, c := range interop.Cases(soakCalls()) {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(within(t), caller); err != nil {
				t.Error(err)
			}
		})
	}
}

// Two sides that call each other at the same time must not be in each other's way.
func TestInteropBothWaysAtOnce(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			handler := new(interop.Handler)
			dialled, accepted := tr.connect(t, func(r packetrpc.Registrar) {
				interopv1packetrpc.RegisterInteropServiceHandler(r, handler)
			})
			var running sync.WaitGroup
			for _, caller := range []packetrpc.Caller{dialled, accepted} {
				for _, c := range interop.Cases(200) {
					running.Go(func() {
						if err := c.Run(within(t), caller); err != nil {
							t.Errorf("%s: %v", c.Name, err)
						}
					})
				}
			}
			running.Wait()
		})
	}
}

func TestDocumentNamesEachCase(t *testing.T) {
	document, err := os.ReadFile("../../docs/interop.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range interop.Cases(0) {
		if row := "\n| `" + c.Name + "` |"; !strings.Contains(string(document), row) {
			t.Errorf("docs/interop.md has no row that begins with %q", row[1:])
		}
	}
}

// A case that nothing can fail shows nothing. Each of these handlers does one thing
// wrong, and the cases that are to notice do.
func TestCasesNoticeWrongHandlers(t *testing.T) {
	cases := make(map[string]interop.Case)
	for _, c := range interop.Cases(200) {
		cases[c.Name] = c
	}
	unnoticed := maps.Clone(cases)
	for _, test := range wrongHandlers() {
		maps.DeleteFunc(unnoticed, func(name string, _ interop.Case) bool { return test.noticed[name] != "" })
		t.Run(test.name, func(t *testing.T) {
			conn := packetrpctest.Dial(t, test.handler.server())
			for name, want := range test.noticed {
				ctx := within(t)
				err := cases[name].Run(ctx, conn)
				switch {
				case err == nil:
					t.Errorf("%s succeeded, want an error with %q", name, want)
				case ctx.Err() != nil:
					t.Errorf("%s hung: %v", name, err)
				case !strings.Contains(err.Error(), want):
					t.Errorf("%s: %q, want an error with %q", name, err, want)
				}
			}
		})
	}
	for name := range unnoticed {
		t.Errorf("no wrong handler makes %s fail", name)
	}
}

type wrongHandler struct {
	name    string
	handler *wrong
	noticed map[string]string // the cases that are to fail, and a part of their errors
}

func wrongHandlers() []wrongHandler {
	failure := packetrpc.Errorf(packetrpc.CodeInternal, "out of order")
	var calls atomic.Int32
	return []wrongHandler{
		{"empty reply with bytes", &wrong{empty: func(r *interopv1.EmptyResponse) error {
			r.ProtoReflect().SetUnknown([]byte{8, 1}) // field 1, a varint
			return nil
		}}, map[string]string{
			"empty_unary": "the response has 2 bytes",
		}},
		{"empty call fails", &wrong{empty: func(*interopv1.EmptyResponse) error { return failure }}, map[string]string{
			"empty_unary": "out of order",
		}},
		{"reply a byte too long", &wrong{unaryResponse: func(r *interopv1.UnaryResponse) { r.Body = append(r.Body, 0) }}, map[string]string{
			"large_unary":     "received 314160 bytes, want 314159",
			"custom_metadata": "received 314160 bytes, want 314159",
			"rpc_soak":        "bytes, want",
		}},
		{"reply with a wrong byte", &wrong{unaryResponse: func(r *interopv1.UnaryResponse) { r.Body[len(r.Body)/2] = 1 }}, map[string]string{
			"large_unary": "received 1 bytes that are not zero",
			"rpc_soak":    "received 1 bytes that are not zero",
		}},
		{"request that lost a byte", &wrong{unaryRequest: func(r *interopv1.UnaryRequest) { r.Body = r.GetBody()[1:] }}, map[string]string{
			"large_unary": "the handler received 271827 bytes, want 271828",
		}},
		{"one wrong reply of many", &wrong{unaryResponse: func(r *interopv1.UnaryResponse) {
			if calls.Add(1) == 111 {
				r.Body = append(r.Body, 0)
			}
		}}, map[string]string{
			"rpc_soak": "bytes, want",
		}},
		{"wrong sum", &wrong{clientResponse: func(r *interopv1.ClientStreamResponse) { r.Received-- }}, map[string]string{
			"client_streaming": "the handler received 74921 bytes, want 74922",
		}},
		{"first response missing", &wrong{serverRequest: func(r *interopv1.ServerStreamRequest) { r.ResponseSizes = r.ResponseSizes[1:] }}, map[string]string{
			"server_streaming": "response 1: received 9 bytes, want 31415",
		}},
		{"last response missing", &wrong{serverRequest: func(r *interopv1.ServerStreamRequest) { r.ResponseSizes = r.ResponseSizes[:3] }}, map[string]string{
			"server_streaming": "response 4: EOF",
		}},
		{"last response twice", &wrong{serverRequest: func(r *interopv1.ServerStreamRequest) { r.ResponseSizes = append(r.ResponseSizes, 58979) }}, map[string]string{
			"server_streaming": "one response too many",
		}},
		{"responses in another order", &wrong{serverRequest: func(r *interopv1.ServerStreamRequest) { slices.Reverse(r.ResponseSizes) }}, map[string]string{
			"server_streaming": "response 1: received 58979 bytes, want 31415",
		}},
		{"streams fail at their end", &wrong{failure: failure}, map[string]string{
			"server_streaming": "failed at its end: internal: out of order",
			"ping_pong":        "failed at its end: internal: out of order",
			"empty_stream":     "failed at its end: internal: out of order",
		}},
		{"response that nobody asked for", &wrong{bidiExtra: 1}, map[string]string{
			"ping_pong":    "one response too many",
			"empty_stream": "one response too many",
		}},
		{"response a byte too long", &wrong{bidiResponse: func(r *interopv1.BidiStreamResponse) { r.Body = append(r.Body, 0) }}, map[string]string{
			"ping_pong":                   "response 1: received 31416 bytes, want 31415",
			"cancel_after_first_response": "received 31416 bytes, want 31415",
		}},
		{"request of a stream that lost a byte", &wrong{bidiRequest: func(r *interopv1.BidiStreamRequest) { r.Body = r.GetBody()[1:] }}, map[string]string{
			"ping_pong": "response 1: the handler received 27181 bytes, want 27182",
		}},
		{"end after the first request", &wrong{bidiEndsEarly: true}, map[string]string{
			"ping_pong": "response 2: EOF",
			// What is noticed first: that the stream has, or that its handler has.
			"cancel_after_first_response": "ended",
			"timeout_on_sleeping_server":  "ended",
		}},
		{"no metadata", &wrong{unaryMetadata: func(metadatum, setMetadata) {}}, map[string]string{
			"custom_metadata": "unary: the metadata",
		}},
		{"no metadata of streams", &wrong{bidiMetadata: func(metadatum, setMetadata) {}}, map[string]string{
			"custom_metadata": `stream: with the first response: the metadata "interop-echo-initial" is [], want`,
		}},
		{"no metadata at the end of streams", &wrong{bidiMetadata: func(m metadatum, set setMetadata) {
			if m.key == "interop-echo-initial" {
				set(m.key, m.value)
			}
		}}, map[string]string{
			"custom_metadata": `stream: the metadata "interop-echo-trailing-bin" is [], want ["q6ur"]`,
		}},
		{"metadata of the end at the beginning", &wrong{bidiMetadata: func(m metadatum, set setMetadata) {
			set(m.key, m.value)
			set("interop-echo-trailing-bin", "q6ur")
		}}, map[string]string{
			"custom_metadata": `stream: with the first response: the metadata "interop-echo-trailing-bin" is ["q6ur"], want []`,
		}},
		{"changed metadata", &wrong{unaryMetadata: func(m metadatum, set setMetadata) { set(m.key, m.value+"!") }}, map[string]string{
			"custom_metadata": "unary: the metadata",
		}},
		{"no failure", &wrong{unaryRequest: func(r *interopv1.UnaryRequest) { r.Status = nil }}, map[string]string{
			"status_code_and_message": "unary: the call succeeded, want unknown",
			"special_status_message":  "the call succeeded, want unknown",
		}},
		{"wrong code", &wrong{unaryRequest: func(r *interopv1.UnaryRequest) { changeCode(r.Status) }}, map[string]string{
			"status_code_and_message": "unary: the call failed with internal",
			"special_status_message":  "the call failed with internal",
		}},
		{"other words", &wrong{unaryRequest: func(r *interopv1.UnaryRequest) { changeMessage(r.Status, strings.ToUpper) }}, map[string]string{
			"status_code_and_message": "unary: the message is",
			"special_status_message":  "the message is",
		}},
		{"message without white space around it", &wrong{unaryRequest: func(r *interopv1.UnaryRequest) { changeMessage(r.Status, strings.TrimSpace) }}, map[string]string{
			"special_status_message": "the message is",
		}},
		{"message without large characters", &wrong{unaryRequest: func(r *interopv1.UnaryRequest) { changeMessage(r.Status, dropLarge) }}, map[string]string{
			"special_status_message": "the message is",
		}},
		{"no failure of streams", &wrong{bidiRequest: func(r *interopv1.BidiStreamRequest) { r.Status = nil }}, map[string]string{
			"status_code_and_message": "stream: the stream ended without a failure, want unknown",
		}},
		{"wrong code of streams", &wrong{bidiRequest: func(r *interopv1.BidiStreamRequest) { changeCode(r.Status) }}, map[string]string{
			"status_code_and_message": "stream: the call failed with internal",
		}},
		{"other words of streams", &wrong{bidiRequest: func(r *interopv1.BidiStreamRequest) { changeMessage(r.Status, strings.ToUpper) }}, map[string]string{
			"status_code_and_message": "stream: the message is",
		}},
		{"method that is there", &wrong{missing: func() error { return nil }}, map[string]string{
			"unimplemented_method":  "the call succeeded, want unimplemented",
			"unimplemented_service": "the call succeeded, want unimplemented",
		}},
		{"method that fails otherwise", &wrong{missing: func() error { return failure }}, map[string]string{
			"unimplemented_method":  "the call failed with internal",
			"unimplemented_service": "the call failed with internal",
		}},
		{"calls that go on to succeed", &wrong{state: func(r *interopv1.WatchResponse) { r.Code = 0 }}, map[string]string{
			"cancel_after_begin":          "the handler ended in success",
			"cancel_after_first_response": "the handler ended in success",
			"timeout_on_sleeping_server":  "the handler ended in success",
		}},
		{"calls that fail for another reason", &wrong{state: func(r *interopv1.WatchResponse) {
			if r.State == interopv1.State_STATE_ENDED {
				r.Code = uint32(packetrpc.CodeInternal)
			}
		}}, map[string]string{
			"cancel_after_begin":          "the handler ended with internal",
			"cancel_after_first_response": "the handler ended with internal",
			"timeout_on_sleeping_server":  "the handler ended with internal",
		}},
	}
}

// wrong is a handler that does the right thing but for what its functions change.
// Those that are nil change nothing.
type wrong struct {
	interop.Handler

	empty          func(*interopv1.EmptyResponse) error
	unaryRequest   func(*interopv1.UnaryRequest)
	unaryResponse  func(*interopv1.UnaryResponse)
	unaryMetadata  func(metadatum, setMetadata)
	clientResponse func(*interopv1.ClientStreamResponse)
	serverRequest  func(*interopv1.ServerStreamRequest)
	bidiRequest    func(*interopv1.BidiStreamRequest)
	bidiResponse   func(*interopv1.BidiStreamResponse)
	bidiMetadata   func(metadatum, setMetadata)
	bidiEndsEarly  bool  // after the first request
	bidiExtra      int   // how many responses follow that nobody has asked for
	failure        error // at the end of a stream of responses
	state          func(*interopv1.WatchResponse)
	missing        func() error // what handlers leave out, and the service that nobody handles
}

func (w *wrong) server() *server.Server {
	srv := server.New()
	interopv1packetrpc.RegisterInteropServiceHandler(srv, w)
	if w.missing != nil {
		interopv1packetrpc.RegisterUnregisteredServiceHandler(srv, w)
	}
	return srv
}

func (w *wrong) Empty(ctx context.Context, request *interopv1.EmptyRequest) (*interopv1.EmptyResponse, error) {
	response, err := w.Handler.Empty(ctx, request)
	if w.empty != nil {
		err = w.empty(response)
	}
	return response, err
}

func (w *wrong) Unary(ctx context.Context, request *interopv1.UnaryRequest) (*interopv1.UnaryResponse, error) {
	apply(w.unaryRequest, request)
	response, err := w.Handler.Unary(withMetadata(ctx, w.unaryMetadata), request)
	if err == nil {
		apply(w.unaryResponse, response)
	}
	return response, err
}

func (w *wrong) ClientStream(ctx context.Context, stream packetrpc.Receiver[interopv1.ClientStreamRequest]) (*interopv1.ClientStreamResponse, error) {
	response, err := w.Handler.ClientStream(ctx, stream)
	if err == nil {
		apply(w.clientResponse, response)
	}
	return response, err
}

func (w *wrong) ServerStream(ctx context.Context, request *interopv1.ServerStreamRequest, stream packetrpc.Sender[interopv1.ServerStreamResponse]) error {
	apply(w.serverRequest, request)
	return cmp.Or(w.Handler.ServerStream(ctx, request, stream), w.failure)
}

func (w *wrong) BidiStream(ctx context.Context, stream bidiStream) error {
	ctx = withMetadata(ctx, w.bidiMetadata)
	if err := w.Handler.BidiStream(ctx, wrongStream{stream, w}); err != nil {
		return err
	}
	for range w.bidiExtra {
		if err := stream.Send(&interopv1.BidiStreamResponse{}); err != nil {
			return err
		}
	}
	return w.failure
}

func (w *wrong) Watch(ctx context.Context, request *interopv1.WatchRequest, stream packetrpc.Sender[interopv1.WatchResponse]) error {
	return w.Handler.Watch(ctx, request, wrongWatch{stream, w.state})
}

func (w *wrong) Unimplemented(ctx context.Context, request *interopv1.UnimplementedRequest) (*interopv1.UnimplementedResponse, error) {
	if w.missing == nil {
		return w.Handler.Unimplemented(ctx, request)
	}
	return &interopv1.UnimplementedResponse{}, w.missing()
}

func (w *wrong) Call(context.Context, *interopv1.CallRequest) (*interopv1.CallResponse, error) {
	return &interopv1.CallResponse{}, w.missing()
}

func apply[Message any](change func(*Message), message *Message) {
	if change != nil {
		change(message)
	}
}

func changeCode(status *interopv1.Status) {
	if status != nil {
		status.Code = uint32(packetrpc.CodeInternal)
	}
}

func changeMessage(status *interopv1.Status, change func(string) string) {
	if status != nil {
		status.Message = change(status.Message)
	}
}

func dropLarge(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xffff {
			return -1
		}
		return r
	}, s)
}

// bidiStream is the handling end of BidiStream.
type bidiStream = packetrpc.BidiStream[interopv1.BidiStreamResponse, interopv1.BidiStreamRequest]

type wrongStream struct {
	bidiStream
	wrong *wrong
}

func (s wrongStream) Send(response *interopv1.BidiStreamResponse) error {
	apply(s.wrong.bidiResponse, response)
	return s.bidiStream.Send(response)
}

func (s wrongStream) All() iter.Seq2[*interopv1.BidiStreamRequest, error] {
	return func(yield func(*interopv1.BidiStreamRequest, error) bool) {
		for request, err := range s.bidiStream.All() {
			if err == nil {
				apply(s.wrong.bidiRequest, request)
			}
			if !yield(request, err) || s.wrong.bidiEndsEarly {
				return
			}
		}
	}
}

type wrongWatch struct {
	packetrpc.Sender[interopv1.WatchResponse]
	change func(*interopv1.WatchResponse)
}

func (s wrongWatch) Send(response *interopv1.WatchResponse) error {
	apply(s.change, response)
	return s.Sender.Send(response)
}

type (
	metadatum   struct{ key, value string }
	setMetadata func(key, value string)
)

// withMetadata returns a context whose handler sets its metadata by a function.
func withMetadata(ctx context.Context, set func(metadatum, setMetadata)) context.Context {
	call, ok := ctx.Value(packetrpc.HandlerCallKey{}).(packetrpc.HandlerCall)
	if !ok || set == nil {
		return ctx
	}
	return context.WithValue(ctx, packetrpc.HandlerCallKey{}, wrongCall{call, set})
}

type wrongCall struct {
	packetrpc.HandlerCall
	set func(metadatum, setMetadata)
}

func (c wrongCall) SetMetadata(key, value string) {
	c.set(metadatum{key, value}, c.HandlerCall.SetMetadata)
}
