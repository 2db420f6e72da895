package packetrpctest_test

import (
	"context"
	"testing"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// echo is a handler that is to be tested.
type echo struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
}

func (echo) Send(_ context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	if request.GetText() == "" {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no text")
	}
	return &chatv1.SendResponse{Number: uint32(len(request.GetText()))}, nil
}

// TestSend tests a handler behind a real connection, in memory.
func TestSend(t *testing.T) {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, echo{})
	chat := chatv1packetrpc.NewChatServiceClient(packetrpctest.Dial(t, srv))

	reply, err := chat.Send(t.Context(), &chatv1.SendRequest{Text: "hello"})
	if err != nil || reply.GetNumber() != 5 {
		t.Errorf("got %v, %v", reply, err)
	}
	_, err = chat.Send(t.Context(), &chatv1.SendRequest{})
	if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("an empty text: %v", err)
	}
}

// The test of a handler: the server is served in memory, the client is connected
// to it, and both end with the test.
func ExampleDial() {
	var t *testing.T // the test's
	test := func() {
		srv := server.New()
		chatv1packetrpc.RegisterChatServiceHandler(srv, echo{})
		conn := packetrpctest.Dial(t, srv)
		reply, err := chatv1packetrpc.NewChatServiceClient(conn).Send(t.Context(), &chatv1.SendRequest{Text: "hello"})
		if err != nil || reply.GetNumber() != 5 {
			t.Errorf("got %v, %v", reply, err)
		}
	}
	_ = test // called by go test
}
