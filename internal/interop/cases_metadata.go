package interop

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const initialValue = "the first thing that comes back"

// trailingValue is bytes that are no text. Metadata is text, so they travel in
// base64, as they do between gRPC's ends.
var trailingValue = base64.StdEncoding.EncodeToString([]byte{0xab, 0xab, 0xab})

func customMetadata(ctx context.Context, caller packetrpc.Caller) error {
	ctx = packetrpc.WithMetadata(ctx, initialKey, initialValue, trailingKey, trailingValue)
	if err := unaryMetadata(ctx, caller); err != nil {
		return fmt.Errorf("unary: %w", err)
	}
	if err := streamMetadata(ctx, caller); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

func unaryMetadata(ctx context.Context, caller packetrpc.Caller) error {
	ctx, info := packetrpc.WithCallInfo(ctx)
	if err := callUnary(ctx, caller, largeRequest, largeResponse); err != nil {
		return err
	}
	return checkMetadata(info, []string{initialValue}, []string{trailingValue})
}

func streamMetadata(ctx context.Context, caller packetrpc.Caller) error {
	ctx, info := packetrpc.WithCallInfo(ctx)
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := ping(stream, largeRequest, largeResponse); err != nil {
		return err
	}
	if err := checkMetadata(info, []string{initialValue}, nil); err != nil {
		return fmt.Errorf("with the first response: %w", err)
	}
	if err := closeAndCheckEnd(stream); err != nil {
		return err
	}
	return checkMetadata(info, []string{initialValue}, []string{trailingValue})
}

func checkMetadata(info *packetrpc.CallInfo, initial, trailing []string) error {
	for key, want := range map[string][]string{initialKey: initial, trailingKey: trailing} {
		if got := info.Metadata.Values(key); !slices.Equal(got, want) {
			return fmt.Errorf("the metadata %q is %q, want %q", key, got, want)
		}
	}
	return nil
}
