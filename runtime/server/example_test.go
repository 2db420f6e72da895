package server_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// counter is a handler of one rpc; the embedded handler answers the others.
type counter struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
}

// Send answers with the length of the text.
func (counter) Send(_ context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	return &chatv1.SendResponse{Number: uint32(len(request.GetText()))}, nil
}

// A server and a client. A server of its own program calls
// srv.ListenAndServe(ctx), which listens at 127.0.0.1:25565 unless told otherwise.
func Example() {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, counter{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()

	conn, err := client.Dial(ctx, listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	reply, err := chatv1packetrpc.NewChatServiceClient(conn).Send(ctx, &chatv1.SendRequest{Text: "hello"})
	fmt.Println(reply.GetNumber(), err)

	conn.Close()
	stop()
	fmt.Println(<-served)
	// Output:
	// 5 <nil>
	// <nil>
}

func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	left := make(chan struct{})
	srv := server.New(
		server.WithConnected(func(peer packetrpc.Peer) {
			fmt.Println(peer.Identity().Name, "comes")
			peer.Join("lobby")
		}),
		server.WithDisconnected(func(peer packetrpc.Peer, _ error) {
			fmt.Println(peer.Identity().Name, "goes")
			close(left)
		}))
	// A program would register its generated handlers here and then call
	// srv.ListenAndServe(ctx).
	listener, served := packetrpctest.NewListener(), make(chan error)
	go func() { served <- srv.Serve(ctx, listener) }()

	conn, err := client.Dial(ctx, server.DefaultAddress, client.WithName("ada"), client.WithDialer(listener.Dial))
	if err != nil {
		log.Fatal(err)
	}
	conn.Close()
	<-left
	stop()
	fmt.Println("served:", <-served)
	// Output:
	// ada comes
	// ada goes
	// served: <nil>
}

// listener is a client's handler of what the server calls.
type listener struct {
	chatv1packetrpc.UnimplementedChatEventsHandler
	status string
	heard  chan string
}

func (l *listener) Posted(_ context.Context, request *chatv1.PostedRequest) error {
	l.heard <- request.GetMessage().GetText()
	return nil
}

func (l *listener) Status(context.Context, *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	return &chatv1.StatusResponse{Status: l.status}, nil
}

// inMemory serves a server in memory and connects a client with a handler for
// each name. The function that it returns ends them.
func inMemory(srv *server.Server, names ...string) ([]*listener, func()) {
	ctx, stop := context.WithCancel(context.Background())
	memory, served := packetrpctest.NewListener(), make(chan error, 1)
	go func() { served <- srv.Serve(ctx, memory) }()
	listeners, conns := make([]*listener, len(names)), make([]*client.Client, len(names))
	for i, name := range names {
		listeners[i] = &listener{status: "well", heard: make(chan string, 10)}
		handlers := new(packetrpc.Handlers)
		chatv1packetrpc.RegisterChatEventsHandler(handlers, listeners[i])
		conn, err := client.Dial(ctx, "memory:0",
			client.WithDialer(memory.Dial), client.WithName(name), client.WithHandlers(handlers))
		if err != nil {
			panic(err)
		}
		conns[i] = conn
	}
	return listeners, func() {
		for _, conn := range conns {
			conn.Close()
		}
		stop()
		<-served
	}
}

// whenConnected returns an option that counts clients that are ready, and waits
// for them.
func whenConnected(count int, group string) (server.Option, *sync.WaitGroup) {
	ready := new(sync.WaitGroup)
	ready.Add(count)
	return server.WithConnected(func(peer packetrpc.Peer) {
		defer ready.Done()
		if err := peer.Join(group); err != nil {
			fmt.Println(err)
		}
	}), ready
}

// A broadcast reaches the members of a group; the message is encoded once. The
// clients have joined the group when they connected: see [server.WithConnected]
// and [packetrpc.Peer].
func ExampleServer_Group() {
	joinLobby, joined := whenConnected(2, "lobby")
	srv := server.New(joinLobby)
	listeners, end := inMemory(srv, "ada", "bob")
	defer end()
	joined.Wait()

	events := chatv1packetrpc.NewChatEventsBroadcast(srv.Group("lobby"))
	delivery, err := events.Posted(context.Background(), &chatv1.PostedRequest{Message: &chatv1.Message{Text: "hello"}})
	fmt.Println(delivery.Queued, "queued,", delivery.Refused, "refused,", err)
	for _, l := range listeners {
		fmt.Println(<-l.heard)
	}
	// Output:
	// 2 queued, 0 refused, <nil>
	// hello
	// hello
}

// A server calls its clients as they call it, and waits for their replies.
func ExampleServer_Connections() {
	joinLobby, joined := whenConnected(2, "lobby")
	srv := server.New(joinLobby)
	_, end := inMemory(srv, "ada", "bob")
	defer end()
	joined.Wait()

	for _, peer := range srv.Connections() {
		reply, err := chatv1packetrpc.NewChatEventsClient(peer).Status(context.Background(), &chatv1.StatusRequest{})
		fmt.Println(peer.Identity().Name, "is", reply.GetStatus(), err)
	}
	// Unordered output:
	// ada is well <nil>
	// bob is well <nil>
}

// The function is called for each client before any of its calls is handled.
func ExampleWithConnected() {
	srv := server.New(server.WithConnected(func(peer packetrpc.Peer) {
		welcome := &chatv1.PostedRequest{Message: &chatv1.Message{Text: "welcome, " + peer.Identity().Name}}
		if err := chatv1packetrpc.NewChatEventsClient(peer).Posted(context.Background(), welcome); err != nil {
			fmt.Println(err)
		}
	}))
	listeners, end := inMemory(srv, "ada")
	defer end()
	fmt.Println(<-listeners[0].heard)
	// Output: welcome, ada
}
