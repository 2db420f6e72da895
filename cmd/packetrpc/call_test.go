package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

func TestCall(t *testing.T) {
	address, _ := serve(t)
	file := filepath.Join(t.TempDir(), "lines.json")
	if err := os.WriteFile(file, []byte("{\"text\":\"a\"}\n{\"text\":\"b\"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	const wanted = "\nwanted is {\"text\":\"\"}\n"
	check(t, address, []step{
		{"unary", []string{"call", "chat.v1.ChatService/Send", `{"text":"hello"}`}, "", 0, "{\n  \"number\": 5\n}\n", ""},
		{"as JSON", []string{"call", "--json", "Send", `{"text":"hello"}`}, "", 0, "{\"number\":5}\n", ""},
		{"from the input", []string{"call", "ChatService/Send", "-"}, `{"text":"hi"}`, 0, "{\n  \"number\": 2\n}\n", ""},
		{"without input", []string{"call", "Who", "--json"}, `{"text":"hi"}`, 0, `{"people":[{"name":"Ada","status":"<here>"}]}` + "\n", ""},
		{"one-way", []string{"call", "Typing"}, "", 0, "", ""},
		{"server stream", []string{"call", "History", `{"limit":3}`}, "", 0,
			`{"message":{"number":1}}` + "\n" + `{"message":{"number":2}}` + "\n" + `{"message":{"number":3}}` + "\n", ""},
		{"server stream that fails", []string{"call", "History", `{"limit":2}`}, "", 79, `{"message":{"number":1}}` + "\n…", "packetrpc: data_loss: the rest is lost"},
		{"client stream", []string{"call", "Import", "@" + file}, "", 0, "{\n  \"count\": 2\n}\n", ""},
		{"client stream of nothing", []string{"call", "Import", "--json"}, "", 0, "{}\n", ""},
		{"client stream that is wrong", []string{"call", "Import", "-"}, `{"text":"a"} {"txt":"b"}`, 2, "", `packetrpc: message 2 of the input is no chat.v1.ImportRequest: (line 1:2): unknown field "txt"` + wanted},
		{"client stream that is no JSON", []string{"call", "Import", "-"}, `{"text":"a"} {"text":b}`, 2, "", `packetrpc: message 2 of the input is no chat.v1.ImportRequest: invalid character 'b'`},
		{"bidi stream", []string{"call", "Talk"}, `{"text":"a"} {"text":"b"}`, 0, "{\"text\":\"A\"}\n{\"text\":\"B\"}\n", ""},
		{"bidi stream that fails", []string{"call", "Talk"}, `{"text":"bye"} {"text":"b"}`, 74, "", "packetrpc: aborted: bye"},
		{"a Core action", []string{"call", "--json", "CorePing", `{"text":"hi"}`}, "", 0, `{"text":"hi","time":…`, ""},
		{"JSON packets", []string{"call", "--json-form", "--json", "Send", `{"text":"hello"}`}, "", 0, "{\"number\":5}\n", ""},
		{"metadata", []string{"call", "Send", `{"text":"hi"}`, "-v", "-m", "language=en, de"}, "", 0, "{\n  \"number\": 2\n}\n", "language: en, de\n"},
		{"metadata, as JSON", []string{"call", "Send", `{"text":"hi"}`, "-v", "--metadata", "language=en", "--json"}, "", 0, "{\"number\":2}\n", `{"metadata":{"language":["en"]}}` + "\n"},
		{"a deadline", []string{"call", "Send", `{"text":"slow"}`, "--deadline", "50ms"}, "", 68, "", "packetrpc: deadline_exceeded: "},
		{"from a file of .proto", []string{"call", "--json", "Send", `{"text":"hello"}`, "--proto", chatProto}, "", 0, "{\"number\":5}\n", ""},

		{"fails", []string{"call", "Send"}, "", 67, "",
			"packetrpc: invalid_argument: there is no text\n  detail: {\"@type\":\"type.googleapis.com/chat.v1.TextProblem\",\"maxLength\":9}\n"},
		{"fails, as JSON", []string{"call", "Send", "--json"}, "", 67, "",
			`{"code":"invalid_argument","message":"there is no text","details":[{"@type":"type.googleapis.com/chat.v1.TextProblem","maxLength":9}]}` + "\n"},
		{"later", []string{"call", "Send", `{"text":"later"}`}, "", 72, "", "packetrpc: resource_exhausted: too many texts\n  retry after 1.5s\n"},
		{"later, as JSON", []string{"call", "Send", `{"text":"later"}`, "--json"}, "", 72, "", `"retry_after":1.5}`},
		{"not handled, one-way", []string{"call", "Posted", `{}`}, "", 76, "", " does not handle chat.v1.ChatEvents/Posted; `packetrpc send` and `broadcast` push to clients\n"},
		{"not handled, unary", []string{"call", "Status"}, "", 76, "", "packetrpc: unimplemented: "},
		{"not sealed", []string{"call", "Whisper"}, "", 73, "", "--seal-to"},

		{"no action", []string{"call"}, "", 2, "", "`packetrpc call` takes the arguments [ADDR] ACTION [JSON|@FILE|-]"},
		{"unknown action", []string{"call", "chat.v1.ChatService/Sned"}, "", 2, "", `there is no action "chat.v1.ChatService/Sned"; the nearest is chat.v1.ChatService/Send`},
		{"unknown short action", []string{"call", "histroy"}, "", 2, "", "the nearest is chat.v1.ChatService/History\n"},
		{"half of an action", []string{"call", "Hist"}, "", 2, "", "the nearest is chat.v1.ChatService/History\n"},
		{"without the service", []string{"call", "chat.v1.Send"}, "", 2, "", "the nearest is chat.v1.ChatService/Send\n"},
		{"unlike any action", []string{"call", "Frobnicate"}, "", 2, "", "`packetrpc list` shows all"},
		{"no JSON", []string{"call", "Send", "hello"}, "", 2, "", "the input is no chat.v1.SendRequest: invalid character 'h'"},
		{"no object", []string{"call", "Send", `"hello"`}, "", 2, "", "the input is no chat.v1.SendRequest: "},
		{"half a JSON", []string{"call", "Send", `{"text":`}, "", 2, "", "packetrpc: the input is no chat.v1.SendRequest: unexpected EOF" + wanted},
		{"an unknown field", []string{"call", "Send", `{"txt":"hello"}`}, "", 2, "", `unknown field "txt"` + wanted},
		{"a wrong type", []string{"call", "Send", `{"text":1}`}, "", 2, "", "invalid value for string"},
		{"nothing", []string{"call", "Send", "-"}, "", 2, "", "it is empty" + wanted},
		{"too much", []string{"call", "Send", `{"text":"a"}{"text":"b"}`}, "", 2, "", "takes one request"},
		{"no file", []string{"call", "Send", "@" + file + "x"}, "", 1, "", "no such file"},
		{"wrong metadata", []string{"call", "Send", "-m", "language"}, "", 2, "", "it is not KEY=VALUE; see `packetrpc call --help`"},
		{"wrong key of metadata", []string{"call", "Send", "-m", "a b=c"}, "", 2, "", `"a b" is no key`},
	})
}

// Replies come while the input is still being written.
func TestCallTalksInteractively(t *testing.T) {
	address, _ := serve(t)
	command := newProcess(t, nil, "call", address, "Talk")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	replies := bufio.NewReader(out)
	for _, text := range []string{"one", "two"} {
		fmt.Fprintf(in, "{\"text\":%q}\n", text)
		want := fmt.Sprintf("{\"text\":%q}\n", strings.ToUpper(text))
		if got, err := replies.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(replies); err != nil || len(rest) > 0 {
		t.Errorf("then came %q, %v", rest, err)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// A call that the server ends does not wait for more input.
func TestCallEndsWithTheServer(t *testing.T) {
	address, _ := serve(t)
	input, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	defer held.Close()
	fmt.Fprintln(held, `{"text":"bye"}`)
	if got := runWith(t, nil, input, "call", address, "Talk"); got.status != 74 {
		t.Errorf("got %+v", got)
	}
}

// An interrupt ends a call that waits for its input.
func TestCallInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs cannot be interrupted by others on Windows")
	}
	connected := make(chan struct{}, 1)
	address, _ := serve(t, server.WithConnected(func(packetrpc.Peer) { connected <- struct{}{} }))
	command := newProcess(t, nil, "call", address, "Send", "-")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-connected
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	command.Wait()
	if got := command.ProcessState.ExitCode(); got != 65 && got != 3 { // 3 if it had not been told yet that it is connected
		t.Errorf("exited with %d", got)
	}
}

func TestCallWithoutReflection(t *testing.T) {
	address, _ := serve(t, server.WithoutReflection())
	const hidden = " does not tell what there is to call (--proto FILE does): "
	check(t, address, []step{
		{"not told", []string{"call", "Send", `{"text":"hello"}`}, "", 76, "", hidden + "unimplemented: reflection is switched off here (server.WithoutReflection)"},
		{"from a file", []string{"call", "Send", `{"text":"hello"}`, "--json", "--proto", chatProto}, "", 0, "{\"number\":5}\n", ""},
		{"a Core action", []string{"call", "--json", "CorePing", `{"text":"hi"}`}, "", 0, `{"text":"hi","time":…`, ""},
	})
	guarded, _ := serve(t, server.WithReflectionRole("admin"), server.WithRoles("root", "admin"))
	check(t, guarded, []step{
		{"a role is needed", []string{"call", "Send", `{"text":"hello"}`}, "", 71, "", hidden + "permission_denied: "},
		{"the role is there", []string{"call", "--json", "--user", "root", "Send", `{"text":"hello"}`}, "", 0, "{\"number\":5}\n", ""},
	})
}

func TestCallSealed(t *testing.T) {
	k := newKeys(t)
	srv := server.New(server.WithKey(k.server), server.AllowPlaintext(), server.WithAuthenticator(anybody{}))
	address := serveOn(t, srv)
	for name, flags := range map[string][]string{
		"encrypted":     {"--server-key", k.at("server.pub"), "--key", k.at("ada")},
		"not encrypted": {"--seal-to", k.at("server.pub"), "--key", k.at("ada")},
	} {
		args := append([]string{"call", "Whisper", `{"to":"Bob"}`}, flags...)
		check(t, address, []step{{name, args, "", 69, "", "packetrpc: not_found: there is no Bob"}})
	}
}

// anybody lets everybody in.
type anybody struct{}

func (anybody) Authenticate(context.Context, session.Credentials) (packetrpc.Identity, error) {
	return packetrpc.Identity{}, nil
}

func TestCallShowsProgressAtATerminal(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script is not installed, which makes a terminal")
	}
	address, _ := serve(t)
	replies := filepath.Join(t.TempDir(), "replies")
	line := fmt.Sprintf("'%s' call %s History '{\"limit\":1000}' > '%s'", program, address, replies)
	output, err := exec.CommandContext(t.Context(), script, "-qec", line, os.DevNull).CombinedOutput()
	if err != nil || !strings.Contains(string(output), "sent 0, received 1000 in ") {
		t.Errorf("got %q, %v", output, err)
	}
	if text, err := os.ReadFile(replies); err != nil || strings.Count(string(text), "\n") != 1000 {
		t.Errorf("got %d bytes of replies, %v", len(text), err)
	}
}
