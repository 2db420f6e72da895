package packetrpctest

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// FaultyConn wraps a connection and spoils it on demand. Its methods may be
// called concurrently. A read or write that waits in the wrapped connection
// already is interrupted by Cut and Close only, but a read does not return what
// arrives for it while the connection is frozen.
type FaultyConn struct {
	net.Conn

	mu sync.Mutex
	// frozen is closed when reads and writes may go on; nil is not frozen.
	frozen chan struct{}
	// cut is closed by Cut and by Close.
	cut     chan struct{}
	isCut   bool // by Cut, which decides the error
	closed  bool
	delay   time.Duration
	piece   int
	corrupt func(b []byte)
	// held is what was read while the connection froze, for the Read after that.
	held []byte
	// The deadlines, which waits of this wrapper honour as well.
	readBy, writeBy time.Time
	// moved is closed and replaced whenever a deadline has moved.
	moved chan struct{}
}

// NewFaultyConn returns a wrapper around nc that does nothing yet.
func NewFaultyConn(nc net.Conn) *FaultyConn {
	return &FaultyConn{Conn: nc, cut: make(chan struct{}), moved: make(chan struct{})}
}

// Freeze makes reads and writes wait until Thaw, their deadline or the end of the
// connection, as if the network had lost every packet.
func (c *FaultyConn) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen == nil {
		c.frozen = make(chan struct{})
	}
}

// Thaw undoes Freeze.
func (c *FaultyConn) Thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen != nil {
		close(c.frozen)
		c.frozen = nil
	}
}

// Cut ends the connection at once: reads and writes fail with "connection reset
// by peer".
func (c *FaultyConn) Cut() {
	c.end(true)
	c.Conn.Close()
}

// Close closes the connection.
func (c *FaultyConn) Close() error {
	c.end(false)
	return c.Conn.Close()
}

func (c *FaultyConn) end(byCut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.isCut = true, byCut
		close(c.cut)
	}
}

// Slow delays each read and each write; 0 ends that.
func (c *FaultyConn) Slow(delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = delay
}

// SliceWrites hands writes on in pieces of at most size bytes, each by a write of
// its own, and shortens reads to as much; 0 ends that.
func (c *FaultyConn) SliceWrites(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.piece = size
}

// Corrupt calls spoil with each piece that is written, which it may change in
// place; nil ends that.
func (c *FaultyConn) Corrupt(spoil func(b []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corrupt = spoil
}

// Read reads from the connection, with its faults.
func (c *FaultyConn) Read(b []byte) (int, error) {
	by := func() time.Time { return c.readBy }
	if err := c.wait("read", by, true); err != nil {
		return 0, err
	}
	if n := c.takeHeld(b); n > 0 {
		return n, nil
	}
	if piece, _ := c.faults(); piece > 0 && piece < len(b) {
		b = b[:piece]
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		if err := c.wait("read", by, false); err != nil {
			c.hold(b[:n])
			return 0, err
		}
	}
	return n, c.reset("read", err)
}

func (c *FaultyConn) hold(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, b...)
}

func (c *FaultyConn) takeHeld(b []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(b, c.held)
	c.held = c.held[n:]
	return n
}

// Write writes to the connection, with its faults.
func (c *FaultyConn) Write(b []byte) (int, error) {
	written := 0
	for {
		if err := c.wait("write", func() time.Time { return c.writeBy }, true); err != nil {
			return written, err
		}
		piece, spoil := c.faults()
		if piece <= 0 || piece > len(b)-written {
			piece = len(b) - written
		}
		part := b[written : written+piece]
		if spoil != nil {
			part = append([]byte(nil), part...)
			spoil(part)
		}
		n, err := c.Conn.Write(part)
		written += n
		if err != nil || written == len(b) {
			return written, c.reset("write", err)
		}
	}
}

func (c *FaultyConn) faults() (piece int, spoil func([]byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.piece, c.corrupt
}

// reset replaces the error of an operation that Cut has ended.
func (c *FaultyConn) reset(op string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.isCut {
		return &net.OpError{Op: op, Net: "faulty", Err: syscall.ECONNRESET}
	}
	return err
}

// wait carries out what Freeze asks for, and Slow if slow is true. by returns the
// operation's deadline and is called with c.mu held.
func (c *FaultyConn) wait(op string, by func() time.Time, slow bool) error {
	c.mu.Lock()
	delay := c.delay
	c.mu.Unlock()
	var delayed <-chan time.Time
	if slow && delay > 0 {
		delayed = time.After(delay)
	}
	for {
		c.mu.Lock()
		frozen, moved, at := c.frozen, c.moved, by()
		c.mu.Unlock()
		if frozen == nil && delayed == nil {
			return nil
		}
		expired, stop := timerFor(at)
		select {
		case <-delayed:
			delayed = nil
		case <-frozen:
		case <-moved:
		case <-expired:
			stop()
			return &net.OpError{Op: op, Net: "faulty", Err: os.ErrDeadlineExceeded}
		case <-c.cut:
			stop()
			return c.reset(op, net.ErrClosed)
		}
		stop()
	}
}

// timerFor returns a channel that receives at the given time; never, for the zero
// time.
func timerFor(at time.Time) (<-chan time.Time, func() bool) {
	if at.IsZero() {
		return nil, func() bool { return false }
	}
	timer := time.NewTimer(time.Until(at))
	return timer.C, timer.Stop
}

// SetDeadline sets both deadlines.
func (c *FaultyConn) SetDeadline(t time.Time) error {
	c.move(func() { c.readBy, c.writeBy = t, t })
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline sets the deadline of reads.
func (c *FaultyConn) SetReadDeadline(t time.Time) error {
	c.move(func() { c.readBy = t })
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of writes.
func (c *FaultyConn) SetWriteDeadline(t time.Time) error {
	c.move(func() { c.writeBy = t })
	return c.Conn.SetWriteDeadline(t)
}

func (c *FaultyConn) move(set func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set()
	close(c.moved)
	c.moved = make(chan struct{})
}
