package packetrpctest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

func pipe(t *testing.T) (net.Conn, net.Conn) {
	a, b := packetrpctest.Pipe()
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

func TestPipeCarriesEverythingInOrder(t *testing.T) {
	a, b := pipe(t)
	sent := make([]byte, 3<<20)
	for i := range sent {
		sent[i] = byte(i * 31 >> 3)
	}
	var both sync.WaitGroup
	transfer := func(from, to net.Conn) {
		both.Go(func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)%9973)
				if _, err := from.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			from.(interface{ CloseWrite() error }).CloseWrite()
		})
		both.Go(func() {
			got, err := io.ReadAll(to)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d of %d bytes arrived as they were sent; error %v", len(got), len(sent), err)
			}
		})
	}
	transfer(a, b)
	transfer(b, a)
	both.Wait()
}

func TestPipeWritesWaitWhenItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		if n, err := a.Write(make([]byte, 64<<10)); n != 64<<10 || err != nil {
			t.Fatalf("writing what fits: %d, %v", n, err)
		}
		written := make(chan int, 1)
		go func() {
			n, _ := a.Write(make([]byte, 10))
			written <- n
		}()
		synctest.Wait()
		select {
		case <-written:
			t.Fatal("a write to a full pipe did not wait")
		default:
		}
		if _, err := io.ReadFull(b, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if n := <-written; n != 10 {
			t.Errorf("wrote %d bytes, want 10", n)
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		start := time.Now()
		b.SetReadDeadline(start.Add(time.Second))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("reading ended with %v after %v", err, time.Since(start))
		}
		var timeout net.Error
		if _, err := b.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("reading after the deadline: %v", err)
		}
		b.SetReadDeadline(time.Time{})
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write(make([]byte, 100<<10)); n != 64<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d bytes, error %v", n, err)
		}
		a.SetDeadline(time.Time{})
		failed := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		a.SetReadDeadline(time.Unix(1, 0)) // wakes the read at once
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the interrupted read: %v", err)
		}
	})
}

func TestPipeClose(t *testing.T) {
	a, b := pipe(t)
	if _, err := a.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := a.Read(make([]byte, 1))
		waiting <- err
	}()
	a.Close()
	if err := <-waiting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the own read ended with %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to a closed end: %v", err)
	}
	if err := a.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing twice: %v", err)
	}
	if got, err := io.ReadAll(b); string(got) != "last words" || err != nil {
		t.Errorf("the other end read %q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to an end that is gone: %v", err)
	}
}

func TestListener(t *testing.T) {
	listener := packetrpctest.NewListener()
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := listener.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- nc
	}()
	client, err := listener.Dial(t.Context(), "tcp", "ignored:1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server := <-accepted
	defer server.Close()
	if client.RemoteAddr() != server.LocalAddr() || client.LocalAddr() != server.RemoteAddr() || client.RemoteAddr().Network() != "memory" {
		t.Errorf("the addresses do not match: %v %v, %v %v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := listener.Dial(ctx, "", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("dialling while nobody accepts: %v", err)
	}
	listener.Close()
	listener.Close()
	if _, err := listener.Dial(t.Context(), "", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling a closed listener: %v", err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting from a closed listener: %v", err)
	}
}
