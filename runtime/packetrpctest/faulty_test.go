package packetrpctest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func faulty(t *testing.T) (*packetrpctest.FaultyConn, net.Conn) {
	a, b := pipe(t)
	return packetrpctest.NewFaultyConn(a), b
}

func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, other := faulty(t)
		arrived := make(chan string, 1)
		go func() {
			b := make([]byte, 10)
			n, _ := broken.Read(b)
			arrived <- string(b[:n])
		}()
		synctest.Wait() // the read waits already
		broken.Freeze()
		other.Write([]byte("hello"))
		synctest.Wait()
		select {
		case got := <-arrived:
			t.Fatalf("read %q from a frozen connection", got)
		default:
		}
		broken.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := broken.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing to a frozen connection: %v", err)
		}
		broken.Thaw()
		if got := <-arrived; got != "hello" {
			t.Errorf("read %q after the thaw", got)
		}
	})
}

func TestFreezeKeepsWhatTheDeadlineInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, other := faulty(t)
		failed := make(chan error, 1)
		broken.SetReadDeadline(time.Now().Add(time.Second))
		go func() {
			_, err := broken.Read(make([]byte, 10))
			failed <- err
		}()
		synctest.Wait()
		broken.Freeze()
		other.Write([]byte("hello"))
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v", err)
		}
		broken.Thaw()
		broken.SetReadDeadline(time.Time{})
		b := make([]byte, 5)
		if _, err := io.ReadFull(broken, b); err != nil || string(b) != "hello" {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

func TestCut(t *testing.T) {
	broken, other := faulty(t)
	broken.Freeze()
	failed := make(chan error, 1)
	go func() {
		_, err := broken.Write([]byte("x"))
		failed <- err
	}()
	broken.Cut()
	if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a write ended with %v", err)
	}
	broken.Thaw()
	if _, err := broken.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a read ended with %v", err)
	}
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other side's read ended with %v", err)
	}
}

func TestSliceSlowCorrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, other := faulty(t)
		broken.SliceWrites(2)
		broken.Slow(time.Second)
		pieces := 0
		broken.Corrupt(func(b []byte) {
			pieces++
			b[0] = '!'
		})
		start, sent := time.Now(), []byte("abcde")
		if n, err := broken.Write(sent); n != 5 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if pieces != 3 || time.Since(start) != 3*time.Second || string(sent) != "abcde" {
			t.Errorf("%d pieces in %v, and the caller's bytes are %q", pieces, time.Since(start), sent)
		}
		b := make([]byte, 10)
		if n, _ := other.Read(b); string(b[:n]) != "!b!d!" {
			t.Errorf("arrived as %q", b[:n])
		}
		other.Write([]byte("xyz"))
		if n, err := broken.Read(b); n != 2 || err != nil {
			t.Errorf("read %d bytes at once, %v", n, err)
		}
	})
}
