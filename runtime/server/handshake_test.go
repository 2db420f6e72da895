package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// upper answers in capitals and counts how often it has run.
func upper(r packetrpc.Registrar) *atomic.Int32 {
	runs := new(atomic.Int32)
	handleEcho(r, func(_ context.Context, s string) (string, error) {
		runs.Add(1)
		return strings.ToUpper(s), nil
	})
	return runs
}

func TestCallsInBothForms(t *testing.T) {
	srv := server.New()
	upper(srv)
	address := listen(t, srv)
	for name, options := range map[string][]client.Option{"binary": nil, "json": {client.WithJSON()}} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address, append(options, client.WithName("ada"))...)
			if got, err := echo(within(t), c, "hello"); got != "HELLO" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			peer, ok := srv.Connection(c.ID())
			if !ok || peer.Identity().Name != "ada" {
				t.Errorf("the server knows %q as %v", c.ID(), peer)
			}
		})
	}
}

// What the original's programs do: no newline, token null, one recv(1024) per
// reply.
func TestOldProgram(t *testing.T) {
	srv := server.New()
	upper(srv)
	nc := dialRaw(t, listen(t, srv))
	recv := func() (p map[string]any) {
		t.Helper()
		buffer := make([]byte, 1024)
		n, err := nc.Conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(buffer[:n], &p); err != nil {
			t.Fatalf("%q: %v", buffer[:n], err)
		}
		return p
	}
	nc.write(`{"action": "handShake", "data": {"username": "demo", "password": "test"}, "packet-created": 1712345678.9, "token": null}`)
	shaken := recv()
	token, _ := shaken["token"].(string)
	data, _ := shaken["data"].(map[string]any)
	if shaken["action"] != "handShake" || len(token) != 22 || data["status"] != "success" || data["uuid"] != token || data["remoteToken"] != token {
		t.Fatalf("the handshake was answered by %v", shaken)
	}
	if _, isNumber := shaken["packet-created"].(float64); !isNumber {
		t.Errorf("packet-created is %v", shaken["packet-created"])
	}

	nc.write(`{"action": "CoreListClients", "data": {}, "packet-created": 1712345679.1, "token": "` + token + `"}`)
	listed := recv()
	clients, _ := listed["data"].(map[string]any)["clients"].([]any)
	if listed["action"] != "ListClients" || len(clients) != 1 || clients[0].(map[string]any)["name"] != "demo" {
		t.Errorf("the clients are %v", listed)
	}
	if strings.Contains(fmt.Sprint(clients), token) {
		t.Error("the list of clients shows a token")
	}

	nc.write(`{"action": "test.Echo/Echo", "data": "hello", "packet-created": 1712345679.2, "token": "` + token + `", "extra": {"a": [1]}}`)
	if echoed := recv(); echoed["action"] != "test.Echo/Echo" || echoed["data"] != "HELLO" || echoed["token"] != token {
		t.Errorf("the action was answered by %v", echoed)
	}
	nc.write(`{"action": "nowhere", "data": {}, "token": "` + token + `"}`)
	if failed := recv(); failed["action"] != "nowhere" || failed["status"] != "unimplemented" || failed["message"] == "" {
		t.Errorf("an unknown action was answered by %v", failed)
	}
}

func TestHandshakeInPieces(t *testing.T) {
	srv := server.New()
	upper(srv)
	address := listen(t, srv)
	t.Run("one byte at a time", func(t *testing.T) {
		nc := dialRaw(t, address)
		for _, b := range []byte(` {"action":"handShake","data":{"username":"demo"}}`) {
			nc.write(string(b))
		}
		token := *nc.read().Token
		for _, b := range []byte(`{"action":"test.Echo/Echo","data":"hi","token":"` + token + `"}`) {
			nc.write(string(b))
		}
		if p := nc.read(); p.Action != "test.Echo/Echo" || p.Status != "" {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("two packets in a segment", func(t *testing.T) {
		nc := dialRaw(t, address)
		nc.write(`{"action":"handShake"}{"action":"CorePing","data":{"text":"x"},"token":"wrong"}` + "\n")
		if p := nc.read(); p.field("status") != "success" {
			t.Errorf("the handshake was answered by %+v", p)
		}
		if p := nc.read(); p.Action != "CorePing" || p.Status != "unauthenticated" {
			t.Errorf("the ping with a wrong token was answered by %+v", p)
		}
	})
	t.Run("the other side has stopped sending", func(t *testing.T) {
		nc := dialRaw(t, address)
		nc.write(`{"action":"handShake"}`)
		nc.Conn.(*net.TCPConn).CloseWrite()
		if p := nc.read(); p.field("status") != "success" {
			t.Errorf("the handshake was answered by %+v", p)
		}
		nc.ends()
	})
}

func TestTokenIsDemanded(t *testing.T) {
	srv := server.New()
	runs := upper(srv)
	address := listen(t, srv)
	nc, other := dialRaw(t, address), dialRaw(t, address)
	token, foreign := nc.shake(), other.shake()
	for _, wrong := range []string{"null", `""`, `"` + foreign + `"`, `"` + token[:21] + `"`, `"` + token + `A"`} {
		nc.write(`{"action":"test.Echo/Echo","data":"x","token":` + wrong + `}`)
		p := nc.read()
		if p.Action != "test.Echo/Echo" || p.Status != "unauthenticated" {
			t.Errorf("with another token: %+v", p)
		}
		if said := fmt.Sprint(p.Message, p.Data); strings.Contains(said, foreign) || strings.Contains(said, token) {
			t.Errorf("the reply shows a token: %s", said)
		}
	}
	if n := runs.Load(); n != 0 {
		t.Errorf("the handler ran %d times", n)
	}
	nc.write(`{"action":"test.Echo/Echo","data":"x","token":"` + token + `"}`)
	if p := nc.read(); p.Status != "" || runs.Load() != 1 {
		t.Errorf("with the token: %+v", p)
	}
}

// A person at nc is told what to type and may try again.
func TestForgottenHandshake(t *testing.T) {
	nc := dialRaw(t, listen(t, server.New()))
	nc.write("\n{\"action\":\"CorePing\",\"id\":7}\n")
	p := nc.read()
	if p.Action != "CorePing" || p.ID != 7 || p.Status != "unauthenticated" || !strings.Contains(p.Message, "handShake") {
		t.Errorf("got %+v", p)
	}
	nc.shake()
}

func TestForgottenHandshakeTooOften(t *testing.T) {
	nc := dialRaw(t, listen(t, server.New()))
	nc.write(strings.Repeat(`{"action":"CorePing"}`, 100))
	for range 16 {
		if p := nc.read(); p.Status != "unauthenticated" {
			t.Fatalf("got %+v", p)
		}
	}
	nc.ends()
}

func onlyAda(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
	switch {
	case c.Username == "ada" && c.Password == "secret":
		return packetrpc.Identity{Name: "Ada"}, nil
	case c.Username == "panic":
		panic("boom")
	case c.Username == "broken":
		return packetrpc.Identity{}, errors.New("the users' file has vanished")
	case c.Username == "busy":
		return packetrpc.Identity{}, packetrpc.Errorf(packetrpc.CodeResourceExhausted, "too many at once")
	}
	return packetrpc.Identity{}, session.ErrCredentials
}

// Whoever guesses is soon told to come back later, from the same address with the
// right password as well, and others are served meanwhile.
func TestGuessingIsHeldBack(t *testing.T) {
	srv := server.New(server.WithAuthenticator(session.AuthenticatorFunc(onlyAda)), server.WithLogger(quiet()),
		server.WithFailureDelay(2, time.Hour, time.Hour))
	address := listen(t, srv)
	for range 2 {
		if _, err := client.Dial(within(t), address, client.WithPassword("ada", "guess")); packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
			t.Fatal(err)
		}
	}
	for _, password := range []string{"guess", "secret"} {
		_, err := client.Dial(within(t), address, client.WithPassword("ada", password))
		if packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted || packetrpc.AsError(err).RetryAfter < 59*time.Minute {
			t.Errorf("%s: %v", password, err)
		}
	}
	elsewhere := client.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext(ctx, network, address)
	})
	dial(t, address, elsewhere, client.WithPassword("ada", "secret"))
}

// Those who are held back a little wait for their turn, and then get in.
func TestHeldBackForAMoment(t *testing.T) {
	srv := server.New(server.WithAuthenticator(session.AuthenticatorFunc(onlyAda)), server.WithLogger(quiet()),
		server.WithFailureDelay(1, 20*time.Millisecond, time.Hour))
	address := listen(t, srv)
	if _, err := client.Dial(within(t), address, client.WithPassword("ada", "guess")); packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
		t.Fatal(err)
	}
	began := time.Now()
	dial(t, address, client.WithPassword("ada", "secret"))
	dial(t, address, client.WithPassword("ada", "secret"))
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("two handshakes took %v", took)
	}
}

func TestAuthenticator(t *testing.T) {
	srv := server.New(server.WithAuthenticator(session.AuthenticatorFunc(onlyAda)), server.WithLogger(quiet()),
		server.WithFailureDelay(1, 0, 0))
	address := listen(t, srv)
	for _, test := range []struct {
		name, password string
		code           packetrpc.Code
		text           string
	}{
		{"ada", "secret", 0, ""},
		{"ada", "guess", packetrpc.CodeUnauthenticated, "the name or the password is wrong"},
		{"", "", packetrpc.CodeUnauthenticated, "the name or the password is wrong"},
		{"broken", "x", packetrpc.CodeUnauthenticated, "the name or the password is wrong"},
		{"busy", "x", packetrpc.CodeResourceExhausted, "too many at once"},
		{"panic", "x", packetrpc.CodeInternal, "panicked"},
		{"a\nb", "x", packetrpc.CodeInvalidArgument, "control character"},
	} {
		for form, options := range map[string][]client.Option{"binary": nil, "json": {client.WithJSON()}} {
			t.Run(form+" "+test.name, func(t *testing.T) {
				options := append(options, client.WithPassword(test.name, test.password))
				c, err := client.Dial(within(t), address, options...)
				if c != nil {
					defer c.Close()
				}
				if packetrpc.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) {
					t.Errorf("got %v, want %v with %q", err, test.code, test.text)
				}
				if err != nil && strings.Contains(err.Error(), "vanished") {
					t.Error("the client is told of the server's insides")
				}
			})
		}
	}
	t.Run("plain", func(t *testing.T) {
		nc := dialRaw(t, address)
		nc.write(`{"action":"handShake","data":{"username":"ada","password":"guess"}}`)
		if p := nc.read(); p.Action != "handShake" || p.field("status") != "fail" || p.Status != "unauthenticated" || p.Message == "" {
			t.Errorf("got %+v", p)
		}
		nc.ends()
	})
	for began := time.Now(); srv.Count() > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%d clients are connected", srv.Count())
		}
	}
}

func TestStrangers(t *testing.T) {
	address := listen(t, server.New())
	for name, test := range map[string]struct{ send, want string }{
		"HTTP":             {"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "packetrpc"},
		"TLS":              {"\x16\x03\x01\x02\x00\x01\x00", "TLS"},
		"later version":    {"\xf5pkt\x02", "version"},
		"not JSON":         {"{]", "invalid_argument"},
		"duplicate key":    {`{"action":"handShake","action":"handShake"}`, "invalid_argument"},
		"too large":        {`{"action":"` + strings.Repeat("x", 5000), "resource_exhausted"},
		"later handshake":  {`{"action":"handShake","data":{"version":9}}`, "version 1 of the protocol, not 9"},
		"handshake's kind": {`{"action":"handShake","kind":"one-way"}`, "invalid_argument"},
	} {
		t.Run(name, func(t *testing.T) {
			nc := dialRaw(t, address)
			nc.write(test.send + strings.Repeat(" ", 20000)) // unread bytes must not destroy the answer
			answer, err := io.ReadAll(nc)
			if err != nil || !strings.Contains(string(answer), test.want) {
				t.Errorf("got %q, %v, want %q", answer, err, test.want)
			}
		})
	}
}

func TestStalledHandshakes(t *testing.T) {
	srv := server.New(server.WithHandshakeTimeout(time.Second))
	address := listen(t, srv)
	silent, half := dialRaw(t, address), dialRaw(t, address)
	half.write(`{"action":"handSh`)
	start := time.Now()
	for range 20 {
		c := dial(t, address)
		if _, err := ping(within(t), c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("twenty others took %v beside stalled handshakes", took)
	}
	for _, nc := range []*raw{silent, half} {
		if p := nc.read(); p.Action != "handShake" || p.Status != "deadline_exceeded" || !strings.Contains(p.Message, "1s") {
			t.Errorf("got %+v", p)
		}
		nc.ends()
	}
}

func TestHalfOpenCap(t *testing.T) {
	for name, limit := range map[string]server.Option{
		"from an address": server.WithMaxHalfOpen(3, 1000),
		"in all":          server.WithMaxHalfOpen(1000, 3),
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, server.New(limit))
			stalled := make([]*raw, 3)
			for i := range stalled {
				// The answer tells that the server has counted this one.
				stalled[i] = dialRaw(t, address)
				stalled[i].write(`{"action":"x"}`)
				stalled[i].read()
			}
			tooMany := dialRaw(t, address)
			tooMany.ends()
			if _, err := client.Dial(within(t), address); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
				t.Errorf("dialling beyond the cap: %v", err)
			}
			token := stalled[0].shake() // makes room, at the latest when a call is answered
			stalled[0].write(`{"action":"CorePing","token":"` + token + `"}`)
			stalled[0].read()
			dialRaw(t, address).shake()
		})
	}
}

func TestMaxConnections(t *testing.T) {
	left := make(chan struct{}, 10)
	srv := server.New(server.WithMaxConnections(2), server.WithDisconnected(func(packetrpc.Peer, error) { left <- struct{}{} }))
	address := listen(t, srv)
	first := dial(t, address)
	dial(t, address)
	_, err := client.Dial(within(t), address)
	if packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted || !strings.Contains(err.Error(), "2 connections") {
		t.Errorf("the third: %v", err)
	}
	first.Close()
	receive(t, left)
	dial(t, address)
}

func TestSlicedAndSlowConnection(t *testing.T) {
	srv := server.New()
	upper(srv)
	started := packetrpctest.Start(t, srv)
	slow := func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := started.Listener.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		faulty := packetrpctest.NewFaultyConn(nc)
		faulty.SliceWrites(3)
		return faulty, nil
	}
	c := started.Dial(t, client.WithDialer(slow))
	long := strings.Repeat("abc", 1000)
	if got, err := echo(within(t), c, long); got != strings.ToUpper(long) || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// Many clients come at once, among some that never shake hands.
func TestManyHandshakesAtOnce(t *testing.T) {
	srv := server.New()
	address := listen(t, srv)
	for range 20 {
		dialRaw(t, address).write(`{"action":`)
	}
	const n = 300
	clients := make(chan *client.Client, n)
	for range n {
		go func() {
			c, err := client.Dial(within(t), address)
			if err == nil {
				_, err = ping(within(t), c, "x")
			}
			if err != nil {
				t.Error(err)
			}
			clients <- c
		}()
	}
	for range n {
		if c := receive(t, clients); c != nil {
			defer c.Close()
		}
	}
	if got := srv.Count(); got != n {
		t.Errorf("%d clients are connected, want %d", got, n)
	}
}

// A connection that does nothing costs the server one goroutine, which reads.
func TestIdleConnectionsCostOneGoroutine(t *testing.T) {
	address := listen(t, server.New())
	const n = 100
	before := runtime.NumGoroutine()
	for range n {
		dialRaw(t, address).shake()
	}
	// The goroutines of the handshakes are on their way out.
	for by := time.Now().Add(patience); runtime.NumGoroutine() > before+n+5; time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("%d connections need %d goroutines", n, runtime.NumGoroutine()-before)
		}
	}
}

// Who is silent on an encrypted connection is told so by TLS as well: bytes beside it
// would look like an attack.
func TestSilenceWithinTLS(t *testing.T) {
	address := listen(t, server.New(server.WithKey(testKeys().server), server.WithHandshakeTimeout(time.Second), server.WithLogger(quiet())))
	for _, first := range []string{"", "\xf5", "{"} {
		nc := dialRaw(t, address)
		secure := tls.Client(nc.Conn, &tls.Config{InsecureSkipVerify: true})
		inside := &raw{t, secure, bufio.NewReader(secure)}
		inside.write(first)
		if p := inside.read(); p.Status != "deadline_exceeded" || p.Action != "handShake" {
			t.Errorf("after %q: %+v", first, p)
		}
		inside.ends()
	}
}
