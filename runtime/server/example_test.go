package server_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

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

// Generated code has a typed broadcast for each one-way method; this is what it
// calls.
func ExampleServer_Group() {
	srv := server.New()
	spec := &packetrpc.Spec{Action: "chat.v1.ChatEvents/Posted", Type: packetrpc.OneWay}
	delivery, err := srv.Group("lobby").Broadcast(context.Background(), spec, wrapperspb.String("hello"))
	fmt.Println(delivery.Queued, "queued,", delivery.Refused, "refused,", err)
	// Output:
	// 0 queued, 0 refused, <nil>
}
