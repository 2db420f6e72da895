package conn

import "time"

// workState is who does what on a connection. Conn.mu guards it.
//
// A worker is a goroutine inside Conn.work. At any time at most one of them, or a
// lone caller (poll.go), holds the reading role, and at most one is searching: it has
// been summoned and has not yet looked around. Before a worker does something that
// may keep it, it makes sure that nothing is left undone meanwhile: if another call
// waits, or packets wait to be written, and nobody is searching, it summons another
// worker; if nobody reads, it lets a timer do so.
type workState struct {
	queue     fifo[*takenCall] // calls that wait for a worker; their handlers run concurrently
	lane      fifo[*takenCall] // calls whose handlers run one after the other
	laneBusy  bool             // a worker runs a call of the lane
	reading   bool
	searching bool
	lulling   bool        // lull runs
	lull      *time.Timer // summons a worker when nobody has read for a while
	polling   polling
	running   int // handlers
	working   int // goroutines that work for the connection; see Conn.vanish
}

// lull is how long nobody may read. It is long against most handlers, and short
// against the time after which one would notice.
const lull = 100 * time.Microsecond

// lanePause is how many packets of a plain connection wait before reading
// pauses.
const lanePause = 16

// dropQueued forgets the calls that no worker has begun. c.mu is held.
func (c *Conn) dropQueued() {
	for _, queue := range []*fifo[*takenCall]{&c.todo.queue, &c.todo.lane} {
		for queue.len() > 0 {
			c.taken.leave(queue.pop())
		}
		*queue = fifo[*takenCall]{}
	}
}

// laneIdle reports whether no call of the lane runs or waits.
func (s *workState) laneIdle() bool { return s.lane.len() == 0 && !s.laneBusy }

// summon wakes a worker. c.mu is held.
func (c *Conn) summon() {
	c.todo.searching = true
	c.todo.working++
	c.cfg.Workers.Run(c.workRef)
}

// leave notes that a goroutine no longer works for the connection, and unlocks.
func (c *Conn) leave() {
	c.todo.working--
	c.vanish()
	c.mu.Unlock()
}

// work is what a worker does: calls first, then what waits to be written, then
// reading; it leaves when others see to all of that.
func (c *Conn) work() {
	c.mu.Lock()
	c.todo.searching = false
	defer c.leave()
	for c.ended == nil {
		switch {
		case c.callWaits() && !c.out.ample():
			c.runNext()
		case c.out.dirty():
			c.ensureReader()
			c.mu.Unlock()
			c.out.flush()
			c.mu.Lock()
		case c.wantsReader():
			c.readInRole()
		default:
			return
		}
	}
}

// readInRole reads. It is entered and left with c.mu held.
func (c *Conn) readInRole() {
	c.todo.reading = true
	c.mu.Unlock()
	exits := true
	// Deferred, since a handler that runs at once may end its goroutine.
	defer func() {
		c.mu.Lock()
		c.todo.reading = false
		c.replace(exits)
	}()
	c.read()
	exits = false
}

// replace summons a worker for one that does not come back. c.mu is held.
func (c *Conn) replace(exits bool) {
	if exits {
		c.ensureSearch()
	}
}

// ensureSearch makes sure that a worker looks around soon. c.mu is held.
func (c *Conn) ensureSearch() {
	if c.ended == nil && !c.todo.searching {
		c.summon()
	}
}

// lookAround makes sure that a worker handles calls that could not be handled before.
func (c *Conn) lookAround() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.callWaits() {
		c.ensureSearch()
	}
}

// callWaits reports whether a call may be handled now.
func (c *Conn) callWaits() bool {
	s := &c.todo
	return s.running < c.cfg.MaxRunningCalls && (s.queue.len() > 0 && !c.account.stuck() || c.laneWaits())
}

// laneWaits reports whether a call of the lane may be handled now.
func (c *Conn) laneWaits() bool { return c.todo.lane.len() > 0 && !c.todo.laneBusy }

// wantsReader reports whether nobody reads although somebody should.
func (c *Conn) wantsReader() bool {
	s := &c.todo
	return !s.reading && !s.polling.vacant && !c.in.over && !(c.cfg.Plain && s.lane.len() >= lanePause)
}

// ensureReader makes sure that somebody reads soon while this worker does
// something else. Most handlers and writes take less time than waking another
// worker, so that happens only if this one has not come back after a lull.
func (c *Conn) ensureReader() {
	if !c.todo.searching && c.wantsReader() {
		c.startLull(lull)
	}
}

// startLull calls lullOver after a while, unless that is going to happen anyway.
// c.mu is held.
func (c *Conn) startLull(length time.Duration) {
	s := &c.todo
	if s.lulling {
		return
	}
	s.lulling = true
	if s.lull == nil {
		s.lull = time.AfterFunc(length, c.lullOver)
	} else {
		s.lull.Reset(length)
	}
}

// lullOver summons a worker if the one that went to do something else is still
// at it, and ends a vacancy that no caller has used.
func (c *Conn) lullOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.todo
	s.lulling = false
	switch {
	case s.polling.vacant && s.polling.used:
		s.polling.used = false
		c.startLull(vacancy)
	case s.polling.vacant:
		s.polling.vacant = false
		s.polling.learn(false)
	}
	if c.callWaits() || c.wantsReader() || c.out.dirty() {
		c.ensureSearch()
	}
}

// runNext handles the next call. It is entered and left with c.mu held.
func (c *Conn) runNext() {
	s := &c.todo
	fromLane := c.laneWaits()
	var call *takenCall
	if fromLane {
		call = s.lane.pop()
		s.laneBusy = true
	} else {
		call = s.queue.pop()
	}
	s.running++
	if !s.searching && (c.callWaits() || c.out.dirty()) {
		c.summon()
	}
	c.ensureReader()
	c.mu.Unlock()
	exits := true
	// Deferred, since a handler may end its goroutine.
	defer func() {
		c.received(call.sequence)
		c.mu.Lock()
		s.running--
		if fromLane {
			s.laneBusy = false
		}
		c.finished(call)
		c.replace(exits)
	}()
	c.runCall(call)
	exits = false
}

// fifo is a queue that keeps its memory while it is in use.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(item T) {
	if f.head > 0 && len(f.items) == cap(f.items) {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, item)
}

func (f *fifo[T]) pop() T {
	var none T
	item := f.items[f.head]
	f.items[f.head] = none
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
		if cap(f.items) > 1024 {
			f.items = nil
		}
	}
	return item
}
