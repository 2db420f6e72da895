package backcompat_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

var record = flag.String("record", "", "let TestRecord write what it records to this `folder`")

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// TestRecord runs each scenario with today's client and server, and replays what it has
// recorded of them, so that a new set can be recorded at any time.
func TestRecord(t *testing.T) {
	for _, sc := range scenarios() {
		for _, form := range sc.inForms() {
			t.Run(sc.file(form), func(t *testing.T) {
				text := recordToday(t, sc, form)
				if *record != "" {
					write(t, sc.file(form), text)
				}
				r, err := parseRecording(text)
				if err != nil {
					t.Fatalf("%v in\n%s", err, text)
				}
				if again := r.format(sc.about); again != text {
					t.Errorf("written and read, the recording is another one:\n%s\nand was\n%s", again, text)
				}
				replayBothWays(t, r)
			})
		}
	}
}

// recordToday returns what is to be written of a scenario.
func recordToday(t *testing.T, sc scenario, form packet.Form) (text string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := sc.record(form)
		text = r.format(sc.about)
		if err != nil {
			t.Fatalf("%v, after\n%s", err, text)
		}
	})
	return text
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(*record, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*record, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReplay holds today's client and server to all that was recorded.
func TestReplay(t *testing.T) {
	for _, file := range recorded(t) {
		t.Run(file, func(t *testing.T) { replayBothWays(t, readRecording(t, file)) })
	}
}

func replayBothWays(t *testing.T, r *recording) {
	for _, plays := range []side{theClient, theServer} {
		t.Run("old "+string(plays), func(t *testing.T) {
			if err := replay(t, r, plays); err != nil {
				t.Error(err)
			}
		})
	}
}

// replay plays one side of a recording to today's other side.
func replay(t *testing.T, r *recording, plays side) (err error) {
	t.Helper()
	sc, err := findScenario(r.scenario)
	if err != nil {
		return err
	}
	synctest.Test(t, func(*testing.T) {
		if plays == theClient {
			err = sc.replayClient(r)
		} else {
			err = sc.replayServer(r)
		}
	})
	return err
}
