package conn

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// readBuffer is what a connection reads into at first. A read that fills the
	// buffer is followed by one into a buffer readBufferStep times as large, up to
	// readBufferMax, and one that would have fitted the next smaller size by one
	// into that. A packet larger than readBufferMax has a buffer of its own, which
	// grows as its bytes arrive.
	readBuffer     = 2 << 10
	readBufferStep = 4
	readBufferMax  = 128 << 10
)

// source is where a connection's bytes come from, and those of them that have
// not been handled. It belongs to the goroutine that holds the reading role.
//
// A connection that waits and has handled everything holds no buffer: it waits
// for its socket to have something, and only then borrows one. That works for
// the system's own sockets. Others, such as those in memory, wait in Read with a
// buffer in hand.
type source struct {
	// These do not change, so others may use them, too.
	nc     net.Conn
	socket syscall.RawConn // nil for others than the system's sockets

	encryption *encryption   // nil for plaintext
	heard      atomic.Uint32 // how often something has been read
	received   atomic.Uint64 // bytes

	try    func(fd uintptr) bool // tryRead, made a func value once
	lender *Workers

	buf        *buffer // all of its bytes can be read into; nil when nothing is unread
	start, end int     // what is unread
	size       int     // of the buffer for the next read

	n   int // what tryRead has read
	err error

	tryAgain func(fd uintptr) bool // tryPolling, made a func value once
	until    time.Time             // when polling ends
}

func newSource(nc net.Conn, lender *Workers) source {
	return source{nc: nc, socket: systemSocket(nc), lender: lender, size: readBuffer}
}

func (s *source) unread() []byte {
	if s.buf == nil {
		return nil
	}
	return s.buf.bytes[s.start:s.end]
}

// fill waits for more bytes. What it read is there even with an error.
func (s *source) fill() error {
	n, err := s.read()
	s.end += n
	switch {
	case n > 0:
		s.adapt(n)
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// adapt notes that something has come, and chooses the size of the next read by that
// of the last.
func (s *source) adapt(n int) {
	s.heard.Store(s.heard.Load() + 1) // nobody else writes
	s.received.Store(s.received.Load() + uint64(n))
	switch {
	case s.end == len(s.buf.bytes):
		s.size = min(s.size*readBufferStep, readBufferMax)
	case s.size > readBuffer && n < s.size/readBufferStep:
		s.size /= readBufferStep
	}
}

func (s *source) read() (int, error) {
	if s.socket == nil {
		s.makeRoom()
		if s.encryption != nil {
			return s.encryption.read(s.buf.bytes[s.end:])
		}
		return s.nc.Read(s.buf.bytes[s.end:])
	}
	if s.try == nil {
		s.try = s.tryRead
	}
	s.n, s.err = 0, nil
	if err := s.socket.Read(s.try); err != nil {
		return 0, err
	}
	return s.n, s.err
}

// poll reads what arrives within a time in which it does not wait, which may be
// nothing. It works for the system's own sockets only.
func (s *source) poll(limit time.Duration) (n int, err error) {
	if s.tryAgain == nil {
		s.tryAgain = s.tryPolling
	}
	s.n, s.err, s.until = 0, nil, time.Now().Add(limit)
	if err := s.socket.Read(s.tryAgain); err != nil {
		return 0, err
	}
	s.end += s.n
	if s.n > 0 {
		s.adapt(s.n)
	}
	return s.n, s.err
}

// tryPolling reports true, so that it is not called again.
func (s *source) tryPolling(fd uintptr) bool {
	for !s.tryRead(fd) && time.Now().Before(s.until) {
	}
	return true
}

// tryRead reads what the socket has. It reports false when there is nothing and
// is then called again when there is.
func (s *source) tryRead(fd uintptr) bool {
	s.makeRoom()
	var waits bool
	if room := s.buf.bytes[s.end:]; s.encryption != nil {
		s.n, waits, s.err = s.encryption.tryRead(fd, room)
	} else {
		s.n, waits, s.err = readSocket(fd, room)
	}
	if waits && s.start == s.end {
		s.drop()
	}
	return !waits
}

// makeRoom moves what is unread to the front of a buffer that has room behind it.
func (s *source) makeRoom() {
	unread, size := s.unread(), s.size
	for size <= len(unread) {
		size = grown(size)
	}
	if s.buf != nil && len(s.buf.bytes) == size {
		if s.start > 0 {
			s.start, s.end = 0, copy(s.buf.bytes, unread)
		}
		return
	}
	other := s.lender.borrow(size)
	n := copy(other.bytes, unread)
	s.drop()
	s.buf, s.end = other, n
}

func grown(size int) int {
	if size < readBufferMax {
		return size * readBufferStep
	}
	return size * 2
}

// drop forgets what is unread and gives the buffer back.
func (s *source) drop() {
	if s.buf != nil {
		s.lender.giveBack(s.buf)
	}
	s.buf, s.start, s.end = nil, 0, 0
}
