package client_test

import (
	"context"
	"fmt"
	"log"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func ExampleDial() {
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
