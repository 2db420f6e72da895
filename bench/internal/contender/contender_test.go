package contender_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
)

// connect starts a contender's server and dials it.
func connect(t *testing.T, c contender.Contender, settings contender.Settings) (contender.Server, contender.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return connectOver(t, c, listener, settings)
}

// connectOver does so over a listener.
func connectOver(t *testing.T, c contender.Contender, listener net.Listener, settings contender.Settings) (contender.Server, contender.Conn) {
	t.Helper()
	server, err := c.Start(listener, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error("stopping the server:", err)
		}
	})
	conn, err := c.Dial(t.Context(), listener.Addr().String(), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error("closing the connection:", err)
		}
	})
	return server, conn
}

// forEach runs a test for each contender.
func forEach(t *testing.T, test func(t *testing.T, c contender.Contender)) {
	for _, c := range contender.All() {
		t.Run(c.Info().Name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

func random(size int) []byte {
	data := make([]byte, size)
	rand.Read(data)
	return data
}

func TestEcho(t *testing.T) {
	forEach(t, func(t *testing.T, c contender.Contender) {
		_, conn := connect(t, c, contender.Settings{})
		for _, size := range []int{0, 1, 16, 1 << 10, 64 << 10} {
			data := random(size)
			got, err := conn.Echo(t.Context(), data)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes: got %d bytes that differ, or error %v", size, len(got), err)
			}
		}
	})
}

// What a contender protects cannot be read on its way, and what it does not can.
func TestProtection(t *testing.T) {
	forEach(t, func(t *testing.T, c contender.Contender) {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tap := &tap{Listener: inner}
		_, conn := connectOver(t, c, tap, contender.Settings{})
		data := []byte("one two three four five six seven eight")
		if _, err := conn.Echo(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		heard := tap.heard()
		if len(heard) == 0 && !c.Info().Secure {
			t.Skip("listens by itself")
		}
		if len(heard) == 0 {
			t.Fatal("nothing was heard")
		}
		for _, secret := range [][]byte{data, []byte(base64.StdEncoding.EncodeToString(data))} {
			if c.Info().Secure && bytes.Contains(heard, secret) {
				t.Errorf("what was sent can be read: %q", secret)
			}
		}
		if !c.Info().Secure && !strings.Contains(c.Info().Name, "JSON") && !bytes.Contains(heard, data) {
			t.Errorf("the data is not among the %d bytes that were sent", len(heard))
		}
	})
}

// tap is a listener that notes what its connections are sent.
type tap struct {
	net.Listener
	mu    sync.Mutex
	bytes []byte
}

func (t *tap) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{conn, t}, nil
}

func (t *tap) heard() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.bytes)
}

type tapped struct {
	net.Conn
	tap *tap
}

func (c *tapped) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.tap.bytes = append(c.tap.bytes, buffer[:n]...)
	return n, err
}

func TestConcurrentEcho(t *testing.T) {
	forEach(t, func(t *testing.T, c contender.Contender) {
		if c.Info().PerCaller {
			t.Skip("each caller has a connection of its own")
		}
		if c.Info().NoCalls {
			t.Skip("no call API")
		}
		_, conn := connect(t, c, contender.Settings{})
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() {
				for range 20 {
					data := random(100)
					if got, err := conn.Echo(t.Context(), data); err != nil || !bytes.Equal(got, data) {
						t.Errorf("got other data, or error %v", err)
					}
				}
			})
		}
		callers.Wait()
	})
}

// Every action is declared, and echoes.
func TestActions(t *testing.T) {
	const count = 20
	for _, name := range []string{"packetrpc", "grpc-go"} {
		c, ok := contender.Find(name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		_, conn := connect(t, c, contender.Settings{Actions: count})
		for action := range count {
			data := random(16)
			got, err := conn.(contender.ActionCaller).EchoBy(t.Context(), action, data)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, action %d: got other data, or error %v", name, action, err)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	const count = 300
	forEach(t, func(t *testing.T, c contender.Contender) {
		_, conn := connect(t, c, contender.Settings{})
		streamer, ok := conn.(contender.Streamer)
		if !ok {
			t.Skip("has no streams")
		}
		data := random(1000)
		if got, err := streamer.Upload(t.Context(), data, count); got != count || err != nil {
			t.Errorf("upload: the server took %d messages of %d, error %v", got, count, err)
		}
		if got, err := streamer.Download(t.Context(), len(data), count); got != count || err != nil {
			t.Errorf("download: got %d messages of %d, error %v", got, count, err)
		}
		if err := streamer.PingPong(t.Context(), data, count); err != nil {
			t.Errorf("ping-pong: %v", err)
		}
	})
}

func TestTake(t *testing.T) {
	forEach(t, func(t *testing.T, c contender.Contender) {
		const size = 8 << 20                                               // beyond the defaults, and quick
		_, conn := connect(t, c, contender.Settings{MaxMessage: 2 * size}) // JSON needs a third more
		taker, ok := conn.(contender.Taker)
		if !ok {
			t.Skip("has no large messages")
		}
		if got, err := taker.Take(t.Context(), make([]byte, size)); got != size || err != nil {
			t.Errorf("the server took %d bytes of %d, error %v", got, size, err)
		}
	})
}

func TestWindow(t *testing.T) {
	forEach(t, func(t *testing.T, c contender.Contender) {
		_, conn := connect(t, c, contender.Settings{})
		windower, ok := conn.(contender.Windower)
		if !ok {
			t.Skip("is a call API")
		}
		counted := 0
		err := windower.Window(random(16), 64, func() bool { return counted >= 1000 }, func(n int) { counted += n })
		if err != nil || counted < 1000 || counted > 1000+2*64 {
			t.Errorf("counted %d frames, error %v", counted, err)
		}
	})
}

func TestPush(t *testing.T) {
	forEach(t, func(t *testing.T, c contender.Contender) {
		server, conn := connect(t, c, contender.Settings{})
		pusher, ok := server.(contender.Pusher)
		if !ok {
			t.Skip("its server cannot call clients")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		data := random(16)
		// Once a call is answered, the server counts the connection among its clients.
		if _, err := conn.Echo(ctx, data); err != nil {
			t.Fatal(err)
		}
		if got, err := pusher.Ask(ctx, data); err != nil || !bytes.Equal(got, data) {
			t.Errorf("ask: got other data, or error %v", err)
		}
		if err := pusher.AskAll(ctx, data); err != nil {
			t.Error("ask all:", err)
		}
		for _, push := range []func(context.Context, []byte) error{pusher.NotifyAll, pusher.Broadcast} {
			if err := push(ctx, data); err != nil {
				t.Error(err)
			}
		}
		for conn.(contender.Listener).Notified() < 2 {
			if ctx.Err() != nil {
				t.Fatal("the client did not hear what was sent")
			}
			time.Sleep(time.Millisecond)
		}
	})
}
