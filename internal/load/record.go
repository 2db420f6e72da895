package load

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// traffic is the messages that a call has sent and received.
type traffic struct {
	sent, received Traffic
}

// outcome is a call that has ended.
type outcome struct {
	since, begun, ended time.Time // the latency counts since the first
	late                bool      // all callers were busy when it was due
	starved             bool      // its caller was free, and woken late
	retries             int64
	traffic
	err error
}

// recorder gathers outcomes. Callers share a few shards of it, since a histogram for
// each of thousands would fill the caches, and one for all would be waited for.
type recorder struct {
	open   bool
	shards []*shard
	failures
}

// shard is what has come since it was last collected.
type shard struct {
	mu sync.Mutex
	tally
}

// tally is counted outcomes.
type tally struct {
	latency, service *Latencies // of those that succeeded; service is nil in a closed loop
	failed, retries  int64
	late, starved    int64
	traffic
}

func newTally(open bool) tally {
	if !open {
		return tally{latency: newLatencies()}
	}
	return tally{latency: newLatencies(), service: newLatencies()}
}

func (t *tally) add(other *tally) {
	t.latency.merge(other.latency)
	if t.service != nil {
		t.service.merge(other.service)
	}
	t.failed += other.failed
	t.late += other.late
	t.starved += other.starved
	t.retries += other.retries
	t.sent.add(other.sent)
	t.received.add(other.received)
}

func (t *tally) reset() {
	t.latency.counts.Reset()
	if t.service != nil {
		t.service.counts.Reset()
	}
	*t = tally{latency: t.latency, service: t.service}
}

// empty reports whether no call has ended.
func (t *tally) empty() bool { return t.latency.Count()+t.failed == 0 }

func newRecorder(callers int, open bool) *recorder {
	r := &recorder{open: open, shards: make([]*shard, min(callers, 4*runtime.GOMAXPROCS(0)))}
	for i := range r.shards {
		r.shards[i] = &shard{tally: newTally(open)}
	}
	return r
}

// record counts what has come of a call.
func (r *recorder) record(caller int, o *outcome) {
	if o.err != nil {
		r.failures.add(o.err)
	}
	s := r.shards[caller%len(r.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.late:
		s.late++
	case o.starved:
		s.starved++
	}
	s.retries += o.retries
	s.sent.add(o.sent)
	s.received.add(o.received)
	if o.err != nil {
		s.failed++
		return
	}
	s.latency.record(o.ended.Sub(o.since))
	if s.service != nil {
		s.service.record(o.ended.Sub(o.begun))
	}
}

// collect returns what has been recorded since it was last called.
func (r *recorder) collect() tally {
	sum := newTally(r.open)
	for _, s := range r.shards {
		s.mu.Lock()
		sum.add(&s.tally)
		s.tally.reset()
		s.mu.Unlock()
	}
	return sum
}

// failures counts errors by their codes.
type failures struct {
	mu    sync.Mutex
	codes map[packetrpc.Code]*Failure
}

// samplesMax is how many different texts are kept for each code.
const samplesMax = 3

func (f *failures) add(err error) {
	coded := packetrpc.AsError(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.codes == nil {
		f.codes = make(map[packetrpc.Code]*Failure)
	}
	failure := f.codes[coded.Code]
	if failure == nil {
		failure = &Failure{Code: coded.Code.String()}
		f.codes[coded.Code] = failure
	}
	failure.Count++
	if len(failure.Samples) < samplesMax && !slices.Contains(failure.Samples, coded.Message) {
		failure.Samples = append(failure.Samples, coded.Message)
	}
}

// all returns them, the most frequent first.
func (f *failures) all() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Failure
	for _, code := range slices.Sorted(maps.Keys(f.codes)) {
		all = append(all, *f.codes[code])
	}
	slices.SortStableFunc(all, func(a, b Failure) int { return int(b.Count - a.Count) })
	return all
}
