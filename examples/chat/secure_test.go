package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The keys and the users are made by the command line, as by hand.
func TestRunSecure(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two programs")
	}
	command := exec.CommandContext(within(t), "make", "-s", "-C", "../..", "run-secure")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	got := regexp.MustCompile(`SHA256:[A-Za-z0-9+/]{43}`).ReplaceAllString(string(output), "SHA256:KEY")
	for _, want := range []string{
		"$ packetrpc keygen server\nprivate key  server\npublic key   server.pub\nfingerprint  SHA256:KEY\n",
		"$ packetrpc users list users\nbob  \n",
		"  ada and bob hear: ada: hello, bob\n",
		"  eve, who does not encrypt: failed_precondition: this server takes encrypted connections only (client.WithServerKey)\n",
		"  eve, who guesses bob's password: unauthenticated: the name or the password is wrong\n",
		"  eve, who says that she is ada: unauthenticated: the name or the password is wrong\n",
		"  a client that meets another server refuses it: unauthenticated: the server at ADDRESS has the key SHA256:…, not the pinned SHA256:KEY of server.pub",
		`  bob is told: permission_denied: action CoreDisconnect needs the role "admin"` + "\n",
		"  the server knows ada by her key: ada, roles [admin], encrypted: true\n",
		"  bob alone hears: ada whispers: the cake is in the cellar\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestWrongKeyrings(t *testing.T) {
	empty := t.TempDir()
	for _, test := range []struct{ args, want string }{
		{"demo --secure " + empty, "server.pub"},
		{"server --key " + empty, "no regular file"},
		{"server --users " + empty + "/users", "no such file"},
		{"server --authorized-keys " + empty + "/keys", "no such file"},
		{"client --name ada --key x", "--server-key"},
		{"client --name ada --server-key x --key " + empty + "/ada", "ada"},
		{"client --name ada --password-file " + empty + "/none", "no such file"},
	} {
		err := run(within(t), strings.Fields(test.args), strings.NewReader(""), new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("chat %s: %v, want %q", test.args, err, test.want)
		}
	}
}
