package interop

import (
	"context"
	"fmt"
	"sync"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// soakCallers is how many of a soak's calls run at once.
	soakCallers = 8
	// soakSizes is how many sizes a soak's bodies have, from 0 bytes on. There are
	// so many that of the calls that run at once no two have the same: a reply that
	// went to the wrong one is noticed.
	soakSizes = 4096
)

func soak(calls int) func(context.Context, packetrpc.Caller) error {
	return func(ctx context.Context, caller packetrpc.Caller) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		var callers sync.WaitGroup
		for first := range soakCallers {
			callers.Go(func() {
				for i := first; i < calls && ctx.Err() == nil; i += soakCallers {
					size := i % soakSizes
					if err := callUnary(ctx, caller, size, soakSizes-size); err != nil {
						stop(fmt.Errorf("call %d: %w", i+1, err))
					}
				}
			})
		}
		callers.Wait()
		return context.Cause(ctx)
	}
}
