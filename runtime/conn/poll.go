package conn

import "time"

// polling is how a lone caller gets its reply without waking anybody: it reads the
// connection itself, for a moment in which it does not wait. The reading role must
// be left to it, so whoever has read the reply to a lone call gives the role up,
// and a timer sees to it that nobody else misses a reader. Conn.mu guards it.
//
// Where replies take longer, or calls are made rarely, polling is tried ever more
// rarely.
type polling struct {
	vacant bool // the reading role is left to the next lone caller
	used   bool // one has read since the timer was set
	alone  int  // how many calls in a row were the only ones when they were made
	skip   int  // how many more replies to lone calls do not leave the role
	misses uint // in a row
}

const (
	// pollTime is how long a caller polls: about what it takes to wake a goroutine
	// on both sides.
	pollTime = 20 * time.Microsecond
	// aloneMin is how many calls in a row must have been lone ones before the next
	// is expected to be one.
	aloneMin = 8
	// vacancy is how long the reading role may be left to callers that do not
	// come.
	vacancy = 500 * time.Microsecond
	// maxMisses bounds how rarely polling is tried: once in 2^maxMisses calls.
	maxMisses = 10
)

// missed notes that polling was in vain.
func (p *polling) missed() {
	p.skip = 1 << p.misses
	p.misses = min(p.misses+1, maxMisses)
}

// leaveToCaller gives the reading role up for the next lone caller, if there is
// likely to be one: the reply to the only call has just been read. c.mu is held.
func (c *Conn) leaveToCaller() bool {
	s := &c.todo
	if c.in.replies != 1 || s.polling.alone < aloneMin || c.made.calls.len() > 0 || c.taken.open > 0 || c.in.socket == nil {
		return false
	}
	if s.polling.skip > 0 {
		s.polling.skip--
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
	if err := c.in.poll(pollTime); err != nil {
		c.readingEnded(err)
	} else {
		c.handleArrived()
	}
	c.in.polled = false

	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.todo
	s.reading = false
	if c.made.calls.get(call.id) == call {
		s.polling.missed()
	} else {
		s.polling.misses = 0
	}
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
