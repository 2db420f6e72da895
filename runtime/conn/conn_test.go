package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

type text = wrapperspb.StringValue

func spec(action string, t packetrpc.CallType) *packetrpc.Spec {
	return &packetrpc.Spec{Action: action, Type: t}
}

var (
	echo    = spec("echo", packetrpc.Unary)
	fail    = spec("fail", packetrpc.Unary)
	block   = spec("block", packetrpc.Unary)
	note    = spec("note", packetrpc.OneWay)
	count   = spec("count", packetrpc.ServerStream)
	join    = spec("join", packetrpc.ClientStream)
	talk    = spec("talk", packetrpc.BidiStreaming)
	inline  = &packetrpc.Spec{Action: "inline", NonBlocking: true}
	unknown = spec("unknown", packetrpc.Unary)

	meta       = spec("meta", packetrpc.Unary)
	metaStream = spec("meta-stream", packetrpc.BidiStreaming)
)

// service is what both ends of a test connection serve.
type service struct {
	packetrpc.Handlers
	blocked chan struct{} // receives when block is called
	ended   chan error    // receives the error of block's context
	notes   chan string
}

func newService() *service {
	s := &service{blocked: make(chan struct{}, 2000), ended: make(chan error, 2000), notes: make(chan string, 100000)}
	r := &s.Handlers
	echoes := func(_ context.Context, in *text) (*text, error) { return wrapperspb.String(in.Value), nil }
	packetrpc.HandleUnary(r, echo, echoes)
	packetrpc.HandleUnary(r, inline, echoes)
	packetrpc.HandleUnary(r, fail, func(ctx context.Context, in *text) (*text, error) {
		packetrpc.SetMetadata(ctx, "why", in.Value)
		if in.Value == "panic" {
			panic("on purpose")
		}
		err := packetrpc.Errorf(packetrpc.CodeNotFound, "no %s here", in.Value)
		return nil, errors.Join(err.AddDetail(in), err)
	})
	packetrpc.HandleUnary(r, block, func(ctx context.Context, _ *text) (*text, error) {
		s.blocked <- struct{}{}
		<-ctx.Done()
		s.ended <- ctx.Err()
		return nil, ctx.Err()
	})
	packetrpc.HandleOneWay(r, note, func(_ context.Context, in *text) error {
		s.notes <- in.Value
		return nil
	})
	packetrpc.HandleServerStream(r, count, func(ctx context.Context, in *text, out packetrpc.Sender[text]) error {
		var n int
		fmt.Sscan(in.Value, &n)
		for i := range n {
			if err := out.Send(wrapperspb.String(fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	})
	packetrpc.HandleClientStream(r, join, func(ctx context.Context, in packetrpc.Receiver[text]) (*text, error) {
		n := 0
		for _, err := range in.All() {
			if err != nil {
				return nil, err
			}
			n++
		}
		return wrapperspb.String(fmt.Sprint(n)), nil
	})
	packetrpc.HandleBidiStream(r, talk, func(ctx context.Context, s packetrpc.BidiStream[text, text]) error {
		for in, err := range s.All() {
			if err != nil {
				return err
			}
			if err := s.Send(in); err != nil {
				return err
			}
		}
		return nil
	})
	packetrpc.HandleUnary(r, meta, func(ctx context.Context, _ *text) (*text, error) {
		packetrpc.SetMetadata(ctx, "out", "a")
		packetrpc.SetMetadata(ctx, "out", "b")
		return wrapperspb.String(fmt.Sprint(packetrpc.MetadataFrom(ctx).Values("in"))), nil
	})
	packetrpc.HandleBidiStream(r, metaStream, func(ctx context.Context, s packetrpc.BidiStream[text, text]) error {
		packetrpc.SetMetadata(ctx, "first", "yes")
		if err := s.Send(wrapperspb.String("")); err != nil {
			return err
		}
		packetrpc.SetMetadata(ctx, "last", "yes")
		return packetrpc.Errorf(packetrpc.CodeAborted, "enough")
	})
	return s
}

// peer makes a Conn a packetrpc.Peer.
type peer struct{ *conn.Conn }

func (peer) ID() string                   { return "peer" }
func (peer) Identity() packetrpc.Identity { return packetrpc.Identity{} }
func (peer) Join(string) error            { return nil }
func (peer) Leave(string) error           { return nil }
func (peer) Groups() []string             { return nil }
func (p peer) Disconnect(reason string)   { p.Close(reason) }

// newConn makes a connection that is its own handlers' peer.
func newConn(opening *conn.Opening, config conn.Config) *conn.Conn {
	p := new(peer)
	config.Peer = p
	p.Conn = conn.New(opening, config)
	return p.Conn
}

// pair is the two ends of a connection over loopback TCP.
type pair struct {
	dialled, accepted               *conn.Conn
	dialledService, acceptedService *service
}

func newPair(t testing.TB, over link, change func(dialled, accepted *conn.Config)) *pair {
	t.Helper()
	p := &pair{dialledService: newService(), acceptedService: newService()}
	a, b := over.open(t)
	workers := conn.NewWorkers()
	quiet := slog.New(slog.DiscardHandler)
	dialled := conn.Config{Dialled: true, Token: "secret", Local: conn.DefaultLimits(), Remote: conn.DefaultLimits(), Workers: workers, Logger: quiet, Handlers: &p.dialledService.Handlers}
	accepted := dialled
	accepted.Dialled = false
	accepted.Handlers = &p.acceptedService.Handlers
	if change != nil {
		change(&dialled, &accepted)
	}
	dialled.Remote, accepted.Remote = accepted.Local, dialled.Local
	p.dialled, p.accepted = newConn(a, dialled), newConn(b, accepted)
	p.accepted.Start()
	p.dialled.Start()
	t.Cleanup(func() {
		p.dialled.Close("test over")
		p.accepted.Close("test over")
		p.dialled.Wait()
		p.accepted.Wait()
		workers.Close()
	})
	return p
}

func call(ctx context.Context, caller packetrpc.Caller, spec *packetrpc.Spec, in string) (string, error) {
	out, err := packetrpc.CallUnary[text](ctx, caller, spec, wrapperspb.String(in))
	return out.GetValue(), err
}

// bothWays runs a test over each link, called from each side.
func bothWays(t *testing.T, test func(t *testing.T, caller *conn.Conn, callee *service)) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			t.Run("dialled", func(t *testing.T) {
				p := newPair(t, over, nil)
				test(t, p.dialled, p.acceptedService)
			})
			t.Run("accepted", func(t *testing.T) {
				p := newPair(t, over, nil)
				test(t, p.accepted, p.dialledService)
			})
		})
	}
}

func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestUnary(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, _ *service) {
		for _, spec := range []*packetrpc.Spec{echo, inline} {
			for _, size := range []int{0, 1, 1000, 20_000, 64 << 10, 300_000, 3 << 20} {
				in := strings.Repeat("x", size)
				if size < 100_000 {
					in = fmt.Sprint(size)
				}
				out, err := call(timeout(t), c, spec, in)
				if err != nil || out != in {
					t.Fatalf("%s of %d bytes: %d bytes, %v", spec.Action, size, len(out), err)
				}
			}
		}
	})
}

func TestErrors(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, _ *service) {
		ctx, info := packetrpc.WithCallInfo(timeout(t))
		_, err := call(ctx, c, fail, "room")
		coded := packetrpc.AsError(err)
		if coded.Code != packetrpc.CodeNotFound || coded.Message != "no room here" || !coded.Remote() || coded.Outcome != packetrpc.OutcomeAnswered {
			t.Fatalf("%#v", coded)
		}
		if len(coded.Details) != 1 {
			t.Fatalf("details: %v", coded.Details)
		}
		if detail, err := coded.Details[0].UnmarshalNew(); err != nil || !proto.Equal(detail, wrapperspb.String("room")) {
			t.Fatal(detail, err)
		}
		if got := info.Metadata.Get("why"); got != "room" {
			t.Fatalf("metadata %q", got)
		}
		if _, err := call(timeout(t), c, fail, "panic"); packetrpc.CodeOf(err) != packetrpc.CodeInternal {
			t.Fatal(err)
		}
		if _, err := call(timeout(t), c, unknown, ""); packetrpc.CodeOf(err) != packetrpc.CodeUnimplemented {
			t.Fatal(err)
		}
		if _, err := call(timeout(t), c, echo, "still there"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDeadlineAndCancel(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		ctx, cancel := context.WithTimeout(timeout(t), 30*time.Millisecond)
		defer cancel()
		if _, err := call(ctx, c, block, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		<-callee.ended
		ctx, cancel = context.WithCancel(timeout(t))
		<-callee.blocked
		go func() {
			<-callee.blocked
			cancel()
		}()
		if _, err := call(ctx, c, block, ""); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := <-callee.ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := call(timeout(t), c, echo, "still there"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOneWayInOrder(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, callee *service) {
		const n = 20_000
		for i := range n {
			in := fmt.Sprint(i)
			if i%5000 == 4999 {
				in = strings.Repeat("x", 200_000)
			}
			if err := c.CallOneWay(timeout(t), note, wrapperspb.String(in)); err != nil {
				t.Fatal(i, err)
			}
		}
		for i := range n {
			got := <-callee.notes
			if want := fmt.Sprint(i); got != want && (i%5000 != 4999 || len(got) != 200_000) {
				t.Fatalf("%d: %.20q", i, got)
			}
		}
	})
}

func TestStreams(t *testing.T) {
	bothWays(t, func(t *testing.T, c *conn.Conn, _ *service) {
		const n = 20_000
		replies, err := packetrpc.CallServerStream[text](timeout(t), c, count, wrapperspb.String(fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for m, err := range replies.All() {
			if err != nil || m.Value != fmt.Sprint(got) {
				t.Fatal(got, m, err)
			}
			got++
		}
		if got != n {
			t.Fatal(got)
		}

		upload, err := packetrpc.CallClientStream[text, text](timeout(t), c, join)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := upload.Send(wrapperspb.String(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if sum, err := upload.CloseAndReceive(); err != nil || sum.Value != fmt.Sprint(n) {
			t.Fatal(sum, err)
		}

		chat, err := packetrpc.CallBidiStream[text, text](timeout(t), c, talk)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 500 {
			in := fmt.Sprint(i)
			if i%100 == 99 {
				in = strings.Repeat("x", 500_000)
			}
			if err := chat.Send(wrapperspb.String(in)); err != nil {
				t.Fatal(err)
			}
			if out, err := chat.Receive(); err != nil || out.Value != in {
				t.Fatal(i, err)
			}
		}
		chat.CloseSend()
		if _, err := chat.Receive(); err != io.EOF {
			t.Fatal(err)
		}
	})
}

func TestManyCallsBothWays(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			p := newPair(t, over, nil)
			ctx := timeout(t)
			var all sync.WaitGroup
			for side, c := range []*conn.Conn{p.dialled, p.accepted} {
				for i := range 1000 {
					all.Go(func() {
						for j := range 5 {
							in := fmt.Sprint(side, i, j)
							if i%50 == 0 {
								in += strings.Repeat("x", 100_000)
							}
							if out, err := call(ctx, c, echo, in); err != nil || out != in {
								t.Errorf("%.20q %.20q %v", in, out, err)
								return
							}
						}
					})
				}
				for range 20 {
					all.Go(func() {
						chat, err := packetrpc.CallBidiStream[text, text](ctx, c, talk)
						if err != nil {
							t.Error(err)
							return
						}
						defer chat.Close()
						for j := range 200 {
							if err := chat.Send(wrapperspb.String(fmt.Sprint(j))); err != nil {
								t.Error(err)
								return
							}
							if out, err := chat.Receive(); err != nil || out.Value != fmt.Sprint(j) {
								t.Error(out, err)
								return
							}
						}
					})
				}
			}
			all.Wait()
		})
	}
}
