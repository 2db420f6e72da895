package conn_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var (
	hold       = spec("hold", packetrpc.Unary)
	holdStream = spec("hold-stream", packetrpc.BidiStreaming)
	holdNote   = spec("hold-note", packetrpc.OneWay)
	lazyStream = spec("lazy-stream", packetrpc.BidiStreaming) // receives nothing
	slowStream = spec("slow-stream", packetrpc.ClientStream)  // receives when released
	size       = spec("size", packetrpc.Unary)
	exit       = spec("exit", packetrpc.Unary)
	exitInline = &packetrpc.Spec{Action: "exit-inline", NonBlocking: true}
	exitStream = spec("exit-stream", packetrpc.ServerStream)
	exitNote   = spec("exit-note", packetrpc.OneWay)
	back       = spec("back", packetrpc.Unary)
)

// rawService is a service whose held handlers end when the test says so.
type rawService struct {
	*service
	started  chan string   // receives the request of a held handler
	received chan string   // the messages of a held stream
	eof      chan struct{} // the held stream has been half-closed
	release  chan struct{} // lets one held handler return
	over     chan error    // how a held handler ended: nil when released
}

func newRawService() *rawService {
	s := &rawService{
		service:  newService(),
		started:  make(chan string, 1000),
		received: make(chan string, 1000),
		eof:      make(chan struct{}, 1000),
		release:  make(chan struct{}),
		over:     make(chan error, 1000),
	}
	r := &s.Handlers
	packetrpc.HandleUnary(r, hold, func(ctx context.Context, in *text) (*text, error) {
		s.started <- in.Value
		return wrapperspb.String(in.Value), s.wait(ctx)
	})
	packetrpc.HandleOneWay(r, holdNote, func(ctx context.Context, in *text) error {
		s.started <- in.Value
		return s.wait(ctx)
	})
	packetrpc.HandleBidiStream(r, holdStream, func(ctx context.Context, stream packetrpc.BidiStream[text, text]) error {
		s.started <- ""
		for in, err := range stream.All() {
			if err != nil {
				s.over <- err
				return err
			}
			s.received <- in.Value
		}
		s.eof <- struct{}{}
		return s.wait(ctx)
	})
	packetrpc.HandleBidiStream(r, lazyStream, func(ctx context.Context, _ packetrpc.BidiStream[text, text]) error {
		s.started <- ""
		return s.wait(ctx)
	})
	packetrpc.HandleClientStream(r, slowStream, func(ctx context.Context, in packetrpc.Receiver[text]) (*text, error) {
		s.started <- ""
		<-s.release
		for _, err := range in.All() {
			if err != nil {
				s.over <- err
				return nil, err
			}
		}
		s.over <- nil
		return new(text), nil
	})
	packetrpc.HandleUnary(r, size, func(_ context.Context, in *text) (*text, error) {
		return wrapperspb.String(fmt.Sprint(len(in.Value))), nil
	})
	exits := func(context.Context, *text) (*text, error) {
		runtime.Goexit()
		return nil, nil
	}
	packetrpc.HandleUnary(r, exit, exits)
	packetrpc.HandleUnary(r, exitInline, exits)
	packetrpc.HandleServerStream(r, exitStream, func(context.Context, *text, packetrpc.Sender[text]) error {
		runtime.Goexit()
		return nil
	})
	packetrpc.HandleOneWay(r, exitNote, func(context.Context, *text) error {
		runtime.Goexit()
		return nil
	})
	return s
}

func (s *rawService) wait(ctx context.Context) error {
	var err error
	select {
	case <-s.release:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.over <- err
	return err
}

// raw is the other side of a connection, played by the test: it writes packets
// and looks at those that come back.
type raw struct {
	t       testing.TB
	nc      net.Conn
	form    packet.Form
	conn    *conn.Conn
	service *rawService
	got     chan *packet.Packet // what has come, without credit; closed at the end
	credits chan *packet.Packet
	pings   int
	id      uint64 // the last one used
	dialled bool   // conn is the dialling side
}

// newRaw makes a connection whose one end is a Conn.
func newRaw(t testing.TB, form packet.Form, connDialled bool, change func(*conn.Config)) *raw {
	r := newUnreadRaw(t, form, connDialled, change)
	go r.read()
	return r
}

// newUnreadRaw makes one whose raw end does not read until read is called.
func newUnreadRaw(t testing.TB, form packet.Form, connDialled bool, change func(*conn.Config)) *raw {
	t.Helper()
	r := &raw{
		t: t, form: form, dialled: connDialled, service: newRawService(),
		got: make(chan *packet.Packet, 100_000), credits: make(chan *packet.Packet, 100_000),
	}
	r.id = r.lane()
	dialling, accepting := tcpPair(t)
	var opening *conn.Opening
	var err error
	if connDialled {
		r.nc = accepting
		opening = conn.Open(dialling, form, conn.NewWorkers())
		if err = opening.Send(&packet.Packet{Action: "handShake"}); err == nil {
			var raw *conn.Opening
			if raw, err = conn.Accept(accepting, nil, conn.NewWorkers()); err == nil {
				_, err = raw.Receive()
			}
		}
	} else {
		r.nc = dialling
		if form == packet.Binary {
			r.write([]byte(packet.Preface))
		}
		r.send(&packet.Packet{Action: "handShake"})
		if opening, err = conn.Accept(accepting, nil, conn.NewWorkers()); err == nil {
			_, err = opening.Receive()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	workers := conn.NewWorkers()
	cfg := conn.Config{
		Dialled: connDialled, Token: "secret", Workers: workers, Handlers: &r.service.Handlers,
		Local: conn.DefaultLimits(), Remote: conn.DefaultLimits(), Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	r.conn = newConn(opening, cfg)
	r.conn.Start()
	t.Cleanup(func() {
		r.nc.Close()
		r.conn.Close("test over")
		r.conn.Wait()
		workers.Close()
	})
	return r
}

func tcpPair(t testing.TB) (dialling, accepting net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if dialling, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepting, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialling, accepting
}

// lane is the id of the raw side's one-way packets, connLane of the other's.
func (r *raw) lane() uint64 {
	if r.dialled {
		return 2
	}
	return 1
}

func (r *raw) connLane() uint64 { return 3 - r.lane() }

// newID returns a call id of the raw side.
func (r *raw) newID() uint64 {
	r.id += 2
	return r.id
}

// read sorts what comes until the connection ends.
func (r *raw) read() {
	defer close(r.got)
	splitter := packet.NewSplitter(r.form, 256<<20)
	var unread []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := r.nc.Read(chunk)
		unread = append(unread, chunk[:n]...)
		for {
			body, size, splitErr := splitter.Next(unread)
			if splitErr != nil {
				r.t.Errorf("what came is no packet: %v", splitErr)
				return
			}
			if size == 0 {
				break
			}
			if body != nil {
				r.sort(slices.Clone(body))
			}
			unread = unread[size:]
		}
		if err != nil {
			return
		}
	}
}

func (r *raw) sort(body []byte) {
	p := new(packet.Packet)
	if err := packet.Parse(r.form, p, body); err != nil {
		r.t.Errorf("a malformed packet came: %v: %q", err, body)
		return
	}
	if p.Kind == packet.KindCredit {
		r.credits <- p
		return
	}
	r.got <- p
}

func (r *raw) write(bytes []byte) {
	r.t.Helper()
	r.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := r.nc.Write(bytes); err != nil {
		r.t.Fatalf("writing: %v", err)
	}
}

// send sends packets in one write.
func (r *raw) send(packets ...*packet.Packet) {
	r.t.Helper()
	var bytes []byte
	for _, p := range packets {
		bytes = packet.Append(r.form, bytes, p)
	}
	r.write(bytes)
}

// next returns the next packet that comes and is no credit.
func (r *raw) next() *packet.Packet {
	r.t.Helper()
	select {
	case p, open := <-r.got:
		if !open {
			r.t.Fatalf("the connection ended: %v", context.Cause(r.conn.Context()))
		}
		return p
	case <-time.After(patience):
		r.t.Fatal("no packet comes")
		return nil
	}
}

// want is next for a packet of a kind and id.
func (r *raw) want(kind packet.Kind, id uint64) *packet.Packet {
	r.t.Helper()
	p := r.next()
	if p.Kind != kind || p.CallID != id {
		r.t.Fatalf("got %s, want %v of call %d", show(p), kind, id)
	}
	return p
}

func (r *raw) wantError(id uint64, code packetrpc.Code) *packet.Packet {
	r.t.Helper()
	p := r.want(packet.KindError, id)
	if p.Status != code || p.Message == "" {
		r.t.Fatalf("got %s, want status %v", show(p), code)
	}
	return p
}

// sync waits until everything sent so far has been read there, and returns what
// came meanwhile.
func (r *raw) sync() (before []*packet.Packet) {
	r.t.Helper()
	r.pings++
	stamp := r.data(fmt.Sprint("ping ", r.pings))
	r.send(&packet.Packet{Kind: packet.KindPing, Data: stamp})
	for {
		p := r.next()
		if p.Kind == packet.KindPong && string(p.Data) == string(stamp) {
			return before
		}
		before = append(before, p)
	}
}

// silence fails when something has come.
func (r *raw) silence() {
	r.t.Helper()
	for _, p := range r.sync() {
		r.t.Fatalf("got %s, want nothing", show(p))
	}
}

// data encodes a text as what a packet carries.
func (r *raw) data(value string) []byte {
	data, err := packet.AppendMessage(r.form, nil, wrapperspb.String(value))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

func (r *raw) text(p *packet.Packet) string {
	r.t.Helper()
	var in text
	if err := packet.UnmarshalMessage(r.form, p.Data, &in); err != nil {
		r.t.Fatal(err)
	}
	return in.Value
}

// request returns a packet that opens a call.
func (r *raw) request(id uint64, spec *packetrpc.Spec, value string) *packet.Packet {
	p := &packet.Packet{Kind: packet.KindRequest, CallID: id, Action: spec.Action, Token: "secret"}
	if !spec.Type.StreamsRequests() {
		p.Data = r.data(value)
	}
	return p
}

// note returns a one-way packet.
func (r *raw) note(spec *packetrpc.Spec, value string) *packet.Packet {
	p := r.request(r.lane(), spec, value)
	p.Kind = packet.KindOneWay
	return p
}

func (r *raw) message(id uint64, value string) *packet.Packet {
	return &packet.Packet{Kind: packet.KindMessage, CallID: id, Data: r.data(value)}
}

// fresh makes a call in each direction.
func (r *raw) fresh() {
	r.t.Helper()
	r.freshThere()
	result := r.unary("and back")
	p := r.wantRequest()
	r.send(&packet.Packet{Kind: packet.KindResponse, CallID: p.CallID, Data: r.data("yes")})
	if got := receive(r.t, result.done); got.err != nil || got.value != "yes" {
		r.t.Fatalf("a fresh call to the raw side: %q, %v", got.value, got.err)
	}
}

// freshThere makes a call to the Conn.
func (r *raw) freshThere() {
	r.t.Helper()
	id := r.newID()
	r.send(r.request(id, echo, "fresh"))
	if got := r.text(r.want(packet.KindResponse, id)); got != "fresh" {
		r.t.Fatalf("a fresh call: %q", got)
	}
}

// result is a call that the Conn makes to the raw side.
type result struct {
	done   chan outcome
	cancel context.CancelFunc
}

type outcome struct {
	value string
	err   error
}

// unary lets the Conn call the raw side.
func (r *raw) unary(value string) *result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.t.Cleanup(cancel)
	res := &result{done: make(chan outcome, 1), cancel: cancel}
	go func() {
		value, err := call(ctx, r.conn, echo, value)
		res.done <- outcome{value, err}
	}()
	return res
}

// wantRequest waits for the packet by which the Conn opens a call.
func (r *raw) wantRequest() *packet.Packet {
	r.t.Helper()
	p := r.next()
	if p.Kind != packet.KindRequest || p.CallID%2 == r.lane()%2 || p.CallID < 3 {
		r.t.Fatalf("got %s, want a request of the Conn", show(p))
	}
	return p
}

func show(p *packet.Packet) string {
	return fmt.Sprintf("%.300s", strings.TrimSpace(string(packet.AppendJSON(nil, &packet.Packet{
		Kind: p.Kind, CallID: p.CallID, Action: p.Action, Status: p.Status, Message: p.Message, Credit: p.Credit, Reason: p.Reason,
		Data: fmt.Appendf(nil, "%q", p.Data[:min(len(p.Data), 60)]),
	}))))
}

// receive takes a value that must come.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// checkLeaks fails when the test leaves goroutines. It must be called before
// anything that cleans up.
func checkLeaks(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines are left of the test:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// eachRaw runs a test on both sides and in both forms.
func eachRaw(t *testing.T, test func(t *testing.T, form packet.Form, connDialled bool)) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		for _, dialled := range []bool{true, false} {
			name := form.String() + "/accepting"
			if dialled {
				name = form.String() + "/dialled"
			}
			t.Run(name, func(t *testing.T) {
				checkLeaks(t)
				test(t, form, dialled)
			})
		}
	}
}
