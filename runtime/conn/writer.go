package conn

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// queueLimit is where senders begin to wait. The queue is larger than that by
	// one packet at most, and by control packets.
	queueLimit = 256 << 10
	// ampleSize is how much is worth a write of its own: the other side can begin
	// to read it while more is made.
	ampleSize = 32 << 10
	// controlLimit is how many bytes of control packets may be queued before the
	// connection ends, whose other side makes this one answer and does not read
	// the answers. It is more than the refusals of as many calls as may be open,
	// which one who reads can cause at once.
	controlLimit = 4 << 20
	// flushesInTurn is how often one goroutine writes what others have queued
	// meanwhile before a worker takes over.
	flushesInTurn = 2
)

// writer is the way out: senders append packets to a queue under a lock, and
// whoever flushes writes all that has been queued in one go while the next ones
// append to another buffer. Packets travel in the order in which they were
// appended.
//
// There is one rule for those who call flush: it may block as long as the other
// side does not read, so the goroutine that holds the reading role must not call
// it, or two connected sides that both write would wait for each other for ever.
type writer struct {
	nc net.Conn

	encryption *encryption   // nil for plaintext
	timeout    time.Duration // without progress
	workers    *Workers
	failed     func(*packetrpc.Error) // told once, outside of the lock

	resumeRef func() // w.resume, made a func value once

	// unflushed is how many bytes are queued while nobody is writing. It follows
	// the fields below and is only a hint outside of the lock.
	unflushed atomic.Int64

	// mu guards what follows.
	mu       sync.Mutex
	queue    *buffer          // packets that wait for the next write; nil when none
	flushing bool             // one goroutine owns the socket's writing side
	err      *packetrpc.Error // why nothing more can be queued
	parted   bool             // the last packet has left, and writing may fail
	controls int              // bytes of control packets in the queue
	window   sendWindow       // the connection's credit; its line also waits for room
	queued   uint64           // bytes ever queued
	written  uint64           // bytes ever written
	marks    []mark           // senders that wait for their bytes to be written
	actions  actionNumbers

	// deadlineSet is when the write deadline was last moved; only the flushing
	// goroutine touches it.
	deadlineSet time.Time
}

// mark is a sender that waits until a byte has been written.
type mark struct {
	at   uint64
	done chan struct{}
}

// lock waits until a packet with data may be queued for a call and returns with
// the lock held, to be undone with unlock. The packet continues a message when
// the call is busy with that message. The error is the context's, the call's or
// the connection's.
func (w *writer) lock(ctx context.Context, call *sendWindow, continues bool) error {
	w.mu.Lock()
	var served *line
	if continues {
		served = &call.line
	}
	for {
		if err := w.refusal(call); err != nil {
			w.unlock(call)
			return err
		}
		queue := w.obstacle(call, served, continues)
		if queue == nil {
			return nil
		}
		if w.dirty() {
			// What is queued must leave, or neither room nor credit will ever come.
			w.mu.Unlock()
			w.flush()
			w.mu.Lock()
			continue
		}
		place := queue.join(served == queue)
		w.unlock(nil)
		err := place.wait(ctx)
		w.mu.Lock()
		if err != nil {
			queue.leave(place)
			w.unlock(call) // a turn of the call's line may have been spent on getting here
			return contextError(ctx)
		}
		served = queue
	}
}

// tryLock is lock for those who must not wait.
func (w *writer) tryLock(call *sendWindow) bool {
	w.mu.Lock()
	if w.refusal(call) == nil && w.obstacle(call, nil, false) == nil {
		return true
	}
	w.unlock(nil)
	return false
}

// unlock lets the next senders on if there is room for them. A call is given by
// those who may have changed its window.
func (w *writer) unlock(call *sendWindow) {
	if call != nil && (call.ended != nil || call.credited()) {
		call.continues.next()
		if !call.busy || call.ended != nil {
			call.line.next()
		}
	}
	if !w.window.line.empty() && (w.err != nil || w.roomy()) {
		w.window.line.next()
	}
	w.mu.Unlock()
}

// refusal tells why nothing can be queued for a call any more.
func (w *writer) refusal(call *sendWindow) error {
	if w.err != nil {
		return w.err
	}
	return call.ended
}

// obstacle returns the line to wait in, or nil. Who has been served by a line
// need not stand behind those who joined it later.
func (w *writer) obstacle(call *sendWindow, served *line, continues bool) *line {
	switch {
	case continues && !call.credited():
		return &call.continues
	case continues:
	case !call.open(), !call.line.empty() && served == nil:
		return &call.line
	}
	if !w.roomy() || (!w.window.line.empty() && served != &w.window.line) {
		return &w.window.line
	}
	return nil
}

func (w *writer) roomy() bool { return w.size() < queueLimit && w.window.open() }

// dirty reports whether packets are queued and nobody is writing.
func (w *writer) dirty() bool { return w.unflushed.Load() > 0 }

// ample reports whether so much is queued, and nobody is writing, that it does not
// pay to wait for more.
func (w *writer) ample() bool { return w.unflushed.Load() >= ampleSize }

func (w *writer) size() int {
	if w.queue == nil {
		return 0
	}
	return len(w.queue.bytes)
}

// bytes returns the queue to append to; what has been appended is queued with
// put. The lock is held.
func (w *writer) bytes() []byte {
	if w.queue == nil {
		w.queue = w.workers.borrowQueue()
	}
	return w.queue.bytes
}

func (w *writer) put(bytes []byte) {
	w.queued += uint64(len(bytes) - len(w.queue.bytes))
	w.queue.bytes = bytes
	if !w.flushing {
		w.unflushed.Store(int64(len(bytes)))
	}
}

// control queues a packet that needs no credit. It never waits, so the reading
// goroutine may call it. A connection whose queue of such packets grows too long
// ends.
func (w *writer) control(form packet.Form, p *packet.Packet) {
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return
	}
	before := w.size()
	w.put(packet.Append(form, w.bytes(), p))
	w.controls += w.size() - before
	tooLong := w.controls > controlLimit
	w.unlock(nil)
	if tooLong {
		// The caller may hold locks that ending the connection takes.
		w.workers.Run(func() {
			w.fail(packetrpc.Errorf(packetrpc.CodeUnavailable,
				"the other side does not read: %d bytes of answers wait for it", controlLimit))
		})
	}
}

// answer queues a handler's answer that needs no credit. It waits while the queue
// is full, so the reading goroutine must not call it.
func (w *writer) answer(form packet.Form, p *packet.Packet) {
	w.mu.Lock()
	for w.err == nil && w.size() >= queueLimit {
		last := w.queued
		w.mu.Unlock()
		w.flush()
		_ = w.await(context.Background(), last) // ends with the connection at the latest
		w.mu.Lock()
	}
	if w.err == nil {
		w.put(packet.Append(form, w.bytes(), p))
	}
	w.unlock(nil)
}

// flush writes what is queued unless another goroutine is at it, which then
// writes this too. It blocks while the other side does not read.
func (w *writer) flush() {
	if w.claim() {
		w.resume()
	}
}

// flushSoon lets a worker flush, so that packets queued until it gets there
// leave together.
func (w *writer) flushSoon() {
	if w.dirty() && w.claim() {
		w.workers.Run(w.resumeRef)
	}
}

// claim makes the caller the one who writes, unless there is one or nothing to
// write. Whoever has claimed must resume.
func (w *writer) claim() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flushing || w.size() == 0 {
		return false
	}
	w.flushing = true
	w.unflushed.Store(0)
	return true
}

// resume writes until the queue is empty, or hands over to a worker when others
// keep filling it.
func (w *writer) resume() {
	w.mu.Lock()
	for range flushesInTurn {
		batch := w.queue
		w.queue, w.controls = nil, 0
		w.unlock(nil)
		err := w.write(batch.bytes)
		w.mu.Lock()
		w.wrote(len(batch.bytes))
		w.workers.giveBackQueue(batch)
		if err != nil || w.size() == 0 {
			w.flushing = false
			w.mu.Unlock()
			if err != nil {
				w.fail(writeError(err, w.timeout))
			}
			return
		}
	}
	w.mu.Unlock()
	w.workers.Run(w.resumeRef)
}

// write writes all of bytes, encrypted if the connection is.
func (w *writer) write(bytes []byte) error {
	if w.encryption != nil {
		return w.encryption.write(bytes, w.writeRaw)
	}
	return w.writeRaw(bytes)
}

// deadlinesPerTimeout is in how many parts the write timeout is waited for. A deadline
// holds for a whole Write, which may have written something before it passed; so each
// part without a byte is one in which the other side has taken nothing.
const deadlinesPerTimeout = 4

// writeRaw writes all of bytes as long as the other side takes some of it in time.
func (w *writer) writeRaw(bytes []byte) error {
	now := time.Now()
	for taken := now; len(bytes) > 0; {
		if err := w.setDeadline(now, taken); err != nil {
			return err
		}
		n, err := w.nc.Write(bytes)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		now, bytes = time.Now(), bytes[n:]
		if n > 0 {
			taken = now
		} else if now.Sub(taken) >= w.timeout {
			return err
		}
		w.deadlineSet = time.Time{}
	}
	return nil
}

// setDeadline moves the write deadline, unless it was moved a moment ago. taken is when
// the other side has taken something.
func (w *writer) setDeadline(now, taken time.Time) error {
	part := w.timeout / deadlinesPerTimeout
	if now.Sub(w.deadlineSet) <= part/2 {
		return nil
	}
	w.deadlineSet = now
	return w.nc.SetWriteDeadline(now.Add(min(part, w.timeout-now.Sub(taken))))
}

// wrote lets on whose bytes have left. The lock is held.
func (w *writer) wrote(n int) {
	w.written += uint64(n)
	waiting := w.marks[:0]
	for _, m := range w.marks {
		if m.at > w.written {
			waiting = append(waiting, m)
		} else {
			close(m.done)
		}
	}
	clear(w.marks[len(waiting):])
	w.marks = waiting
}

// await waits until all bytes up to a position have been written.
func (w *writer) await(ctx context.Context, at uint64) error {
	w.mu.Lock()
	if w.err != nil || w.written >= at {
		w.mu.Unlock()
		return nil
	}
	m := mark{at, make(chan struct{})}
	w.marks = append(w.marks, m)
	w.mu.Unlock()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// grant adds credit to a window and lets on who waits for it.
func (w *writer) grant(window *sendWindow, credit uint64) {
	w.mu.Lock()
	window.add(credit)
	if window == &w.window {
		window = nil
	}
	w.unlock(window)
}

// end makes a call's window refuse all senders.
func (w *writer) end(call *sendWindow, reason error) {
	w.mu.Lock()
	if call.ended == nil {
		call.ended = reason
	}
	w.unlock(call)
}

// stop makes the writer refuse all senders.
func (w *writer) stop(reason *packetrpc.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = reason
	w.window.line.all()
	for _, m := range w.marks {
		close(m.done)
	}
	w.marks = nil
}

// stopped reports whether the writer refuses all senders.
func (w *writer) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// closeWrite tells the other side that nothing more comes, and reports whether the
// connection has a way to tell it.
func (w *writer) closeWrite() bool {
	if w.encryption != nil && w.encryption.closeWrite(w.writeRaw) != nil {
		return false
	}
	half, ok := w.nc.(halfCloser)
	return ok && half.CloseWrite() == nil
}

// part lets nothing more be queued, as the last packet has left. What was queued behind
// it cannot be written any more, and that this fails ends nothing: the other side may
// still have to read.
func (w *writer) part(reason *packetrpc.Error) {
	w.stop(reason)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parted = true
}

func (w *writer) fail(reason *packetrpc.Error) {
	w.mu.Lock()
	parted := w.parted
	w.mu.Unlock()
	if parted {
		return
	}
	w.stop(reason)
	w.failed(reason)
}

func writeError(err error, timeout time.Duration) *packetrpc.Error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return packetrpc.Errorf(packetrpc.CodeUnavailable,
			"the other side has read nothing for %v (WithWriteTimeout): %w", timeout, err)
	}
	return packetrpc.Errorf(packetrpc.CodeUnavailable, "writing failed: %w", err)
}

// actionNumbers gives out the numbers that stand for actions on packets of this
// side. The writer's lock guards it, since a number must not be used before the
// packet that defines it is in the queue.
type actionNumbers struct {
	max    int
	number map[*packetrpc.Spec]uint32
}

// name puts an action's number into a packet, with the name when it is new or
// when there are no numbers left.
func (n *actionNumbers) name(p *packet.Packet, spec *packetrpc.Spec) {
	if number, known := n.number[spec]; known {
		p.Action, p.ActionNumber = "", number
		return
	}
	p.Action = spec.Action
	if len(n.number) >= n.max {
		return
	}
	if n.number == nil {
		n.number = make(map[*packetrpc.Spec]uint32)
	}
	p.ActionNumber = uint32(len(n.number) + 1)
	n.number[spec] = p.ActionNumber
}

// forget takes a name back when its packet is not sent after all.
func (n *actionNumbers) forget(p *packet.Packet, spec *packetrpc.Spec) {
	if p.Action != "" && p.ActionNumber != 0 {
		delete(n.number, spec)
	}
}
