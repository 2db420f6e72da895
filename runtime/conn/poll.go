package conn

import "time"

// Whoever waits for bytes tries for a moment to read them before it does: where the
// other side answers at once, that is faster, and costs less, than to sleep and be
// woken.

// odds tells whether polling is worth a try. Where it is in vain it is tried ever
// more rarely.
type odds struct {
	skip   int  // how many more times not to poll
	misses uint // in a row
}

// worth reports whether to poll this time.
func (o *odds) worth() bool {
	if o.skip > 0 {
		o.skip--
		return false
	}
	return true
}

// learn notes whether polling was of use.
func (o *odds) learn(hit bool) {
	if hit {
		o.misses = 0
		return
	}
	o.skip = 1 << o.misses
	o.misses = min(o.misses+1, maxMisses)
}

// awaitMore waits until more has been read. It polls for requests that come a few at
// a time: those who wait for replies need the processor for what they do with them,
// and where many come together it matters little how soon the first is seen. Of the
// connections that share their workers one polls at a time. The caller holds the
// reading role.
func (c *Conn) awaitMore() error {
	r := c.in
	if r.socket == nil || !r.serves || !r.odds.worth() || !c.cfg.Workers.polls.CompareAndSwap(false, true) {
		return r.fill()
	}
	n, err := r.poll(pollTime)
	c.cfg.Workers.polls.Store(false)
	r.odds.learn(n > 0)
	if n > 0 || err != nil {
		return err
	}
	return r.fill()
}

// polling is how a lone caller gets its reply without waking anybody: it reads the
// connection itself. The reading role must be left to it, so whoever has read the
// reply to a lone call gives the role up, and a timer sees to it that nobody else
// misses a reader. Conn.mu guards it.
type polling struct {
	odds
	vacant bool // the reading role is left to the next lone caller
	used   bool // one has read since the timer was set
	alone  int  // how many calls in a row were the only ones when they were made
}

const (
	// pollTime is how long one polls: about what it takes to wake a goroutine on
	// both sides.
	pollTime = 20 * time.Microsecond
	// fewCalls is how many calls may come together for polling to pay.
	fewCalls = 16
	// aloneMin is how many calls in a row must have been lone ones before the next
	// is expected to be one.
	aloneMin = 8
	// vacancy is how long the reading role may be left to callers that do not
	// come.
	vacancy = 500 * time.Microsecond
	// maxMisses bounds how rarely polling is tried: once in 2^maxMisses times.
	maxMisses = 10
)

// leaveToCaller gives the reading role up for the next lone caller, if there is
// likely to be one: the reply to the only call has just been read. c.mu is held.
func (c *Conn) leaveToCaller() bool {
	s := &c.todo
	if c.in.replies != 1 || s.polling.alone < aloneMin || c.made.calls.len() > 0 || c.taken.open > 0 || c.in.socket == nil {
		return false
	}
	if !s.polling.worth() {
		return false
	}
	s.polling.vacant = true
	c.startLull(vacancy)
	return true
}

// countAlone notes whether a call is a lone one. A worker reads for one that is
// not. c.mu is held.
func (c *Conn) countAlone(alone bool) {
	p := &c.todo.polling
	if alone {
		p.alone++
		return
	}
	p.alone = 0
	if p.vacant {
		p.vacant = false
		c.ensureSearch()
	}
}

// pollForReply reads, if the role has been left to the caller, until its reply has
// come or it has polled long enough. It does not run handlers.
func (c *Conn) pollForReply(call *madeCall) {
	if !c.takeVacancy() {
		return
	}
	c.in.polled = true
	if _, err := c.in.poll(pollTime); err != nil {
		c.readingEnded(err)
	} else {
		c.handleArrived()
	}
	c.in.polled = false

	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.todo
	s.reading = false
	s.polling.learn(c.made.calls.get(call.id) != call)
	if c.made.calls.len() > 0 || s.polling.alone == 0 || c.callWaits() || c.out.dirty() || c.in.over {
		c.ensureSearch()
	} else {
		s.polling.vacant = true
		c.startLull(vacancy)
	}
}

// takeVacancy gives the reading role to a lone caller if it has been left to one.
func (c *Conn) takeVacancy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.todo
	if !s.polling.vacant || c.ended != nil {
		return false
	}
	s.polling.vacant = false
	if s.reading {
		return false // who has left it has not quite gone, and stays now
	}
	s.polling.used, s.reading = true, true
	return true
}
