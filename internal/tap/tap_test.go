package tap_test

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// within returns a context that ends when patience does.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// listen listens on a free port of the loopback interface.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serve runs something that serves until the test ends, or until what it returns is called.
func serve(t *testing.T, serve func(context.Context, net.Listener) error) (address string, stop func()) {
	t.Helper()
	listener := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// startRoom serves a chat room, and returns its address.
func startRoom(t *testing.T, options ...server.Option) string {
	t.Helper()
	srv := server.New(options...)
	chatv1packetrpc.RegisterChatServiceHandler(srv, &room{events: chatv1packetrpc.NewChatEventsBroadcast(srv.All())})
	address, _ := serve(t, srv.Serve)
	return address
}

// room is a chat room that knows all the ways to call.
type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
	events chatv1packetrpc.ChatEventsBroadcast
}

func (r *room) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	if request.GetText() == "" {
		err := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no text")
		err.AddDetail(&chatv1.TextProblem{MaxLength: 9})
		return nil, err
	}
	if _, err := r.events.Posted(ctx, &chatv1.PostedRequest{Message: &chatv1.Message{Text: request.GetText()}}); err != nil {
		return nil, err
	}
	return &chatv1.SendResponse{Number: uint32(len(request.GetText()))}, nil
}

func (r *room) Typing(context.Context, *chatv1.TypingRequest) error { return nil }

func (r *room) History(_ context.Context, request *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	for i := range request.GetLimit() {
		if err := stream.Send(&chatv1.HistoryResponse{Message: &chatv1.Message{Number: i + 1}}); err != nil {
			return err
		}
	}
	return nil
}

func (r *room) Import(_ context.Context, stream packetrpc.Receiver[chatv1.ImportRequest]) (*chatv1.ImportResponse, error) {
	reply := new(chatv1.ImportResponse)
	for _, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		reply.Count++
	}
	return reply, nil
}

func (r *room) Talk(ctx context.Context, stream packetrpc.BidiStream[chatv1.TalkResponse, chatv1.TalkRequest]) error {
	for line, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(&chatv1.TalkResponse{Text: line.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func (r *room) Who(ctx context.Context, _ *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	reply, err := chatv1packetrpc.NewChatEventsClient(packetrpc.PeerFrom(ctx)).Status(ctx, &chatv1.StatusRequest{})
	if err != nil {
		return nil, err
	}
	return &chatv1.WhoResponse{People: []*chatv1.Person{{Status: reply.GetStatus()}}}, nil
}

func (r *room) Whisper(context.Context, *chatv1.WhisperRequest) (*chatv1.WhisperResponse, error) {
	return &chatv1.WhisperResponse{}, nil
}

// guest handles what the server calls.
type guest struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
	posted chan string
}

func (g *guest) Posted(_ context.Context, request *chatv1.PostedRequest) error {
	g.posted <- request.GetMessage().GetText()
	return nil
}

func (g *guest) Status(context.Context, *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	return &chatv1.StatusResponse{Status: "well"}, nil
}

// converse calls in every way that there is, and disconnects.
func converse(t *testing.T, address string, options ...client.Option) {
	t.Helper()
	ctx := within(t)
	g := &guest{posted: make(chan string, 10)}
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, g)
	conn, err := client.Dial(ctx, address, append(options, client.WithHandlers(handlers))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chat := chatv1packetrpc.NewChatServiceClient(conn)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	tagged := packetrpc.WithMetadata(ctx, "authorization", "Bearer "+aSecret)
	_, err = chat.Send(packetrpc.WithMetadata(tagged, "language", "en"), &chatv1.SendRequest{Text: "hello"})
	check(err)
	if got := <-g.posted; got != "hello" {
		t.Errorf("heard %q", got)
	}
	if _, err := chat.Send(ctx, &chatv1.SendRequest{}); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("an empty text: %v", err)
	}
	check(chat.Typing(ctx, &chatv1.TypingRequest{}))
	history, err := chat.History(ctx, &chatv1.HistoryRequest{Limit: 2})
	check(err)
	for _, err := range history.All() {
		check(err)
	}
	lines, err := chat.Import(ctx)
	check(err)
	for range 3 {
		check(lines.Send(&chatv1.ImportRequest{Text: "a line"}))
	}
	_, err = lines.CloseAndReceive()
	check(err)
	talk, err := chat.Talk(ctx)
	check(err)
	check(talk.Send(&chatv1.TalkRequest{Text: "robot"}))
	_, err = talk.Receive()
	check(err)
	talk.Close()
	_, err = chat.Who(ctx, &chatv1.WhoRequest{})
	check(err)
	_, err = packetrpcv1packetrpc.NewCoreServiceClient(conn).Ping(ctx, &packetrpcv1.PingRequest{Text: "there?"})
	check(err)
}

// aSecret is what must not be seen anywhere.
const aSecret = "swordfish-5dcf7e1a"

// chatSchema is what the tap is told about the room.
func chatSchema(t *testing.T) *schema.Schema {
	t.Helper()
	files, err := schema.Linked().Files([]string{chatv1packetrpc.ChatServiceName}, nil)
	if err != nil {
		t.Fatal(err)
	}
	known, err := schema.New(files)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// watch serves a proxy, and keeps what it shows.
type watch struct {
	address string
	stop    func()

	mu     sync.Mutex
	events []*tap.Event
	more   chan struct{} // has something when there are more
}

func newWatch() *watch { return &watch{more: make(chan struct{}, 1)} }

func startTap(t *testing.T, proxy *tap.Proxy) *watch {
	t.Helper()
	w := newWatch()
	w.address, w.stop = serve(t, func(ctx context.Context, l net.Listener) error { return proxy.Serve(ctx, l, w.show) })
	return w
}

func (w *watch) show(e *tap.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// all ends the proxy and returns all events.
func (w *watch) all() []*tap.Event {
	w.stop()
	return w.events
}

// wait waits for an event and returns it.
func (w *watch) wait(t *testing.T, what string, fits func(*tap.Event) bool) *tap.Event {
	t.Helper()
	ctx, next := within(t), 0
	for {
		w.mu.Lock()
		for ; next < len(w.events); next++ {
			if e := w.events[next]; fits(e) {
				w.mu.Unlock()
				return e
			}
		}
		w.mu.Unlock()
		select {
		case <-w.more:
		case <-ctx.Done():
			t.Fatalf("there was no %s among %d events", what, next)
		}
	}
}

func (w *watch) waitKind(t *testing.T, kind string) *tap.Event {
	t.Helper()
	return w.wait(t, kind, func(e *tap.Event) bool { return e.Kind == kind })
}

// newKey returns a key of the least size, which is made quickly.
func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pinned returns the TLS configuration of a proxy whose server has a key.
func pinned(t *testing.T, server *rsa.PrivateKey) *tls.Config {
	t.Helper()
	config, err := seal.ClientTLS(seal.PinKey(&server.PublicKey), "the server", nil)
	if err != nil {
		t.Fatal(err)
	}
	return config
}
