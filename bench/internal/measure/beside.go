package measure

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

const (
	// interval is the time between the small calls.
	interval = time.Millisecond
	// maxOutstanding bounds the small calls that wait for their replies.
	maxOutstanding = 10_000
	// streamMessage and streamLength are the size of the messages of the stream
	// beside, and how many one stream has; streams follow each other.
	streamMessage = 64 << 10
	streamLength  = 1_000
)

// beside makes 1,000 small calls a second on a connection that transfers much.
func (s *session) beside(ctx context.Context) (map[Metric]float64, error) {
	if err := s.dial(ctx, 1); err != nil {
		return nil, err
	}
	transfer, err := s.transfer(ctx)
	if err != nil {
		return nil, err
	}
	// The first transfer is the warm-up; it also tells whether this works at all.
	if _, err := transfer(); err != nil {
		return nil, err
	}
	var stop atomic.Bool
	var transferring sync.WaitGroup
	var transferred int64
	var transferTime time.Duration
	var transferErr error
	transferring.Go(func() {
		start := time.Now()
		for !stop.Load() && transferErr == nil {
			var size int64
			size, transferErr = transfer()
			transferred += size
			if size == 0 {
				return
			}
		}
		transferTime = time.Since(start)
	})
	values, err := s.smallCalls(ctx)
	stop.Store(true)
	transferring.Wait()
	if err := errors.Join(err, transferErr); err != nil {
		return nil, err
	}
	if transferred > 0 {
		values[TransferMiB] = perSecond(transferred, transferTime) / (1 << 20)
	}
	return values, nil
}

// transfer returns what transfers the cell's large message or stream, and returns
// its size.
func (s *session) transfer(ctx context.Context) (func() (int64, error), error) {
	switch s.Cell.Kind {
	case BesideLarge:
		taker, ok := s.conns[0].(contender.Taker)
		if !ok {
			return nil, errUnsupported
		}
		data := process.Payload(largeMessage)
		return func() (int64, error) {
			size, err := taker.Take(ctx, data)
			return int64(size), err
		}, nil
	case BesideStream:
		streamer, ok := s.conns[0].(contender.Streamer)
		if !ok {
			return nil, errUnsupported
		}
		data := process.Payload(streamMessage)
		return func() (int64, error) {
			count, err := streamer.Upload(ctx, data, streamLength)
			return int64(count) * streamMessage, err
		}, nil
	}
	return func() (int64, error) { return 0, nil }, nil
}

// smallCalls makes a call each millisecond, whether or not those before have been
// answered. Where the machine is too busy to begin one in time it is begun as
// soon as possible, and its latency counts from then.
func (s *session) smallCalls(ctx context.Context) (map[Metric]float64, error) {
	data := process.Payload(s.Cell.Size)
	check := process.CheckEcho(data)
	latencies := process.NewLatencies()
	var failed atomic.Pointer[error]
	var calls sync.WaitGroup
	slots := make(chan struct{}, maxOutstanding)
	start := time.Now()
	count := int64(0)
	for ; (count == 0 || time.Since(start) < s.Span) && failed.Load() == nil; count++ {
		time.Sleep(time.Until(start.Add(time.Duration(count) * interval)))
		slots <- struct{}{}
		began := time.Now()
		calls.Go(func() {
			if err := check(s.conns[0].Echo(ctx, data)); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
			latencies.Record(time.Since(began))
			<-slots
		})
	}
	calls.Wait()
	elapsed := time.Since(start)
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return map[Metric]float64{
		P50:            micros(latencies.Percentile(50)),
		P99:            micros(latencies.Percentile(99)),
		CallsPerSecond: perSecond(count, elapsed),
	}, nil
}
