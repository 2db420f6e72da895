package greeter_test

import (
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"

	greetv1 "example.com/hello/gen/greet/v1"
	"example.com/hello/gen/greet/v1/greetv1packetrpc"
	"example.com/hello/greeter"
)

func TestGreet(t *testing.T) {
	caller := greetv1packetrpc.NewGreetServiceClient(packetrpctest.Dial(t, greeter.NewServer()))
	reply, err := caller.Greet(t.Context(), &greetv1.GreetRequest{Name: "Ada"})
	if err != nil || reply.GetText() != "Hello, Ada!" {
		t.Errorf("got %v, %v", reply, err)
	}
	if _, err := caller.Greet(t.Context(), &greetv1.GreetRequest{}); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("without a name: %v", err)
	}
}
