// Command freeform exchanges data without a schema: the action PACKETNAME takes
// any JSON object. Its rpc is declared with google.protobuf.Struct, so programs
// written in Go see a typed call, and others a packet of plain JSON.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/packetrpc/packetrpc/examples/freeform/gen/freeform/v1/freeformv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "freeform:", err)
		os.Exit(1)
	}
}

// run serves the action and calls it.
func run(ctx context.Context, out io.Writer) (err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- newServer().Serve(serving, listener) }()
	defer func() {
		stop()
		if serveErr := <-served; err == nil {
			err = serveErr
		}
	}()

	conn, err := client.Dial(ctx, listener.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := structpb.NewStruct(map[string]any{
		"example": "The data belonging to the packet",
		"data":    []any{1, 2, 3},
	})
	if err != nil {
		return err
	}
	reply, err := freeformv1packetrpc.NewFreeformServiceClient(conn).Exchange(ctx, request)
	if err != nil {
		return err
	}
	for _, key := range []string{"example", "length"} {
		fmt.Fprintf(out, "%s: %v\n", key, reply.GetFields()[key].AsInterface())
	}
	return nil
}

func newServer() *server.Server {
	srv := server.New()
	freeformv1packetrpc.RegisterFreeformServiceHandler(srv, exchange{})
	return srv
}

// exchange handles the FreeformService.
type exchange struct{}

// Exchange answers with the "example" that it was sent and the length of the
// "data".
func (exchange) Exchange(_ context.Context, request *structpb.Struct) (*structpb.Struct, error) {
	fields := request.GetFields()
	return structpb.NewStruct(map[string]any{
		"example": fields["example"].GetStringValue(),
		"length":  len(fields["data"].GetListValue().GetValues()),
	})
}
