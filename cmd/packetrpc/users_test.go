package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// runUsers runs `packetrpc users` with an input, and returns what it prints.
func runUsers(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	var output bytes.Buffer
	command := newCommand()
	command.Reader, command.Writer, command.ErrWriter = strings.NewReader(input), &output, &output
	err := command.Run(t.Context(), append([]string{"packetrpc", "users"}, args...))
	return output.String(), err
}

func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.txt")
	for _, step := range []struct {
		input string
		args  []string
		want  string // the output
		fails string // a part of the error; "" is none
	}{
		{"", []string{"list", path}, "", "no such file"},
		{"", []string{"remove", path, "ada"}, "", "no such file"},
		{"secret\n", []string{"add", path, "ada", "--role", "admin", "--role", "may chat"}, "", ""},
		{"better\r\nmore\n", []string{"add", "--role", "mod", path, "Bob B."}, "", ""},
		{"no end", []string{"add", path, "--", "-eve-"}, "", ""},
		{"", []string{"list", path}, "ada     admin,may chat\nBob B.  mod\n-eve-   \n", ""},
		{"other\n", []string{"add", path, "ada"}, "", `has a user "ada" already: ` + "`packetrpc users passwd`"},
		{"\n", []string{"add", path, "fay"}, "", "the password is empty"},
		{"", []string{"add", path, "fay"}, "", "the password is empty"},
		{strings.Repeat("x", 5000), []string{"add", path, "fay"}, "", "the password has more than 1024 bytes"},
		{"secret\n", []string{"add", path, "f:ay"}, "", "the name has the character :"},
		{"secret\n", []string{"add", path, "fay", "--role", ""}, "", "a role is empty"},
		{"secret\n", []string{"add", path}, "", "`packetrpc users add` takes the arguments FILE NAME"},
		{"secret\n", []string{"add", path, "fay", "secret"}, "", "takes the arguments FILE NAME"},
		{"other\n", []string{"passwd", path, "fay"}, "", `has no user "fay"`},
		{"\n", []string{"passwd", path, "ada"}, "", "the password is empty"},
		{"other\n", []string{"passwd", path, "ada"}, "", ""},
		{"", []string{"roles", path, "ada", "mod", "admin"}, "", ""},
		{"", []string{"roles", path, "Bob B."}, "", ""},
		{"", []string{"roles", path, "fay", "mod"}, "", `has no user "fay"`},
		{"", []string{"roles", path}, "", "takes the arguments FILE NAME [ROLE]…"},
		{"", []string{"remove", path, "--", "-eve-"}, "", ""},
		{"", []string{"remove", path, "-eve-x"}, "", "flag provided but not defined"},
		{"", []string{"remove", path, "eve"}, "", `has no user "eve"`},
		{"", []string{"list", path}, "ada     mod,admin\nBob B.  \n", ""},
		{"", []string{"list"}, "", "takes the arguments FILE"},
		{"", []string{"show", path}, "", "there is no command `packetrpc users show`"},
	} {
		got, err := runUsers(t, step.input, step.args...)
		switch {
		case step.fails == "" && (err != nil || got != step.want):
			t.Errorf("%q: printed %q, error %v; want %q", step.args, got, err, step.want)
		case step.fails != "" && (err == nil || !strings.Contains(err.Error(), step.fails)):
			t.Errorf("%q: got the error %v, want one with %q", step.args, err, step.fails)
		case err != nil && strings.Contains(err.Error(), "_"):
			t.Errorf("%q: the error begins with a code: %v", step.args, err)
		}
	}
	checkPassword(t, path, "ada", "other")
	checkPassword(t, path, "Bob B.", "better")
}

func TestUsersAuthorize(t *testing.T) {
	folder := t.TempDir()
	keys, public := filepath.Join(folder, "keys"), filepath.Join(folder, "ada.pub")
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.WriteKeyPair(filepath.Join(folder, "ada"), key); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ args, fails string }{
		{"authorize " + keys + " ada " + public + " --role admin", ""},
		{"authorize " + keys + " bob " + public, `is that of "ada"`},
		{"authorize " + keys + " bob " + folder + "/none", "no such file"},
		{"authorize " + keys + " bob " + folder + "/ada", "PRIVATE KEY"},
		{"authorize " + keys + " bob", "takes the arguments KEYSFILE NAME PUBLICKEY"},
	} {
		_, err := runUsers(t, "", strings.Fields(step.args)...)
		if step.fails == "" && err != nil || step.fails != "" && (err == nil || !strings.Contains(err.Error(), step.fails)) {
			t.Errorf("%s: %v, want %q", step.args, err, step.fails)
		}
	}
	known, err := users.OpenKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := known.Authenticate(t.Context(), session.Credentials{PublicKey: &key.PublicKey})
	if err != nil || identity.Name != "ada" || !identity.HasRole("admin") {
		t.Errorf("the key is that of %v, %v", identity, err)
	}
}

func TestUsersOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are not looked at on Windows")
	}
	path := filepath.Join(t.TempDir(), "users.txt")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	_, err := runUsers(t, "secret\n", "add", path, "ada")
	if err == nil || !strings.Contains(err.Error(), "run `chmod 600 "+path+"`") {
		t.Errorf("got the error %v", err)
	}
}

func TestUsersHelp(t *testing.T) {
	got, err := runUsers(t, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"add", "remove", "list", "passwd", "roles"} {
		if !strings.Contains(got, "\n   "+want+" ") {
			t.Errorf("the help does not have %q:\n%s", want, got)
		}
	}
}

func TestUsersBinary(t *testing.T) {
	folder := t.TempDir()
	binary, path := filepath.Join(folder, "packetrpc.exe"), filepath.Join(folder, "users.txt")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	run := func(input string, args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), binary, append([]string{"users"}, args...)...)
		command.Stdin = strings.NewReader(input)
		output, err := command.CombinedOutput()
		return string(output), err
	}
	if output, err := run("secret\n", "add", path, "ada", "--role", "admin"); err != nil || output != "" {
		t.Errorf("add: error %v, output:\n%s", err, output)
	}
	if output, err := run("", "list", path); err != nil || output != "ada  admin\n" {
		t.Errorf("list: error %v, output:\n%s", err, output)
	}
	if output, err := run("", "passwd", path, "ada"); err == nil || !strings.HasPrefix(output, "packetrpc: the password is empty") {
		t.Errorf("passwd: error %v, output:\n%s", err, output)
	}
	checkPassword(t, path, "ada", "secret")
}

func checkPassword(t *testing.T, path, name, password string) {
	t.Helper()
	file, err := users.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := file.Authenticate(t.Context(), session.Credentials{Username: name, Password: password})
	if err != nil || identity.Name != name {
		t.Errorf("%q with %q: got %v, error %v", name, password, identity, err)
	}
	if _, err := file.Authenticate(t.Context(), session.Credentials{Username: name, Password: "wrong"}); packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
		t.Errorf("%q with another password: got the error %v", name, err)
	}
}
