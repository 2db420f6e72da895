package main_test

import (
	"bufio"
	"io"
	"os"
	"regexp"
	"runtime"
	"testing"
)

const numbers = `[0-9]+(\.[0-9]+)?(e-?[0-9]+)?`

func TestPing(t *testing.T) {
	address, _ := serve(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"for people": {nil, `^1: answer from ` + regexp.QuoteMeta(address) + ` after ` + numbers + ` ms
2: answer from .*
2 calls, 2 answers
round trip: least ` + numbers + `, mean ` + numbers + `, most ` + numbers + `, standard deviation ` + numbers + ` ms
$`},
		"for programs": {[]string{"--json"}, `^{"number":1,"ms":` + numbers + `}
{"number":2,"ms":` + numbers + `}
{"sent":2,"received":2,"min_ms":` + numbers + `,"mean_ms":` + numbers + `,"max_ms":` + numbers + `,"stddev_ms":` + numbers + `}
$`},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, "", append([]string{"ping", address, "-c", "2", "-i", "1ms"}, test.args...)...)
			if got.status != 0 || got.diagnostics != "" || !regexp.MustCompile(test.want).MatchString(got.out) {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
	check(t, address, []step{
		{"no interval", []string{"ping", "-i", "0s"}, "", 2, "", "--interval is more than 0"},
		{"too much", []string{"ping", "again"}, "", 2, "", "`packetrpc ping` takes the arguments [ADDR]"},
	})
	check(t, "127.0.0.1:1", []step{{"nobody", []string{"ping"}, "", 3, "", "packetrpc: unavailable: "}})
}

// An interrupt ends it, as it ends ping(8).
func TestPingInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs cannot be interrupted by others on Windows")
	}
	address, _ := serve(t)
	command := newProcess(t, nil, "ping", address, "-i", "1ms")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil || !regexp.MustCompile(`(^|\n)[0-9]+ calls, [0-9]+ answers\nround trip: `).Match(rest) {
		t.Errorf("got %v, %s", err, rest)
	}
}

// A connection that ends, ends the calls.
func TestPingDisconnected(t *testing.T) {
	address, srv := serve(t)
	command := newProcess(t, nil, "ping", address, "-i", "1ms")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for _, peer := range srv.Connections() {
		peer.Disconnect("enough")
	}
	io.Copy(io.Discard, lines)
	command.Wait()
	if got := command.ProcessState.ExitCode(); got != 78 {
		t.Errorf("exited with %d", got)
	}
}
