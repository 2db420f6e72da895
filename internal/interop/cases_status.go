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

func statusCodeAndMessage(ctx context.Context, caller packetrpc.Caller) error {
	status := &interopv1.Status{Code: uint32(packetrpc.CodeUnknown), Message: "it failed, as was asked for"}
	if err := failUnary(ctx, caller, status); err != nil {
		return fmt.Errorf("unary: %w", err)
	}
	if err := failStream(ctx, caller, status); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// specialStatusMessage has white space at both ends, what JSON escapes, what
// formatting could take for a verb, and characters of up to four bytes.
func specialStatusMessage(ctx context.Context, caller packetrpc.Caller) error {
	return failUnary(ctx, caller, &interopv1.Status{
		Code:    uint32(packetrpc.CodeUnknown),
		Message: "\t\n\"quoted\" \\ <&> 100%s \x00\x7f\r\nü ☺ \u2028 and 😈\t\n",
	})
}

func failUnary(ctx context.Context, caller packetrpc.Caller, status *interopv1.Status) error {
	_, err := interopv1packetrpc.NewInteropServiceClient(caller).Unary(ctx, &interopv1.UnaryRequest{Status: status})
	return checkStatus(err, status)
}

func failStream(ctx context.Context, caller packetrpc.Caller, status *interopv1.Status) error {
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := queued(stream.Send(&interopv1.BidiStreamRequest{Status: status})); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	_, err = stream.Receive()
	return checkStatus(err, status)
}

func unimplementedMethod(ctx context.Context, caller packetrpc.Caller) error {
	_, err := interopv1packetrpc.NewInteropServiceClient(caller).Unimplemented(ctx, &interopv1.UnimplementedRequest{})
	return checkCode(err, packetrpc.CodeUnimplemented)
}

func unimplementedService(ctx context.Context, caller packetrpc.Caller) error {
	_, err := interopv1packetrpc.NewUnregisteredServiceClient(caller).Call(ctx, &interopv1.CallRequest{})
	return checkCode(err, packetrpc.CodeUnimplemented)
}

// checkStatus wants err to be what the other side failed with.
func checkStatus(err error, want *interopv1.Status) error {
	if err := checkCode(err, packetrpc.Code(want.GetCode())); err != nil {
		return err
	}
	got := packetrpc.AsError(err)
	if !got.Remote() {
		return fmt.Errorf("the call failed on this side: %w", err)
	}
	if got.Message != want.GetMessage() {
		return fmt.Errorf("the message is %q, want %q", got.Message, want.GetMessage())
	}
	return nil
}

func checkCode(err error, want packetrpc.Code) error {
	switch {
	case err == nil:
		return fmt.Errorf("the call succeeded, want %v", want)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the stream ended without a failure, want %v", want)
	case packetrpc.CodeOf(err) != want:
		return fmt.Errorf("the call failed with %w, want %v", err, want)
	}
	return nil
}
