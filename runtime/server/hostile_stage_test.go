//go:build linux

package server_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// place is which of the servers an attack is upon.
type place int

const (
	open      place = iota // anybody is who it says
	guarded                // a file of users
	encrypted              // TLS only
	sealing                // plaintext, with a key for sealed actions
	placeCount
)

// handshakeTime is how long handshakes may take where some are not completed.
const handshakeTime = 2 * time.Second

// stage is a server under attack, and who is served by it.
type stage struct {
	server  *server.Server
	address string
	users   string          // the file of them, in the guarded place
	fileLog chan string     // what is logged about it
	boss    []client.Option // who may call guarded actions
	healthy []client.Option // who is served
	steady  *client.Client  // and has been for long
	guard   *atomic.Int32   // how often guarded handlers have run
	log     chan string     // what has been logged, a line each
}

// Actions for attacks. Those of the bank are guarded: they must not run, as either the
// role or the token is missing. Those that hold end with their call.
var (
	transferSpec = bankSpec("Transfer", packetrpc.Unary, "teller")
	hintSpec     = bankSpec("Hint", packetrpc.OneWay, "teller")
	feedSpec     = bankSpec("Feed", packetrpc.BidiStreaming, "teller")
	lookSpec     = bankSpec("Look", packetrpc.Unary, "")
	safeSpec     = &packetrpc.Spec{Action: "bank.Bank/Safe", Service: "bank.Bank", Method: "Safe", Sealed: true}

	holdSpec     = holdsSpec("Hold", packetrpc.Unary)
	holdNoteSpec = holdsSpec("HoldNote", packetrpc.OneWay)
	talkSpec     = holdsSpec("Talk", packetrpc.BidiStreaming)
	ignoreSpec   = holdsSpec("Ignore", packetrpc.ClientStream)
	floodSpec    = holdsSpec("Flood", packetrpc.ServerStream)
)

func bankSpec(method string, kind packetrpc.CallType, requires string) *packetrpc.Spec {
	return &packetrpc.Spec{Action: "bank.Bank/" + method, Service: "bank.Bank", Method: method, Type: kind, Requires: requires}
}

func holdsSpec(method string, kind packetrpc.CallType) *packetrpc.Spec {
	return &packetrpc.Spec{Action: "test.Hold/" + method, Service: "test.Hold", Method: method, Type: kind}
}

// registerBank serves the guarded actions and returns how often they have run.
func registerBank(r packetrpc.Registrar) *atomic.Int32 {
	runs := new(atomic.Int32)
	unary := func(_ context.Context, in *text) (*text, error) {
		runs.Add(1)
		return in, nil
	}
	packetrpc.HandleUnary(r, transferSpec, unary)
	packetrpc.HandleUnary(r, lookSpec, unary)
	packetrpc.HandleUnary(r, safeSpec, unary)
	packetrpc.HandleOneWay(r, hintSpec, func(context.Context, *text) error {
		runs.Add(1)
		return nil
	})
	packetrpc.HandleBidiStream(r, feedSpec, func(context.Context, packetrpc.BidiStream[text, text]) error {
		runs.Add(1)
		return nil
	})
	return runs
}

func registerHolding(r packetrpc.Registrar) {
	packetrpc.HandleUnary(r, holdSpec, func(ctx context.Context, _ *text) (*text, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	packetrpc.HandleOneWay(r, holdNoteSpec, func(ctx context.Context, _ *text) error {
		<-ctx.Done()
		return ctx.Err()
	})
	packetrpc.HandleBidiStream(r, talkSpec, func(_ context.Context, s packetrpc.BidiStream[text, text]) error {
		for _, err := range s.All() {
			if err != nil {
				return err
			}
		}
		return nil
	})
	packetrpc.HandleClientStream(r, ignoreSpec, func(ctx context.Context, _ packetrpc.Receiver[text]) (*text, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	drop := wrapperspb.String(strings.Repeat("x", 32<<10))
	packetrpc.HandleServerStream(r, floodSpec, func(_ context.Context, _ *text, out packetrpc.Sender[text]) error {
		for {
			if err := out.Send(drop); err != nil {
				return err
			}
		}
	})
}

// openPlaces starts the servers.
func openPlaces(t *testing.T) (places [placeCount]*stage) {
	k := testKeys()
	pin := seal.PinKey(&k.server.PublicKey)
	withKey, plaintext := server.WithKey(k.server), server.AllowPlaintext()
	impatient := server.WithHandshakeTimeout(handshakeTime)
	granted := server.WithRoles("boss", "teller")

	path, log := usersFile(t), make(chan string, 1000)
	file, err := users.Open(path, users.WithLogger(slog.New(slog.NewTextHandler(lines(log), nil))))
	if err != nil {
		t.Fatal(err)
	}
	for at, options := range [placeCount][]server.Option{
		open:      {granted, server.WithMaxHalfOpen(100, 300), impatient},
		guarded:   {server.WithAuthenticator(file)},
		encrypted: {granted, withKey, impatient},
		sealing:   {granted, withKey, plaintext},
	} {
		s := &stage{log: make(chan string, 1000)}
		logger := slog.New(slog.NewTextHandler(lines(s.log), nil))
		s.server = server.New(append(options, server.WithLogger(logger), server.WithWriteTimeout(time.Second))...)
		handleEcho(s.server, func(_ context.Context, s string) (string, error) { return s, nil })
		registerHolding(s.server)
		s.guard = registerBank(s.server)
		s.address = listen(t, s.server)
		s.boss = []client.Option{client.WithName("boss")}
		places[at] = s
	}
	places[guarded].users, places[guarded].fileLog = path, log
	places[guarded].healthy = []client.Option{client.WithPassword("ada", "ada's secret")}
	places[guarded].boss = []client.Option{client.WithPassword("boss", "boss's secret")}
	places[encrypted].healthy = []client.Option{client.WithServerKey(pin)}
	places[encrypted].boss = append(places[encrypted].boss, client.WithServerKey(pin))
	for _, s := range places {
		s.steady = dial(t, s.address, s.healthy...)
	}
	return places
}

// lines is a writer that passes on what is written in one go, and drops it when
// nobody has cared about what was before.
type lines chan<- string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

// usersFile makes a file of users whose passwords are cheap to check.
func usersFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	var all strings.Builder
	for _, user := range []struct{ name, roles string }{{"ada", ""}, {"eve", "guest"}, {"boss", "teller"}} {
		salt := []byte("of " + user.name + "'s file")
		hash := argon2.IDKey([]byte(user.name+"'s secret"), salt, 1, 8, 1, 32)
		fmt.Fprintf(&all, "%s:$argon2id$v=19$m=8,t=1,p=1$%s$%s:%s\n", user.name,
			base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(hash), user.roles)
	}
	write(t, path, 0o600, all.String())
	return path
}

// write writes a file with exactly the mode, all at once.
func write(t *testing.T, path string, mode os.FileMode, content string) {
	t.Helper()
	next := path + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(content), mode), os.Chmod(next, mode), os.Rename(next, path)); err != nil {
		t.Fatal(err)
	}
}

// awaitCalm waits until the steady client is alone.
func (s *stage) awaitCalm(t *testing.T) {
	t.Helper()
	for by := time.Now().Add(patience); s.server.Count() > 1; time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("%d clients are connected", s.server.Count())
		}
	}
}

// awaitService waits until who comes is served again.
func (s *stage) awaitService(t *testing.T) {
	t.Helper()
	for by := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := s.visit(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(by) {
			t.Fatalf("a client that comes after the attack is not served: %v", err)
		}
	}
}

// hasLogged waits for a line of a log about somebody or something.
func hasLogged(t *testing.T, log <-chan string, about string) said {
	t.Helper()
	for {
		if line := receive(t, log); strings.Contains(line, about) {
			return said{logged, line}
		}
	}
}

// checkGuard makes sure that guarded handlers do run for those who may call them.
func (s *stage) checkGuard(t *testing.T) {
	t.Helper()
	c := dial(t, s.address, s.boss...)
	_, err := packetrpc.CallUnary[text](within(t), c, transferSpec, wrapperspb.String("all"))
	if n := s.guard.Load(); err != nil || n != 1 {
		t.Errorf("guarded handlers have run %d times for who may call them, %v", n, err)
	}
}
