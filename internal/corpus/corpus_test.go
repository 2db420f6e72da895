package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is packed comes back, together with what was kept before.
func TestPackAndUnpack(t *testing.T) {
	inputs := map[string]string{
		"runtime/packet/FuzzA/11": "go test fuzz v1\n[]byte(\"-- no marker --\\n\")\n",
		"runtime/packet/FuzzA/22": "go test fuzz v1\nstring(\"\")\nint(3)\n",
		"runtime/seal/FuzzB/33":   "go test fuzz v1\n[]byte(\"\\x00\")\n",
	}
	folder, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(cache, path, text string) {
		name := filepath.Join(cache, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range inputs {
		write(first, path, text)
	}
	write(first, "runtime/packet/FuzzA/44", string(make([]byte, maxInput+1)))
	if err := pack(first, folder); err != nil {
		t.Fatal(err)
	}
	const late = "runtime/packet/FuzzA/55"
	inputs[late] = "go test fuzz v1\nint(5)\n"
	write(second, late, inputs[late])
	if err := pack(second, folder); err != nil {
		t.Fatal(err)
	}
	if err := unpack(folder, second); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	files, err := filepath.Glob(filepath.Join(second, "*", "*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path, err := filepath.Rel(second, file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.ToSlash(path)] = string(text)
	}
	if difference := cmp.Diff(inputs, got); difference != "" {
		t.Errorf("-packed +unpacked:\n%s", difference)
	}
}
