package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// runKeygen runs the command and returns what it prints.
func runKeygen(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var printed bytes.Buffer
	command := newCommand()
	command.Writer, command.ErrWriter = &printed, &printed
	err := command.Run(t.Context(), append([]string{"packetrpc", "keygen"}, args...))
	return printed.String(), err
}

// checkPair checks that there is a pair of keys, and that it was told of.
func checkPair(t *testing.T, name string, bits int, printed string) {
	t.Helper()
	key, err := seal.ReadPrivateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	public, err := seal.ReadPublicKey(name + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if got := key.N.BitLen(); got != bits || !seal.SameKey(public, &key.PublicKey) {
		t.Errorf("the key has %d bits, want %d, or is not one with the public key", got, bits)
	}
	want := "private key  " + name + "\npublic key   " + name + ".pub\nfingerprint  " + seal.Fingerprint(public) + "\n"
	if printed != want {
		t.Errorf("printed\n%s\nwant\n%s", printed, want)
	}
}

func TestKeygen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	printed, err := runKeygen(t, "--bits", "2048", name)
	if err != nil {
		t.Fatal(err)
	}
	checkPair(t, name, 2048, printed)
}

func TestKeygenRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"taken", "half.pub"} {
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args []string
		code packetrpc.Code
		want string
	}{
		{nil, packetrpc.CodeUnknown, "keygen takes one NAME"},
		{[]string{""}, packetrpc.CodeUnknown, "keygen takes one NAME"},
		{[]string{at("a"), at("b")}, packetrpc.CodeUnknown, "keygen takes one NAME"},
		{[]string{"--bits", "1024", at("a")}, packetrpc.CodeInvalidArgument, "1024 bits is too small: it has at least 2048"},
		{[]string{"--bits", "65536", at("a")}, packetrpc.CodeInvalidArgument, "65536 bits is too large: it has at most 8192"},
		{[]string{"--bits", "many", at("a")}, packetrpc.CodeUnknown, `invalid value "many" for flag -bits`},
		{[]string{"--bits", "2048", at("taken")}, packetrpc.CodeAlreadyExists, "taken exists"},
		{[]string{"--bits", "2048", at("half")}, packetrpc.CodeAlreadyExists, "half.pub exists"},
		{[]string{"--bits", "2048", at("no/key")}, packetrpc.CodeNotFound, "no such file or directory"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			_, err := runKeygen(t, test.args...)
			if packetrpc.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %v: %q", err, test.code, test.want)
			}
		})
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left %v (%v), want only what was there before", left, err)
	}
}

func TestKeygenAsProgram(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "packetrpc.exe")
	if output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	name := filepath.Join(dir, "key")
	keygen := exec.Command(program, "keygen", name)
	var complaint bytes.Buffer
	keygen.Stderr = &complaint
	printed, err := keygen.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	checkPair(t, name, seal.DefaultBits, string(printed))
	output, err := exec.Command(program, "keygen", name).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "packetrpc: already_exists: "+name+" exists") {
		t.Errorf("the second time: %v, printed %s", err, output)
	}
}
