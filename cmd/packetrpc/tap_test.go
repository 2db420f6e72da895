package main_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// A tap is a process of the command that shows what passes.
type tap struct {
	t       *testing.T
	process *exec.Cmd
	address string
	notes   []string // what it said until it listened
	out     bytes.Buffer
	rest    bytes.Buffer // of what it says
	ended   chan struct{}
}

// startTap starts one on a free port, and waits until it listens.
func startTap(t *testing.T, args ...string) *tap {
	t.Helper()
	p := &tap{t: t, process: newProcess(t, nil, append([]string{"tap", "--listen", "127.0.0.1:0"}, args...)...), ended: make(chan struct{})}
	p.process.Stdout = &p.out
	notes, err := p.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(notes)
	for p.address == "" && lines.Scan() {
		p.notes = append(p.notes, lines.Text())
		p.address, _, _ = strings.Cut(lines.Text(), " takes the place of ")
		if p.address == lines.Text() {
			p.address = ""
		}
	}
	go func() {
		defer close(p.ended)
		for lines.Scan() {
			p.rest.WriteString(lines.Text() + "\n")
		}
	}()
	t.Cleanup(func() {
		p.process.Process.Kill()
		<-p.ended
	})
	if p.address == "" {
		<-p.ended
		t.Fatalf("the tap does not listen: %q", p.notes)
	}
	return p
}

// end interrupts it and returns what it has shown.
func (p *tap) end() string {
	p.t.Helper()
	p.process.Process.Signal(os.Interrupt)
	<-p.ended
	if err := p.process.Wait(); err != nil {
		p.t.Errorf("the tap ended with %v: %s", err, p.rest.String())
	}
	return p.out.String()
}

// withoutTimes replaces what is another each time in lines for people.
func withoutTimes(shown string) string {
	for _, volatile := range []struct{ pattern, instead string }{
		{`(?m)^\d\d:\d\d:\d\d\.\d{3}`, "TIME"},
		{` +[0-9.]+(µs|ms|s)\b`, " DURATION"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`,"limits":.*`, "…"},
		{`,"version":.*`, "…"},
	} {
		shown = regexp.MustCompile(volatile.pattern).ReplaceAllString(shown, volatile.instead)
	}
	return shown
}

const tapped = `TIME #1    connected  (from ADDRESS)
TIME #1  → request    handShake                           67 B        {"version":1,"username":"ada","password":"[hidden]"…
TIME #1  ← response   handShake                          153 B DURATION {"status":"success","uuid":"[hidden]","remoteToken":"[hidden]"…
TIME #1  → request    chat.v1.ChatService/Send        3  112 B        {"text":"hello"} metadata {"authorization":["[hidden]"]}
TIME #1  ← response   chat.v1.ChatService/Send        3   30 B DURATION {"number":5} metadata {"language":[""]}
TIME #1  → closed     by the client after DURATION, 184 B from the client, 183 B from the server
`

const tappedCalls = `TIME #1  → handShake DURATION ok       67 B / 153 B {"version":1,"username":"ada","password":"[hidden]"…
TIME #1  → chat.v1.ChatService/Send        3 DURATION ok       112 B / 30 B {"text":"hello"} ⇒ {"number":5} metadata {"language":[""]}
`

// waitForRecord waits until something is in a file that is being recorded.
func waitForRecord(t *testing.T, file, what string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		recorded, err := os.ReadFile(file)
		if bytes.Contains(recorded, []byte(what)) {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%s is not in the recording (%v):\n%s", what, err, recorded)
		}
	}
}

// What passes is shown with names that the server tells, and the same from a recording.
func TestTap(t *testing.T) {
	room, _ := serve(t)
	file := filepath.Join(t.TempDir(), "recording")
	p := startTap(t, "--full", "--record", file, room)
	called := runWith(t, []string{"PACKETRPC_PASSWORD=correct horse"}, strings.NewReader(""), "call", p.address, "Send", `{"text":"hello"}`,
		"--user", "ada", "--metadata", "authorization=Bearer correct horse", "--proto", "../../examples/chat/proto/chat/v1/chat.proto", "--proto-path", "../../examples/chat/proto", "--proto-path", "../../api")
	if called.status != 0 {
		t.Fatalf("calling through the tap: %+v", called)
	}
	waitForRecord(t, file, `"kind":"closed"`)
	shown := p.end()
	if got := withoutTimes(shown); got != tapped {
		t.Errorf("shown was\n%s\nwant\n%s", got, tapped)
	}
	recorded, err := os.ReadFile(file)
	if err != nil || bytes.Contains(recorded, []byte("correct horse")) || bytes.Count(recorded, []byte("\n")) != 7 {
		t.Errorf("recorded (%v) was\n%s", err, recorded)
	}
	replayed := run(t, "", "tap", "--replay", file, "--full")
	if replayed != (ran{out: shown}) {
		t.Errorf("replayed was\n%+v\nwant\n%s", replayed, shown)
	}
	if calls := run(t, "", "tap", "--replay", file, "--full", "--calls"); withoutTimes(calls.out) != tappedCalls {
		t.Errorf("the calls were\n%s\nwant\n%s", withoutTimes(calls.out), tappedCalls)
	}
	_, events, _ := bytes.Cut(recorded, []byte("\n"))
	if objects := run(t, "", "--json", "tap", "--replay", file); objects.out != string(events) {
		t.Errorf("as JSON it was\n%s\nwant\n%s", objects.out, events)
	}
	if few := run(t, "", "tap", "--replay", file, "--action", "chat.*", "--status", "ok"); strings.Count(few.out, "\n") != 1 {
		t.Errorf("a filter picked\n%s", few.out)
	}
}

// With a key of its own the tap looks into TLS, and tells clients what to know it by.
func TestTapTLS(t *testing.T) {
	folder := t.TempDir()
	key := func(name string) string {
		path := filepath.Join(folder, name)
		if made := run(t, "", "keygen", "--bits", "2048", path); made.status != 0 {
			t.Fatal(made.diagnostics)
		}
		return path
	}
	serverKey, tapKey := key("server"), key("tap")
	private, err := seal.ReadPrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	room, _ := serve(t, server.WithKey(private))
	file := filepath.Join(folder, "recording")
	p := startTap(t, "--calls", "--full", "--record", file, "--key", tapKey, "--server-key", serverKey+".pub", room)
	if called := run(t, "", "call", p.address, "Send", `{"text":"hello"}`, "--server-key", tapKey+".pub"); called.status != 0 {
		t.Errorf("calling through the tap: %+v", called)
	}
	if called := run(t, "", "call", p.address, "Send", `{"text":"hello"}`, "--server-key", serverKey+".pub"); called.status != 3 {
		t.Errorf("a client that does not know the tap: %+v", called)
	}
	waitForRecord(t, file, `"kind":"failed"`)
	shown := p.end()
	public, err := seal.ReadPublicKey(tapKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	print := seal.Fingerprint(public)
	if !strings.Contains(shown, `{"text":"hello"} ⇒ {"number":5}`) || !strings.Contains(shown, "it must know the tap by the key "+print) {
		t.Errorf("shown was\n%s", shown)
	}
	if !strings.Contains(p.rest.String(), print) {
		t.Errorf("the tap said\n%s", p.rest.String())
	}
}

// A server that tells nothing, or is not there, can be tapped all the same.
func TestTapWithoutReflection(t *testing.T) {
	room, _ := serve(t, server.WithoutReflection())
	for _, test := range []struct {
		name, server, note string
	}{
		{"switched off", room, "data in the binary form is shown without names: " + room + " does not tell"},
		{"not there", "127.0.0.1:1", "data in the binary form is shown without names: unavailable: 127.0.0.1:1 cannot be reached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startTap(t, test.server)
			p.end()
			if !strings.HasPrefix(strings.Join(p.notes, "\n"), test.note) {
				t.Errorf("the tap said %q, want %q", p.notes, test.note)
			}
		})
	}
}

func TestTapRefuses(t *testing.T) {
	room, _ := serve(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, room, []step{
		{name: "two addresses", args: []string{"tap", "127.0.0.1:1"}, status: 2, diagnostics: "takes the arguments [ADDR]"},
		{name: "a status", args: []string{"tap", "--status", "bad"}, status: 2, diagnostics: "--status is ok, error or a code"},
		{name: "a kind", args: []string{"tap", "--kind", "reply"}, status: 2, diagnostics: "--kind is one of request, one-way"},
		{name: "no pin", args: []string{"tap", "--key", file}, status: 1, diagnostics: "file"},
		{name: "an address for a file", args: []string{"tap", "--replay", file}, status: 2, diagnostics: "goes with neither an address"},
		{name: "a file that exists", args: []string{"tap", "--listen", "127.0.0.1:0", "--record", file}, status: 1, diagnostics: "exists"},
		{name: "an address in use", args: []string{"tap", "--listen", room}, status: 2, diagnostics: "cannot listen at " + room},
		{name: "beyond this machine", args: []string{"tap", "--listen", "0.0.0.0:0"}, status: 1, diagnostics: "--allow-plaintext"},
	})
	for _, s := range []step{
		{name: "no address", args: []string{"tap", "room"}, status: 2, diagnostics: "takes the arguments [ADDR]"},
		{name: "no recording", args: []string{"tap", "--replay", file}, status: 1, diagnostics: "file: line 1: no recording of packetrpc tap"},
		{name: "no file", args: []string{"tap", "--replay", file + "2"}, status: 1, diagnostics: "no such file"},
	} {
		t.Run(s.name, func(t *testing.T) { s.verify(t, run(t, s.input, s.args...)) })
	}
}
