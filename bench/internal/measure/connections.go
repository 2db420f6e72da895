package measure

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// maxConnects bounds the connections of one job, as each keeps a port of the
// machine for a minute.
const maxConnects = 20_000

// errEnough ends the load at that bound.
var errEnough = errors.New("enough connections")

// connects has callers dial, call once and close.
func (s *session) connects(ctx context.Context) (map[Metric]float64, error) {
	data := process.Payload(s.Cell.Size)
	check := process.CheckEcho(data)
	var count atomic.Int64
	latencies := process.NewLatencies()
	once := func(int) error {
		if count.Add(1) > maxConnects || ctx.Err() != nil {
			return errEnough
		}
		start := time.Now()
		conn, err := s.contender.Dial(ctx, s.server.Address, s.Cell.settings())
		if err != nil {
			return err
		}
		err = check(conn.Echo(ctx, data))
		latencies.Record(time.Since(start))
		return errors.Join(err, conn.Close())
	}
	return s.countedLoad(once, latencies)
}

// countedLoad runs a load that may end itself by errEnough.
func (s *session) countedLoad(once func(int) error, latencies *process.Latencies) (map[Metric]float64, error) {
	if err := once(0); err != nil {
		return nil, err
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	start := time.Now()
	var calls atomic.Int64
	var failed atomic.Pointer[error]
	var callers sync.WaitGroup
	for caller := range s.Cell.Callers {
		callers.Go(func() {
			for more := true; more; more = time.Since(start) < s.Span && failed.Load() == nil {
				if err := once(caller); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				calls.Add(1)
			}
		})
	}
	callers.Wait()
	elapsed := time.Since(start)
	if err := failed.Load(); err != nil && !errors.Is(*err, errEnough) {
		return nil, *err
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	values := s.spent(calls.Load())
	values[ConnectsPerSecond] = perSecond(calls.Load(), elapsed)
	values[P50] = micros(latencies.Percentile(50))
	values[P99] = micros(latencies.Percentile(99))
	return values, nil
}

// rest is how long connections are left alone before their memory is measured:
// long enough for the timers that give buffers back.
const rest = 3 * time.Second

// idle measures what connections cost the server that have made one call and are
// then left alone.
func (s *session) idle(ctx context.Context) (map[Metric]float64, error) {
	// The first connection pays for what all share.
	if err := s.dial(ctx, 1); err != nil {
		return nil, err
	}
	before, err := s.server.Order(process.Order{Do: process.Settle})
	if err != nil {
		return nil, err
	}
	if err := s.dial(ctx, s.Cell.Conns); err != nil {
		return nil, err
	}
	time.Sleep(rest)
	after, err := s.server.Order(process.Order{Do: process.Settle})
	if err != nil {
		return nil, err
	}
	return held(before.Used, after.Used, float64(s.Cell.Conns)), nil
}

// held returns what each of so many connections holds.
func held(before, after process.Used, conns float64) map[Metric]float64 {
	kib := func(before, after uint64) float64 { return (float64(after) - float64(before)) / 1024 / conns }
	values := map[Metric]float64{
		HeapKiB:    kib(before.Heap, after.Heap),
		Goroutines: float64(after.Goroutines-before.Goroutines) / conns,
	}
	if before.Resident > 0 && after.Resident > 0 {
		values[ResidentKiB] = kib(before.Resident, after.Resident)
	}
	return values
}
