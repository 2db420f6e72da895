package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// room answers each message by a push to everybody.
type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
	events chatv1packetrpc.ChatEventsBroadcast
}

func (r room) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	message := &chatv1.Message{Name: packetrpc.PeerFrom(ctx).Identity().Name, Text: request.GetText()}
	if _, err := r.events.Posted(ctx, &chatv1.PostedRequest{Message: message}); err != nil {
		return nil, err
	}
	return &chatv1.SendResponse{Number: 1}, nil
}

// serveRoom serves a room. The function that it returns ends that.
func serveRoom(listener net.Listener) func() {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{events: chatv1packetrpc.NewChatEventsBroadcast(srv.All())})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	return func() {
		stop()
		<-served
	}
}

func ExampleDial() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer serveRoom(listener)()

	conn, err := client.Dial(context.Background(), listener.Addr().String(), client.WithPassword("demo", "test"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	reply, err := chatv1packetrpc.NewChatServiceClient(conn).Send(context.Background(), &chatv1.SendRequest{Text: "hello"})
	fmt.Println(reply.GetNumber(), err)
	// Output: 1 <nil>
}

// A Unix socket is an address as well.
func ExampleDial_unixSocket() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "chat.sock")
	listener, err := net.Listen("unix", path) // server.WithAddress("unix:"+path) in a server of its own
	if err != nil {
		fmt.Println(err)
		return
	}
	defer serveRoom(listener)()

	conn, err := client.Dial(context.Background(), "unix:"+path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	reply, err := packetrpcv1packetrpc.NewCoreServiceClient(conn).Ping(context.Background(), &packetrpcv1.PingRequest{Text: "hello"})
	fmt.Println(reply.GetText(), err)
	// Output: hello <nil>
}

// printer is a handler of what the server calls.
type printer struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
	printed chan struct{}
}

func (p printer) Posted(_ context.Context, request *chatv1.PostedRequest) error {
	fmt.Println(request.GetMessage().GetName()+":", request.GetMessage().GetText())
	p.printed <- struct{}{}
	return nil
}

// A client handles what the server calls. The handlers are given before the
// connection exists, so that nothing arrives too early.
func ExampleWithHandlers() {
	listener := packetrpctest.NewListener()
	defer serveRoom(listener)()
	events := printer{printed: make(chan struct{}, 1)}
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, events)

	conn, err := client.Dial(context.Background(), "memory:0",
		client.WithDialer(listener.Dial), client.WithName("ada"), client.WithHandlers(handlers))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	if _, err := chatv1packetrpc.NewChatServiceClient(conn).Send(context.Background(), &chatv1.SendRequest{Text: "hello"}); err != nil {
		fmt.Println(err)
		return
	}
	<-events.printed
	// Output: ada: hello
}

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	written io.Writer
}

func (r recorder) Write(b []byte) (int, error) {
	r.written.Write(b)
	return r.Conn.Write(b)
}

// Both forms say the same; this one can be read.
func ExampleWithJSON() {
	listener := packetrpctest.NewListener()
	defer serveRoom(listener)()
	var written strings.Builder
	record := func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := listener.Dial(ctx, network, address)
		return recorder{nc, &written}, err
	}

	conn, err := client.Dial(context.Background(), "memory:0", client.WithDialer(record), client.WithJSON())
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := chatv1packetrpc.NewChatServiceClient(conn).Send(context.Background(), &chatv1.SendRequest{Text: "hello"}); err != nil {
		fmt.Println(err)
		return
	}
	conn.Close()
	fmt.Println(strings.Contains(written.String(), `"action":"chat.v1.ChatService/Send","data":{"text":"hello"}`))
	// Output: true
}

// The Core actions are there without being registered: this one tells a client how
// the server sees it.
func ExampleClient() {
	// A server to dial; usually it is another program.
	ctx, stop := context.WithCancel(context.Background())
	listener, served := packetrpctest.NewListener(), make(chan error)
	go func() { served <- server.New().Serve(ctx, listener) }()

	conn, err := client.Dial(ctx, server.DefaultAddress, client.WithName("ada"), client.WithDialer(listener.Dial))
	if err != nil {
		log.Fatal(err)
	}
	info, err := packetrpcv1packetrpc.NewCoreServiceClient(conn).Info(ctx, &packetrpcv1.InfoRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.GetClient().GetName(), "is connected in the", info.GetForm(), "form")

	conn.Close()
	stop()
	fmt.Println("served:", <-served)
	// Output:
	// ada is connected in the binary form
	// served: <nil>
}
