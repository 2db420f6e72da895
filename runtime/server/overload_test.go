package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// refusedForRoom checks that a call was refused, and that its caller was told when to
// come again and which option is to blame.
func refusedForRoom(t *testing.T, err error, option string) {
	t.Helper()
	var coded *packetrpc.Error
	if !errors.As(err, &coded) || coded.Code != packetrpc.CodeResourceExhausted || coded.RetryAfter <= 0 ||
		!strings.Contains(coded.Message, option) {
		t.Errorf("got %v, want resource_exhausted with a time to come again that names %s", err, option)
	}
}

// eventually waits until a condition holds that nothing tells of.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("in vain waited for: " + what)
		}
	}
}

// held is a handler of the echo action that returns when it is let go, even if its call
// has been cancelled.
type held struct {
	begun, letGo chan struct{}
}

func holdEcho(r packetrpc.Registrar) *held {
	h := &held{make(chan struct{}, 100), make(chan struct{})}
	handleEcho(r, func(_ context.Context, s string) (string, error) {
		h.begun <- struct{}{}
		<-h.letGo
		return s, nil
	})
	return h
}

func TestMaxCalls(t *testing.T) {
	srv := server.New(server.WithMaxCalls(5), server.WithResume(0, 0))
	hold := holdEcho(srv)
	started := packetrpctest.Start(t, srv)
	first, second := started.Dial(t), started.Dial(t)
	ctx, cancel := context.WithCancel(within(t))
	var calls sync.WaitGroup
	call := func(ctx context.Context, c *client.Client) {
		calls.Go(func() { _, _ = echo(ctx, c, "") })
		receive(t, hold.begun)
	}
	for range 3 {
		call(ctx, first)
	}
	call(within(t), second)
	call(within(t), second)
	_, err := echo(within(t), second, "")
	refusedForRoom(t, err, "server.WithMaxCalls")
	if _, err := ping(within(t), second, ""); err != nil {
		t.Errorf("a ping beside: %v", err)
	}

	cancel()
	if _, err := ping(within(t), first, ""); err != nil { // the server has read the cancels before
		t.Fatal(err)
	}
	_, err = echo(within(t), second, "")
	refusedForRoom(t, err, "server.WithMaxCalls") // as the handlers go on
	first.Close()
	_, err = echo(within(t), second, "")
	refusedForRoom(t, err, "server.WithMaxCalls") // likewise
	if stats := srv.Stats(); stats.Calls != 5 || stats.CallsRefused != 3 {
		t.Errorf("got %+v, want 5 calls, and 3 refused", stats)
	}

	close(hold.letGo)
	calls.Wait()
	if _, err := echo(within(t), second, ""); err != nil {
		t.Errorf("when the handlers have returned: %v", err)
	}
	eventually(t, "no call under way", func() bool { return srv.Stats().Calls == 0 })
}

// Whatever becomes of a call, its room is given back.
func TestCallsAreCountedExactly(t *testing.T) {
	srv := server.New(server.WithLogger(quiet()))
	handleEcho(srv, func(ctx context.Context, s string) (string, error) {
		switch s {
		case "panic":
			panic(s)
		case "wait":
			<-ctx.Done()
		}
		return s, nil
	})
	packetrpc.HandleBidiStream(srv, talkSpec, func(_ context.Context, stream packetrpc.BidiStream[text, text]) error {
		_, err := stream.Receive()
		return err
	})
	packetrpc.HandleOneWay(srv, noteSpec, func(context.Context, *text) error { return nil })
	started := packetrpctest.Start(t, srv)
	for _, form := range [][]client.Option{nil, {client.WithJSON()}} {
		c := started.Dial(t, append(form, client.WithoutReconnect())...)
		for _, s := range []string{"", "panic", strings.Repeat("x", 300_000)} {
			_, _ = echo(within(t), c, s)
		}
		var many sync.WaitGroup
		for range 200 {
			many.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				_, _ = echo(ctx, c, "wait")
			})
		}
		many.Wait()
		for range 3 {
			stream, err := packetrpc.CallBidiStream[text, text](within(t), c, talkSpec)
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(wrapperspb.String(""))
			_ = stream.CloseSend()
			_, _ = stream.Receive()
		}
		_ = c.CallOneWay(within(t), noteSpec, wrapperspb.String(""))
		_, _ = packetrpc.CallUnary[text](within(t), c, &packetrpc.Spec{Action: "nobody's"}, wrapperspb.String(""))
		eventually(t, "no call under way", func() bool { return srv.Stats().Calls == 0 })

		for range 50 {
			many.Go(func() { _, _ = echo(within(t), c, "wait") })
		}
		eventually(t, "50 calls under way", func() bool { return srv.Stats().Calls == 50 })
		c.Close()
		many.Wait()
		eventually(t, "no call under way after the connection", func() bool { return srv.Stats().Calls == 0 })
	}
	eventually(t, "no memory held", func() bool { return srv.Stats().Memory == 0 })
}

func TestMaxMemory(t *testing.T) {
	srv := server.New(server.WithMaxMemory(1<<20), server.WithMaxRunningCalls(1))
	hold := holdEcho(srv)
	started := packetrpctest.Start(t, srv)
	greedy, modest := started.Dial(t), started.Dial(t)
	var calls sync.WaitGroup
	var mu sync.Mutex
	var refused []error
	for range 30 { // one runs, and the others wait with what they were sent
		calls.Go(func() {
			if _, err := echo(within(t), greedy, strings.Repeat("x", 60_000)); err != nil {
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, err)
			}
		})
	}
	eventually(t, "some calls to be refused", func() bool { return srv.Stats().CallsRefused >= 5 })
	if memory := srv.Stats().Memory; memory < 1<<20 || memory > 2<<20 {
		t.Errorf("%d bytes are held, of about 1 MiB", memory)
	}
	calls.Go(func() {
		if _, err := echo(within(t), modest, "small"); err != nil {
			t.Errorf("a call of another client: %v", err)
		}
	})
	receive(t, hold.begun)
	receive(t, hold.begun)
	close(hold.letGo)
	calls.Wait()
	for _, err := range refused {
		refusedForRoom(t, err, "server.WithMaxMemory")
	}
	if _, err := echo(within(t), greedy, strings.Repeat("x", 60_000)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	eventually(t, "no memory held", func() bool { return srv.Stats().Memory == 0 })
}

// A stream that there is no memory left for ends as a call does.
func TestMaxMemoryOfStreams(t *testing.T) {
	for _, form := range [][]client.Option{nil, {client.WithJSON()}} {
		srv := server.New(server.WithMaxMemory(100_000))
		packetrpc.HandleBidiStream(srv, talkSpec, func(ctx context.Context, _ packetrpc.BidiStream[text, text]) error {
			<-ctx.Done() // and takes nothing
			return ctx.Err()
		})
		stream, err := packetrpc.CallBidiStream[text, text](within(t), packetrpctest.Start(t, srv).Dial(t, form...), talkSpec)
		if err != nil {
			t.Fatal(err)
		}
		for sent := 0; err == nil && sent < 8; sent++ {
			err = stream.Send(wrapperspb.String(strings.Repeat("x", 30_000)))
		}
		_, err = stream.Receive()
		refusedForRoom(t, err, "server.WithMaxMemory")
	}
}

// Replies that a client asks for and does not read count, and hold up its own calls only.
func TestRepliesNobodyReads(t *testing.T) {
	const size = 1 << 20
	srv := server.New(server.WithMaxMemory(20*size), server.WithMaxRunningCalls(16), server.WithWriteTimeout(time.Minute))
	var handled atomic.Int64
	handleEcho(srv, func(_ context.Context, s string) (string, error) {
		if s != "" {
			return s, nil
		}
		handled.Add(1)
		return strings.Repeat("x", size), nil
	})
	address := listen(t, srv)
	const calls = 50
	frozen := func() *raw {
		nc := dialRaw(t, address)
		nc.write(`{"action":"handShake","data":{"version":1}}`)
		token := *nc.read().Token
		for id := range calls {
			nc.write(fmt.Sprintf(`{"action":"test.Echo/Echo","id":%d,"data":"","token":%q}`, 2*id+3, token))
		}
		return nc
	}
	first := frozen()
	eventually(t, "the replies to wait", func() bool { return srv.Stats().Memory > 16*size })
	if n := handled.Load(); n > 30 {
		t.Errorf("%d calls were handled although the replies to some wait", n)
	}
	frozen()
	eventually(t, "calls to be refused", func() bool { return srv.Stats().CallsRefused > 0 })
	if memory := srv.Stats().Memory; memory > 70*size {
		t.Errorf("%d bytes are held", memory)
	}
	healthy := dial(t, address)
	if reply, err := echo(within(t), healthy, "hello"); err != nil || reply != "hello" {
		t.Errorf("another client: %q, %v", reply, err)
	}

	if srv.Stats().Queued == 0 {
		t.Error("nothing waits to be taken")
	}

	// The first one reads after all, and gets what it has asked for.
	answered := 0
	first.SetDeadline(time.Now().Add(5 * patience)) // there is much to read
	for range calls {
		if p := first.read(); p.Status == "" || p.Status == "resource_exhausted" {
			answered++
		} else {
			t.Errorf("the answer is %s: %s", p.Status, p.Message)
		}
	}
	if answered != calls {
		t.Errorf("%d answers of %d", answered, calls)
	}
}

// Streams that a client leaves alone, however large, hold up none of its calls.
func TestUnreadStreamsHoldUpNoCalls(t *testing.T) {
	srv := server.New()
	handleEcho(srv, func(_ context.Context, s string) (string, error) { return s, nil })
	watch := *echoSpec
	watch.Action, watch.Type = "watch", packetrpc.ServerStream
	packetrpc.HandleServerStream(srv, &watch, func(_ context.Context, _ *text, stream packetrpc.Sender[text]) error {
		for {
			if err := stream.Send(wrapperspb.String(strings.Repeat("x", 4_000_000))); err != nil {
				return err
			}
		}
	})
	c := packetrpctest.Start(t, srv).Dial(t)
	const streams = 6
	for range streams {
		stream, err := packetrpc.CallServerStream[text](t.Context(), c, &watch, wrapperspb.String(""))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
	}
	eventually(t, "the streams to wait", func() bool { return srv.Stats().Memory > streams*4_000_000 })
	if _, err := echo(within(t), c, ""); err != nil {
		t.Errorf("a call beside: %v", err)
	}
}

// slowClient is a client whose handler of notes waits until it is let go.
type slowClient struct {
	*client.Client
	letGo    chan struct{}
	received chan string
	states   chan client.State
	gaps     chan uint64
}

func dialSlow(t *testing.T, started *packetrpctest.Server, options ...client.Option) *slowClient {
	s := &slowClient{letGo: make(chan struct{}), received: make(chan string, 10_000), states: make(chan client.State, 10), gaps: make(chan uint64, 10_000)}
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleOneWay(handlers, noteSpec, func(ctx context.Context, note *text) error {
		select {
		case <-s.letGo:
		case <-ctx.Done():
		}
		number, _, _ := strings.Cut(note.GetValue(), " ")
		s.received <- number
		return nil
	})
	s.Client = started.Dial(t, append(options, client.WithHandlers(handlers),
		client.WithStateHook(func(state client.State) { s.states <- state }),
		client.WithGapHook(func(first, last uint64) { s.gaps <- last - first + 1 }))...)
	return s
}

// push pushes so many notes of 10,000 bytes, by turns directly and to all, and returns
// how many were refused.
func push(t *testing.T, srv *server.Server, n int) (refused int) {
	t.Helper()
	for i := range n {
		note := wrapperspb.String(fmt.Sprint(i, " ", strings.Repeat("x", 10_000)))
		if i%2 == 0 {
			if delivery, err := srv.All().Broadcast(within(t), noteSpec, note); err != nil {
				t.Fatal(err)
			} else {
				refused += delivery.Refused
			}
			continue
		}
		for _, peer := range srv.Connections() {
			if err := peer.CallOneWay(within(t), noteSpec, note); err != nil {
				refused++
			}
		}
	}
	return refused
}

// A client that is slow for a while loses nothing of what is kept, whether its session
// can go on or not.
func TestSlowClientsCatchUp(t *testing.T) {
	for _, policy := range []server.SlowPolicy{server.SlowDropOldest, server.SlowDisconnect} {
		for _, options := range [][]client.Option{nil, {client.WithoutReconnect()}, {client.WithJSON()}} {
			srv := server.New(server.WithSlowClients(policy))
			started := packetrpctest.Start(t, srv)
			slow := dialSlow(t, started, options...)
			if refused := push(t, srv, 80); refused > 0 {
				t.Errorf("policy %d: %d pushes were refused", policy, refused)
			}
			close(slow.letGo)
			for i := range 80 {
				if got := receive(t, slow.received); got != fmt.Sprint(i) {
					t.Fatalf("policy %d: note %d is %s", policy, i, got)
				}
			}
			if stats := srv.Stats(); stats.PushesDropped+stats.PushesRefused+stats.SlowDisconnected > 0 {
				t.Errorf("policy %d: %+v", policy, stats)
			}
			slow.Close()
			eventually(t, "no memory held", func() bool { return srv.Stats().Memory == 0 })
		}
	}
}

func TestSlowDropOldest(t *testing.T) {
	for _, resumable := range []bool{true, false} {
		srv := server.New(server.WithSlowClients(server.SlowDropOldest), server.WithResume(time.Minute, 200_000))
		started := packetrpctest.Start(t, srv)
		var options []client.Option
		if !resumable {
			options = append(options, client.WithoutReconnect())
		}
		slow := dialSlow(t, started, options...)
		const n = 200
		if refused := push(t, srv, n); refused > 0 {
			t.Errorf("%d pushes were refused", refused)
		}
		dropped := int(srv.Stats().PushesDropped)
		if dropped < n/2 {
			t.Errorf("%d pushes were dropped", dropped)
		}
		close(slow.letGo)
		last, gaps := -1, 0
		for got := range n - dropped {
			var number int
			fmt.Sscan(receive(t, slow.received), &number)
			if number <= last {
				t.Fatalf("note %d came after note %d", number, last)
			}
			if number > last+1 {
				gaps += number - last - 1
			}
			last = number
			if got == n-dropped-1 && number != n-1 {
				t.Errorf("the last note is %d", number)
			}
		}
		if gaps != dropped {
			t.Errorf("%d notes are missing, and %d were dropped", gaps, dropped)
		}
		told := 0
		for len(slow.gaps) > 0 {
			told += int(<-slow.gaps)
		}
		if want := map[bool]int{true: dropped}[resumable]; told != want {
			t.Errorf("the client was told of %d missing notes, want %d", told, want)
		}
	}
}

// A push that is larger than what is kept is refused, and the error says why: the client is
// neither away nor slow.
func TestPushesThatAreNeverKept(t *testing.T) {
	for _, policy := range []server.SlowPolicy{server.SlowDropOldest, server.SlowDisconnect} {
		srv := server.New(server.WithSlowClients(policy), server.WithResume(time.Minute, 200_000))
		started := packetrpctest.Start(t, srv)
		fast := dialSlow(t, started)
		close(fast.letGo)
		peer := srv.Connections()[0]
		var coded *packetrpc.Error
		err := peer.CallOneWay(within(t), noteSpec, wrapperspb.String(strings.Repeat("x", 300_000)))
		if !errors.As(err, &coded) || coded.Code != packetrpc.CodeResourceExhausted || coded.RetryAfter != 0 ||
			!strings.Contains(coded.Message, "server.WithResume") || strings.Contains(coded.Message, "slow") {
			t.Errorf("policy %d: %v, want one that says that the push is too large", policy, err)
		}
		if err := peer.CallOneWay(within(t), noteSpec, wrapperspb.String("1 "+strings.Repeat("x", 100_000))); err != nil {
			t.Errorf("policy %d: %v", policy, err)
		}
		if got := receive(t, fast.received); got != "1" {
			t.Errorf("policy %d: got note %s", policy, got)
		}
	}
}

func TestSlowDisconnect(t *testing.T) {
	left := make(chan error, 10)
	srv := server.New(server.WithSlowClients(server.SlowDisconnect), server.WithResume(time.Minute, 200_000),
		server.WithDisconnected(func(_ packetrpc.Peer, reason error) { left <- reason }))
	started := packetrpctest.Start(t, srv)
	slow := dialSlow(t, started)
	id := slow.ID()
	n := 0
	for ; srv.Stats().SlowDisconnected == 0 && n < 1000; n += 10 {
		push(t, srv, 10)
	}
	if reason := receive(t, left); !strings.Contains(reason.Error(), "server.WithSlowClients") {
		t.Errorf("it was disconnected since %v", reason)
	}
	close(slow.letGo)
	for {
		state := receive(t, slow.states)
		if state.Phase != client.PhaseReady {
			continue
		}
		if state.Resumed || state.Err == nil || slow.ID() == id {
			t.Errorf("it has come back to its session: %+v", state)
		}
		break
	}
	if stats := srv.Stats(); stats.SlowDisconnected != 1 || stats.Connected != 2 || stats.Resumed != 0 {
		t.Errorf("%+v", stats)
	}
}

// A fast client is not taken for a slow one, since it acknowledges late.
func TestFastClientsAreNotSlow(t *testing.T) {
	srv := server.New(server.WithSlowClients(server.SlowDisconnect), server.WithResume(time.Minute, 400_000))
	started := packetrpctest.Start(t, srv)
	fast := dialSlow(t, started, client.WithWindow(0, 0))
	close(fast.letGo)
	for range 50 {
		if refused := push(t, srv, 10); refused > 0 {
			t.Fatalf("%d pushes were refused", refused)
		}
		for i := range 10 {
			if got := receive(t, fast.received); got != fmt.Sprint(i) {
				t.Fatalf("note %d is %s", i, got)
			}
		}
	}
	if stats := srv.Stats(); stats.SlowDisconnected > 0 {
		t.Errorf("%+v", stats)
	}
}

func TestStats(t *testing.T) {
	srv := server.New(server.WithMaxConnections(2), server.WithLogger(quiet()))
	handleEcho(srv, func(_ context.Context, s string) (string, error) { return s, nil })
	address := listen(t, srv)
	a := dial(t, address)
	b := dial(t, address, client.WithoutReconnect())
	_, err := client.Dial(within(t), address)
	refusedForRoom(t, err, "server.WithMaxConnections")
	if _, err := echo(within(t), a, strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reply to be counted", func() bool { return srv.Stats().Sent > 100_000 }) // it may have come before
	stats := srv.Stats()
	if stats.Connections != 2 || stats.Connected != 2 || stats.HandshakesRefused != 1 || stats.HalfOpen != 0 ||
		stats.Received < 100_000 || stats.Received > 110_000 || stats.Sent < 100_000 || stats.Sent > 110_000 {
		t.Errorf("%+v", stats)
	}
	b.Close()
	eventually(t, "one client left", func() bool { return srv.Count() == 1 })
	a.Close()
	eventually(t, "no client left", func() bool { return srv.Count() == 0 })
	after := srv.Stats()
	if after.Connections != 0 || after.Connected != 2 || after.Received < stats.Received || after.Sent < stats.Sent {
		t.Errorf("%+v after %+v", after, stats)
	}
}

// A request that never arrives whole is counted until its client has gone, even if what
// the client has left behind is still handled.
func TestIncompleteCallsAreCounted(t *testing.T) {
	srv := server.New()
	handleEcho(srv, func(_ context.Context, s string) (string, error) { return s, nil })
	begun, letGo := make(chan struct{}), make(chan struct{})
	packetrpc.HandleOneWay(srv, noteSpec, func(context.Context, *text) error {
		begun <- struct{}{}
		<-letGo
		return nil
	})
	nc := dialRaw(t, listen(t, srv))
	handshake, err := proto.Marshal(&packetrpcv1.HandshakeRequest{Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	nc.write(packet.Preface + string(packet.AppendBinary(nil, &packet.Packet{Action: "handShake", Data: handshake})))
	eventually(t, "the client to be connected", func() bool { return srv.Count() == 1 })
	token := readBinary(t, nc).Token
	nc.write(string(packet.AppendBinary(nil, &packet.Packet{Kind: packet.KindOneWay, Action: noteSpec.Action, Token: token})))
	receive(t, begun)
	nc.write(string(packet.AppendBinary(nil, &packet.Packet{CallID: 3, Action: echoSpec.Action, Token: token, More: true, Data: make([]byte, 60_000)})))
	eventually(t, "a call under way", func() bool { return srv.Stats().Calls == 1 && srv.Stats().Memory > 0 })
	nc.Close()
	eventually(t, "no call under way", func() bool { return srv.Stats().Calls == 0 })
	close(letGo)
	eventually(t, "the client to be gone, and nothing to be held", func() bool { return srv.Count() == 0 && srv.Stats().Memory == 0 })
}

// readBinary reads a packet in the binary form.
func readBinary(t *testing.T, nc *raw) *packet.Packet {
	t.Helper()
	size, err := binary.ReadUvarint(nc.lines)
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(nc.lines, body); err != nil {
		t.Fatal(err)
	}
	p := new(packet.Packet)
	if err := packet.ParseBinary(p, body); err != nil {
		t.Fatal(err)
	}
	return p
}

// What a client has sent stays counted when its connection has ended and a handler of its
// calls has not returned.
func TestStatsNeverCountLess(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := server.New(server.WithLogger(quiet()))
	handleEcho(srv, func(_ context.Context, s string) (string, error) {
		close(entered)
		<-leave
		return s, nil
	})
	conn := dial(t, listen(t, srv))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		echo(within(t), conn, "x")
	}()
	receive(t, entered)
	before := srv.Stats()
	conn.Close()
	<-ended
	eventually(t, "no client left", func() bool { return srv.Count() == 0 })
	after := srv.Stats()
	close(leave)
	if before.Received == 0 || after.Received < before.Received || after.Sent < before.Sent {
		t.Errorf("%+v after %+v", after, before)
	}
}

// Calls that no interceptor sees are told of all the same, with why.
func TestRefusedHook(t *testing.T) {
	refusals := make(chan string, 10)
	seen := make(chan string, 10)
	srv := server.New(server.WithLogger(quiet()),
		server.WithInterceptors(func(next packetrpc.Invoke) packetrpc.Invoke {
			return func(ctx context.Context, call *packetrpc.Call) error {
				seen <- call.Spec.Action
				return next(ctx, call)
			}
		}),
		server.WithRefused(func(peer packetrpc.Peer, action string, reason error) {
			refusals <- fmt.Sprintf("%s %s %v", peer.Identity().Name, action, packetrpc.CodeOf(reason))
			panic("a hook's mistake")
		}))
	vault := *echoSpec
	vault.Action, vault.Requires = "vault", "keeper"
	packetrpc.HandleUnary(srv, &vault, func(_ context.Context, in *text) (*text, error) { return in, nil })
	handleEcho(srv, func(_ context.Context, s string) (string, error) { return s, nil })
	c := packetrpctest.Start(t, srv).Dial(t, client.WithName("ada"))
	for len(seen) > 0 {
		<-seen
	}
	nobodys := *echoSpec
	nobodys.Action = "nobody's"
	for _, test := range []struct {
		spec *packetrpc.Spec
		want string
	}{{&nobodys, "ada nobody's unimplemented"}, {&vault, "ada vault permission_denied"}, {&nobodys, "ada nobody's unimplemented"}} {
		_, err := packetrpc.CallUnary[text](within(t), c, test.spec, wrapperspb.String(""))
		if err == nil {
			t.Fatalf("%s: it is not refused", test.spec.Action)
		}
		if got := receive(t, refusals); got != test.want {
			t.Errorf("told of %q, want %q", got, test.want)
		}
	}
	if _, err := echo(within(t), c, ""); err != nil {
		t.Errorf("another call: %v", err)
	}
	if got := receive(t, seen); got != echoSpec.Action || len(seen) > 0 || len(refusals) > 0 {
		t.Errorf("interceptors have seen %s and %d more calls, and there are %d more refusals", got, len(seen), len(refusals))
	}
}
