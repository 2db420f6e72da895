package load

import "time"

// series cuts what is recorded into intervals, and adds it up.
type series struct {
	every time.Duration
	began time.Time
	done  []Interval
	total tally

	// The last interval is held until it is known that it has ended.
	held        *tally // nil is none
	from, until time.Time
}

func newSeries(began time.Time, every time.Duration, open bool) series {
	return series{every: every, began: began, until: began, total: newTally(open)}
}

// add adds an interval that begins where the last one has ended.
func (s *series) add(t tally, until time.Time) {
	s.total.add(&t)
	s.flush()
	s.held, s.from, s.until = &t, s.until, until
}

// finish adds the rest, to the last interval if it is short.
func (s *series) finish(rest tally, until time.Time) {
	if s.held != nil && until.Sub(s.until) < s.every/2 {
		s.total.add(&rest)
		s.held.add(&rest)
		if until.After(s.until) {
			s.until = until
		}
	} else if until.After(s.until) || !rest.empty() {
		s.add(rest, until)
	}
	s.flush()
}

func (s *series) flush() {
	if s.held != nil {
		s.done = append(s.done, s.last())
		s.held = nil
	}
}

// last returns the interval that is held.
func (s *series) last() Interval {
	if s.held == nil {
		return Interval{}
	}
	latency := s.held.latency
	return Interval{
		At:     s.from.Sub(s.began).Seconds(),
		Span:   s.until.Sub(s.from).Seconds(),
		OK:     latency.Count(),
		Failed: s.held.failed,
		P50:    micros(latency.Percentile(50)),
		P99:    micros(latency.Percentile(99)),
		Max:    micros(latency.Max()),
	}
}
