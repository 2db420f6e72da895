package main_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/load"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// parseBench reads what `packetrpc bench --json` has printed, and holds its numbers
// against each other.
func parseBench(t *testing.T, got ran) *load.Result {
	t.Helper()
	result, err := load.ParseResult([]byte(got.out))
	if err != nil {
		t.Fatalf("%v; printed %s\n%s", err, got.out, got.diagnostics)
	}
	var inSeries, inErrors int64
	for _, interval := range result.Series {
		inSeries += interval.OK + interval.Failed
	}
	for _, failure := range result.Errors {
		inErrors += failure.Count
	}
	if result.Latency.Count() != result.OK || result.Rate > 0 && result.Service.Count() != result.OK || inSeries != result.Calls() || inErrors != result.Failed {
		t.Errorf("the numbers contradict each other: %d latencies, %d calls in the series, %d errors, in %s",
			result.Latency.Count(), inSeries, inErrors, got.out)
	}
	return result
}

func TestBench(t *testing.T) {
	address, _ := serve(t)
	for _, test := range []struct {
		name           string
		args           []string // behind the address
		input          string
		ok, failed     int64
		sent, received int64 // messages
		code           string
	}{
		{"unary", []string{"Send", `{"text":"hello"}`, "--calls", "60"}, "", 60, 0, 60, 60, ""},
		{"JSON form", []string{"Send", `{"text":"hello"}`, "--calls", "60", "--json-form"}, "", 60, 0, 60, 60, ""},
		{"connections", []string{"Send", `{"text":"hello"}`, "--calls", "60", "--connections", "7", "--concurrency", "3"}, "", 60, 0, 60, 60, ""},
		{"open loop", []string{"Send", `{"text":"hello"}`, "--calls", "60", "--rate", "1000"}, "", 60, 0, 60, 60, ""},
		{"template", []string{"Send", `{"text":"{{.N}} {{.UUID}}"}`, "--calls", "60"}, "", 60, 0, 60, 60, ""},
		{"one-way", []string{"Typing", "--calls", "60"}, "", 60, 0, 60, 0, ""},
		{"download", []string{"History", `{"limit":5}`, "--calls", "20"}, "", 20, 0, 20, 100, ""},
		{"part of a download", []string{"History", `{"limit":5}`, "--calls", "20", "--messages", "3"}, "", 20, 0, 20, 60, ""},
		{"upload", []string{"Import", "--calls", "20", "--messages", "5"}, "", 20, 0, 100, 20, ""},
		{"both ways", []string{"Talk", `{"text":"a"} {"text":"b"}`, "--calls", "20", "--messages", "5"}, "", 20, 0, 100, 100, ""},
		{"both ways, open loop", []string{"Talk", `{"text":"a"}`, "--calls", "20", "--rate", "1000"}, "", 20, 0, 20, 20, ""},
		{"Core action", []string{"CorePing", "--calls", "20"}, "", 20, 0, 20, 20, ""},
		{"some fail", []string{"Send", "-", "--calls", "60"}, `{"text":"hello"} {} {"text":"you"}`, 40, 20, 60, 40, "invalid_argument"},
		{"stream fails", []string{"Talk", `{"text":"bye"}`, "--calls", "20"}, "", 0, 20, 20, 0, "aborted"},
		{"deadline", []string{"Send", `{"text":"slow"}`, "--calls", "20", "--deadline", "1ms"}, "", 0, 20, 20, 0, "deadline_exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run(t, test.input, append([]string{"bench", address, "--json"}, test.args...)...)
			r := parseBench(t, got)
			if r.OK != test.ok || r.Failed != test.failed || r.Sent.Messages != test.sent || r.Received.Messages != test.received {
				t.Errorf("got %s", got.out)
			}
			if test.code != "" && (len(r.Errors) != 1 || r.Errors[0].Code != test.code || len(r.Errors[0].Samples) == 0) {
				t.Errorf("the errors are %+v, want those of %s", r.Errors, test.code)
			}
			failed := test.ok == 0
			if got.status != 0 != failed || strings.Contains(got.diagnostics, "no call has succeeded") != failed {
				t.Errorf("exited with %d: %s", got.status, got.diagnostics)
			}
			if r.Ended != load.EndedCalls || r.Address != address || !strings.HasPrefix(r.Command, "packetrpc bench "+address) {
				t.Errorf("%s, at %s, by %s", r.Ended, r.Address, r.Command)
			}
		})
	}
}

func TestBenchRefuses(t *testing.T) {
	address, _ := serve(t)
	check(t, address, []step{
		{"no action", []string{"bench"}, "", 2, "", "`packetrpc bench` takes the arguments [ADDR] ACTION [JSON|@FILE|-]"},
		{"unknown action", []string{"bench", "Sent"}, "", 2, "", `there is no action "Sent"; the nearest is chat.v1.ChatService/Send`},
		{"not handled", []string{"bench", "Posted"}, "", 76, "", "does not handle chat.v1.ChatEvents/Posted"},
		{"no JSON", []string{"bench", "Send", "hello"}, "", 2, "", "request 1: invalid character 'h'"},
		{"no such field", []string{"bench", "Send", "-"}, `{"text":"a"} {"txet":"b"}`, 2, "", `packetrpc: request 2: (line 1:2): unknown field "txet"` + "\nwanted is {\"text\":\"\"}\n"},
		{"wrong template", []string{"bench", "Send", `{"text":"{{.M}}"}`}, "", 2, "", "can't evaluate field M"},
		{"no such file", []string{"bench", "Send", "@none.json"}, "", 1, "", "none.json"},
		{"below 0", []string{"bench", "Send", "--rate", "-1"}, "", 2, "", "packetrpc: the rate must not be below 0\n"},
		{"too many", []string{"bench", "Send", "--concurrency", "100001"}, "", 2, "", "packetrpc: the number of callers must not be above 100000\n"},
		{"no report", []string{"bench", "Send", "--report", "report.pdf"}, "", 2, "", `ends with .html or .svg, not "report.pdf"`},
		{"no such folder", []string{"bench", "Send", "--save", "no/such/folder.json"}, "", 1, "", "no/such/folder.json"},
	})
	if got := run(t, "", "bench", "127.0.0.1:1", "Send"); got.status != 3 {
		t.Errorf("without a server it exits with %d: %s", got.status, got.diagnostics)
	}
}

// A rate that is out of reach: each call that was due is accounted for.
func TestBenchRateOutOfReach(t *testing.T) {
	address, _ := serve(t)
	r := parseBench(t, run(t, "", "bench", address, "Send", `{"text":"slow"}`, "--json",
		"--rate", "1000", "--concurrency", "2", "--duration", "500ms", "--deadline", "50ms"))
	if sum := r.Calls() + r.Unfinished + r.Unsent; sum != 500 || r.Unsent == 0 || r.Late == 0 {
		t.Errorf("500 calls were due; got %+v", r)
	}
}

// mortal is a chat room whose server dies when it has handled a number of messages.
type mortal struct {
	room
	die func()

	mu   sync.Mutex
	left int
}

func (m *mortal) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	m.mu.Lock()
	m.left--
	dies := m.left == 0
	m.mu.Unlock()
	if dies {
		m.die()
	}
	return m.room.Send(ctx, request)
}

// severed is a listener whose connections can be cut off without a word.
type severed struct {
	net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

func (s *severed) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, conn)
	return conn, nil
}

func (s *severed) cut() {
	s.Listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
}

func TestBenchServerDies(t *testing.T) {
	for _, loop := range [][]string{nil, {"--rate", "2000"}} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		wire := &severed{Listener: listener}
		srv := server.New()
		chatv1packetrpc.RegisterChatServiceHandler(srv, &mortal{left: 200, die: wire.cut})
		served := make(chan error, 1)
		go func() { served <- srv.Serve(t.Context(), wire) }()
		args := append([]string{"bench", listener.Addr().String(), "Send", `{"text":"hello"}`, "--json", "--connections", "3", "--duration", "1h"}, loop...)
		got := run(t, "", args...)
		r := parseBench(t, got)
		if r.Ended != load.EndedConnections || r.OK == 0 || r.Failed == 0 || r.Errors[0].Code != "unavailable" || got.status != 0 {
			t.Errorf("%v: exited with %d, got %s", loop, got.status, got.out)
		}
		srv.Shutdown(t.Context())
		<-served
	}
}

// An interrupted run ends well, with what it has.
func TestBenchInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals on Windows")
	}
	srv := server.New()
	enough := make(chan struct{})
	chatv1packetrpc.RegisterChatServiceHandler(srv, &mortal{left: 50, die: func() { close(enough) }})
	address := listen(t, srv, "tcp", "127.0.0.1:0")
	command := newProcess(t, nil, "bench", address, "Send", `{"text":"hello"}`, "--json", "--duration", "1h")
	var out, diagnostics bytes.Buffer
	command.Stdout, command.Stderr = &out, &diagnostics
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-enough
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &diagnostics)
	}
	r := parseBench(t, ran{out.String(), diagnostics.String(), 0})
	if r.Ended != load.EndedInterrupted || r.OK < 40 || r.Failed != 0 {
		t.Errorf("got %s", &out)
	}
}

// The first interrupt has nothing to end while the program waits for its input. One more
// ends the program.
func TestBenchInterruptedTwice(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals on Windows")
	}
	for attempt := range 20 {
		// Nothing tells when the program has learned what there is to call, and waits.
		err := interruptBench(t, time.Duration(attempt)*50*time.Millisecond)
		if err != nil && (err.Error() == "exit status 3" || err.Error() == "exit status 65") {
			continue // the interrupt has ended the handshake, or a call, before that
		}
		if err == nil || err.Error() != "signal: interrupt" {
			t.Errorf("it ended with %v", err)
		}
		return
	}
	t.Error("it was never seen to wait for its input")
}

// interruptBench lets bench wait for its input, interrupts it a while after it has
// connected and from then on until it ends, and returns how it has ended.
func interruptBench(t *testing.T, after time.Duration) error {
	t.Helper()
	connected := make(chan struct{}, 1)
	address, _ := serve(t, server.WithConnected(func(packetrpc.Peer) { connected <- struct{}{} }))
	command := newProcess(t, nil, "bench", address, "Send", "-")
	if _, err := command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-connected
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	timer := time.NewTimer(after)
	defer timer.Stop()
	for {
		select {
		case err := <-exited:
			return err
		case <-timer.C:
			command.Process.Signal(os.Interrupt)
			timer.Reset(10 * time.Millisecond)
		}
	}
}

func TestBenchFiles(t *testing.T) {
	address, _ := serve(t)
	folder := t.TempDir()
	saved, report, picture := filepath.Join(folder, "a.json"), filepath.Join(folder, "a.html"), filepath.Join(folder, "a.svg")
	got := run(t, "", "bench", address, "Send", `{"text":"<b>"}`, "--calls", "60", "--metadata", "key=secret", "--save", saved, "--report", report)
	if got.status != 0 || got.diagnostics != "" || !strings.HasPrefix(got.out, "chat.v1.ChatService/Send at "+address+"\nclosed loop, 10 callers, 1 connection\n\ncalls     60 ok, 0 failed\n") {
		t.Errorf("exited with %d, printed\n%s%s", got.status, got.out, got.diagnostics)
	}
	text, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	parseBench(t, ran{out: string(text)})
	page, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<title>chat.v1.ChatService/Send at " + address, "&lt;b&gt;", "key=…", "60 ok, 0 failed", "Latency by percentile</text>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if got := run(t, "", "bench", address, "Send", `{"text":"a"}`, "--calls", "60", "--report", picture); got.status != 0 {
		t.Errorf("exited with %d: %s", got.status, got.diagnostics)
	}
	if drawn, err := os.ReadFile(picture); err != nil || !bytes.HasPrefix(drawn, []byte("<svg ")) {
		t.Errorf("the picture is %q, %v", drawn, err)
	}
	if strings.Contains(string(page)+string(text), "secret") {
		t.Error("the value of the metadata is in the files")
	}
}

func TestBenchCompare(t *testing.T) {
	const a, b = "testdata/bench/before.json", "testdata/bench/after.json"
	want, err := os.ReadFile("testdata/bench/compared.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, "", "bench", "compare", a, b)
	if difference := cmp.Diff(string(want), got.out); difference != "" || got.status != 0 {
		t.Errorf("exited with %d: %s\n-want +got:\n%s", got.status, got.diagnostics, difference)
	}
	for _, s := range []step{
		{"one file", []string{"bench", "compare", a}, "", 2, "", "`packetrpc bench compare` takes the arguments A.json B.json"},
		{"no such file", []string{"bench", "compare", a, "none.json"}, "", 1, "", "none.json"},
		{"no result", []string{"bench", "compare", a, "testdata/bench/compared.txt"}, "", 2, "", "testdata/bench/compared.txt: "},
		{"as JSON", []string{"bench", "compare", a, a, "--json"}, "", 0, `{"metrics":[{"name":"ok/s","a":{"median":…`, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			if begin, _, part := strings.Cut(s.out, "…"); part {
				s.out = begin + "…"
			}
			s.verify(t, run(t, s.input, s.args...))
		})
	}
}
