package main_test

import (
	"bufio"
	"path/filepath"
	"strings"
	"testing"
)

// startChat starts the server of examples/chat, and returns its address.
func startChat(t *testing.T, args ...string) (address string) {
	t.Helper()
	chat := filepath.Join(t.TempDir(), "chat.exe")
	in(t, repository, nil, "go", "build", "-o", chat, "./examples/chat")
	command := newProcess(t, nil)
	command.Path, command.Args = chat, append([]string{"chat", "server", "-listen", "127.0.0.1:0"}, args...)
	printed, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(printed)
	for line, err := lines.ReadString('\n'); ; line, err = lines.ReadString('\n') {
		if err != nil {
			t.Fatal("the chat room does not open")
		}
		if _, after, opens := strings.Cut(line, "the chat room is open at tcp "); opens {
			address, _, _ = strings.Cut(after, ";")
			break
		}
	}
	read := make(chan struct{})
	go func() { // what else it prints must not stop it
		defer close(read)
		for _, err := lines.ReadString('\n'); err == nil; _, err = lines.ReadString('\n') {
		}
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-read
		command.Wait()
	})
	return address
}

func TestCallTheChat(t *testing.T) {
	k := newKeys(t)
	check(t, startChat(t), []step{
		{"send", []string{"call", "Send", `{"text":"hello"}`, "--user", "ada"}, "", 0, "{\n  \"number\": 1\n}\n", ""},
		{"too long", []string{"call", "Send", `{"text":""}`}, "", 67, "", "  detail: {\"@type\":\"type.googleapis.com/chat.v1.TextProblem\",\"maxLength\":1000}\n"},
		{"history", []string{"call", "History", `{"limit":1}`}, "", 0, `{"message":{"number":1,"name":"ada","text":"hello","time":"…`, ""},
		{"import", []string{"call", "Import", "--json"}, `{"text":"a"} {"text":"b"}`, 0, `{"count":2}` + "\n", ""},
		{"talk", []string{"call", "Talk", `{"text":"two words"}`}, "", 0, `{"text":"words in that: 2"}` + "\n", ""},
		{"whisper", []string{"call", "Whisper", `{"to":"ada","text":"psst"}`}, "", 73, "", "is sealed: there is no key of the other side"},
	})
	check(t, startChat(t, "-key", k.at("server"), "-users", k.at("users")), []step{
		{"whisper to nobody", []string{"call", "Whisper", `{"to":"eve","text":"psst"}`, "--server-key", k.at("server.pub"), "--key", k.at("ada"),
			"--user", "bob", "--password-file", k.at("password")}, "", 69, "", "packetrpc: not_found: "},
	})
}
