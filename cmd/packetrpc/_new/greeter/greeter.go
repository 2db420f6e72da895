// Package greeter is what the server does.
package greeter

import (
	"context"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"

	greetv1 "example.com/hello/gen/greet/v1"
	"example.com/hello/gen/greet/v1/greetv1packetrpc"
)

// NewServer returns a server that greets.
func NewServer(options ...server.Option) *server.Server {
	srv := server.New(options...)
	everybody := greetv1packetrpc.NewGreetEventsBroadcast(srv.All())
	greetv1packetrpc.RegisterGreetServiceHandler(srv, &greeter{everybody: everybody})
	return srv
}

// greeter handles the GreetService. The embedded handler answers the rpcs that are
// added to the .proto file, until they are written here.
type greeter struct {
	greetv1packetrpc.UnimplementedGreetServiceHandler
	everybody greetv1packetrpc.GreetEventsBroadcast
}

func (g *greeter) Greet(ctx context.Context, request *greetv1.GreetRequest) (*greetv1.GreetResponse, error) {
	if request.GetName() == "" {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no name")
	}
	if _, err := g.everybody.Greeted(ctx, &greetv1.GreetedRequest{Name: request.GetName()}); err != nil {
		return nil, err
	}
	return &greetv1.GreetResponse{Text: "Hello, " + request.GetName() + "!"}, nil
}
