package tap_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// sample returns events that filters tell apart.
func sample() []*tap.Event {
	at := time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)
	call := func(d time.Duration) *tap.Call {
		return &tap.Call{By: tap.Client, Duration: tap.Seconds(d), Requests: tap.Messages{Count: 1, Bytes: 20}, Request: json.RawMessage(`{"a":1}`)}
	}
	return []*tap.Event{
		{Time: at, Connection: 1, Kind: tap.KindConnected},
		{Time: at, Connection: 1, From: tap.Client, Kind: "request", Action: "chat.v1.ChatService/Send", ID: 3},
		{Time: at, Connection: 1, From: tap.Server, Kind: "response", Action: "chat.v1.ChatService/Send", ID: 3, Status: "ok", Call: call(time.Millisecond)},
		{Time: at, Connection: 2, From: tap.Server, Kind: "response", Action: "chat.v1.ChatService/Who", ID: 5, Status: "ok", Call: call(time.Second)},
		{Time: at, Connection: 2, From: tap.Server, Kind: "error", Action: "CoreInfo", ID: 7, Status: "not_found", Call: call(2 * time.Second)},
		{Time: at, Connection: 12, From: tap.Client, Kind: "cancel", Action: "CorePing", ID: 9, Status: "canceled", Call: call(0)},
		{Time: at, Connection: 12, Kind: tap.KindFailed},
		{Time: at, Kind: tap.KindMissed, Missed: &tap.Missed{Packets: 2}},
	}
}

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		name   string
		filter tap.Filter
		want   string // the places of the events that it picks, and that of what was missed
	}{
		{"all", tap.Filter{}, "01234567"},
		{"an action", tap.Filter{Action: "CoreInfo"}, "47"},
		{"actions", tap.Filter{Action: "chat.*"}, "1237"},
		{"the end of an action", tap.Filter{Action: "*/W?o"}, "37"},
		{"a dot is a dot", tap.Filter{Action: "chat?v1.ChatService.Send"}, "7"},
		{"a part is not enough", tap.Filter{Action: "Core"}, "7"},
		{"a connection", tap.Filter{Connections: []int{1}}, "0127"},
		{"connections", tap.Filter{Connections: []int{1, 12}}, "012567"},
		{"ok", tap.Filter{Status: "ok"}, "237"},
		{"error", tap.Filter{Status: "error"}, "4567"},
		{"a code", tap.Filter{Status: "not_found"}, "47"},
		{"slow", tap.Filter{Slower: time.Second}, "347"},
		{"a kind", tap.Filter{Kinds: []string{"request", tap.KindConnected}}, "017"},
		{"several", tap.Filter{Status: "ok", Slower: 2 * time.Millisecond, Action: "chat*"}, "37"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fits, err := test.filter.Compile()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for i, e := range sample() {
				if fits(e) {
					got += fmt.Sprint(i)
				}
			}
			if got != test.want {
				t.Errorf("picked %s, want %s", got, test.want)
			}
		})
	}
}

func TestFilterRefuses(t *testing.T) {
	for _, test := range []struct {
		filter tap.Filter
		want   string
	}{
		{tap.Filter{Status: "good"}, `not "good"`},
		{tap.Filter{Kinds: []string{"request", "reply"}}, `not "reply"`},
	} {
		_, err := test.filter.Compile()
		if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v", test.filter, err)
		}
	}
}

func TestViews(t *testing.T) {
	events := sample()
	for _, test := range []struct {
		name  string
		view  tap.View
		event *tap.Event
		want  string // behind the time, unless it is JSON
	}{
		{"a packet", tap.View{}, events[1], "#1  → request    chat.v1.ChatService/Send        3"},
		{"a reply", tap.View{}, events[2], "#1  ← response   chat.v1.ChatService/Send        3           1ms"},
		{"a failure", tap.View{}, events[4], "#2  ← error      CoreInfo                        7            2s not_found"},
		{"cut", tap.View{Width: 40}, events[1], "#1  → request    chat.v1.C…"},
		{"a call", tap.View{Calls: true}, events[3], `#2  → chat.v1.ChatService/Who         5     1s ok       20 B {"a":1}`},
		{"a call that failed", tap.View{Calls: true}, events[4], `#2  → CoreInfo                        7     2s not_found 20 B {"a":1}`},
		{"no call", tap.View{Calls: true}, events[1], ""},
		{"what was missed", tap.View{Calls: true}, events[7], "      missed     2 packets of 0 B are not shown: the tap is too slow"},
		{"colours", tap.View{Color: true, Calls: true}, events[7], "      \x1b[33mmissed     \x1b[0m\x1b[33m2 packets of 0 B are not shown: the tap is too slow\x1b[0m"},
		{"JSON", tap.View{JSON: true}, events[6], `{"time":"2026-11-26T02:00:00Z","connection":12,"kind":"failed"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.TrimSuffix(string(test.view.Line(test.event)), "\n")
			clock := test.event.Time.Local().Format("15:04:05.000") + " "
			if test.view.Color {
				clock = "\x1b[2m" + clock + "\x1b[0m"
			}
			if diff := cmp.Diff(test.want, strings.TrimPrefix(got, clock)); diff != "" {
				t.Errorf("the line differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplayRefuses(t *testing.T) {
	const head = `{"packetrpc-tap":1,"began":"2026-11-26T02:00:00Z"}` + "\n"
	const event = `{"time":"2026-11-26T02:00:00Z","kind":"connected"}` + "\n"
	for _, test := range []struct {
		name, file string
		shown      int
		want       string
	}{
		{"nothing", "", 0, "empty"},
		{"something else", "hello\n", 0, "line 1: no recording"},
		{"JSON", "{}\n", 0, "line 1: no recording"},
		{"a later version", `{"packetrpc-tap":2}`, 0, "line 1: the recording has the version 2"},
		{"half an event", head + event + event[:20], 1, "line 3: no event: unexpected end"},
		{"no kind", head + `{"time":"2026-11-26T02:00:00Z"}`, 0, "line 2: no event: it has no kind"},
		{"no side", head + `{"time":"2026-11-26T02:00:00Z","kind":"ping","from":"nobody"}`, 0, `"nobody" is neither client nor server`},
		{"no duration", head + `{"time":"2026-11-26T02:00:00Z","kind":"ping","timeout":-1}`, 0, "out of range"},
		{"what is not known", head + `{"time":"2026-11-26T02:00:00Z","kind":"later","color":"blue"}` + "\n\n", 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			shown := 0
			err := tap.Replay(strings.NewReader(test.file), func(*tap.Event) error {
				shown++
				return nil
			})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want %q", err, test.want)
			}
			if shown != test.shown {
				t.Errorf("showed %d events, want %d", shown, test.shown)
			}
		})
	}
}

// stuckWriter is a terminal that has been stopped.
type stuckWriter struct {
	bytes.Buffer
	goOn chan struct{}
}

func (w *stuckWriter) Write(b []byte) (int, error) {
	<-w.goOn
	return w.Buffer.Write(b)
}

// A terminal that takes nothing holds nobody up, and what it did not get is told of.
func TestSlowTerminal(t *testing.T) {
	terminal := &stuckWriter{goOn: make(chan struct{})}
	printer := tap.NewPrinter(terminal, tap.View{JSON: true})
	event := sample()[1]
	event.Message = strings.Repeat("long ", 1000)
	const printed = 2000
	for range printed {
		printer.Print(event)
	}
	close(terminal.goOn)
	if err := printer.Close(); err != nil {
		t.Fatal(err)
	}
	shown, missed := 0, 0
	for line := range strings.Lines(terminal.String()) {
		var e tap.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Missed != nil {
			missed += e.Missed.Lines
		} else {
			shown++
		}
	}
	if shown == 0 || missed == 0 || shown+missed != printed {
		t.Errorf("of %d lines %d were shown and %d missed", printed, shown, missed)
	}
}
