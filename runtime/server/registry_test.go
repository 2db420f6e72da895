package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// departures returns a hook for clients that leave, and where it tells of them.
func departures() (server.Option, <-chan departure) {
	left := make(chan departure, 1000)
	return server.WithDisconnected(func(peer packetrpc.Peer, reason error) { left <- departure{peer, reason} }), left
}

type departure struct {
	peer   packetrpc.Peer
	reason error
}

func ids(peers []packetrpc.Peer) []string {
	var all []string
	for _, p := range peers {
		all = append(all, p.ID())
	}
	return all
}

func TestRegistry(t *testing.T) {
	hook, left := departures()
	srv := server.New(hook)
	started := packetrpctest.Start(t, srv)
	if srv.Count() != 0 || len(srv.Connections()) != 0 {
		t.Error("a new server has connections")
	}
	var clients []*client.Client
	var want []string
	for i := range 10 {
		c := started.Dial(t, client.WithName(fmt.Sprint("client ", i)))
		clients, want = append(clients, c), append(want, c.ID())
	}
	if got := ids(srv.Connections()); !slices.Equal(got, want) {
		t.Errorf("the connections are %v, want %v", got, want)
	}
	clients[3].Close()
	if gone := receive(t, left); gone.peer.ID() != want[3] {
		t.Errorf("%s left, want %s", gone.peer.ID(), want[3])
	}
	if _, found := srv.Connection(want[3]); found {
		t.Error("a client that has left is still found")
	}
	want = slices.Delete(want, 3, 4)
	if got := ids(srv.Connections()); !slices.Equal(got, want) || srv.Count() != 9 {
		t.Errorf("the connections are %v, want %v", got, want)
	}
	peer, found := srv.Connection(want[0])
	if !found || peer.Identity().Name != "client 0" || peer.RemoteAddr().Network() != "memory" {
		t.Errorf("the first client is %v", peer)
	}
}

func TestGroups(t *testing.T) {
	hook, left := departures()
	srv := server.New(hook)
	started := packetrpctest.Start(t, srv)
	handlers, received := notes()
	a, b := started.Dial(t, client.WithHandlers(handlers)), started.Dial(t, client.WithHandlers(handlers))
	peerA, _ := srv.Connection(a.ID())
	peerB, _ := srv.Connection(b.ID())

	send := func(to packetrpc.Audience, note string, want packetrpc.Delivery) {
		t.Helper()
		got, err := to.Broadcast(t.Context(), noteSpec, wrapperspb.String(note))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", note, got, err, want)
		}
		for range got.Queued {
			if arrived := receive(t, received); arrived != note {
				t.Errorf("%q arrived, want %q", arrived, note)
			}
		}
	}
	lobby := srv.Group("lobby")
	send(lobby, "nobody", packetrpc.Delivery{})
	for _, peer := range []packetrpc.Peer{peerA, peerA, peerB} {
		if err := peer.Join("lobby"); err != nil {
			t.Fatal(err)
		}
	}
	peerA.Join("den")
	send(lobby, "both", packetrpc.Delivery{Queued: 2})
	send(srv.Group("den"), "one", packetrpc.Delivery{Queued: 1})
	send(srv.All(), "all", packetrpc.Delivery{Queued: 2})
	send(srv.Group(""), "none", packetrpc.Delivery{})
	if got := peerA.Groups(); !slices.Equal(got, []string{"den", "lobby"}) {
		t.Errorf("a is in %v", got)
	}
	peerB.Leave("lobby")
	peerB.Leave("lobby")
	peerB.Leave("nowhere")
	send(lobby, "one left", packetrpc.Delivery{Queued: 1})
	if err := peerA.Join(""); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("joining a group without a name: %v", err)
	}

	a.Close()
	receive(t, left)
	send(lobby, "gone", packetrpc.Delivery{})
	if got := peerA.Groups(); len(got) != 0 {
		t.Errorf("a client that has left is in %v", got)
	}
	if err := peerA.Join("lobby"); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
		t.Errorf("joining after the end: %v", err)
	}
	send(lobby, "still gone", packetrpc.Delivery{})
}

func TestBroadcastReachesBothForms(t *testing.T) {
	srv := server.New()
	address := listen(t, srv)
	handlers, received := notes()
	dial(t, address, client.WithHandlers(handlers))
	dial(t, address, client.WithHandlers(handlers), client.WithJSON())
	plain := dialRaw(t, address)
	token := plain.shake()
	plain.write(`{"action":"CorePing","token":"` + token + `"}`)
	plain.read() // now the server has it in its registry
	delivery, err := srv.All().Broadcast(t.Context(), noteSpec, wrapperspb.String("x"))
	if err != nil || delivery != (packetrpc.Delivery{Queued: 2, Refused: 1}) {
		t.Errorf("got %+v, %v", delivery, err)
	}
	receive(t, received)
	receive(t, received)
}

// Metadata goes to everybody, in both forms.
func TestBroadcastCarriesMetadata(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	received := make(chan string, 10)
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleOneWay(handlers, noteSpec, func(ctx context.Context, in *text) error {
		received <- in.Value + " " + packetrpc.MetadataFrom(ctx).Get("trace")
		return nil
	})
	started.Dial(t, client.WithHandlers(handlers))
	started.Dial(t, client.WithHandlers(handlers), client.WithJSON())
	ctx := packetrpc.WithMetadata(within(t), "trace", "1")
	if delivery, err := srv.All().Broadcast(ctx, noteSpec, wrapperspb.String("x")); err != nil || delivery.Queued != 2 {
		t.Fatal(delivery, err)
	}
	for range 2 {
		if got := receive(t, received); got != "x 1" {
			t.Errorf("received %q", got)
		}
	}
	ctx = packetrpc.WithMetadata(within(t), "trace", strings.Repeat("x", 33<<10))
	if delivery, err := srv.All().Broadcast(ctx, noteSpec, wrapperspb.String("x")); packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted || delivery.Queued != 0 {
		t.Errorf("too much metadata: %+v, %v", delivery, err)
	}
}

func TestBroadcastRefuses(t *testing.T) {
	srv := server.New()
	handlers, _ := notes()
	packetrpctest.Dial(t, srv, client.WithHandlers(handlers))
	ended, end := context.WithCancel(t.Context())
	end()
	sealed := *noteSpec
	sealed.Sealed = true
	for _, test := range []struct {
		name string
		ctx  context.Context
		spec *packetrpc.Spec
		note string
		code packetrpc.Code
	}{
		{"unary", t.Context(), echoSpec, "x", packetrpc.CodeInvalidArgument},
		{"sealed", t.Context(), &sealed, "x", packetrpc.CodeInvalidArgument},
		{"cancelled", ended, noteSpec, "x", packetrpc.CodeCanceled},
		{"not UTF-8", t.Context(), noteSpec, "\xff", packetrpc.CodeInternal},
	} {
		delivery, err := srv.All().Broadcast(test.ctx, test.spec, wrapperspb.String(test.note))
		if packetrpc.CodeOf(err) != test.code || delivery != (packetrpc.Delivery{}) ||
			packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent {
			t.Errorf("%s: %+v, %v, want %v", test.name, delivery, err, test.code)
		}
	}
}

// A client that does not read loses pushes and holds up nobody.
func TestBroadcastPassesByAFrozenClient(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	handlers, received := notes()
	// The one that reads has endless credit, as what it gives may come late.
	started.Dial(t, client.WithHandlers(handlers), client.WithWindow(0, 0))
	stuck := make(chan struct{})
	slow := new(packetrpc.Handlers)
	packetrpc.HandleOneWay(slow, noteSpec, func(ctx context.Context, _ *text) error {
		select {
		case <-stuck:
		case <-ctx.Done():
		}
		return nil
	})
	started.Dial(t, client.WithHandlers(slow))
	defer close(stuck)
	note := wrapperspb.String(strings.Repeat("x", 10_000))
	for sent := 1; ; sent++ {
		delivery, err := srv.All().Broadcast(within(t), noteSpec, note)
		if err != nil || delivery.Queued+delivery.Refused != 2 || delivery.Queued == 0 {
			t.Fatalf("broadcast %d: %+v, %v", sent, delivery, err)
		}
		receive(t, received)
		if delivery.Refused == 1 {
			return
		}
		if sent > 10_000 {
			t.Fatal("a client that takes nothing is never refused")
		}
	}
}

func TestHooks(t *testing.T) {
	var mu sync.Mutex
	var events []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	left := make(chan error, 10)
	srv := server.New(
		server.WithConnected(func(peer packetrpc.Peer) {
			peer.Join("lobby")
			note("connected %s", peer.Identity().Name)
			if err := peer.CallOneWay(context.Background(), noteSpec, wrapperspb.String("welcome")); err != nil {
				t.Error(err)
			}
		}),
		server.WithDisconnected(func(peer packetrpc.Peer, reason error) {
			note("disconnected %s, groups %v", peer.Identity().Name, peer.Groups())
			left <- reason
		}))
	handleEcho(srv, func(ctx context.Context, s string) (string, error) {
		peer := packetrpc.PeerFrom(ctx)
		note("called by %s of %v", peer.Identity().Name, peer.Groups())
		return s, nil
	})
	address := listen(t, srv)
	handlers, received := notes()
	c := dial(t, address, client.WithName("ada"), client.WithHandlers(handlers))
	if _, err := echo(within(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, received); got != "welcome" {
		t.Errorf("the first push is %q", got)
	}
	c.Close()
	reason := receive(t, left)
	if packetrpc.CodeOf(reason) != packetrpc.CodeUnavailable || !strings.Contains(reason.Error(), "closed by the other side") {
		t.Errorf("the reason is %v", reason)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"connected ada", "called by ada of [lobby]", "disconnected ada, groups []"}; !slices.Equal(events, want) {
		t.Errorf("the events are %q, want %q", events, want)
	}
}

// The hook may call the client and wait for its reply, while the client's own
// calls wait for the hook.
func TestHookCallsTheClient(t *testing.T) {
	replies := make(chan string, 10)
	called := make(chan struct{})
	srv := server.New(server.WithConnected(func(peer packetrpc.Peer) {
		<-called
		reply, err := echo(peer.Context(), peer, "who are you?")
		if err != nil {
			t.Error(err)
		}
		replies <- reply
	}))
	handleEcho(srv, func(context.Context, string) (string, error) {
		return <-replies, nil
	})
	address := listen(t, srv)
	handlers := new(packetrpc.Handlers)
	handleEcho(handlers, func(context.Context, string) (string, error) { return "ada", nil })
	c, err := client.Dial(within(t), address, client.WithHandlers(handlers))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pinged := make(chan error, 1)
	go func() {
		_, err := ping(within(t), c, "x")
		pinged <- err
	}()
	answer := echoLater(within(t), c, "x")
	close(called)
	if r := receive(t, answer); r.reply != "ada" || r.err != nil {
		t.Errorf("got %+v", r)
	}
	if err := receive(t, pinged); err != nil {
		t.Error(err)
	}
}

func TestHooksThatPanic(t *testing.T) {
	left := make(chan struct{}, 10)
	srv := server.New(server.WithLogger(quiet()),
		server.WithConnected(func(packetrpc.Peer) { panic("boom") }),
		server.WithDisconnected(func(packetrpc.Peer, error) {
			left <- struct{}{}
			panic("boom")
		}))
	started := packetrpctest.Start(t, srv)
	started.Dial(t).Close()
	receive(t, left)
	started.Dial(t)
}

func TestDisconnectWithAReason(t *testing.T) {
	hook, left := departures()
	srv := server.New(hook)
	address := listen(t, srv)
	for name, options := range map[string][]client.Option{"binary": nil, "json": {client.WithJSON()}} {
		t.Run("by the server, "+name, func(t *testing.T) {
			c := dial(t, address, options...)
			ping(within(t), c, "x")
			peer, _ := srv.Connection(c.ID())
			peer.Disconnect("you have been away too long")
			receive(t, c.Done())
			if err := c.Err(); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || !strings.Contains(err.Error(), "away too long") {
				t.Errorf("the client's reason is %v", err)
			}
			if gone := receive(t, left); !strings.Contains(gone.reason.Error(), "away too long") {
				t.Errorf("the server's reason is %v", gone.reason)
			}
			if _, err := ping(within(t), c, "x"); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent {
				t.Errorf("calling after the end: %v", err)
			}
		})
		t.Run("by the client, "+name, func(t *testing.T) {
			c := dial(t, address, options...)
			ping(within(t), c, "x")
			c.Server().Disconnect("gone fishing")
			if gone := receive(t, left); !strings.Contains(gone.reason.Error(), "gone fishing") {
				t.Errorf("the server's reason is %v", gone.reason)
			}
			receive(t, c.Done())
		})
	}
}

// A server calls its clients as they call it.
func TestServerCallsClient(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	handlers := new(packetrpc.Handlers)
	handleEcho(handlers, func(ctx context.Context, s string) (string, error) {
		if packetrpc.PeerFrom(ctx).Join("x") == nil {
			t.Error("a client's server can join groups")
		}
		return s + "!", nil
	})
	c := started.Dial(t, client.WithHandlers(handlers))
	peer, _ := srv.Connection(c.ID())
	if got, err := echo(within(t), peer, "hello"); got != "hello!" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := ping(within(t), peer, "x"); packetrpc.CodeOf(err) != packetrpc.CodeUnimplemented {
		t.Errorf("an action that the client does not serve: %v", err)
	}
}

// A stream from a client to the server that opened it.
func TestServerOpensStream(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	count := &packetrpc.Spec{Action: "test.Echo/Count", Type: packetrpc.ServerStream}
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleServerStream(handlers, count, func(_ context.Context, s *text, out packetrpc.Sender[text]) error {
		for i := range 3 {
			if err := out.Send(wrapperspb.String(fmt.Sprint(s.GetValue(), i))); err != nil {
				return err
			}
		}
		return nil
	})
	c := started.Dial(t, client.WithHandlers(handlers))
	peer, _ := srv.Connection(c.ID())
	if got, err := readAll(t, peer, count); err != nil || !slices.Equal(got, []string{"x0", "x1", "x2"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestInterceptorsSeeThePeer(t *testing.T) {
	seen := make(chan string, 10)
	watch := func(next packetrpc.Invoke) packetrpc.Invoke {
		return func(ctx context.Context, call *packetrpc.Call) error {
			seen <- fmt.Sprintf("%s %s outgoing=%t", call.Peer.Identity().Name, call.Spec.Action, call.Outgoing)
			return next(ctx, call)
		}
	}
	srv := server.New(server.WithInterceptors(watch), server.WithConnected(func(peer packetrpc.Peer) {
		peer.CallOneWay(context.Background(), noteSpec, wrapperspb.String("welcome"))
	}))
	handlers, _ := notes()
	packetrpctest.Dial(t, srv, client.WithName("ada"), client.WithHandlers(handlers))
	for _, want := range []string{"ada test.Echo/Note outgoing=true", "ada CorePing outgoing=false"} {
		if got := receive(t, seen); got != want {
			t.Errorf("seen %q, want %q", got, want)
		}
	}
}

// Clients come, join, broadcast and go all at once.
func TestChurn(t *testing.T) {
	hook, left := departures()
	srv := server.New(hook, server.WithConnected(func(peer packetrpc.Peer) { peer.Join("lobby") }))
	started := packetrpctest.Start(t, srv)
	done := make(chan struct{})
	var broadcaster sync.WaitGroup
	broadcaster.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			srv.Group("lobby").Broadcast(context.Background(), noteSpec, wrapperspb.String("x"))
			srv.Connections()
		}
	})
	const workers, rounds = 8, 10
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range rounds {
				handlers, received := notes()
				c, err := client.Dial(within(t), "memory:0", client.WithDialer(started.Listener.Dial), client.WithHandlers(handlers))
				if err != nil {
					t.Error(err)
					return
				}
				receive(t, received)
				c.Close()
			}
		})
	}
	all.Wait()
	close(done)
	broadcaster.Wait()
	for range workers * rounds {
		receive(t, left)
	}
	if n := srv.Count(); n != 0 {
		t.Errorf("%d clients are left", n)
	}
	if delivery, _ := srv.Group("lobby").Broadcast(t.Context(), noteSpec, wrapperspb.String("x")); delivery != (packetrpc.Delivery{}) {
		t.Errorf("the group has %+v left", delivery)
	}
}

// Only the dialling side's calls bear the token. A server that sent it along with
// every push would show it in each record of what clients receive.
func TestPushesBearNoToken(t *testing.T) {
	arrived := make(chan packetrpc.Peer, 1)
	srv := server.New(server.WithConnected(func(peer packetrpc.Peer) { arrived <- peer }))
	nc := dialRaw(t, listen(t, srv))
	nc.write(`{"action":"handShake","data":{"version":1,"limits":{"maxMessageSize":"4096"}}}`)
	if shaken := nc.read(); shaken.Token == nil {
		t.Fatalf("the handshake was answered by %+v", shaken)
	}
	peer := receive(t, arrived)
	check := func(what string) {
		t.Helper()
		if p := nc.read(); p.Action == "" || p.Token != nil {
			t.Errorf("%s is %+v", what, p)
		}
	}
	if err := peer.CallOneWay(within(t), noteSpec, wrapperspb.String("one")); err != nil {
		t.Fatal(err)
	}
	check("a one-way call")
	if _, err := srv.All().Broadcast(within(t), noteSpec, wrapperspb.String("all")); err != nil {
		t.Fatal(err)
	}
	check("a broadcast")
	ctx, cancel := context.WithCancel(within(t))
	answered := make(chan error, 1)
	go func() {
		_, err := echo(ctx, peer, "hello")
		answered <- err
	}()
	check("a unary call")
	cancel()
	if err := receive(t, answered); packetrpc.CodeOf(err) != packetrpc.CodeCanceled {
		t.Errorf("the unary call ended with %v", err)
	}
}

// TestDialledIsRegistered: a client whose Dial has returned is in the registry.
func TestDialledIsRegistered(t *testing.T) {
	srv := server.New()
	started := packetrpctest.Start(t, srv)
	for n := 1; n <= 200; n++ {
		c, err := client.Dial(within(t), "memory:1", client.WithDialer(started.Listener.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if srv.Count() != n {
			t.Fatalf("%d clients are registered after %d dials", srv.Count(), n)
		}
		if _, ok := srv.Connection(c.ID()); !ok {
			t.Fatalf("client %d is not in the registry", n)
		}
	}
}
