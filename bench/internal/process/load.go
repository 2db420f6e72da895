package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies counts latencies in nanoseconds, to three digits.
type Latencies struct {
	mu     sync.Mutex
	counts *hdrhistogram.Histogram
}

// NewLatencies returns an empty histogram from 1 µs to a minute.
func NewLatencies() *Latencies {
	return &Latencies{counts: hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)}
}

// Record adds a latency. What is longer than a minute counts as a minute.
func (l *Latencies) Record(latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The limits of the histogram hold here, so that there is no error.
	_ = l.counts.RecordValue(int64(min(max(latency, time.Microsecond), time.Minute)))
}

// Add adds another histogram to this one.
func (l *Latencies) Add(other *Latencies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Merge(other.counts)
}

// Percentile returns the latency that so many percent of calls stayed below.
func (l *Latencies) Percentile(percent float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.counts.ValueAtPercentile(percent))
}

// Load is a number of callers who each call as fast as they are answered.
type Load struct {
	Callers int
	// Warm is for how long they call before anything counts, Span for how long
	// afterwards, or longer until one call has been answered.
	Warm, Span time.Duration
}

// LoadSummary is what came of a Load.
type LoadSummary struct {
	Calls         int64
	Elapsed       time.Duration
	P50, P99, Max time.Duration
}

// overtime bounds the wait for the first call.
const overtime = 20 * time.Second

// shards is how many histograms the callers of a load share: one for each of ten
// thousand callers would fill the caches.
const shards = 32

// Run makes the calls. It calls mark when the warm-up is over, and again when the
// span is. The arguments of call are the number of the caller, and how many calls
// that one has made before.
func (l Load) Run(call func(caller, before int) error, mark func() error) (LoadSummary, error) {
	run := &loadRun{call: call}
	for i := range run.latencies {
		run.latencies[i] = NewLatencies()
	}
	var callers sync.WaitGroup
	for caller := range l.Callers {
		callers.Go(func() { run.repeat(caller) })
	}
	summary, err := run.observe(l, mark)
	run.stopped.Store(true)
	callers.Wait()
	all := NewLatencies()
	for _, some := range run.latencies {
		all.Add(some)
	}
	summary.P50, summary.P99, summary.Max = all.Percentile(50), all.Percentile(99), all.Percentile(100)
	if failed := run.failed.Load(); failed != nil {
		err = errors.Join(*failed, err)
	}
	return summary, err
}

// loadRun is a Load under way.
type loadRun struct {
	call      func(caller, before int) error
	latencies [shards]*Latencies
	calls     [shards]paddedCount
	counting  atomic.Bool
	stopped   atomic.Bool
	failed    atomic.Pointer[error] // the first error
}

// paddedCount has a cache line to itself.
type paddedCount struct {
	atomic.Int64
	_ [56]byte
}

// repeat is one caller. It looks at the clock once for each call.
func (r *loadRun) repeat(caller int) {
	shard := caller % shards
	began := time.Now()
	for before := 0; !r.stopped.Load(); before++ {
		if err := r.call(caller, before); err != nil {
			r.fail(err)
			return
		}
		now := time.Now()
		if r.counting.Load() {
			r.latencies[shard].Record(now.Sub(began))
			r.calls[shard].Add(1)
		}
		began = now
	}
}

// fail ends the run. It is apart from repeat, where err would be allocated for
// each call.
func (r *loadRun) fail(err error) {
	r.failed.CompareAndSwap(nil, &err)
	r.stopped.Store(true)
}

// observe waits through the warm-up and the span.
func (r *loadRun) observe(load Load, mark func() error) (LoadSummary, error) {
	r.wait(load.Warm)
	if err := mark(); err != nil {
		return LoadSummary{}, err
	}
	start := time.Now()
	r.counting.Store(true)
	r.wait(load.Span)
	for end := time.Now().Add(overtime); r.counted() == 0 && time.Now().Before(end) && !r.stopped.Load(); {
		r.wait(time.Millisecond)
	}
	r.counting.Store(false)
	summary := LoadSummary{Elapsed: time.Since(start)}
	if err := mark(); err != nil {
		return summary, err
	}
	summary.Calls = r.counted()
	if summary.Calls == 0 && r.failed.Load() == nil {
		return summary, fmt.Errorf("no call returned within %v", load.Span+overtime)
	}
	return summary, nil
}

// counted returns the number of calls that count.
func (r *loadRun) counted() int64 {
	var sum int64
	for i := range r.calls {
		sum += r.calls[i].Load()
	}
	return sum
}

// wait waits for a span, or less when a call fails.
func (r *loadRun) wait(span time.Duration) {
	const step = 100 * time.Millisecond
	for end := time.Now().Add(span); time.Now().Before(end) && !r.stopped.Load(); {
		time.Sleep(min(step, time.Until(end)))
	}
}

// Payload returns data that does not shrink when compressed, the same each time.
func Payload(size int) []byte {
	data := make([]byte, size)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(source.Uint32())
	}
	return data
}

// CheckEcho returns a function that checks the outcome of a call that echoes the
// data, by its length: the tests compare the content.
func CheckEcho(data []byte) func(got []byte, err error) error {
	return func(got []byte, err error) error {
		if err == nil && len(got) != len(data) {
			err = fmt.Errorf("%d bytes came back of %d", len(got), len(data))
		}
		return err
	}
}
