package interop

import (
	"context"
	"errors"
	"fmt"
	"io"

	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The sizes in bytes of what streams carry, in order.
var (
	streamRequests  = [...]int{27182, 8, 1828, 45904}
	streamResponses = [...]int{31415, 9, 2653, 58979}
)

// streamedRequests is the sum of streamRequests.
const streamedRequests = 74922

func clientStreaming(ctx context.Context, caller packetrpc.Caller) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).ClientStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, size := range streamRequests {
		if err := queued(stream.Send(&interopv1.ClientStreamRequest{Body: make([]byte, size)})); err != nil {
			return err
		}
	}
	response, err := stream.CloseAndReceive()
	if err != nil {
		return err
	}
	if got := response.GetReceived(); got != streamedRequests {
		return fmt.Errorf("the handler received %d bytes, want %d", got, streamedRequests)
	}
	return nil
}

func serverStreaming(ctx context.Context, caller packetrpc.Caller) error {
	request := &interopv1.ServerStreamRequest{}
	for _, size := range streamResponses {
		request.ResponseSizes = append(request.ResponseSizes, uint32(size))
	}
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).ServerStream(ctx, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	for i, size := range streamResponses {
		response, err := stream.Receive()
		if err != nil {
			return fmt.Errorf("response %d: %w", i+1, err)
		}
		if err := checkBody(response.GetBody(), size); err != nil {
			return fmt.Errorf("response %d: %w", i+1, err)
		}
	}
	_, err = stream.Receive()
	return checkEnd(err)
}

func pingPong(ctx context.Context, caller packetrpc.Caller) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for i, responseSize := range streamResponses {
		if err := ping(stream, streamRequests[i], responseSize); err != nil {
			return fmt.Errorf("response %d: %w", i+1, err)
		}
	}
	return closeAndCheckEnd(stream)
}

func emptyStream(ctx context.Context, caller packetrpc.Caller) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	return closeAndCheckEnd(stream)
}

// bidiStream is the calling end of BidiStream.
type bidiStream = packetrpc.BidiStream[interopv1.BidiStreamRequest, interopv1.BidiStreamResponse]

// ping sends a request and receives its only response.
func ping(stream bidiStream, requestSize, responseSize int) error {
	request := &interopv1.BidiStreamRequest{ResponseSizes: []uint32{uint32(responseSize)}, Body: make([]byte, requestSize)}
	if err := queued(stream.Send(request)); err != nil {
		return err
	}
	response, err := stream.Receive()
	if err != nil {
		return err
	}
	return checkResponse(response, requestSize, responseSize)
}

func closeAndCheckEnd(stream bidiStream) error {
	if err := stream.CloseSend(); err != nil {
		return err
	}
	_, err := stream.Receive()
	return checkEnd(err)
}

// queued returns what was wrong with sending. That the call has ended already is
// not: receiving tells why it has.
func queued(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// checkEnd wants err, which Receive has returned, to be that of a call that has
// succeeded.
func checkEnd(err error) error {
	switch {
	case err == nil:
		return errors.New("there was one response too many")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fmt.Errorf("the call failed at its end: %w", err)
	}
}
