//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"
)

const (
	tourHeading  = "The tour: five minutes to a push"
	serverStarts = "go run ./server" // the one command that does not end
	address      = "127.0.0.1:25565" // the default, where the README's server listens
	tourTime     = 4 * time.Minute   // for one of the two, on a slow machine
)

// The tour is taken as the README prints it: the same commands, the same files,
// in a module outside of the repository.
func TestTour(t *testing.T) {
	proxy := t.TempDir()
	if err := writeProxy(proxy, root); err != nil {
		t.Fatal(err)
	}
	addNeeded(t, proxy)
	unlock := lockPort(t)
	defer unlock()
	home := t.TempDir() // GOPATH, which both tours share
	for _, tool := range []string{"buf", "protoc"} {
		t.Run(tool, func(t *testing.T) {
			path := lookUp(t, tool)
			ctx, cancel := context.WithTimeout(t.Context(), tourTime)
			defer cancel()
			tour := &tour{t: t, ctx: ctx, dir: t.TempDir(), env: environment(t, proxy, home, path)}
			tour.take(tool)
		})
	}
}

// lookUp finds the tool that generates, which the tour takes for granted.
func lookUp(t *testing.T, tool string) string {
	t.Helper()
	if tool == "buf" {
		if testing.Short() {
			t.Skip("buf may have to be built, which takes minutes")
		}
		command := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools.mod", "-n", "buf")
		command.Dir = root
		output, err := command.Output()
		if err != nil {
			t.Fatalf("building buf: %v", err)
		}
		return strings.TrimSpace(string(output))
	}
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skip(tool + " is not installed")
	}
	return path
}

// addNeeded adds the modules that this one needs to the proxy, from the module
// cache, where go.sum has verified them. As it holds one version of each, what is
// newest does not depend on the day or the machine.
func addNeeded(t *testing.T, proxy string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, output)
	}
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var needed struct{ Path, Version, Info, GoMod, Zip string }
		if err := decoder.Decode(&needed); err != nil {
			t.Fatal(err)
		}
		escaped, err := module.EscapePath(needed.Path)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{needed.Info, needed.GoMod, needed.Zip} {
			if err := os.Symlink(file, filepath.Join(dir, filepath.Base(file))); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "list"), []byte(needed.Version+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// environment returns what the commands run with: the proxy, and the module cache
// of the repository for what is not in it, such as the go.mod files of modules
// that nothing is needed of. Nothing comes from the network, and what is unpacked
// goes to a folder of its own.
func environment(t *testing.T, proxy, home, tool string) []string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOFLAGS").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, flags, _ := strings.Cut(string(output), "\n")
	return append(os.Environ(),
		"GOPATH="+home,
		"GOBIN=",
		"GOMODCACHE=",
		"GOPROXY="+fileURL(proxy)+","+fileURL(filepath.Join(cache, "cache", "download")),
		"GOSUMDB=off",
		"GOFLAGS="+strings.TrimSpace(flags)+" -modcacherw", // so that the test can remove it
		"GOTOOLCHAIN=local",
		"GOWORK=off",
		"PATH="+filepath.Dir(tool)+string(filepath.ListSeparator)+os.Getenv("PATH"),
	)
}

// lockPort waits until no other tour on this machine runs.
func lockPort(t *testing.T) (unlock func()) {
	t.Helper()
	path := filepath.Join(os.TempDir(), "packetrpc-tour.lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { file.Close() }
}

// tour is one walk through the README.
type tour struct {
	t   *testing.T
	ctx context.Context
	dir string   // where the commands run
	env []string // what they run with
	// exports is what the README has exported so far.
	exports string
	// output is what the last command printed.
	output string
}

// take carries out the blocks of the tour but for those that belong to another
// tool, and then adds an rpc.
func (tour *tour) take(tool string) {
	t := tour.t
	var generate string
	for _, b := range tourBlocks(t) {
		if other, isOne := generatorOf(b.heading); isOne && other != tool {
			continue
		} else if isOne && b.language == "sh" {
			generate = b.text
		}
		switch {
		case b.file != "":
			tour.write(b)
		case b.language == "sh":
			tour.run(b)
		case b.language == "text":
			if tour.output != b.text {
				t.Fatalf("README.md:%d: the command prints %q, not %q", b.line, tour.output, b.text)
			}
		default:
			t.Fatalf("README.md:%d: what is this block for?", b.line)
		}
		if t.Failed() {
			return
		}
	}
	tour.addMethod(generate)
}

// tourBlocks returns the blocks from the tour's heading to the next of its rank.
func tourBlocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\n## "+tourHeading+"\n")
	if !ok {
		t.Fatalf("README.md has no heading %q", tourHeading)
	}
	inside, _, _ := strings.Cut(after, "\n## ")
	first := strings.Count(string(text[:len(text)-len(after)]), "\n")
	last := first + strings.Count(inside, "\n")
	var blocks []block
	for _, b := range readBlocks(t) {
		if b.line > first && b.line <= last {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// generatorOf tells which tool a heading is about.
func generatorOf(heading string) (tool string, ok bool) {
	_, tool, ok = strings.Cut(strings.ToLower(heading), "generate with ")
	return tool, ok
}

func (tour *tour) write(b block) {
	tour.t.Helper()
	path := filepath.Join(tour.dir, filepath.FromSlash(b.file))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		tour.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.text), 0o666); err != nil {
		tour.t.Fatal(err)
	}
}

// run runs the lines of a block. What it exports and the folder that it changes
// to hold for the next ones, as in a terminal.
func (tour *tour) run(b block) {
	tour.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
		switch folder, isCd := strings.CutPrefix(line, "cd "); {
		case isCd:
			tour.dir = filepath.Join(tour.dir, folder)
		case strings.HasPrefix(line, "export "):
			tour.exports += line + "\n"
		case line == serverStarts:
			tour.serve()
		case strings.Contains(line, "| nc "):
			tour.netcat(line)
		default:
			tour.output = tour.shell(line)
		}
	}
}

// shell runs a line and returns what it prints on standard output.
func (tour *tour) shell(line string) string {
	tour.t.Helper()
	command, stderr := tour.command(line)
	output, err := command.Output()
	if err != nil {
		tour.t.Fatalf("%s: %v\n%s%s", line, err, output, stderr)
	}
	return string(output)
}

// command makes the command of a line, which ends with the tour at the latest.
func (tour *tour) command(line string) (command *exec.Cmd, stderr *bytes.Buffer) {
	command = exec.CommandContext(tour.ctx, "sh", "-c", tour.exports+line)
	command.Dir, command.Env = tour.dir, tour.env
	stderr = new(bytes.Buffer)
	command.Stderr = stderr
	// The programs that go run starts end with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	return command, stderr
}

// serve starts the server, which runs until the test ends.
func (tour *tour) serve() {
	t := tour.t
	t.Helper()
	if nc, err := net.Dial("tcp", address); err == nil {
		nc.Close()
		t.Skipf("%s is in use, so the tour cannot be taken to its end; all is compiled", address)
	}
	command, stderr := tour.command(serverStarts)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		command.Cancel()
		<-ended
	})
	for {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			nc.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended: %v\n%s", err, stderr)
		case <-tour.ctx.Done():
			t.Fatalf("the server does not listen: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// netcat runs a line that speaks JSON by hand, where there is an nc that can.
func (tour *tour) netcat(line string) {
	help, err := exec.Command("nc", "-h").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || !strings.Contains(string(help), "-q secs") {
		tour.t.Logf("nc is not installed or has no -q: %s was not run", line)
		return
	}
	output := tour.shell(line)
	for _, part := range []string{`"action":"handShake"`, `"status":"success"`, `"token":"`} {
		if !strings.Contains(output, part) {
			tour.t.Errorf("%s prints %s without %s", line, output, part)
		}
	}
}

// addMethod adds an rpc to the service and generates again: the programs still
// compile.
func (tour *tour) addMethod(generate string) {
	t := tour.t
	path := filepath.Join(tour.dir, "proto", "hello", "v1", "hello.proto")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const before = "service HelloService {\n"
	changed := strings.Replace(string(text), before, before+"  rpc Part(PartRequest) returns (PartResponse);\n", 1) +
		"\nmessage PartRequest {}\n\nmessage PartResponse {}\n"
	if err := os.WriteFile(path, []byte(changed), 0o666); err != nil {
		t.Fatal(err)
	}
	tour.run(block{text: generate})
	code, err := os.ReadFile(filepath.Join(tour.dir, "gen", "hello", "v1", "hellov1packetrpc", "hello.packetrpc.go"))
	if err != nil || !strings.Contains(string(code), "Part(") {
		t.Fatalf("the new rpc has not been generated: %v", err)
	}
	tour.shell("go vet ./...")
}
