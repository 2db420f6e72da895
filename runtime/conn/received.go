package conn

import (
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// Received is what a side knows of the pushes that it has been sent in a session, so
// that each is handled once although it may arrive twice (PROTOCOL section 20). The
// session's connections share it, one after the other. Its methods may be called
// concurrently.
type Received struct {
	gap func(first, last uint64) // told of pushes that never came; may be nil

	mu      sync.Mutex
	last    uint64    // the last sequence that has arrived
	handled uint64    // up to this one no handler is still to return
	pending []arrival // those after it, in order
}

// arrival is a push that has come.
type arrival struct {
	sequence uint64
	done     bool // its handler has returned, or none will run
}

// NewReceived returns what is known at the beginning of a session: nothing. The
// function is told of gaps, on the goroutine that reads the connection; nil tells
// nobody.
func NewReceived(gap func(first, last uint64)) *Received { return &Received{gap: gap} }

// Handled returns the last sequence up to which all handlers have returned.
func (r *Received) Handled() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handled
}

// Restart forgets what has arrived and has not been handled: it comes again. The
// connection before must have ended, and its handlers returned.
func (r *Received) Restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.pending = r.handled, nil
}

// arrive notes that a push has come, and reports whether it is a new one.
func (r *Received) arrive(sequence uint64) bool {
	r.mu.Lock()
	next := r.last + 1
	if sequence < next {
		r.mu.Unlock()
		return false
	}
	r.last = sequence
	r.pending = append(r.pending, arrival{sequence: sequence})
	r.mu.Unlock()
	if sequence > next && r.gap != nil {
		r.gap(next, sequence-1)
	}
	return true
}

// finish notes that a push's handler has returned, or that none will run.
func (r *Received) finish(sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.pending {
		if r.pending[i].sequence == sequence {
			r.pending[i].done = true
			break
		}
	}
	n := 0
	for n < len(r.pending) && r.pending[n].done {
		r.handled = r.pending[n].sequence
		n++
	}
	if r.pending = r.pending[n:]; len(r.pending) == 0 {
		r.pending = nil
	}
}

// ackDelay is how long a push may wait to be acknowledged, so that one acknowledgement
// serves for many.
const ackDelay = 50 * time.Millisecond

// received notes that a push has been dealt with, and has it acknowledged soon.
func (c *Conn) received(sequence uint64) {
	if sequence == 0 || c.cfg.Received == nil {
		return
	}
	c.cfg.Received.finish(sequence)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acks.due || c.ended != nil {
		return
	}
	c.acks.due = true
	if c.acks.timer == nil {
		c.acks.timer = time.AfterFunc(ackDelay, c.acknowledge)
	} else {
		c.acks.timer.Reset(ackDelay)
	}
}

// acks is when the other side's pushes are acknowledged. Conn.mu guards it.
type acks struct {
	timer *time.Timer
	due   bool
}

// acknowledge tells the other side which pushes it need not keep.
func (c *Conn) acknowledge() {
	c.mu.Lock()
	c.acks.due = false
	over := c.ended != nil
	c.mu.Unlock()
	if !over {
		c.out.control(c.form, &packet.Packet{Kind: packet.KindAck, Acknowledged: c.cfg.Received.Handled()})
		c.out.flushSoon()
	}
}
