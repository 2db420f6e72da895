package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// module is a temporary Go module that all cases go into, so that go vet starts
// only once. It takes its dependencies from the repository and the module cache,
// not from the network.
type module struct {
	dir      string
	protocGo string
	tests    map[string]bool
}

func newModule(t *testing.T) *module {
	t.Helper()
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	m := &module{dir: t.TempDir(), tests: make(map[string]bool)}
	m.protocGo = build(t, "google.golang.org/protobuf/cmd/protoc-gen-go")
	version, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "google.golang.org/protobuf").Output()
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "go.mod", strings.Join([]string{
		"module golden.test",
		"go 1.25.0",
		"require github.com/packetrpc/packetrpc v0.0.0",
		"require google.golang.org/protobuf " + strings.TrimSpace(string(version)),
		"replace github.com/packetrpc/packetrpc => " + repository,
		"",
	}, "\n"))
	sums, err := os.ReadFile(filepath.Join(repository, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "go.sum", string(sums))
	return m
}

// build compiles a command into a temporary folder and returns its path.
func build(t *testing.T, pkg string) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), pkg)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, output)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("go build %s wrote %v: %v", pkg, entries, err)
	}
	return filepath.Join(dir, entries[0].Name())
}

func (m *module) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// add puts the output of a case into the module, with the messages and with the
// code that uses it.
func (m *module) add(t *testing.T, g *golden, files map[string]string) {
	t.Helper()
	for _, set := range []map[string]string{files, g.uses, m.messages(t, g.request)} {
		for name, source := range set {
			m.write(t, name, source)
		}
	}
	for name := range g.uses {
		if strings.HasSuffix(name, "_test.go") {
			m.tests["./"+filepath.ToSlash(filepath.Dir(name))] = true
		}
	}
}

// messages runs protoc-gen-go.
func (m *module) messages(t *testing.T, request *pluginpb.CodeGeneratorRequest) map[string]string {
	t.Helper()
	input, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), m.protocGo)
	command.Stdin = bytes.NewReader(input)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("protoc-gen-go: %v", err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(output, response); err != nil {
		t.Fatal(err)
	}
	if response.Error != nil {
		t.Fatalf("protoc-gen-go: %s", response.GetError())
	}
	files := make(map[string]string)
	for _, file := range response.File {
		files[file.GetName()] = file.GetContent()
	}
	return files
}

// vet compiles and vets all cases.
func (m *module) vet(t *testing.T) {
	t.Helper()
	m.run(t, "vet", "./...")
}

// test runs the tests that cases bring along.
func (m *module) test(t *testing.T) {
	t.Helper()
	if len(m.tests) > 0 {
		m.run(t, append([]string{"test"}, slices.Sorted(maps.Keys(m.tests))...)...)
	}
}

func (m *module) run(t *testing.T, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = m.dir
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}
