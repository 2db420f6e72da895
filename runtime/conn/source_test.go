package conn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// sourcePair returns a source and what writes to it, over TCP or in memory.
func sourcePair(t *testing.T, memory bool) (*source, net.Conn) {
	t.Helper()
	var near, far net.Conn
	if memory {
		near, far = net.Pipe()
	} else {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if near, err = listener.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	s := newSource(near, NewWorkers())
	return &s, far
}

// await reads until so many bytes are unread.
func await(t *testing.T, s *source, n int) {
	t.Helper()
	for len(s.unread()) < n {
		if err := s.fill(); err != nil {
			t.Fatal(err)
		}
	}
}

// waitInVain lets the source wait for what does not come.
func waitInVain(t *testing.T, s *source) {
	t.Helper()
	s.nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	defer s.nc.SetReadDeadline(time.Time{})
	if err := s.fill(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("waiting in vain: %v", err)
	}
}

func TestWaitingHoldsNoBuffer(t *testing.T) {
	s, far := sourcePair(t, false)
	waitInVain(t, s)
	if s.buf != nil {
		t.Error("a connection that has read nothing holds a buffer")
	}
	far.Write([]byte("packet, pac"))
	await(t, s, 11)
	s.start += len("packet, ")
	waitInVain(t, s)
	if got := string(s.unread()); got != "pac" {
		t.Errorf("unread is %q, want what has not been handled", got)
	}
	s.start += len("pac")
	waitInVain(t, s)
	if s.buf != nil {
		t.Error("a connection that has handled everything holds a buffer")
	}
	far.Write([]byte("more"))
	await(t, s, 4)
	if got := string(s.unread()); got != "more" {
		t.Errorf("read %q, want more", got)
	}
}

// TestBuffersGoRound: a buffer that has been given back is borrowed again. The
// pool may lose one now and then.
func TestBuffersGoRound(t *testing.T) {
	s, far := sourcePair(t, false)
	var before *buffer
	for range 1000 {
		far.Write([]byte("x"))
		await(t, s, 1)
		if s.buf == before {
			return
		}
		before = s.buf
		s.drop()
	}
	t.Error("a thousand reads took as many buffers")
}

// TestReadSizes: buffers follow what comes, whatever it is cut into, and none of
// it is lost on the way from one to the other.
func TestReadSizes(t *testing.T) {
	for name, memory := range map[string]bool{"socket": false, "memory": true} {
		t.Run(name, func(t *testing.T) {
			s, far := sourcePair(t, memory)
			sent := make([]byte, 1<<20)
			for i := range sent {
				sent[i] = byte(i * i >> 8)
			}
			go far.Write(sent)
			var got []byte
			largest := 0
			for step := 1; len(got) < len(sent); step = step*3%5000 + 1 {
				await(t, s, 1)
				largest = max(largest, len(s.buf.bytes))
				n := min(step, len(s.unread()))
				got = append(got, s.unread()[:n]...)
				s.start += n
			}
			if !bytes.Equal(got, sent) {
				t.Error("what was read is not what was sent")
			}
			if largest != readBufferMax {
				t.Errorf("the largest buffer had %d bytes, want %d", largest, readBufferMax)
			}
			for range 4 { // sizes
				go far.Write([]byte("little"))
				await(t, s, 6)
				s.start += 6
			}
			if s.size != readBuffer {
				t.Errorf("reads of little use %d bytes, want %d", s.size, readBuffer)
			}
		})
	}
}

// TestHugePacket: what one packet needs beyond the largest buffer to read into is
// not used for the next.
func TestHugePacket(t *testing.T) {
	s, far := sourcePair(t, false)
	sent := bytes.Repeat([]byte("huge"), readBufferMax)
	go far.Write(sent)
	await(t, s, len(sent))
	if !bytes.Equal(s.unread(), sent) {
		t.Error("what was read is not what was sent")
	}
	s.start = s.end
	go far.Write([]byte("x"))
	await(t, s, 1)
	if size := len(s.buf.bytes); size > readBufferMax {
		t.Errorf("one byte is read into %d", size)
	}
}

// TestSourceEnds: the end is told again and again, after everything that came.
func TestSourceEnds(t *testing.T) {
	for name, memory := range map[string]bool{"socket": false, "memory": true} {
		t.Run(name, func(t *testing.T) {
			s, far := sourcePair(t, memory)
			go func() {
				far.Write([]byte("last"))
				far.Close()
			}()
			await(t, s, 4)
			for range 2 {
				if err := s.fill(); !errors.Is(err, io.EOF) {
					t.Errorf("at the end: %v, want io.EOF", err)
				}
			}
			s.nc.Close()
			if err := s.fill(); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("closed by this side: %v", err)
			}
		})
	}
}

// ownRead is a connection that embeds a socket and reads in a way of its own.
type ownRead struct {
	*net.TCPConn
	reads int
}

func (r *ownRead) Read(b []byte) (int, error) {
	r.reads++
	n, err := r.TCPConn.Read(b[:min(1, len(b))])
	for i := range b[:n] {
		b[i] ^= 0xff
	}
	return n, err
}

// TestOwnReadIsNotPassedBy: a connection that embeds a socket has its methods,
// among them those that lead around its Read.
func TestOwnReadIsNotPassedBy(t *testing.T) {
	plain, far := sourcePair(t, false)
	own := &ownRead{TCPConn: plain.nc.(*net.TCPConn)}
	s := newSource(own, NewWorkers())
	far.Write([]byte{'o' ^ 0xff, 'k' ^ 0xff})
	await(t, &s, 2)
	if string(s.unread()) != "ok" || own.reads != 2 {
		t.Errorf("%d reads brought %q, want 2 and ok", own.reads, s.unread())
	}
}

// TestUnwrite: what a socket did not take goes out before what came after it.
func TestUnwrite(t *testing.T) {
	w := &writer{workers: NewWorkers()}
	w.unwrite(&buffer{[]byte("written, rest")}, len("written, "))
	w.unwrite(&buffer{[]byte("more ")}, 0)
	if got := string(w.queue.bytes); got != "more rest" {
		t.Errorf("the queue is %q, want what was not written first", got)
	}
}
