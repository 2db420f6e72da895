package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// callTimeout bounds a healthy client's call, and thereby how many are under way.
const callTimeout = 10 * time.Second

// crowd is the healthy clients. One goroutine uses it.
type crowd struct {
	address string
	members []*healthy
	// heard is the latencies of broadcasts from when they were due to when they arrive,
	// of the round under way.
	heard atomic.Pointer[latencies]
	// lost is how often a member has lost its connection.
	lost atomic.Int64
}

// healthy is a client that does as it should.
type healthy struct {
	*client.Client
	crowd   *crowd
	leaving atomic.Bool
}

func newCrowd(address string) *crowd {
	c := &crowd{address: address}
	c.heard.Store(newLatencies())
	return c
}

// join connects another client.
func (c *crowd) join(ctx context.Context) (*healthy, error) {
	h := &healthy{crowd: c}
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleOneWay(handlers, pulseSpec, c.hear)
	var err error
	h.Client, err = client.Dial(ctx, c.address,
		client.WithName(healthyName), client.WithHandlers(handlers), client.WithStateHook(h.changed))
	return h, err
}

// hear handles a broadcast.
func (c *crowd) hear(_ context.Context, in *text) error {
	var due int64
	if _, err := fmt.Sscan(firstWord(in.Value), &due); err != nil {
		return err
	}
	c.heard.Load().record(time.Since(time.Unix(0, due)))
	return nil
}

// changed is the client's state hook.
func (h *healthy) changed(s client.State) {
	if s.Phase != client.PhaseReady && !h.leaving.Load() {
		h.crowd.lost.Add(1)
	}
}

func (h *healthy) leave() {
	h.leaving.Store(true)
	h.Close()
}

// atOnce is how many connect or leave at a time.
const atOnce = 32

// resize lets clients join or leave until there are so many.
func (c *crowd) resize(ctx context.Context, number int) error {
	if number < len(c.members) {
		leaving := c.members[number:]
		c.members = c.members[:number]
		return inParallel(len(leaving), func(i int) error {
			leaving[i].leave()
			return nil
		})
	}
	joined := make([]*healthy, number-len(c.members))
	err := inParallel(len(joined), func(i int) (err error) {
		joined[i], err = c.join(ctx)
		return err
	})
	for _, h := range joined {
		if h != nil && h.Client != nil {
			c.members = append(c.members, h)
		}
	}
	return err
}

// inParallel does something for each number below a count, some at a time.
func inParallel(count int, do func(i int) error) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	failures := make([]error, atOnce)
	for w := range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && failures[w] == nil; i = int(next.Add(1)) - 1 {
				failures[w] = do(i)
			}
		})
	}
	workers.Wait()
	return errors.Join(failures...)
}

// called is what came of the calls of a round.
type called struct {
	latencies *latencies // of those that went well, from when they were due
	failed    atomic.Int64
	failure   atomic.Pointer[error] // the first one
}

// call makes calls on a schedule that does not wait for anything, over all connections
// in turn, and returns when they have ended.
func (c *crowd) call(ctx context.Context, rate int, span time.Duration) *called {
	result := &called{latencies: newLatencies()}
	var calls sync.WaitGroup
	began := time.Now()
	for n := 0; n < int(span.Seconds()*float64(rate)); n++ {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if time.Until(due) > 0 && !waitUntil(ctx, due) {
			break
		}
		member := c.members[n%len(c.members)]
		calls.Go(func() { member.call(result, n, due) })
	}
	calls.Wait()
	return result
}

// call makes one call, which was due at a time.
func (h *healthy) call(result *called, n int, due time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := h.echo(ctx, n); err != nil {
		result.failed.Add(1)
		result.failure.CompareAndSwap(nil, &err)
		return
	}
	result.latencies.record(time.Since(due))
}

// echo calls, and holds the reply against the request.
func (h *healthy) echo(ctx context.Context, n int) error {
	request := fmt.Sprint(n, " ", strings.Repeat("y", 50))
	reply, err := packetrpc.CallUnary[text](ctx, h.Client, echoSpec, wrapperspb.String(request))
	if wrong := compare(request, reply, err); wrong != "" {
		return errors.New(wrong)
	}
	return err
}
