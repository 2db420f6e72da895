package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// writes notes what each Write was given.
type writes struct {
	net.Conn
	all chan string
}

func (w *writes) Write(b []byte) (int, error) {
	w.all <- string(b)
	return w.Conn.Write(b)
}

func (w *writes) CloseWrite() error {
	if half, ok := w.Conn.(*net.TCPConn); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// newPlain is an old program's connection, whose writes are noted.
func newPlain(t *testing.T, nc, old net.Conn) (*conn.Conn, *rawService, chan string) {
	t.Helper()
	noted := &writes{nc, make(chan string, 10_000)}
	go io.WriteString(old, `{"action":"handShake"}`)
	opening, err := conn.Accept(noted, nil, conn.NewWorkers())
	if err == nil {
		_, err = opening.Receive()
	}
	if err != nil {
		t.Fatal(err)
	}
	workers := conn.NewWorkers()
	service := newRawService()
	c := newConn(opening, conn.Config{
		Plain: true, Token: "secret", Workers: workers, Handlers: &service.Handlers,
		Local: conn.DefaultLimits(), Remote: conn.LimitsFromProto(nil),
	})
	c.Start()
	t.Cleanup(func() {
		old.Close()
		c.Close("test over")
		c.Wait()
		workers.Close()
	})
	return c, service, noted.all
}

func plain(action, data string) string {
	return fmt.Sprintf(`{"action":%q,"data":%s,"packet-created":1712345678.9,"token":"secret"}`, action, data)
}

// wantReply checks one reply, which is a write of its own.
func wantReply(t *testing.T, wrote <-chan string, action, data, status string) {
	t.Helper()
	text := receive(t, wrote)
	p, err := packet.Decode([]byte(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	code := ""
	if p.Status != 0 {
		code = p.Status.String()
	}
	token := "secret"
	if status == "unauthenticated" {
		token = "" // who could not name it is not told it
	}
	if p.Action != action || p.Token != token || string(p.Data) != data || code != status || p.CallID != 0 || p.Created == 0 {
		t.Fatalf("got %.300s, want a reply to %s with data %.100s and status %q", text, action, data, status)
	}
	if (status == "") != (p.Kind == packet.KindResponse) || (status == "") != (p.Message == "") {
		t.Fatalf("got %s", text)
	}
}

func TestPlainReplies(t *testing.T) {
	checkLeaks(t)
	old, nc := tcpPair(t)
	_, service, wrote := newPlain(t, nc, old)
	go io.Copy(io.Discard, old)
	io.WriteString(old, plain("hold", `"a"`)+plain("echo", `"b"`)+plain("unknown", `{}`)+plain("note", `"c"`)+
		plain("count", `"3"`)+`{"action":"echo","data":"d","token":null}`+plain("echo", `[]`)+"\n"+
		`{"action":"echo","data":"x","more":true}`+plain("fail", `"e"`)+plain("inline", `"f"`)+plain("echo", `"g"`))
	receive(t, service.started)
	select {
	case text := <-wrote:
		t.Fatalf("%s came before the first call was answered", text)
	case <-time.After(20 * time.Millisecond):
	}
	service.release <- struct{}{}
	wantReply(t, wrote, "hold", `"a"`, "")
	wantReply(t, wrote, "echo", `"b"`, "")
	wantReply(t, wrote, "unknown", `{}`, "unimplemented")
	wantReply(t, wrote, "note", `{}`, "")
	wantReply(t, wrote, "count", `{}`, "unimplemented")
	wantReply(t, wrote, "echo", `{}`, "unauthenticated")
	wantReply(t, wrote, "echo", `{}`, "invalid_argument")
	wantReply(t, wrote, "echo", `{}`, "invalid_argument")
	wantReply(t, wrote, "fail", `{}`, "not_found")
	wantReply(t, wrote, "inline", `"f"`, "")
	wantReply(t, wrote, "echo", `"g"`, "")
	if got := receive(t, service.notes); got != "c" {
		t.Fatal(got)
	}
}

// TestPlainGetsRepliesOnly: no credit, no drain, no close, and no calls.
func TestPlainGetsRepliesOnly(t *testing.T) {
	checkLeaks(t)
	old, nc := tcpPair(t)
	c, service, wrote := newPlain(t, nc, old)
	go io.Copy(io.Discard, old)
	large := `"` + strings.Repeat("x", 100_000) + `"`
	for range 30 { // several windows
		io.WriteString(old, plain("echo", large))
		wantReply(t, wrote, "echo", large, "")
		io.WriteString(old, strings.Replace(plain("note", large), "{", `{"kind":"one-way",`, 1))
		receive(t, service.notes)
	}
	if _, err := call(timeout(t), c, echo, "x"); packetrpc.CodeOf(err) != packetrpc.CodeFailedPrecondition {
		t.Fatal(err)
	}
	if c.Push(conn.NewShared(note, wrapperspb.String("x"))) {
		t.Fatal("a push was queued")
	}
	c.Drain("restarting")
	io.WriteString(old, plain("echo", `"x"`))
	wantReply(t, wrote, "echo", `{}`, "unavailable")
	c.Close("over")
	old.Close()
	c.Wait()
	if len(wrote) > 0 {
		t.Fatalf("an old program was sent %s", <-wrote)
	}
}

// TestPlainReadingPauses: one packet is handled, sixteen wait, and no more are
// read.
func TestPlainReadingPauses(t *testing.T) {
	checkLeaks(t)
	old, nc := net.Pipe() // a write returns when it has been read
	_, service, wrote := newPlain(t, nc, old)
	go io.Copy(io.Discard, old)
	const all = 60
	sent := make(chan int, all)
	go func() {
		for i := range all {
			if _, err := io.WriteString(old, plain("hold", fmt.Sprintf(`"%d"`, i))); err != nil {
				return
			}
			sent <- i
		}
	}()
	receive(t, service.started)
	for range 17 {
		receive(t, sent)
	}
	select {
	case i := <-sent:
		t.Fatalf("packet %d was read while 16 waited", i)
	case <-time.After(50 * time.Millisecond):
	}
	for i := range all {
		service.release <- struct{}{}
		wantReply(t, wrote, "hold", fmt.Sprintf(`"%d"`, i), "")
	}
}

// TestPlainHalfClose: who has sent all and closed its sending side gets its
// replies.
func TestPlainHalfClose(t *testing.T) {
	checkLeaks(t)
	old, nc := tcpPair(t)
	c, service, wrote := newPlain(t, nc, old)
	for i := range 40 {
		io.WriteString(old, plain("echo", fmt.Sprintf(`"%d"`, i)))
	}
	io.WriteString(old, plain("hold", `"last"`)+plain("unknown", "{}"))
	old.(*net.TCPConn).CloseWrite()
	receive(t, service.started)
	service.release <- struct{}{}
	all, err := io.ReadAll(old)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(all, []byte("\n")); n != 42 {
		t.Fatalf("%d replies came before the end: %s", n, all)
	}
	for i := range 40 {
		wantReply(t, wrote, "echo", fmt.Sprintf(`"%d"`, i), "")
	}
	receive(t, c.Context().Done())
}
