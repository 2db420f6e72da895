package conn_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// FuzzConn runs little programs against a whole Conn with a real service: packets
// of every kind, in and out of place, calls of the Conn itself, garbage, closing.
// The Conn must not crash, hang, leak goroutines or disturb another connection,
// and unless the program has ended the connection it must go on serving calls.
func FuzzConn(f *testing.F) {
	for seed := range 40 {
		program := make([]byte, 0, 200)
		for i := range 200 {
			program = append(program, byte(seed*31+i*i*7+i*seed))
		}
		f.Add(program)
	}
	f.Add([]byte{0, 1, 3, 0, 2, 0x40, 0, 3, 0, 4, 0x40, 0, 3, 0, 4, 0})                               // a request in fragments
	f.Add([]byte{1, 1, 3, 5, 0, 0, 2, 3, 0, 4, 0, 2, 3, 0, 4, 0, 3, 3, 0, 0, 0})                      // a stream in JSON
	f.Add([]byte{0, 1, 1, 3, 4, 0x40, 1, 1, 0, 4, 0x40, 1, 1, 3, 1, 0, 6, 1, 0, 0, 0})                // one-way fragments, cut
	f.Add([]byte{2, 20, 0, 0, 0, 0, 21, 0, 0, 0, 0, 3, 4, 0, 3, 0, 5, 4, 0, 2, 0, 13, 0, 0, 0, 0xaf}) // calls of the Conn, answered
	f.Add([]byte{0, 1, 3, 9, 1, 0, 1, 5, 10, 1, 0, 1, 7, 11, 1, 0, 0, 1, 12, 1, 0, 1, 9, 1, 3, 0})    // handlers that exit
	f.Add([]byte{0, 1, 3, 1, 7, 0, 1, 5, 1, 8, 0, 3, 3, 0, 8, 0, 0, 3, 1, 8, 0, 24, 0, 0, 0, 0xaf})   // oversized, half-close, close
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 || len(program) > 1000 {
			return
		}
		before := runtime.NumGoroutine()
		runProgram(t, program)
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
}

// fuzzed is a Conn with the raw side of its connection.
type fuzzed struct {
	t     *testing.T
	form  packet.Form
	plain bool
	odd   bool // the raw side's ids are
	conn  *conn.Conn
	nc    net.Conn
	ended bool               // the program has ended the connection, or may have
	got   chan packet.Packet // pongs, and the response to the last call
	ctx   context.Context
	calls chan struct{} // one value for each goroutine that makes calls
	made  int
}

const (
	lastID   = 1 << 52 // with the parity of the raw side
	lastPing = "the last ping"
)

func runProgram(t *testing.T, program []byte) {
	workers := conn.NewWorkers()
	defer workers.Close()
	form, connDialled := packet.Form(program[0]&1), program[0]&2 != 0
	f := newFuzzed(t, form, connDialled, program[0]&13 == 13, workers)
	healthy := newFuzzed(t, form, connDialled, false, workers)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	f.ctx = ctx
	for rest := program[1:]; len(rest) >= 5; rest = rest[5:] {
		f.step(rest[0], rest[1], rest[2], rest[3], rest[4])
	}
	f.check()
	cancel()
	healthy.check()
	for _, f := range []*fuzzed{f, healthy} {
		f.conn.Close("the program is over")
		f.nc.Close()
		waited := make(chan struct{})
		go func() {
			f.conn.Wait()
			for range f.made {
				<-f.calls
			}
			close(waited)
		}()
		receive(t, waited)
	}
}

func newFuzzed(t *testing.T, form packet.Form, connDialled, plain bool, workers *conn.Workers) *fuzzed {
	plain = plain && form == packet.JSON && !connDialled
	dialling, accepting := tcpPair(t)
	f := &fuzzed{t: t, form: form, plain: plain, odd: !connDialled, nc: dialling, got: make(chan packet.Packet, 10_000), calls: make(chan struct{}, 1000)}
	handshake := packet.Append(form, nil, &packet.Packet{Action: "handShake"})
	var opening *conn.Opening
	var err error
	if connDialled {
		f.nc = accepting
		opening = conn.Open(dialling, form, conn.NewWorkers())
	} else {
		if form == packet.Binary {
			handshake = append([]byte(packet.Preface), handshake...)
		}
		if _, err = dialling.Write(handshake); err == nil {
			if opening, err = conn.Accept(accepting, nil, conn.NewWorkers()); err == nil {
				_, err = opening.Receive()
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	service := newRawService()
	close(service.release)
	limits := conn.DefaultLimits()
	limits.MaxMessageSize, limits.CallWindow, limits.MaxActionNumbers = 60_000, 20_000, 5
	f.conn = newConn(opening, conn.Config{
		Dialled: connDialled, Plain: plain, Token: "secret", Local: limits, Remote: limits,
		Handlers: &service.Handlers, Workers: workers, Logger: slog.New(slog.DiscardHandler),
	})
	f.conn.Start()
	go f.read()
	return f
}

// read takes what comes until the connection ends.
func (f *fuzzed) read() {
	splitter := packet.NewSplitter(f.form, 1<<20)
	var unread []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := f.nc.Read(chunk)
		unread = append(unread, chunk[:n]...)
		for {
			body, size, splitErr := splitter.Next(unread)
			if splitErr != nil {
				f.t.Errorf("what came is no packet: %v", splitErr)
				return
			}
			if size == 0 {
				break
			}
			var p packet.Packet
			if body != nil {
				if err := packet.Parse(f.form, &p, body); err != nil {
					f.t.Errorf("a malformed packet came: %v: %q", err, body)
				}
				if strings.Contains(string(p.Data), lastPing) {
					p.Data = nil
					f.got <- p
				}
			}
			unread = unread[size:]
		}
		if err != nil {
			return
		}
	}
}

var (
	fuzzIDs     = []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1000, 1001, 1<<53 + 1}
	fuzzActions = []string{"", "echo", "fail", "note", "count", "join", "talk", "block", "inline", "exit", "exit-inline",
		"exit-stream", "exit-note", "unknown", "lazy-stream", "slow-stream", "hold", "hold-stream", "hold-note", "size"}
	fuzzSizes = []int{0, 1, 2, 10, 100, 1000, 10_000, 30_000, 70_000, 300_000}
)

// step does what five bytes of the program say.
func (f *fuzzed) step(op, id, action, data, flags byte) {
	if f.ended {
		return
	}
	op %= 26
	if ends := op == 13 || op >= 23; ends && flags != 0xaf {
		op = 16 // programs are to be long
	}
	switch op {
	default:
		f.packet(packet.Kind(op), id, action, data, flags)
	case 14, 15:
		f.packet(99, id, action, data, flags)
	case 16, 17, 18: // the commonest
		f.packet(packet.KindRequest, id, action, data, flags)
	case 19:
		f.packet(packet.KindMessage, id, action, data, flags)
	case 20:
		f.call(func() { call(f.ctx, f.conn, echo, strings.Repeat("x", size1(data))) })
	case 21:
		f.call(func() {
			stream, err := packetrpc.CallBidiStream[text, text](f.ctx, f.conn, talk)
			for i := 0; err == nil && i < int(flags%5); i++ {
				err = stream.Send(wrapperspb.String(strings.Repeat("x", size1(data))))
			}
			if err == nil && flags&32 != 0 {
				stream.CloseSend()
			}
			for err == nil && flags&64 != 0 {
				_, err = stream.Receive()
			}
			if stream != nil && flags&128 != 0 {
				stream.Close()
			}
		})
	case 22:
		f.call(func() { f.conn.CallOneWay(f.ctx, note, wrapperspb.String(strings.Repeat("x", size1(data)))) })
	case 23:
		f.ended = true
		f.conn.Drain("the program says so")
		if flags&1 != 0 {
			f.conn.Close("and closes")
		}
	case 24:
		f.nc.(*net.TCPConn).CloseWrite()
		f.ended = true
	case 25:
		f.ended = true // nobody knows what it makes of this
		f.nc.Write([]byte{id, action, data, flags, '"', '{', 0xff})
	}
}

func size1(b byte) int { return fuzzSizes[int(b)%len(fuzzSizes)] }

func (f *fuzzed) call(make func()) {
	f.made++
	go func() {
		defer func() { f.calls <- struct{}{} }()
		make()
	}()
}

// packet sends one.
func (f *fuzzed) packet(kind packet.Kind, id, action, data, flags byte) {
	p := &packet.Packet{Kind: kind, CallID: fuzzIDs[int(id)%len(fuzzIDs)], Token: "secret", Credit: uint64(data) << (flags % 50)}
	if kind <= packet.KindOneWay || flags&1 != 0 {
		p.Action = fuzzActions[int(action)%len(fuzzActions)]
	}
	if flags&2 != 0 {
		p.ActionNumber = uint32(action) % 7
		if flags&4 != 0 {
			p.Action = ""
		}
	}
	if flags&56 == 56 {
		p.Token = "wrong"
	}
	if flags&24 == 24 {
		p.Timeout = time.Duration(data) * time.Millisecond
	}
	p.More = flags&64 != 0
	if size := size1(data); size > 0 {
		p.Data = f.text(strings.Repeat("7", size))
		if flags&160 == 160 {
			p.Data = p.Data[:len(p.Data)/2] // cut, so that it is no text
			if f.form == packet.JSON {
				p.Data = []byte("[7]")
			}
		}
	}
	f.ended = f.ended || kind == packet.KindClose
	f.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := f.nc.Write(packet.Append(f.form, nil, p)); err != nil && !f.ended && f.conn.Context().Err() == nil {
		f.t.Fatalf("writing: %v", err)
	}
}

// text encodes a text as the data of a packet.
func (f *fuzzed) text(value string) []byte {
	data, err := packet.AppendMessage(f.form, nil, wrapperspb.String(value))
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

// check makes sure that the connection still serves calls.
func (f *fuzzed) check() {
	if f.ended || f.plain {
		return
	}
	id := uint64(lastID)
	if f.odd {
		id++
	}
	data := f.text(lastPing)
	var all []byte
	for _, p := range []*packet.Packet{
		{Kind: packet.KindCredit, Credit: 1 << 30},
		{Kind: packet.KindPing, Data: data},
		{Kind: packet.KindRequest, CallID: id, Action: "echo", Token: "secret", Data: data},
	} {
		all = packet.Append(f.form, all, p)
	}
	if _, err := f.nc.Write(all); err != nil {
		f.t.Fatalf("writing: %v, %v", err, context.Cause(f.conn.Context()))
	}
	for _, want := range []packet.Kind{packet.KindPong, packet.KindResponse} {
		select {
		case p := <-f.got:
			if p.Kind != want {
				f.t.Fatalf("got %s, want %v", show(&p), want)
			}
		case <-f.conn.Context().Done():
			f.t.Fatalf("the connection ended: %v", context.Cause(f.conn.Context()))
		case <-time.After(patience):
			f.t.Fatalf("no %v comes", want)
		}
	}
}
