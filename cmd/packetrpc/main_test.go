package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitStatus(t *testing.T) {
	folder := t.TempDir()
	users, absent := filepath.Join(folder, "users"), filepath.Join(folder, "absent")
	for _, s := range []step{
		{"nothing", nil, "", 0, "NAME:\n   packetrpc - …", ""},
		{"the version", []string{"--version"}, "", 0, "packetrpc version …", ""},
		{"no such command", []string{"frobnicate"}, "", 2, "", "packetrpc: there is no command `packetrpc frobnicate`: `packetrpc help` lists all\n"},
		{"no such flag", []string{"keygen", "--bit", "4096", "x"}, "", 2, "", "not defined: -bit; see `packetrpc keygen --help`\n"},
		{"as JSON", []string{"--json", "keygen"}, "", 2, "", `{"code":"invalid_argument","message":"keygen takes one NAME, `},
		{"no such file", []string{"users", "list", absent}, "", 1, "", "no such file"},
		{"add a user", []string{"users", "add", users, "ada", "--role", "admin"}, "secret\n", 0, "", ""},
		{"list users", []string{"users", "list", users, "--json"}, "", 0, `{"name":"ada","roles":["admin"]}` + "\n", ""},
		{"make a key", []string{"keygen", "--bits", "2048", "--json", filepath.Join(folder, "key")}, "", 0, `{"fingerprint":"SHA256:…`, ""},
		{"conformance", []string{"conformance", "--role", "x", "--", "y"}, "", 2, "", "--role is client or server"},
	} {
		t.Run(s.name, func(t *testing.T) { s.verify(t, run(t, s.input, s.args...)) })
	}
}

// All commands stand in the document.
func TestDocumentNamesCommands(t *testing.T) {
	document, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(document), "COMMAND --help")
	_, table, _ = strings.Cut(table, "| command |")
	_, commands, _ := strings.Cut(run(t, "", "--help").out, "COMMANDS:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	if commands == "" || table == "" {
		t.Fatalf("found no commands: %q, %q", commands, table)
	}
	for line := range strings.Lines(commands) {
		if name := strings.Trim(strings.Fields(line)[0], ","); name != "help" && !strings.Contains(table, "`"+name+"`") {
			t.Errorf("docs/cli.md does not have the command %s in its table", name)
		}
	}
}

// All exit codes stand in the help.
func TestHelpTellsExitCodes(t *testing.T) {
	got := run(t, "", "--help")
	for _, want := range []string{"EXIT CODES", "2       the command line", "64 + N", "80 unauthenticated"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the help does not have %q:\n%s", want, got.out)
		}
	}
}
