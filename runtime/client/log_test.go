package client_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// shared is a buffer that several goroutines write to.
type shared struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes.String()
}

// overheard is a connection whose bytes somebody keeps.
type overheard struct {
	net.Conn
	wire *shared
}

func (o overheard) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.wire.Write(b[:n])
	return n, err
}

func (o overheard) Write(b []byte) (int, error) {
	o.wire.Write(b)
	return o.Conn.Write(b)
}

const (
	rightPassword = "correct-horse-battery"
	wrongPassword = "wrong-horse-battery"
	brokenName    = "whose record is broken"
)

// authenticate knows one password, and cannot tell of one name.
func authenticate(_ context.Context, credentials session.Credentials) (packetrpc.Identity, error) {
	switch {
	case credentials.Username == brokenName:
		return packetrpc.Identity{}, errors.New("the record is broken")
	case credentials.Password != rightPassword:
		return packetrpc.Identity{}, session.ErrCredentials
	}
	return packetrpc.Identity{Name: credentials.Username}, nil
}

// logging is a server and clients that log all that they can, and what goes over the
// wire between them.
type logging struct {
	listener *packetrpctest.Listener
	log      shared
	wire     shared

	mu   sync.Mutex
	last *packetrpctest.FaultyConn
}

func (l *logging) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
}

func (l *logging) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := l.listener.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = packetrpctest.NewFaultyConn(overheard{nc, &l.wire})
	return l.last, nil
}

func (l *logging) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.Cut()
}

// talk has a conversation in which everything goes wrong that is logged.
func (l *logging) talk(t *testing.T) {
	failing := func(_ context.Context, in *text) (*text, error) {
		if in.Value == "panic" {
			panic("on demand")
		}
		return nil, errors.New("on demand")
	}
	srv := server.New(server.WithLogger(l.logger()), server.WithAuthenticator(session.AuthenticatorFunc(authenticate)),
		server.WithInterceptors(packetrpc.AccessLog(l.logger())))
	packetrpc.HandleUnary(srv, echoSpec, failing)
	packetrpc.HandleOneWay(srv, noteSpec, func(ctx context.Context, in *text) error { _, err := failing(ctx, in); return err })
	l.listener = packetrpctest.Start(t, srv).Listener

	states := make(chan client.State, 10)
	as := func(name, password string) []client.Option {
		return []client.Option{client.WithPassword(name, password), client.WithDialer(l.dial), client.WithLogger(l.logger()),
			client.WithInterceptors(packetrpc.AccessLog(l.logger())), client.WithJSON(),
			client.WithStateHook(func(s client.State) { states <- s }),
			client.WithReconnectPauses(time.Millisecond, time.Millisecond)}
	}
	for _, name := range []string{"ada", brokenName} {
		if _, err := client.Dial(within(t), "memory:0", as(name, wrongPassword)...); packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
			t.Fatal(err)
		}
	}
	conn, err := client.Dial(within(t), "memory:0", as("ada", rightPassword)...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	calls := func() {
		for _, says := range []string{"fail", "panic"} {
			conn.CallUnary(within(t), echoSpec, wrapperspb.String(says), new(text))
			conn.CallOneWay(within(t), noteSpec, wrapperspb.String(says))
		}
		packetrpcv1packetrpc.NewCoreServiceClient(conn).Disconnect(within(t), &packetrpcv1.DisconnectRequest{}) // has no role for it
	}
	calls()
	l.cut()
	wantState(t, states, client.PhaseReconnecting, false)
	wantState(t, states, client.PhaseReady, true)
	calls()
	l.byHand(t)
}

// byHand shakes hands as an old program does, and then shows a wrong token.
func (l *logging) byHand(t *testing.T) {
	nc, err := l.dial(within(t), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	lines := bufio.NewScanner(nc)
	for _, packet := range []string{
		fmt.Sprintf(`{"action":"handShake","data":{"username":"bob","password":%q},"token":null}`, rightPassword),
		`{"action":"CorePing","data":{},"token":"a-token-that-is-none-of-ours"}`,
	} {
		if _, err := io.WriteString(nc, packet); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
	}
}

// Nothing that a server or a client logs, at any level, holds a token or a password,
// and the same thing has the same key everywhere.
func TestLogKeepsSecrets(t *testing.T) {
	l := new(logging)
	t.Run("conversation", l.talk) // all of it has ended when this returns

	tokens := make(map[string]struct{})
	for _, found := range regexp.MustCompile(`"(?:token|uuid|remoteToken|resume-?[tT]oken)": ?"([^"]+)"`).FindAllStringSubmatch(l.wire.String(), -1) {
		tokens[found[1]] = struct{}{}
	}
	if len(tokens) < 3 {
		t.Fatalf("the wire showed %d tokens, want those of two sessions and a wrong one", len(tokens))
	}
	log := l.log.String()
	for _, secret := range append(slices.Collect(maps.Keys(tokens)), rightPassword, wrongPassword) {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds the secret %q", secret)
		}
	}

	messages, keys := make(map[string]struct{}), make(map[string]struct{})
	for line := range strings.Lines(log) {
		fields := make(map[string]any)
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		messages[fmt.Sprint(fields["msg"])] = struct{}{}
		for key := range fields {
			keys[key] = struct{}{}
		}
		if fields["panic"] != nil && (fields["client"] == nil || fields["name"] != "ada") {
			t.Errorf("a panic is logged without the client that it happened for: %s", line)
		}
	}
	wantMessages := []string{
		"packetrpc: a handler panicked",
		"packetrpc: a one-way handler failed, which no caller learns",
		"packetrpc: authenticating failed",
		"packetrpc: away",
		"packetrpc: call",
		"packetrpc: connected",
		"packetrpc: disconnected",
		"packetrpc: handshake refused",
		"packetrpc: resumed",
	}
	for _, want := range wantMessages {
		if _, logged := messages[want]; !logged {
			t.Errorf("the conversation logged no %q", want)
		}
	}
	wantKeys := []string{"action", "address", "client", "code", "direction", "duration", "error", "level", "msg", "name", "panic", "reason",
		"received_bytes", "received_messages", "resumed", "sent_bytes", "sent_messages", "stack", "time", "type"}
	if diff := cmp.Diff(wantKeys, slices.Sorted(maps.Keys(keys))); diff != "" {
		t.Errorf("the keys are not those that are documented (-want +got):\n%s", diff)
	}
}
