package seal

import (
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// window is how far the times of sealing and of opening may be apart.
	window        = 2 * time.Minute
	windowSeconds = int64(window / time.Second)
	spanSeconds   = 2*windowSeconds + 1
	// maxRemembered is how many ids an Opener remembers at once.
	maxRemembered = 1 << 16
)

// memory holds the ids of what has been opened until its time is over.
//
// Time is cut into spans, and an id belongs to the span of the second that it was
// sealed in. A span is as long as the window on both sides of now, so that whatever
// can be accepted belongs to one of two spans. The spans only ever move on: when the
// clock is set back, what may be forgotten is refused.
type memory struct {
	span  int64
	older map[sealedID]struct{} // of span
	newer map[sealedID]struct{} // of span + 1
}

// place returns the ids that a seal belongs to and is not among, or why it is
// refused.
func (m *memory) place(s stamp, now time.Time) (map[sealedID]struct{}, error) {
	if err := checkTime(s, now); err != nil {
		return nil, err
	}
	m.moveOn(now)
	ids := m.newer
	switch span := s.at / spanSeconds; {
	case span < m.span:
		return nil, stale("the data was sealed at a time whose data is forgotten already: this side's clock was set back")
	case span == m.span:
		ids = m.older
	}
	if _, isThere := ids[s.id]; isThere {
		return nil, replayed()
	}
	if len(m.older)+len(m.newer) >= maxRemembered {
		return nil, m.full(now)
	}
	return ids, nil
}

// checkTime refuses what was not sealed just now.
func checkTime(s stamp, now time.Time) error {
	age := now.Truncate(time.Second).Sub(time.Unix(s.at, 0))
	switch {
	case age > window:
		return stale("the data was sealed %v ago; it is accepted within %v (do the clocks agree?)", age, window)
	case age < -window:
		return stale("the data was sealed %v in the future; it is accepted within %v (do the clocks agree?)", age.Abs(), window)
	}
	return nil
}

// moveOn forgets the spans in which nothing can be accepted any more.
func (m *memory) moveOn(now time.Time) {
	span := (now.Unix() - windowSeconds) / spanSeconds
	switch {
	case m.newer != nil && span <= m.span:
		return
	case m.newer != nil && span == m.span+1:
		m.older = m.newer
	default:
		m.older = make(map[sealedID]struct{})
	}
	m.span, m.newer = span, make(map[sealedID]struct{})
}

// full returns the error that tells when something will be forgotten.
func (m *memory) full(now time.Time) error {
	next := m.span + 1
	if len(m.older) == 0 {
		next++
	}
	wait := time.Unix(next*spanSeconds+windowSeconds, 0).Sub(now)
	err := refuse(packetrpc.CodeResourceExhausted, ErrFull,
		"%d pieces of sealed data have been opened within the last minutes; more are accepted in %v", maxRemembered, wait.Round(time.Second))
	err.RetryAfter = wait
	return err
}
