package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// waiting serves echo so that it waits until it is let go or its context ends.
func waiting(r packetrpc.Registrar) (entered chan struct{}, release chan struct{}) {
	entered, release = make(chan struct{}, 100), make(chan struct{})
	handleEcho(r, func(ctx context.Context, s string) (string, error) {
		entered <- struct{}{}
		select {
		case <-release:
			return s, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	return entered, release
}

type result struct {
	reply string
	err   error
}

func echoLater(ctx context.Context, c packetrpc.Caller, s string) <-chan result {
	results := make(chan result, 1)
	go func() {
		reply, err := echo(ctx, c, s)
		results <- result{reply, err}
	}()
	return results
}

func TestShutdownLetsRunningCallsFinish(t *testing.T) {
	hook, left := departures()
	srv := server.New(hook)
	entered, release := waiting(srv)
	listener := packetrpctest.NewListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), listener) }()
	busy, err := client.Dial(within(t), "memory:0", client.WithDialer(listener.Dial), client.WithoutReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	idle, err := client.Dial(within(t), "memory:0", client.WithDialer(listener.Dial), client.WithoutReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := ping(within(t), idle, "the hook has seen you"); err != nil {
		t.Fatal(err)
	}
	running := echoLater(within(t), busy, "last")
	receive(t, entered)

	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(within(t)) }()
	receive(t, idle.Done())
	if err := idle.Err(); !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("the idle client is told %v", err)
	}
	if _, err := listener.Dial(within(t), "", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling meanwhile: %v", err)
	}
	// The busy client's connection drains on its own; from then on it takes no calls.
	for err = nil; err == nil; {
		_, err = ping(within(t), busy, "new")
	}
	if packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || packetrpc.AsError(err).Outcome == packetrpc.OutcomeUnknown {
		t.Errorf("a new call meanwhile: %v", err)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v while a call runs", err)
	case r := <-running:
		t.Fatalf("the running call ended with %+v", r)
	default:
	}
	close(release)
	if r := receive(t, running); r.reply != "last" || r.err != nil {
		t.Errorf("the running call returned %+v", r)
	}
	if err := receive(t, down); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	if err := receive(t, served); err != server.ErrServerClosed {
		t.Errorf("Serve returned %v", err)
	}
	receive(t, left)
	receive(t, left)
	if srv.Count() != 0 {
		t.Errorf("%d connections are left", srv.Count())
	}
	if err := srv.Shutdown(within(t)); err != nil {
		t.Errorf("a second Shutdown returned %v", err)
	}
	if err := srv.Serve(t.Context(), packetrpctest.NewListener()); err != server.ErrServerClosed {
		t.Errorf("serving again: %v", err)
	}
}

func TestShutdownCutsAtItsDeadline(t *testing.T) {
	srv := server.New()
	entered, _ := waiting(srv)
	c := packetrpctest.Dial(t, srv)
	running := echoLater(within(t), c, "x")
	receive(t, entered)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); packetrpc.CodeOf(err) != packetrpc.CodeDeadlineExceeded {
		t.Errorf("Shutdown returned %v", err)
	}
	if r := receive(t, running); packetrpc.CodeOf(r.err) != packetrpc.CodeUnavailable || !strings.Contains(r.err.Error(), "shutting down") {
		t.Errorf("the running call ended with %+v", r)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	for name, grace := range map[string]time.Duration{"with grace": patience, "without": 0} {
		t.Run(name, func(t *testing.T) {
			srv := server.New(server.WithGracePeriod(grace))
			entered, release := waiting(srv)
			first, second := packetrpctest.NewListener(), packetrpctest.NewListener()
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 2)
			go func() { served <- srv.Serve(ctx, first) }()
			go func() { served <- srv.Serve(ctx, second) }()
			c, err := client.Dial(within(t), "memory:0", client.WithDialer(second.Dial))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			running := echoLater(within(t), c, "x")
			receive(t, entered)
			stop()
			want := packetrpc.CodeUnavailable
			if grace > 0 {
				close(release)
				want = 0
			}
			if r := receive(t, running); packetrpc.CodeOf(r.err) != want {
				t.Errorf("the running call ended with %+v", r)
			}
			for range 2 {
				if err := receive(t, served); err != nil {
					t.Errorf("Serve returned %v", err)
				}
			}
		})
	}
}

// A handler that ignores its context cannot hold Shutdown for ever.
func TestShutdownDoesNotWaitForStragglers(t *testing.T) {
	srv := server.New()
	entered, release := make(chan struct{}), make(chan struct{})
	handleEcho(srv, func(context.Context, string) (string, error) {
		close(entered)
		<-release
		return "", nil
	})
	c := packetrpctest.Dial(t, srv)
	echoLater(within(t), c, "x")
	receive(t, entered)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Shutdown(ctx); packetrpc.CodeOf(err) != packetrpc.CodeInternal {
		t.Errorf("Shutdown returned %v", err)
	}
	close(release)
	if err := srv.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
}

func TestShutdownEndsHandshakes(t *testing.T) {
	srv := server.New()
	address := listen(t, srv)
	silent, half := dialRaw(t, address), dialRaw(t, address)
	half.write(`{"action":"x"}`)
	half.read()
	dialRaw(t, address).shake() // by now the others have been accepted
	start := time.Now()
	if err := srv.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("shutting down took %v", took)
	}
	for _, nc := range []*raw{silent, half} {
		if p := nc.read(); p.Status != "unavailable" || !strings.Contains(p.Message, "shutting down") {
			t.Errorf("got %+v", p)
		}
	}
}

func TestShutdownBeforeServing(t *testing.T) {
	// The address is bad, which does not matter any more.
	srv := server.New(server.WithAddress("nowhere"))
	if err := srv.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	if err := srv.ListenAndServe(t.Context()); err != server.ErrServerClosed {
		t.Errorf("serving afterwards: %v", err)
	}
}

func TestDuplicateActions(t *testing.T) {
	srv := server.New()
	upper(srv)
	upper(srv)
	err := srv.Serve(t.Context(), packetrpctest.NewListener())
	if packetrpc.CodeOf(err) != packetrpc.CodeAlreadyExists || !strings.Contains(err.Error(), "test.Echo/Echo") {
		t.Errorf("serving a duplicate: %v", err)
	}
	stolen := server.New()
	stolen.Register(&packetrpc.Method{Spec: &packetrpc.Spec{Action: "CorePing"}})
	if err := stolen.Serve(t.Context(), packetrpctest.NewListener()); packetrpc.CodeOf(err) != packetrpc.CodeAlreadyExists {
		t.Errorf("serving another CorePing: %v", err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, option := range map[string]server.Option{
		"message size":      server.WithMaxMessageSize(0),
		"running calls":     server.WithMaxRunningCalls(0),
		"open calls":        server.WithMaxOpenCalls(-1),
		"window":            server.WithWindow(-1, 0),
		"half open":         server.WithMaxHalfOpen(0, 1),
		"handshake timeout": server.WithHandshakeTimeout(0),
		"write timeout":     server.WithWriteTimeout(-time.Second),
		"connections":       server.WithMaxConnections(-1),
	} {
		if err := server.New(option).ListenAndServe(t.Context()); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	nothingKept := server.New(server.WithSlowClients(server.SlowDropOldest), server.WithResume(0, 0))
	if err := nothingKept.ListenAndServe(t.Context()); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("a policy that keeps pushes, and no bytes for them: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	folder := socketFolder(t)
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address string
		code    packetrpc.Code
		text    string
	}{
		{taken.Addr().String(), packetrpc.CodeAlreadyExists,
			"address " + taken.Addr().String() + " is taken by another program (server.WithAddress)"},
		{"25565", packetrpc.CodeInvalidArgument, "host:port"},
		{"", packetrpc.CodeInvalidArgument, "host:port"},
		{"127.0.0.1:65536", packetrpc.CodeInvalidArgument, "0 to 65535"},
		{"127.0.0.1:http", packetrpc.CodeInvalidArgument, "0 to 65535"},
		{"unix:", packetrpc.CodeInvalidArgument, "no path"},
		{"192.0.2.1:1", packetrpc.CodeInvalidArgument, "none of this machine's"},
		{"unix:" + folder + "/nowhere/socket", packetrpc.CodeInvalidArgument, "folder that does not exist"},
		{"unix:" + file, packetrpc.CodeAlreadyExists, "no socket"},
		{"0.0.0.0:0", packetrpc.CodeFailedPrecondition, "address 0.0.0.0:0 is reached from beyond this machine, and connections are not encrypted (server.WithKey"},
		{":0", packetrpc.CodeFailedPrecondition, "server.AllowAnonymous"},
	} {
		err := server.New(server.WithAddress(test.address)).ListenAndServe(t.Context())
		if packetrpc.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) {
			t.Errorf("%q: %v, want %v with %q", test.address, err, test.code, test.text)
		}
	}
}

// elsewhere is a listener that claims to be reached from beyond loopback.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25565} }

func TestExposure(t *testing.T) {
	authenticator := server.WithAuthenticator(session.AuthenticatorFunc(onlyAda))
	for name, test := range map[string]struct {
		options []server.Option
		refused string
	}{
		"neither":                     {nil, "AllowPlaintext"},
		"plaintext":                   {[]server.Option{server.AllowPlaintext()}, "AllowAnonymous"},
		"anonymous":                   {[]server.Option{server.AllowAnonymous()}, "AllowPlaintext"},
		"authenticator":               {[]server.Option{authenticator}, "AllowPlaintext"},
		"plaintext and authenticator": {[]server.Option{server.AllowPlaintext(), authenticator}, ""},
		"both":                        {[]server.Option{server.AllowPlaintext(), server.AllowAnonymous()}, ""},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if test.refused == "" {
			cancel()
		}
		err := server.New(test.options...).Serve(ctx, elsewhere{packetrpctest.NewListener()})
		cancel()
		if test.refused == "" && err != nil || test.refused != "" && !strings.Contains(fmt.Sprint(err), test.refused) {
			t.Errorf("%s: %v, want %q", name, err, test.refused)
		}
	}
}

// socketFolder returns a folder whose path is short enough for sockets.
func socketFolder(t *testing.T) string {
	folder, err := os.MkdirTemp("", "packetrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(socketFolder(t), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close() // the socket of a server that was killed

	ctx, stop := context.WithCancel(t.Context())
	srv := server.New(server.WithAddress("unix:" + path))
	upper(srv)
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe(ctx) }()
	c := dialUntil(t, "unix:"+path)
	if got, err := echo(within(t), c, "hello"); got != "HELLO" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := server.New(server.WithAddress("unix:" + path)).ListenAndServe(ctx); packetrpc.CodeOf(err) != packetrpc.CodeAlreadyExists {
		t.Errorf("a second server on the socket: %v", err)
	}
	if _, err := ping(within(t), c, "still there"); err != nil {
		t.Errorf("the first server after that: %v", err)
	}
	stop()
	if err := receive(t, served); err != nil {
		t.Errorf("ListenAndServe returned %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// dialUntil dials until a server that is starting answers.
func dialUntil(t *testing.T, address string) *client.Client {
	t.Helper()
	ctx := within(t)
	for {
		c, err := client.Dial(ctx, address)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// flaky fails to accept a few times, for want of file descriptors, before it
// hands out connections.
type flaky struct {
	net.Listener
	mu    sync.Mutex
	fails int
}

func (l *flaky) Accept() (net.Conn, error) {
	l.mu.Lock()
	failing := l.fails > 0
	l.fails--
	l.mu.Unlock()
	if failing {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptGoesOnAfterTemporaryErrors(t *testing.T) {
	listener := packetrpctest.NewListener()
	srv := server.New(server.WithLogger(quiet()))
	serve(t, srv, &flaky{Listener: listener, fails: 3})
	c, err := client.Dial(within(t), "memory:0", client.WithDialer(listener.Dial))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// When one listener fails, what the server has on others lives on.
func TestOneListenerFails(t *testing.T) {
	srv := server.New()
	c := packetrpctest.Dial(t, srv)
	failing := packetrpctest.NewListener()
	failing.Close()
	if err := srv.Serve(t.Context(), failing); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
	if _, err := ping(within(t), c, "x"); err != nil {
		t.Errorf("the other connection: %v", err)
	}
}
