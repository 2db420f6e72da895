package conformance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// buildPeer builds our own peer.
func buildPeer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("go", "build", "-o", path, "./peer").CombinedOutput(); err != nil {
		t.Fatalf("building the peer: %v\n%s", err, out)
	}
	return path
}

// run runs cases, and returns the names of those that passed, and why others failed.
func run(t *testing.T, r *conformance.Runner) (passed []string, failed map[string]error) {
	t.Helper()
	failed = make(map[string]error)
	err := r.Run(t.Context(), func(result conformance.Result) {
		switch {
		case result.Undeclared:
		case result.Err != nil:
			failed[result.Case.Name] = result.Err
		default:
			passed = append(passed, result.Case.Name)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return passed, failed
}

// mustPass fails the test for each case that fails, and when fewer than least pass.
func mustPass(t *testing.T, r *conformance.Runner, least int) {
	t.Helper()
	passed, failed := run(t, r)
	for name, err := range failed {
		t.Errorf("%s: %v", name, err)
	}
	if len(passed) < least {
		t.Errorf("%d cases passed, and %d are to", len(passed), least)
	}
}

func TestGoPeer(t *testing.T) {
	peer := buildPeer(t)
	for _, role := range []string{conformance.RoleClient, conformance.RoleServer} {
		t.Run(role, func(t *testing.T) {
			mustPass(t, &conformance.Runner{Command: []string{peer}, Role: role, Patience: 20 * time.Second}, 400)
		})
	}
}

func TestPythonClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	mustPass(t, &conformance.Runner{
		Command: []string{python, "../../examples/python/conformance.py"}, Role: conformance.RoleClient, Patience: 20 * time.Second,
	}, 100)
}

// TestFaults: a peer that does something wrong fails, in the case that is about it,
// which passes when nothing is wrong.
func TestFaults(t *testing.T) {
	peer := buildPeer(t)
	for fault, cases := range map[string]string{
		"answers-itself":     "^handshake/wrong-password/",
		"drops-malformed":    "^bad-input/(json-wrong-type|binary-text)/",
		"eager":              "^handshake/nothing-before-the-answer/",
		"empty-replies":      "^serve/unary/",
		"ends-malformed":     "^bad-input/(json-wrong-type|binary-text)/",
		"errors-are-replies": "^errors/(aborted|no-status)/",
		"errors-end-all":     "^errors/aborted/",
		"even-ids":           "^calls/ids/",
		"forgets-fragments":  "^calls/unary-1-MiB/binary",
		"ignores-calls":      "^limits/open-calls/",
		"ignores-credit":     "^limits/(call-window|connection-window|lane-window)/",
		"ignores-numbers":    "^calls/no-numbers/binary",
		"ignores-sizes":      "^limits/(request|one-way|message)-too-large/",
		"loses-details":      "^errors/details/",
		"loses-messages":     "^errors/special-characters/",
		"loses-metadata":     "^calls/metadata-of-a-reply/",
		"loses-replies":      "^calls/unary-1-byte/",
		"loses-retry-after":  "^errors/retry-after/",
		"no-cancel":          "^calls/(deadline|cancel)/",
		"no-close":           "^bad-input/(words|length-too-large)/",
		"no-credit":          "^limits/credit-for-(a-stream|the-connection|the-lane)/",
		"no-half-close":      "^streams/client-many/",
		"no-metadata":        "^calls/metadata-out/",
		"no-password":        "^handshake/credentials/",
		"no-pong":            "^bear/ping/",
		"no-refusals":        "^serve/refuse-unknown-action/",
		"no-timeout":         "^calls/timeout-told/",
		"no-token":           "^calls/token/",
		"one-status":         "^errors/not_found/",
		"one-way-ids":        "^calls/one-way/",
		"other-version":      "^handshake/version-1/",
		"overlooks-cancel":   "^serve/cancel/",
		"overlooks-close":    "^bear/close-with-reason/",
		"overlooks-drain":    "^bear/drain/",
		"overlooks-messages": "^streams/(server|bidi)-one/",
		"overlooks-pushes":   "^serve/one-way-in-order/",
		"overlooks-requests": "^serve/unary/",
		"overlooks-unknown":  "^bad-input/unknown-kind/",
		"pong-without-data":  "^bear/ping/",
		"repeats-requests":   "^calls/ids/",
		"tells-no-limits":    "^handshake/limits-told/",
		"undefined-numbers":  "^calls/numbers/binary",
		"wrong-codes":        "^serve/refuse-no-action/",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel() // most of the time is waiting for what does not come
			runner := &conformance.Runner{
				Command: []string{peer, "--broken", "none"}, Role: conformance.RoleClient,
				Select: regexp.MustCompile(cases), Patience: 20 * time.Second, Parallel: 6,
			}
			mustPass(t, runner, 1)
			runner.Command, runner.Patience = []string{peer, "--broken", fault}, time.Second
			passed, failed := run(t, runner)
			if len(passed) > 0 || len(failed) == 0 {
				t.Errorf("passed: %v; failed: %v", passed, failed)
			}
		})
	}
}

// TestCaseNames: no two cases have the same name.
func TestCaseNames(t *testing.T) {
	for _, role := range []string{conformance.RoleClient, conformance.RoleServer} {
		seen := make(map[string]bool)
		for _, c := range conformance.Cases(role) {
			if seen[c.Name] {
				t.Errorf("%s is there twice", c.Name)
			}
			seen[c.Name] = true
		}
		if len(seen) < 100 {
			t.Errorf("%d cases for the role %s", len(seen), role)
		}
	}
}

// TestDocument: the list of cases in the documents is that of the runner.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, list, found := strings.Cut(string(text), "## The cases\n\n"); !found || !strings.HasSuffix(list, conformance.List()) {
		t.Error("docs/conformance.md has another list of cases: what follows `## The cases` is what `packetrpc conformance --list` prints")
	}
}
