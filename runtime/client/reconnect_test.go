package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

var (
	noteSpec  = &packetrpc.Spec{Action: "test.Echo/Note", Service: "test.Echo", Method: "Note", Type: packetrpc.OneWay}
	againSpec = &packetrpc.Spec{Action: "test.Echo/Again", Service: "test.Echo", Method: "Again", Idempotency: packetrpc.Idempotent}
)

// way leads to a server that can be replaced, over connections that can be cut.
type way struct {
	t      *testing.T
	mu     sync.Mutex
	to     *packetrpctest.Listener
	faults []*packetrpctest.FaultyConn
	closed bool // nobody is reached
	first  *firstWrite
}

// firstWrite is a connection that keeps what was written to it first: the handshake.
type firstWrite struct {
	net.Conn
	bytes []byte
}

func (f *firstWrite) Write(bytes []byte) (int, error) {
	if f.bytes == nil {
		f.bytes = slices.Clone(bytes)
	}
	return f.Conn.Write(bytes)
}

func (w *way) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errors.New("the way is closed")
	}
	nc, err := w.to.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.first = &firstWrite{Conn: nc}
	faulty := packetrpctest.NewFaultyConn(w.first)
	w.faults = append(w.faults, faulty)
	return faulty, nil
}

func (w *way) shut(closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = closed
}

// handshake returns the one that was sent over the last connection.
func (w *way) handshake() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first.bytes
}

// last returns the last connection that was made.
func (w *way) last() *packetrpctest.FaultyConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults[len(w.faults)-1]
}

// fickle dials a server by a way that can be cut, and returns its states.
func fickle(t *testing.T, srv *server.Server, options ...client.Option) (*client.Client, *way, <-chan client.State) {
	w := &way{t: t, to: packetrpctest.Start(t, srv).Listener}
	states := make(chan client.State, 100)
	options = append([]client.Option{
		client.WithDialer(w.dial),
		client.WithStateHook(func(s client.State) { states <- s }),
		client.WithReconnectPauses(time.Millisecond, 10*time.Millisecond),
	}, options...)
	c, err := client.Dial(within(t), "memory:0", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, w, states
}

func wantState(t *testing.T, states <-chan client.State, phase client.Phase, resumed bool) client.State {
	t.Helper()
	s := receive(t, states)
	if s.Phase != phase || s.Resumed != resumed {
		t.Fatalf("the state is %+v, want %v, resumed: %t", s, phase, resumed)
	}
	return s
}

// A client whose connection is cut keeps its id and groups, and gets what was pushed
// meanwhile, in order and once.
func TestResumes(t *testing.T) {
	left := make(chan string, 10)
	came := make(chan string, 10)
	srv := server.New(
		server.WithConnected(func(p packetrpc.Peer) { came <- p.ID(); p.Join("room") }),
		server.WithDisconnected(func(p packetrpc.Peer, _ error) { left <- p.ID() }))
	handlers, got := new(packetrpc.Handlers), make(chan string, 1000)
	packetrpc.HandleOneWay(handlers, noteSpec, func(_ context.Context, in *text) error { got <- in.Value; return nil })
	c, w, states := fickle(t, srv, client.WithHandlers(handlers))
	id := c.ID()
	if receive(t, came) != id {
		t.Fatal("another client came")
	}
	peer, _ := srv.Connection(id)
	n := 0
	var before client.Stats
	push := func() {
		t.Helper()
		now := c.Stats()
		if now.Received < before.Received || now.Sent < before.Sent {
			t.Errorf("the client counts %+v, and before that %+v", now, before)
		}
		before = now
		for range 5 {
			if err := peer.CallOneWay(within(t), noteSpec, wrapperspb.String(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			n++
			d, err := srv.Group("room").Broadcast(within(t), noteSpec, wrapperspb.String(fmt.Sprint(n)))
			if err != nil || d.Queued != 1 {
				t.Fatal(d, err)
			}
			n++
		}
	}
	for range 5 {
		push()
		w.shut(true)
		w.last().Cut()
		if s := wantState(t, states, client.PhaseReconnecting, false); s.Err == nil || string(s.ID) != id {
			t.Errorf("the state is %+v", s)
		}
		for srv.Count() == 1 && peer.CallOneWay(within(t), noteSpec, wrapperspb.String(fmt.Sprint(n))) != nil {
		}
		n++
		push()
		w.shut(false)
		wantState(t, states, client.PhaseReady, true)
		push()
		if info(t, c).GetClient().GetId() != id || c.ID() != id {
			t.Error("the client has another id")
		}
	}
	for i := range n {
		if value := receive(t, got); value != fmt.Sprint(i) {
			t.Fatalf("push %s came in place of push %d", value, i)
		}
	}
	if before.Connected != 1 || before.Resumed != 5 || before.Received == 0 || before.Sent == 0 {
		t.Errorf("the client counts %+v, want 1 session that was resumed 5 times", before)
	}
	if again, _ := srv.Connection(id); again != peer || len(left) > 0 || len(came) > 0 || len(peer.Groups()) != 1 {
		t.Error("the client has gone and come again")
	}
	c.Close()
	if receive(t, left) != id {
		t.Error("another client has gone")
	}
}

// Pushes that wait for a connection that is then lost are kept, those that were sent in
// part as well.
func TestPushesThatWaitWhenTheConnectionIsLost(t *testing.T) {
	srv := server.New(server.WithResume(time.Minute, 64<<20))
	handlers, got := new(packetrpc.Handlers), make(chan string, 100)
	packetrpc.HandleOneWay(handlers, noteSpec, func(_ context.Context, in *text) error {
		got <- in.Value[:1]
		return nil
	})
	c, w, states := fickle(t, srv, client.WithHandlers(handlers))
	peer, _ := srv.Connection(c.ID())
	w.last().Freeze()
	const many = 20
	done := make(chan error, many)
	for i := range many {
		go func() {
			done <- peer.CallOneWay(within(t), noteSpec, wrapperspb.String(string(rune('a'+i))+strings.Repeat("x", 200<<10)))
		}()
	}
	time.Sleep(10 * time.Millisecond) // however many wait by then, none may fail
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	wantState(t, states, client.PhaseReady, true)
	came := make(map[string]int)
	for range many {
		if err := receive(t, done); err != nil {
			t.Errorf("a push: %v", err)
			continue
		}
		came[receive(t, got)]++
	}
	if len(came) != many || len(got) > 0 {
		t.Errorf("of %d pushes came %v, and %d more", many, came, len(got))
	}
}

// A frozen connection that the client has given up is replaced, and its late end
// changes nothing.
func TestLateEndOfAnOldConnection(t *testing.T) {
	left := make(chan string, 10)
	srv := server.New(server.WithKeepalive(20*time.Millisecond, 200*time.Millisecond),
		server.WithDisconnected(func(p packetrpc.Peer, _ error) { left <- p.ID() }))
	c, w, states := fickle(t, srv)
	id := c.ID()
	old := w.last()
	old.Freeze()
	wantState(t, states, client.PhaseReconnecting, false)
	wantState(t, states, client.PhaseReady, true)
	old.Cut()
	for range 5 {
		if info(t, c).GetClient().GetId() != id {
			t.Error("the client has another id")
		}
	}
	if len(left) > 0 || srv.Count() != 1 {
		t.Error("the late end has evicted the client")
	}
}

// A handshake that arrives late, of a connection that the client has given up, takes the
// session away from the client's next connection, but not for good.
func TestLateHandshakeOfAnOldConnection(t *testing.T) {
	c, w, states := fickle(t, server.New())
	id := c.ID()
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	wantState(t, states, client.PhaseReady, true)
	late, err := w.to.Dial(within(t), "memory", "")
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if _, err := late.Write(w.handshake()); err != nil {
		t.Fatal(err)
	}
	wantState(t, states, client.PhaseReconnecting, false)
	wantState(t, states, client.PhaseReady, true)
	if info(t, c).GetClient().GetId() != id || c.Err() != nil {
		t.Errorf("the client has ended with %v, or has another id", c.Err())
	}
}

// Handshakes for one session that arrive at the same time are all answered, and the
// client comes back after them.
func TestManyHandshakesForOneSession(t *testing.T) {
	c, w, states := fickle(t, server.New())
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	wantState(t, states, client.PhaseReady, true)
	for range 5 {
		handshake := w.handshake()
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				late, err := w.to.Dial(within(t), "memory", "")
				if err != nil {
					t.Error(err)
					return
				}
				defer late.Close()
				late.SetDeadline(time.Now().Add(5 * time.Second))
				if _, err := late.Write(handshake); err != nil {
					t.Error(err)
				}
				if _, err := late.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("a handshake is not answered, nor its connection closed")
				}
			})
		}
		all.Wait()
		info(t, c)
		for len(states) > 0 {
			<-states // so that the hook never waits
		}
	}
}

// A client that comes back just when the server shuts down looks for another one.
func TestComesBackToAServerThatShutsDown(t *testing.T) {
	for i := range 100 {
		srv := server.New(server.WithLogger(slog.New(slog.DiscardHandler)))
		c, w, states := fickle(t, srv)
		w.last().Cut()
		wantState(t, states, client.PhaseReconnecting, false)
		time.Sleep(time.Duration(i) * 5 * time.Microsecond)
		if err := srv.Shutdown(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Err(); err != nil {
			t.Fatalf("the client has ended: %v", err)
		}
		c.Close()
	}
}

// Who comes back too late, or to another server, has a new session and is told so.
func TestSessionsThatDoNotGoOn(t *testing.T) {
	left := make(chan error, 10)
	srv := server.New(server.WithResume(10*time.Millisecond, 1000),
		server.WithDisconnected(func(_ packetrpc.Peer, reason error) { left <- reason }))
	c, w, states := fickle(t, srv)
	id := c.ID()
	w.shut(true)
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	receive(t, left)
	w.shut(false)
	if s := wantState(t, states, client.PhaseReady, false); s.Err == nil || string(s.ID) == id {
		t.Errorf("the state is %+v", s)
	}
	other := server.New()
	w.mu.Lock()
	w.to = packetrpctest.Start(t, other).Listener
	w.mu.Unlock()
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	if s := wantState(t, states, client.PhaseReady, false); s.Err == nil {
		t.Errorf("the state is %+v", s)
	}
	if other.Count() != 1 {
		t.Error("the client is not at the other server")
	}
	c.Close()
	if s := receive(t, states); s.Phase != client.PhaseEnded {
		t.Errorf("the state is %+v", s)
	}
}

// Calls wait for the connection. What was under way fails and says whether it can have
// run, unless it may be repeated.
func TestCallsWhileTheConnectionIsLost(t *testing.T) {
	srv := server.New()
	var ran atomic.Int32
	entered := make(chan struct{}, 10)
	slow := func(ctx context.Context, in *text) (*text, error) {
		if ran.Add(1) == 1 {
			entered <- struct{}{}
			<-ctx.Done()
		}
		return in, nil
	}
	packetrpc.HandleUnary(srv, echoSpec, slow)
	packetrpc.HandleUnary(srv, againSpec, slow)
	c, w, states := fickle(t, srv, client.WithPatience(50*time.Millisecond))
	for _, test := range []struct {
		spec *packetrpc.Spec
		runs int32
		code packetrpc.Code
	}{
		{echoSpec, 1, packetrpc.CodeUnavailable},
		{againSpec, 2, 0},
	} {
		ran.Store(0)
		done := make(chan error, 1)
		go func() {
			_, err := packetrpc.CallUnary[text](within(t), c, test.spec, wrapperspb.String("x"))
			done <- err
		}()
		receive(t, entered)
		w.last().Cut()
		err := receive(t, done)
		if packetrpc.CodeOf(err) != test.code || err != nil && packetrpc.AsError(err).Outcome != packetrpc.OutcomeUnknown {
			t.Errorf("%s ended with %v", test.spec.Method, err)
		}
		wantState(t, states, client.PhaseReconnecting, false)
		wantState(t, states, client.PhaseReady, true)
		if n := ran.Load(); n != test.runs {
			t.Errorf("%s ran %d times", test.spec.Method, n)
		}
	}
	w.shut(true)
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	waiting := make(chan error, 1)
	go func() {
		_, err := packetrpc.CallUnary[text](within(t), c, echoSpec, wrapperspb.String("waits"))
		waiting <- err
	}()
	_, err := packetrpc.CallUnary[text](context.Background(), c, echoSpec, wrapperspb.String("is impatient"))
	if packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent {
		t.Errorf("an impatient call: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.WaitReady(short); packetrpc.CodeOf(err) != packetrpc.CodeDeadlineExceeded {
		t.Errorf("WaitReady: %v", err)
	}
	w.shut(false)
	if err := receive(t, waiting); err != nil {
		t.Errorf("a call that has waited: %v", err)
	}
	if err := c.WaitReady(within(t)); err != nil {
		t.Error(err)
	}
}

// While a handler of the connection that is lost still runs, calls wait as well, and
// what may be repeated is.
func TestCallsWhileALostConnectionIsHandled(t *testing.T) {
	srv := server.New()
	var ran atomic.Int32
	entered := make(chan struct{}, 10)
	packetrpc.HandleUnary(srv, againSpec, func(ctx context.Context, in *text) (*text, error) {
		if ran.Add(1) == 1 {
			entered <- struct{}{}
			<-ctx.Done()
		}
		return in, nil
	})
	handlers, handling, release := new(packetrpc.Handlers), make(chan struct{}, 10), make(chan struct{})
	packetrpc.HandleOneWay(handlers, noteSpec, func(context.Context, *text) error {
		handling <- struct{}{}
		<-release
		return nil
	})
	c, w, _ := fickle(t, srv, client.WithHandlers(handlers))
	peer, _ := srv.Connection(c.ID())
	if err := peer.CallOneWay(within(t), noteSpec, wrapperspb.String("x")); err != nil {
		t.Fatal(err)
	}
	receive(t, handling)
	done := make(chan error, 2)
	call := func() {
		_, err := packetrpc.CallUnary[text](within(t), c, againSpec, wrapperspb.String("x"))
		done <- err
	}
	go call()
	receive(t, entered)
	w.last().Cut()
	go call()
	select {
	case err := <-done:
		t.Errorf("a call has ended with %v before there is a connection", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	for range 2 {
		if err := receive(t, done); err != nil {
			t.Errorf("a call: %v", err)
		}
	}
}

// Some ends are for good.
func TestEndsForGood(t *testing.T) {
	var wrong atomic.Bool
	srv := server.New(server.WithFailureDelay(1, 0, 0), server.WithResume(0, 0), server.WithRoles("ada", "admin"),
		server.WithAuthenticator(session.AuthenticatorFunc(func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
			if wrong.Load() {
				return packetrpc.Identity{}, session.ErrCredentials
			}
			return packetrpc.Identity{Name: c.Username}, nil
		})))
	c, w, states := fickle(t, srv, client.WithPassword("ada", "secret"))
	wrong.Store(true)
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	if s := wantState(t, states, client.PhaseEnded, false); packetrpc.CodeOf(s.Err) != packetrpc.CodeUnauthenticated {
		t.Errorf("the state is %+v", s)
	}
	receive(t, c.Done())
	if _, err := packetrpc.CallUnary[text](within(t), c, echoSpec, wrapperspb.String("x")); packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
		t.Errorf("a call afterwards: %v", err)
	}

	wrong.Store(false)
	kicked, _, states := fickle(t, srv, client.WithPassword("ada", "secret"))
	_, _ = packetrpcv1packetrpc.NewCoreServiceClient(kicked).Disconnect(within(t), &packetrpcv1.DisconnectRequest{Id: kicked.ID(), Reason: "enough"})
	if s := wantState(t, states, client.PhaseEnded, false); s.Err == nil {
		t.Errorf("the state is %+v", s)
	}

	closed, w, states := fickle(t, srv, client.WithPassword("ada", "secret"))
	w.shut(true)
	w.last().Cut()
	wantState(t, states, client.PhaseReconnecting, false)
	closed.Close()
	wantState(t, states, client.PhaseEnded, false)
	closed.Close()
}

// A client whose server shuts down moves to the next address, and none of its calls
// fails; what runs at the old server finishes there.
func TestMovesOn(t *testing.T) {
	var servers []*server.Server
	var addresses []string
	entered, release := make(chan struct{}, 1), make(chan struct{})
	for range 3 {
		srv := server.New()
		packetrpc.HandleUnary(srv, echoSpec, func(_ context.Context, in *text) (*text, error) {
			if in.Value == "slow" {
				entered <- struct{}{}
				<-release
			}
			return in, nil
		})
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(context.Background(), listener) }()
		t.Cleanup(func() {
			srv.Shutdown(within(t))
			<-served
		})
		servers, addresses = append(servers, srv), append(addresses, listener.Addr().String())
	}
	c, err := client.Dial(within(t), addresses[0], client.WithAddresses(addresses[1:]...),
		client.WithReconnectPauses(time.Millisecond, 10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	slow := make(chan error, 1)
	go func() {
		_, err := packetrpc.CallUnary[text](within(t), c, echoSpec, wrapperspb.String("slow"))
		slow <- err
	}()
	receive(t, entered)
	ctx, stop := context.WithCancel(t.Context())
	var calls atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := packetrpc.CallUnary[text](within(t), c, echoSpec, wrapperspb.String("x")); err != nil {
					t.Errorf("call %d failed: %v", calls.Load(), err)
					return
				}
				calls.Add(1)
			}
		})
	}
	down := make(chan error, 2)
	go func() { down <- servers[0].Shutdown(within(t)) }()
	more := func() {
		for began := calls.Load(); calls.Load() < began+50 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	for servers[1].Count() == 0 {
		time.Sleep(time.Millisecond)
	}
	more()
	go func() { down <- servers[1].Shutdown(within(t)) }()
	for servers[2].Count() == 0 {
		time.Sleep(time.Millisecond)
	}
	more()
	close(release)
	if err := receive(t, slow); err != nil {
		t.Errorf("what ran at the old server: %v", err)
	}
	stop()
	all.Wait()
	for range 2 {
		if err := receive(t, down); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	}
}

// Streams end with their connection.
func TestStreamsEndWithTheirConnection(t *testing.T) {
	srv := server.New()
	talkSpec := &packetrpc.Spec{Action: "test.Echo/Talk", Service: "test.Echo", Method: "Talk", Type: packetrpc.BidiStreaming}
	packetrpc.HandleBidiStream(srv, talkSpec, func(_ context.Context, s packetrpc.BidiStream[text, text]) error {
		for m, err := range s.All() {
			if err != nil {
				return err
			}
			if err := s.Send(m); err != nil {
				return err
			}
		}
		return nil
	})
	c, w, _ := fickle(t, srv)
	for range 3 {
		stream, err := packetrpc.CallBidiStream[text, text](within(t), c, talkSpec)
		if err == nil {
			err = stream.Send(wrapperspb.String("x"))
		}
		if err == nil {
			_, err = stream.Receive()
		}
		if err != nil {
			t.Fatal(err)
		}
		w.last().Cut()
		if _, err := stream.Receive(); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	}
}
