package backcompat_test

import (
	"fmt"
	"net"
	"sync"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// A recorder notes what is sent on the connections of a client, in one order for all:
// what the client writes before it leaves, and what it reads as it arrives. So nothing
// comes before what has caused it. It may be used concurrently.
type recorder struct {
	mu        sync.Mutex
	recording recording
	conns     int
	broken    error
}

// tap wraps a connection that the client has dialled.
func (r *recorder) tap(nc net.Conn) net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns++
	form := r.recording.form
	return &tap{Conn: nc, recorder: r, conn: r.conns,
		out: newCutter(r.conns, theClient, form), in: newCutter(r.conns, theServer, form)}
}

// A tap is a connection that is recorded.
type tap struct {
	net.Conn
	recorder *recorder
	conn     int
	out, in  *cutter // the recorder's lock guards them
	closed   bool
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.note(t.in, b[:n])
	if err != nil {
		t.end(theServer, anEnd)
	}
	return n, err
}

func (t *tap) Write(b []byte) (int, error) {
	t.note(t.out, b)
	return t.Conn.Write(b)
}

func (t *tap) CloseWrite() error {
	t.end(theClient, anEnd)
	return t.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (t *tap) Close() error {
	t.end(theClient, aClosing)
	return t.Conn.Close()
}

func (t *tap) note(c *cutter, b []byte) {
	r := t.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.closed {
		return
	}
	steps, err := c.feed(b)
	if err != nil && r.broken == nil {
		r.broken = fmt.Errorf("what the %v sends on connection %d is no packet: %w", c.from, t.conn, err)
	}
	r.recording.steps = append(r.recording.steps, steps...)
}

func (t *tap) end(from side, what string) {
	r := t.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = what == aClosing
	r.recording.steps = append(r.recording.steps, step{conn: t.conn, from: from, what: what})
}

// taken returns the recording once all is over.
func (r *recorder) taken() (*recording, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.recording, r.broken
}

func newRecorder(scenario string, form packet.Form) *recorder {
	return &recorder{recording: recording{scenario: scenario, form: form}}
}
