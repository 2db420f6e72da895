package main_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is the root of this module.
const repository = "../.."

// goEnvironment is what go runs with in a new module: only what this module's cache lacks
// comes from elsewhere. More proxies come first.
func goEnvironment(t *testing.T, proxies ...string) []string {
	t.Helper()
	told, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, others, _ := strings.Cut(strings.TrimSpace(string(told)), "\n")
	proxies = append(proxies, "file://"+filepath.ToSlash(filepath.Join(cache, "cache", "download")), others)
	return []string{"GOPROXY=" + strings.Join(proxies, ","), "GOSUMDB=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-buildvcs=false -modcacherw"}
}

// newHello makes a module in a new folder, and returns where it is.
func newHello(t *testing.T, environment []string, args ...string) (folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "hello")
	got := runWith(t, environment, nil, append([]string{"new", folder}, args...)...)
	if got.status != 0 || !strings.Contains(got.out, "cd "+folder+" && make run") {
		t.Fatalf("got %+v", got)
	}
	return folder
}

// in runs another program in a folder, and returns what it prints.
func in(t *testing.T, folder string, environment []string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir, command.Env = folder, append(os.Environ(), environment...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, printed, complaint.String())
	}
	return string(printed)
}

// checkRuns checks that server and client of a new module talk.
func checkRuns(t *testing.T, folder string, environment []string) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	want := "the server listens at " + address + "\nthe server answers: Hello, Ada!\nthe server tells: Ada was greeted\n"
	if got := in(t, folder, environment, "make", "run", "ADDRESS="+address); got != want {
		t.Errorf("make run prints\n%s\nwant\n%s", got, want)
	}
}

func TestNew(t *testing.T) {
	environment := goEnvironment(t)
	folder := newHello(t, environment, "--replace", repository, "--module", "example.org/some/where")
	checkRuns(t, folder, environment)
	in(t, folder, environment, "go", "vet", "./...")
	in(t, folder, environment, "go", "test", "./...")
	if got := in(t, folder, environment, "go", "list", "-m"); got != "example.org/some/where\n" {
		t.Errorf("the module is %s", got)
	}

	address := "unix:" + filepath.Join(t.TempDir(), "s")
	server := newProcess(t, nil)
	server.Path, server.Args = filepath.Join(folder, "bin", "server"), []string{"server", "-address", address}
	printed, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	if _, err := bufio.NewReader(printed).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	check(t, address, []step{
		{"call", []string{"call", "Greet", `{"name":"Eve"}`, "--json"}, "", 0, `{"text":"Hello, Eve!"}` + "\n", ""},
		{"call in vain", []string{"call", "Greet"}, "", 67, "", "packetrpc: invalid_argument: there is no name"},
	})
}

// buf writes the code as it was written in the first place.
func TestNewIsGeneratedByBufToo(t *testing.T) {
	if testing.Short() {
		t.Skip("buf may have to be built, which takes minutes")
	}
	environment := goEnvironment(t)
	folder := newHello(t, environment, "--replace", repository)
	files := []string{"gen/greet/v1/greet.pb.go", "gen/greet/v1/greetv1packetrpc/greet.packetrpc.go"}
	var before [][]byte
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, text)
	}
	buf := strings.TrimSpace(in(t, repository, nil, "go", "tool", "-modfile=tools.mod", "-n", "buf"))
	in(t, folder, environment, "make", "gen", "BUF="+buf)
	in(t, folder, nil, buf, "lint")
	for i, name := range files {
		after, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before[i], after) {
			t.Errorf("%s is now\n%s", name, after)
		}
	}
}

// Without a checkout, packetrpc comes from a proxy, as any module.
func TestNewFromAProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("the runtime is compiled once more")
	}
	proxy := t.TempDir()
	in(t, repository, nil, "go", "run", "./internal/tour", proxy)
	environment := append(goEnvironment(t, "file://"+filepath.ToSlash(proxy)), "GOPATH="+t.TempDir(), "GOMODCACHE=")
	checkRuns(t, newHello(t, environment), environment)
}

func TestNewRefuses(t *testing.T) {
	environment, folder := goEnvironment(t), t.TempDir()
	at := filepath.Join(folder, "hello")
	for _, s := range []step{
		{"no name", []string{"new"}, "", 2, "", "`packetrpc new` takes one NAME"},
		{"two names", []string{"new", at, "b"}, "", 2, "", "`packetrpc new` takes one NAME"},
		{"a taken name", []string{"new", folder}, "", 1, "", "file exists"},
		{"a bad path", []string{"new", at, "--module", "bad path"}, "", 1, "", "malformed module path"},
		{"a bad path, as JSON", []string{"new", at, "--module", "bad path", "--json"}, "", 1, "", `{"code":"unknown","message":"go mod init bad path: `},
		{"no checkout", []string{"new", at, "--replace", folder + "/nowhere"}, "", 1, "", "replacement directory"},
		{"not published", []string{"new", at}, "", 1, "", "(--replace FOLDER uses a checkout of packetrpc instead)"},
	} {
		t.Run(s.name, func(t *testing.T) { s.verify(t, runWith(t, environment, nil, s.args...)) })
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
