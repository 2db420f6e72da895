package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/server"
)

// completions returns what a shell is told that may come next.
func completions(t *testing.T, args ...string) []string {
	t.Helper()
	got := run(t, "", append(args, "--generate-shell-completion")...)
	if got.status != 0 || got.diagnostics != "" {
		t.Errorf("%q: got %+v", args, got)
	}
	return strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
}

func TestCompletion(t *testing.T) {
	address, g := serveAGuest(t)
	host, port, _ := strings.Cut(address, ":")
	for _, test := range []struct {
		args []string
		want string
		no   string
	}{
		{[]string{}, "ping:call a server", "CorePing"},
		{[]string{"call", address}, "chat.v1.ChatService/Send:unary", "chat.v1.ChatEvents"},
		{[]string{"call", host, ":", port}, "chat.v1.ChatService/Send:unary", "chat.v1.ChatEvents"}, // as bash takes it apart
		{[]string{"call", "--user", "=", "root", host, ":", port}, "chat.v1.ChatService/Send:unary", "chat.v1.ChatEvents"},
		{[]string{"call", address, "--seal"}, "--seal-to:", "chat"},
		{[]string{"call", address, "chat.v1.ChatService/Send"}, "", "chat"},
		{[]string{"call", "127.0.0.1:1"}, "", "chat"},
		{[]string{"call", address, "--password-prompt"}, "", "chat"},
		{[]string{"describe", address}, "chat.v1.ChatService:service", "chat.v1.ChatEvents"},
		{[]string{"list", address}, "chat.v1.ChatService:service", "Send"},
		{[]string{"health", address}, "packetrpc.v1.CoreService:service", "Send"},
		{[]string{"broadcast", address}, "chat.v1.ChatEvents/Joined:one-way", "Service"},
		{[]string{"send", address}, g.ID() + ":ada", "chat"},
		{[]string{"send", address, g.ID()}, "chat.v1.ChatEvents/Joined:one-way", "Service"},
		{[]string{"disconnect", address}, g.ID() + ":ada", "chat"},
	} {
		got := completions(t, test.args...)
		begins := func(with string) bool {
			return slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, with) })
		}
		if test.want != "" && !begins(test.want) || begins(test.no) {
			t.Errorf("%q is completed to %q, want %q and no %q", test.args, got, test.want, test.no)
		}
	}
}

func TestCompletionWithoutReflection(t *testing.T) {
	address, _ := serve(t, server.WithoutReflection())
	if got := completions(t, "call", address); !slices.Contains(got, "chat.v1.ChatService/Send:unary") {
		t.Errorf("got %q", got)
	}
	if got := completions(t, "broadcast", address); len(got) != 1 || got[0] != "" {
		t.Errorf("got %q", got)
	}
}

// Each shell completes an action with its script.
func TestCompletionInShells(t *testing.T) {
	address, _ := serve(t)
	host, port, _ := strings.Cut(address, ":")
	for _, test := range []struct{ shell, needs, script string }{
		{"bash", "/usr/share/bash-completion/bash_completion", `
source /usr/share/bash-completion/bash_completion
source <(packetrpc completion bash)
COMP_WORDS=(packetrpc call ` + host + " : " + port + ` chat.v1.ChatService/Se) COMP_CWORD=5
COMP_LINE="packetrpc call ` + address + ` chat.v1.ChatService/Se" COMP_POINT=${#COMP_LINE}
__packetrpc_bash_autocomplete
printf '%s\n' "${COMPREPLY[@]}"`},
		{"fish", "", `packetrpc completion fish | source; complete -C "packetrpc call ` + address + ` chat.v1.ChatService/Se"`},
		{"zsh", "", `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -U compinit && compinit -u -D; source <(packetrpc completion zsh); echo rea''dy'
zpty -r shell text '*ready*'
zpty -w -n shell $'packetrpc call ` + address + ` chat.v1.ChatService/Se\t'
zpty -r shell text '*Send*'
print -r -- $text`},
	} {
		t.Run(test.shell, func(t *testing.T) {
			shell, err := exec.LookPath(test.shell)
			if _, missing := os.Stat(test.needs); err != nil || test.needs != "" && missing != nil {
				t.Skip(test.shell + " is not installed, or its completion is not")
			}
			command := newProcess(t, nil)
			command.Path, command.Args = shell, []string{test.shell, "-c", test.script}
			command.Env = append(command.Env, "PATH="+programFolder(t)+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+t.TempDir())
			if output, err := command.CombinedOutput(); err != nil || !strings.Contains(string(output), "chat.v1.ChatService/Send") {
				t.Errorf("got %v, %s", err, output)
			}
		})
	}
}

// programFolder returns a folder with the program under the name that scripts call it by.
func programFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Symlink(program, filepath.Join(folder, "packetrpc")); err != nil {
		t.Skip(err)
	}
	return folder
}
