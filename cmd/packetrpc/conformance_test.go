package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConformance: the flags pick cases, and what fails makes the command fail.
func TestConformance(t *testing.T) {
	folder := t.TempDir()
	peer := filepath.Join(folder, "peer")
	if out, err := exec.Command("go", "build", "-o", peer, "../../internal/conformance/peer").CombinedOutput(); err != nil {
		t.Fatalf("building the peer: %v\n%s", err, out)
	}
	known := filepath.Join(folder, "known")
	if err := os.WriteFile(known, []byte("# what is yet to do\ncalls/token/json\ncalls/token/binary # this too\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good, bad := []string{"--", peer}, []string{"--", peer, "--broken", "no-token"}
	for _, test := range []struct {
		name      string
		flags     []string
		command   []string
		want, err string // parts of them; no err is success
	}{
		{"passes", []string{"--run", "^calls/token/"}, good, "2 passed, 0 failed", ""},
		{"as the server", []string{"--role", "server", "--run", "^serve/unary/"}, good, "2 passed, 0 failed", ""},
		{"fails", []string{"--run", "^calls/token/"}, bad, "without the session's token (section 7)", "0 passed, 2 failed"},
		{"known", []string{"--run", "^calls/token/", "--known-failing", known}, bad, "2 failed as known", ""},
		{"known and passes", []string{"--run", "^calls/token/", "--known-failing", known}, good, "take it off the list", "2 passed against known"},
		{"as JSON", []string{"--run", "^calls/token/json", "--json"}, good, `{"case":"calls/token/json","section":"7","result":"passed"}`, ""},
		{"list", []string{"--list"}, nil, "| `calls/token` | binary, json |", ""},
		{"nothing to run", []string{"--run", "no-such-case"}, good, "", "no case was run"},
		{"no command", nil, nil, "", "takes a command"},
		{"no such command", nil, []string{"--", filepath.Join(folder, "nothing")}, "", "cannot be started"},
		{"no such role", []string{"--role", "proxy"}, good, "", `not "proxy"`},
		{"wrong pattern", []string{"--run", "("}, good, "", "--run"},
		{"no subset", nil, []string{"--", "true"}, "", "declare"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			command := newCommand()
			command.Writer = &out
			err := command.Run(t.Context(), append(append([]string{"packetrpc", "conformance"}, test.flags...), test.command...))
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got the error %v, want %q", err, test.err)
			}
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("got %s, want %s in it", out.String(), test.want)
			}
		})
	}
}
