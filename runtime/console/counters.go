package console

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// maxSeries is how many actions are counted each by itself, in each direction.
	// Those that a server handles are as many as it registers; but what it calls may be
	// made up at run time.
	maxSeries = 1000
	// others is the name under which the rest is counted.
	others = "(others)"
)

// Durations are counted in buckets, four to each power of two of microseconds, so that a
// bucket is at most a quarter of what it begins with.
const (
	bucketBits = 2
	maxBuckets = 26 << bucketBits // the last one begins at about two minutes
)

// counters counts calls by direction and action.
type counters struct {
	incoming, outgoing seriesSet
}

// series is what is counted of one action in one direction.
type series struct {
	action  string
	begun   atomic.Uint64
	failed  atomic.Uint64
	buckets [maxBuckets]atomic.Uint64 // of those that have ended, by their duration
}

// seriesSet is the series of one direction.
type seriesSet struct {
	bySpec sync.Map // *packetrpc.Spec to *series: what most calls find

	mu     sync.Mutex
	specs  int // in bySpec
	byName map[string]*series
}

// of returns the series of an action.
func (s *seriesSet) of(spec *packetrpc.Spec) *series {
	if found, ok := s.bySpec.Load(spec); ok {
		return found.(*series)
	}
	return s.add(spec)
}

func (s *seriesSet) add(spec *packetrpc.Spec) *series {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := spec.Action
	found := s.byName[name]
	if found == nil {
		if len(s.byName) >= maxSeries {
			name = others
		}
		if found = s.byName[name]; found == nil {
			if s.byName == nil {
				s.byName = make(map[string]*series)
			}
			found = &series{action: name}
			s.byName[name] = found
		}
	}
	if s.specs < maxSeries {
		if _, loaded := s.bySpec.LoadOrStore(spec, found); !loaded {
			s.specs++
		}
	}
	return found
}

// all returns the series that there are.
func (s *seriesSet) all() []*series {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*series, 0, len(s.byName))
	for _, one := range s.byName {
		all = append(all, one)
	}
	return all
}

// intercept counts the calls of a connection. A stream that the server opens at a client
// counts as long as it takes to be opened, since that is what the interceptor sees.
func (c *Console) intercept(next packetrpc.Invoke) packetrpc.Invoke {
	return func(ctx context.Context, call *packetrpc.Call) error {
		set := &c.counters.incoming
		if call.Outgoing {
			set = &c.counters.outgoing
		}
		counted, began := set.of(call.Spec), time.Now()
		counted.begun.Add(1)
		var err error = errNoReturn
		defer func() {
			counted.end(time.Since(began), err)
			if err != nil {
				c.failures.add(call.Peer, call.Spec.Action, call.Outgoing, err)
			}
		}()
		err = next(ctx, call)
		return err
	}
}

// refused notes a call that no interceptor has seen. What it was to be, the client alone
// says, so it is not counted by action.
func (c *Console) refused(peer packetrpc.Peer, action string, reason error) {
	c.failures.add(peer, shortened(action, maxFailureText), false, reason)
}

// errNoReturn stands for the error of a call whose handler has panicked.
var errNoReturn = &packetrpc.Error{Code: packetrpc.CodeInternal, Message: "the handler did not return"}

// end counts a call that has ended.
func (s *series) end(took time.Duration, err error) {
	s.buckets[bucketOf(took)].Add(1)
	if err != nil {
		s.failed.Add(1)
	}
}

// bucketOf returns the bucket of a duration.
func bucketOf(d time.Duration) int {
	micros := uint64(max(d.Microseconds(), 0))
	if micros < 1<<bucketBits {
		return int(micros)
	}
	octave := bits.Len64(micros) - 1 - bucketBits
	return min(octave<<bucketBits+int(micros>>octave), maxBuckets-1)
}

// bucketBounds returns where the buckets begin, in milliseconds. Bucket i ends where
// the next one begins.
func bucketBounds() []float64 {
	bounds := make([]float64, maxBuckets)
	for i := range bounds {
		micros := i
		if i >= 1<<bucketBits {
			octave := i>>bucketBits - 1
			micros = (1<<bucketBits + i&(1<<bucketBits-1)) << octave
		}
		bounds[i] = float64(micros) / 1000
	}
	return bounds
}
