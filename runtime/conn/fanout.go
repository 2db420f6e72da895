package conn

import (
	"iter"
	"runtime"
	"slices"
	"syscall"
)

const (
	// fanoutBytes is how much is queued for many connections before workers begin
	// to write it. Until then they would only take the processor away from the
	// queueing, which somebody waits for.
	fanoutBytes = 1 << 20
	// fanoutLeast is how many connections a worker is woken for.
	fanoutLeast = 32
	// fanoutTurn is how many connections a worker writes to before it lets others
	// run.
	fanoutTurn = 16
)

// PushAll pushes the message to each of many connections, which share their
// Workers, and returns on how many it was queued, and on how many not. It waits
// for none of them. A few workers write to all, rather than one to each.
func (s *Shared) PushAll(conns iter.Seq[*Conn]) (queued, refused int) {
	var share []*Conn
	size := 0
	for c := range conns {
		if !c.queue(s) {
			refused++
			continue
		}
		queued++
		share = append(share, c)
		if size += envelopeRoom + len(s.data(c.form)); size >= fanoutBytes {
			flushAll(share)
			share, size = nil, 0
		}
	}
	flushAll(share)
	return queued, refused
}

// flushAll divides connections among workers, which flush them.
func flushAll(conns []*Conn) {
	if len(conns) == 0 {
		return
	}
	each := max(fanoutLeast, (len(conns)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(conns, each) {
		part[0].cfg.Workers.Run(func() { flushInTurn(part) })
	}
}

// flushInTurn flushes connections on this goroutine as far as that goes without
// waiting, so that none holds up those behind it.
func flushInTurn(conns []*Conn) {
	w := newSocketWriter()
	for i, c := range conns {
		if i%fanoutTurn == fanoutTurn-1 {
			runtime.Gosched()
		}
		c.out.flushNow(c.in.socket, w)
	}
}

// flushNow is flush for those who must not wait: what the socket does not take at
// once, what is no socket of the system, and what must be encrypted first, is left
// to a worker.
func (w *writer) flushNow(socket syscall.RawConn, now *socketWriter) {
	if !w.claim() {
		return
	}
	if socket == nil || w.encryption != nil || !w.writeNow(socket, now) {
		w.workers.Run(w.resumeRef)
	}
}

// writeNow writes what is queued and reports whether nothing is left, in which
// case there is nothing to resume. The caller has claimed.
func (w *writer) writeNow(socket syscall.RawConn, now *socketWriter) bool {
	w.mu.Lock()
	batch := w.queue
	w.queue, w.controls = nil, 0
	w.unlock(nil)
	n := now.write(socket, batch.bytes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote(n)
	if n < len(batch.bytes) {
		w.unwrite(batch, n)
		return false
	}
	w.workers.giveBackQueue(batch)
	w.flushing = w.size() > 0
	return !w.flushing
}

// unwrite puts all but the first n bytes of a batch before what has been queued
// since. The lock is held.
func (w *writer) unwrite(batch *buffer, n int) {
	batch.bytes = append(batch.bytes[:0], batch.bytes[n:]...)
	if w.queue != nil {
		batch.bytes = append(batch.bytes, w.queue.bytes...)
		w.workers.giveBackQueue(w.queue)
	}
	w.queue = batch
}

// socketWriter writes to sockets without waiting. It serves one goroutine.
type socketWriter struct {
	bytes []byte
	n     int
	try   func(fd uintptr) // s.tryWrite, made a func value once
}

func newSocketWriter() *socketWriter {
	s := new(socketWriter)
	s.try = s.tryWrite
	return s
}

// write writes what the socket takes at once and returns how much that is. An
// error shows when the rest is written.
func (s *socketWriter) write(socket syscall.RawConn, bytes []byte) int {
	s.bytes, s.n = bytes, 0
	_ = socket.Control(s.try)
	s.bytes = nil
	return s.n
}

func (s *socketWriter) tryWrite(fd uintptr) { s.n = writeSocket(fd, s.bytes) }
