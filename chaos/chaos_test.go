package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test's program be the other processes as well.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "attacked", "attackers"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// The short form of make chaos.
func TestShortRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	p := plan{span: 6 * time.Second, every: 100 * time.Millisecond, seed: uint64(time.Now().UnixNano()),
		clients: 3, callers: 1, faults: allFaults()}
	if err := p.run(t.Context(), t.Output()); err != nil {
		t.Error(err)
	}
}

// The short form of make rolling.
func TestShortRolling(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	r := rolling{servers: 3, rounds: 1, clients: 4, callers: 1, grace: 500 * time.Millisecond,
		slack: 10 * time.Second, pause: 200 * time.Millisecond}
	if err := r.run(t.Context(), t.Output()); err != nil {
		t.Error(err)
	}
}

// The short form of make attack. It bounds no time, as those of a busy machine say
// nothing.
func TestShortAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	if runtime.GOOS != "linux" {
		t.Skip("attackers have addresses of their own on Linux only")
	}
	a := attack{connections: 200, rate: 200, every: 200 * time.Millisecond, halfOpen: 200, rounds: 1, span: 2 * time.Second,
		limits: timeLimits{write: 500 * time.Millisecond, handshake: time.Second}, report: filepath.Join(t.TempDir(), "report.md")}
	if err := a.run(t.Context(), t.Output()); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(a.report)
	if err != nil || !strings.Contains(string(text), "has read nothing for 500ms") {
		t.Errorf("the report does not say why the frozen were cut: %v\n%s", err, text)
	}
}

// The check finds what breaks a promise.
func TestCheckPushes(t *testing.T) {
	hello := push{kind: "direct", epoch: 1, session: "a", what: "hello"}
	joined := push{kind: "direct", epoch: 1, session: "a", n: 1, what: "joined", group: 3, all: 3}
	direct := func(n int64) push { return push{kind: "direct", epoch: 1, session: "a", n: n, what: "x"} }
	group := func(n int64) push { return push{kind: "group", epoch: 1, n: n} }
	bye := push{kind: "direct", epoch: 1, session: "a", n: 2, what: "bye", group: 4, all: 2}
	again := hello
	again.session = "b"
	for _, test := range []struct {
		name    string
		pushes  []push
		refused string
		gapped  uint64
		broken  int
	}{
		{"all is well", []push{hello, joined, group(3), group(4), bye}, "", 0, 0},
		{"a direct push is missing", []push{hello, joined, direct(3)}, "", 0, 1},
		{"it was refused", []push{hello, joined, direct(3)}, "a 2", 0, 0},
		{"it was reported", []push{hello, joined, direct(3)}, "", 1, 0},
		{"a direct push has come twice", []push{hello, joined, direct(2), direct(2)}, "", 0, 1},
		{"direct pushes are out of order", []push{hello, joined, direct(2), direct(4), direct(3)}, "a 3", 0, 1},
		{"a broadcast is missing", []push{hello, joined, group(3), group(5)}, "", 0, 1},
		{"the first broadcast is missing", []push{hello, joined, group(4)}, "", 0, 1},
		{"the last broadcast is missing", []push{hello, joined, group(3), bye}, "", 0, 1},
		{"it was refused", []push{hello, joined, group(3), bye}, "group 1 4", 0, 0},
		{"a broadcast has come twice", []push{hello, joined, group(3), group(3)}, "", 0, 1},
		{"a broadcast was not due yet", []push{hello, group(1), joined, group(3)}, "", 0, 0},
		{"a new session was not told of", []push{hello, joined, again}, "", 0, 1},
	} {
		h, err := newHistory(t.TempDir() + "/history")
		if err != nil {
			t.Fatal(err)
		}
		u := &user{history: h, pushes: test.pushes, gapped: test.gapped}
		u.checkPushes(&ledger{refused: map[string]bool{test.refused: true}})
		if len(h.broken) != test.broken {
			t.Errorf("%s: %d promises are broken, want %d: %q", test.name, len(h.broken), test.broken, h.broken)
		}
		h.close()
	}
}

func TestCheckEffects(t *testing.T) {
	for _, test := range []struct {
		verdict verdict
		effects int
		broken  int
	}{
		{ok, 1, 0}, {ok, 0, 1}, {ok, 2, 1},
		{notSent, 0, 0}, {notSent, 1, 1},
		{unknown, 0, 0}, {unknown, 1, 0}, {unknown, 2, 1},
	} {
		h, err := newHistory(t.TempDir() + "/history")
		if err != nil {
			t.Fatal(err)
		}
		h.effects[7] = test.verdict
		l := &ledger{effects: map[uint64]int{}}
		if test.effects > 0 {
			l.effects[7] = test.effects
		}
		h.checkEffects(l)
		if len(h.broken) != test.broken {
			t.Errorf("%v with %d effects: %q", test.verdict, test.effects, h.broken)
		}
		h.close()
	}
}
