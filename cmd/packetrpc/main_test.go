package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestExitStatus(t *testing.T) {
	folder := t.TempDir()
	users, absent := filepath.Join(folder, "users"), filepath.Join(folder, "absent")
	for _, s := range []step{
		{"nothing", nil, "", 0, "NAME:\n   packetrpc - …", ""},
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

// All exit codes stand in the help.
func TestHelpTellsExitCodes(t *testing.T) {
	got := run(t, "", "--help")
	for _, want := range []string{"EXIT CODES", "2       the command line", "64 + N", "80 unauthenticated"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the help does not have %q:\n%s", want, got.out)
		}
	}
}
