package interop

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The sizes in bytes of large unary calls.
const (
	largeRequest  = 271828
	largeResponse = 314159
)

func emptyUnary(ctx context.Context, caller packetrpc.Caller) error {
	response, err := interopv1packetrpc.NewInteropServiceClient(caller).Empty(ctx, &interopv1.EmptyRequest{})
	if err != nil {
		return err
	}
	if size := proto.Size(response); size != 0 {
		return fmt.Errorf("the response has %d bytes, want none", size)
	}
	return nil
}

func largeUnary(ctx context.Context, caller packetrpc.Caller) error {
	return callUnary(ctx, caller, largeRequest, largeResponse)
}

// callUnary makes a call whose bodies have the given sizes.
func callUnary(ctx context.Context, caller packetrpc.Caller, requestSize, responseSize int) error {
	response, err := interopv1packetrpc.NewInteropServiceClient(caller).Unary(ctx, &interopv1.UnaryRequest{
		ResponseSize: uint32(responseSize),
		Body:         make([]byte, requestSize),
	})
	if err != nil {
		return err
	}
	return checkResponse(response, requestSize, responseSize)
}

// sizedResponse is a response to a request with a body.
type sizedResponse interface {
	GetBody() []byte
	GetReceived() uint32
}

func checkResponse(response sizedResponse, requestSize, responseSize int) error {
	if got := response.GetReceived(); got != uint32(requestSize) {
		return fmt.Errorf("the handler received %d bytes, want %d", got, requestSize)
	}
	return checkBody(response.GetBody(), responseSize)
}

func checkBody(body []byte, size int) error {
	if len(body) != size {
		return fmt.Errorf("received %d bytes, want %d", len(body), size)
	}
	if zeros := bytes.Count(body, []byte{0}); zeros != size {
		return fmt.Errorf("received %d bytes that are not zero", size-zeros)
	}
	return nil
}
