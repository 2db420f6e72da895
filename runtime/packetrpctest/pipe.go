package packetrpctest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is the number of bytes that one direction of a pipe holds before
// writes wait, about what a socket does.
const pipeBuffer = 64 << 10

// Pipe returns the two ends of a connection in memory. Unlike those of
// [net.Pipe] they hold up to 64 KiB in each direction before a write waits for
// reads, as sockets do. Both honour deadlines and have a CloseWrite method.
func Pipe() (net.Conn, net.Conn) {
	return newPipe(address("pipe"), address("pipe"))
}

func newPipe(first, second net.Addr) (net.Conn, net.Conn) {
	there, back := newHalf(), newHalf()
	return &pipeEnd{in: back, out: there, local: first, remote: second},
		&pipeEnd{in: there, out: back, local: second, remote: first}
}

// address is the address of an end of a pipe, which says "memory" of its network.
type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

// pipeEnd is one end of a pipe.
type pipeEnd struct {
	in, out       *half
	local, remote net.Addr
}

func (e *pipeEnd) LocalAddr() net.Addr  { return e.local }
func (e *pipeEnd) RemoteAddr() net.Addr { return e.remote }

func (e *pipeEnd) Read(b []byte) (int, error) {
	n, err := e.in.read(b)
	return n, e.opError("read", err)
}

func (e *pipeEnd) Write(b []byte) (int, error) {
	n, err := e.out.write(b)
	return n, e.opError("write", err)
}

// opError gives errors the shape that sockets give theirs.
func (e *pipeEnd) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "memory", Source: e.local, Addr: e.remote, Err: err}
}

// CloseWrite lets the other end read to the end of what was written.
func (e *pipeEnd) CloseWrite() error {
	e.out.closeWrite()
	return nil
}

// Close ends both directions. What was written before can still be read.
func (e *pipeEnd) Close() error {
	if !e.in.closeRead() {
		return e.opError("close", net.ErrClosed)
	}
	e.out.closeWriter()
	return nil
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.setDeadline(&e.in.readBy, t)
	return nil
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.setDeadline(&e.out.writeBy, t)
	return nil
}

// half is one direction of a pipe.
type half struct {
	mu sync.Mutex
	// changed is signalled whenever something below has changed.
	changed sync.Cond
	// The bytes on their way: size of them, from start on, in a ring that grows up
	// to pipeBuffer.
	ring        []byte
	start, size int
	// ended: the writing end writes no more. readerGone, writerGone: that end has
	// been closed, so its own operations fail.
	ended, readerGone, writerGone bool
	readBy, writeBy               deadline
}

// deadline is a point in time at which waiting operations are woken.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func newHalf() *half {
	h := new(half)
	h.changed.L = &h.mu
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readerGone:
			return 0, net.ErrClosed
		case h.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case h.size > 0:
			n := h.take(b)
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (written int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writerGone:
			return written, net.ErrClosed
		case h.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		case h.ended || h.readerGone:
			return written, syscall.EPIPE
		case len(b) == 0:
			return written, nil
		case h.size < pipeBuffer:
			n := h.put(b)
			b, written = b[n:], written+n
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

// take moves bytes from the ring into b. h.mu is held, and h.size > 0.
func (h *half) take(b []byte) int {
	n := 0
	for n < len(b) && h.size > 0 {
		run := min(h.size, len(h.ring)-h.start)
		moved := copy(b[n:], h.ring[h.start:h.start+run])
		h.start = (h.start + moved) % len(h.ring)
		h.size -= moved
		n += moved
	}
	return n
}

// put moves bytes from b into the ring. h.mu is held, and h.size < pipeBuffer.
func (h *half) put(b []byte) int {
	h.grow(min(h.size+len(b), pipeBuffer))
	n := 0
	for n < len(b) && h.size < len(h.ring) {
		end := (h.start + h.size) % len(h.ring)
		room := min(len(h.ring)-h.size, len(h.ring)-end)
		moved := copy(h.ring[end:end+room], b[n:])
		h.size += moved
		n += moved
	}
	return n
}

// grow makes the ring at least so large. h.mu is held.
func (h *half) grow(want int) {
	if want <= len(h.ring) {
		return
	}
	larger := make([]byte, min(max(want, 2*len(h.ring), 512), pipeBuffer))
	size := h.size
	if size > 0 {
		h.take(larger[:size])
	}
	h.ring, h.start, h.size = larger, 0, size
}

func (h *half) closeWrite() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.changed.Broadcast()
}

// closeWriter ends the direction because its writing end is closed.
func (h *half) closeWriter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended, h.writerGone = true, true
	h.writeBy.stop()
	h.changed.Broadcast()
}

// closeRead ends the direction because its reading end is closed, and reports
// whether it was open.
func (h *half) closeRead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := !h.readerGone
	h.readerGone = true
	h.ring, h.start, h.size = nil, 0, 0
	h.readBy.stop()
	h.changed.Broadcast()
	return open
}

// setDeadline moves one of the two deadlines.
func (h *half) setDeadline(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.at, d.timer = t, nil
	if !t.IsZero() && !d.passed() {
		d.timer = time.AfterFunc(time.Until(t), h.wake)
	}
	h.changed.Broadcast()
}

func (h *half) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed.Broadcast()
}
