package interop

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func cancelAfterBegin(ctx context.Context, caller packetrpc.Caller) error {
	client := interopv1packetrpc.NewInteropServiceClient(caller)
	atOnce := func() error { return nil }
	if err := cancelClientStream(ctx, client, atOnce); err != nil {
		return fmt.Errorf("at once: %w", err)
	}
	// Of a call that is cancelled at once the handler may never hear. One that runs
	// must.
	ctx, watch, err := watchCall(ctx, client)
	if err != nil {
		return err
	}
	defer watch.Close()
	if err := cancelClientStream(ctx, client, watch.begun); err != nil {
		return fmt.Errorf("while the handler runs: %w", err)
	}
	return watch.ended(packetrpc.CodeCanceled)
}

// cancelClientStream cancels a call that has sent nothing, once wait has returned.
func cancelClientStream(ctx context.Context, client interopv1packetrpc.InteropServiceClient, wait func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.ClientStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := wait(); err != nil {
		return err
	}
	cancel()
	_, err = stream.CloseAndReceive()
	return checkCode(err, packetrpc.CodeCanceled)
}

func cancelAfterFirstResponse(ctx context.Context, caller packetrpc.Caller) error {
	client := interopv1packetrpc.NewInteropServiceClient(caller)
	ctx, watch, err := watchCall(ctx, client)
	if err != nil {
		return err
	}
	defer watch.Close()
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.BidiStream(calling)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := ping(stream, streamRequests[0], streamResponses[0]); err != nil {
		return err
	}
	if err := watch.begun(); err != nil {
		return err
	}
	cancel()
	_, err = stream.Receive()
	if err := checkCode(err, packetrpc.CodeCanceled); err != nil {
		return err
	}
	return watch.ended(packetrpc.CodeCanceled)
}

func timeoutOnSleepingServer(ctx context.Context, caller packetrpc.Caller) error {
	client := interopv1packetrpc.NewInteropServiceClient(caller)
	if _, err := sleepUntilTimeout(ctx, client, time.Millisecond); err != nil {
		return err
	}
	// The handler of so short a call may never run. It does, sooner or later, in
	// one of these, whatever the machine is busy with.
	for timeout := time.Millisecond; ; timeout *= 2 {
		if ran, err := timeOutWatched(ctx, client, timeout); ran || err != nil {
			return err
		}
	}
}

// timeOutWatched reports whether the call has been answered before its time ran
// out; then it wants the handler to have been told of that.
func timeOutWatched(ctx context.Context, client interopv1packetrpc.InteropServiceClient, timeout time.Duration) (ran bool, err error) {
	ctx, watch, err := watchCall(ctx, client)
	if err != nil {
		return false, err
	}
	defer watch.Close()
	ran, err = sleepUntilTimeout(ctx, client, timeout, uint32(streamResponses[0]))
	if err != nil || !ran {
		return false, err
	}
	if err := watch.begun(); err != nil {
		return false, err
	}
	// The caller's news that it has given up may outrun the handler's own clock.
	return true, watch.ended(packetrpc.CodeDeadlineExceeded, packetrpc.CodeCanceled)
}

// sleepUntilTimeout makes a call that asks for responses of the given sizes and
// then for nothing more, and reports whether they have come. It wants the call to
// fail because its time has run out.
func sleepUntilTimeout(ctx context.Context, client interopv1packetrpc.InteropServiceClient, timeout time.Duration, sizes ...uint32) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stream, err := client.BidiStream(ctx)
	if err != nil {
		return false, checkCode(err, packetrpc.CodeDeadlineExceeded)
	}
	defer stream.Close()
	request := &interopv1.BidiStreamRequest{ResponseSizes: sizes, Body: make([]byte, streamRequests[0])}
	if err := queued(stream.Send(request)); err != nil {
		return false, checkCode(err, packetrpc.CodeDeadlineExceeded)
	}
	responses := 0
	for {
		if _, err := stream.Receive(); err != nil {
			return responses == len(sizes), checkCode(err, packetrpc.CodeDeadlineExceeded)
		}
		responses++
	}
}

// watch is how a call fares at its handler, which nothing that the call itself
// returns can tell.
type watch struct {
	packetrpc.ReceiveStream[interopv1.WatchResponse]
}

// watchCall returns a context for one call, and the watch over it, which is to be
// closed.
func watchCall(ctx context.Context, client interopv1packetrpc.InteropServiceClient) (context.Context, watch, error) {
	name := rand.Text()
	stream, err := client.Watch(ctx, &interopv1.WatchRequest{Call: name})
	if err != nil {
		return nil, watch{}, err
	}
	w := watch{stream}
	if _, err := w.reach(interopv1.State_STATE_AWAITED); err != nil {
		stream.Close()
		return nil, watch{}, err
	}
	return packetrpc.WithMetadata(ctx, callKey, name), w, nil
}

// begun waits until the handler runs.
func (w watch) begun() error {
	_, err := w.reach(interopv1.State_STATE_BEGUN)
	return err
}

// ended waits until the handler has returned, and wants one of the codes.
func (w watch) ended(codes ...packetrpc.Code) error {
	code, err := w.reach(interopv1.State_STATE_ENDED)
	if err != nil {
		return err
	}
	if code == 0 {
		return fmt.Errorf("the handler ended in success, want one of %v", codes)
	}
	if !slices.Contains(codes, code) {
		return fmt.Errorf("the handler ended with %v, want one of %v", code, codes)
	}
	_, err = w.Receive()
	return checkEnd(err)
}

func (w watch) reach(want interopv1.State) (packetrpc.Code, error) {
	response, err := w.Receive()
	if err != nil {
		return 0, fmt.Errorf("watching the call: %w", err)
	}
	if got := response.GetState(); got != want {
		return 0, fmt.Errorf("the call is %v, want %v", got, want)
	}
	return packetrpc.Code(response.GetCode()), nil
}
