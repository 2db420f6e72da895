// Command server greets those who call it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/packetrpc/packetrpc/runtime/server"

	"example.com/hello/greeter"
)

func main() {
	address := flag.String("address", server.DefaultAddress, "where to listen: host:port or unix:/path")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *address); err != nil {
		log.Fatal(err)
	}
}

// serve serves until ctx ends.
func serve(ctx context.Context, address string) error {
	srv := greeter.NewServer(server.WithAddress(address))
	listener, err := srv.Listen(ctx)
	if err != nil {
		return err
	}
	fmt.Println("the server listens at", address)
	return srv.Serve(ctx, listener)
}
