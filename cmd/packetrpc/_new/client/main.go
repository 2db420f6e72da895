// Command client asks the server for a greeting, and waits until it hears that somebody
// has been greeted.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"

	greetv1 "example.com/hello/gen/greet/v1"
	"example.com/hello/gen/greet/v1/greetv1packetrpc"
)

func main() {
	address := flag.String("address", "127.0.0.1:25565", "where the server is")
	name := flag.String("name", "Ada", "whom to greet")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := greet(ctx, *address, *name); err != nil {
		log.Fatal(err)
	}
}

// events handles what the server calls.
type events struct {
	greetv1packetrpc.UnimplementedGreetEventsHandler
	greeted chan string
}

func (e events) Greeted(_ context.Context, request *greetv1.GreetedRequest) error {
	e.greeted <- request.GetName()
	return nil
}

func greet(ctx context.Context, address, name string) error {
	pushed := events{greeted: make(chan string, 10)}
	handlers := new(packetrpc.Handlers)
	greetv1packetrpc.RegisterGreetEventsHandler(handlers, pushed)

	conn, err := client.Dial(ctx, address, client.WithName(name), client.WithHandlers(handlers))
	if err != nil {
		return err
	}
	defer conn.Close()

	reply, err := greetv1packetrpc.NewGreetServiceClient(conn).Greet(ctx, &greetv1.GreetRequest{Name: name})
	if err != nil {
		return err
	}
	fmt.Println("the server answers:", reply.GetText())
	select {
	case greeted := <-pushed.greeted:
		fmt.Println("the server tells:", greeted, "was greeted")
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
