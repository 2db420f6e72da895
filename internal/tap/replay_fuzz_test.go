package tap

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzReplay reads files. What is read can be recorded, and that reads the same.
func FuzzReplay(f *testing.F) {
	const head = `{"packetrpc-tap":1,"began":"2026-11-26T02:00:00Z"}` + "\n"
	f.Add(head + `{"time":"2026-11-26T02:00:00.5Z","connection":1,"from":"client","kind":"request","action":"x","id":3,"timeout":1.5,"data":{"a":[1, 2]}}`)
	f.Add(head + `{"time":"2026-11-26T02:00:00Z","kind":"error","status":"not_found","details":[{}],"call":{"by":"server","requests":{"count":1,"bytes":9}},"notes":["x"]}`)
	f.Add(head + `{"time":"2026-11-26T02:00:00Z","kind":"closed","closed":{"by":"client","from-client":1,"from-server":2}}`)
	f.Fuzz(func(t *testing.T, file string) {
		first := record(t, file)
		if second := record(t, first); first != second {
			t.Errorf("recorded again, %q is %q", first, second)
		}
	})
}

// record replays a file and returns it recorded anew, apart from the first line.
func record(t *testing.T, file string) string {
	t.Helper()
	var events []*Event
	Replay(strings.NewReader(file), func(e *Event) error { // what comes before an error counts
		events = append(events, e)
		return nil
	})
	var again bytes.Buffer
	r, err := NewRecorder(&again)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(again.String(), "\n")
	for _, e := range events {
		View{Full: true}.Line(e)
		if err := r.Record(e); err != nil {
			t.Fatalf("%+v cannot be recorded: %v", e, err)
		}
	}
	return strings.Replace(again.String(), header, `{"packetrpc-tap":1}`, 1)
}
