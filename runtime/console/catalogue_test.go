package console_test

import (
	"slices"
	"strings"
	"testing"
)

// field is what tests look at of a message's field.
type field struct {
	Name, JSON, Kind, Of, Key, Oneof string
	Repeated, Optional               bool
	Comment                          string
}

func TestActions(t *testing.T) {
	s := newSite(t)
	type action struct {
		Name, Type, Request, Response, Requires, Comment string
		Sealed                                           bool
	}
	var told struct {
		Actions, Pushes []action
		Messages        map[string]struct {
			Comment string
			Fields  []field
		}
		Enums map[string]struct {
			Values []struct{ Name string }
		}
		Bounds []float64
	}
	s.get("/api/actions", &told)
	for _, want := range []action{
		{Name: "chat.v1.ChatService/Send", Type: "unary", Request: "chat.v1.SendRequest", Response: "chat.v1.SendResponse", Comment: "Send says something"},
		{Name: "chat.v1.ChatService/Whisper", Type: "unary", Request: "chat.v1.WhisperRequest", Response: "chat.v1.WhisperResponse", Comment: "Whisper", Sealed: true},
		{Name: "CoreSend", Type: "unary", Request: "packetrpc.v1.SendRequest", Response: "packetrpc.v1.SendResponse", Requires: "admin", Comment: "Send pushes"},
		{Name: "consoletest/Everything", Type: "unary", Request: "consoletest.Everything"},
		{Name: "consoletest/Guarded", Type: "one-way", Request: "google.protobuf.Empty", Requires: "owner"},
	} {
		i := slices.IndexFunc(told.Actions, func(a action) bool { return a.Name == want.Name })
		if i < 0 {
			t.Errorf("%s is not told", want.Name)
			continue
		}
		got := told.Actions[i]
		if !strings.HasPrefix(strings.TrimSpace(got.Comment), want.Comment) {
			t.Errorf("%s is told to be %q", got.Name, got.Comment)
		}
		if got.Comment = want.Comment; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	var pushes []string
	for _, push := range told.Pushes {
		pushes = append(pushes, push.Name)
	}
	for _, name := range []string{"chat.v1.ChatEvents/Joined", "chat.v1.ChatEvents/Posted"} {
		if !slices.Contains(pushes, name) {
			t.Errorf("%s is not among the pushes %v", name, pushes)
		}
	}
	if slices.Contains(pushes, "chat.v1.ChatEvents/Status") || told.Messages["chat.v1.PostedRequest"].Fields == nil {
		t.Errorf("the pushes are %v", pushes)
	}

	fields := make(map[string]field)
	for _, f := range told.Messages["consoletest.Everything"].Fields {
		fields[f.Name] = f
	}
	for _, want := range []field{
		{Name: "flag", JSON: "flag", Kind: "bool"},
		{Name: "colour", JSON: "colour", Kind: "enum", Of: "consoletest.Colour"},
		{Name: "perhaps", JSON: "perhaps", Kind: "uint32", Optional: true},
		{Name: "words", JSON: "words", Kind: "string", Repeated: true},
		{Name: "ages", JSON: "ages", Kind: "int32", Key: "string"},
		{Name: "inside", JSON: "inside", Kind: "message", Of: "consoletest.Everything"},
		{Name: "code", JSON: "code", Kind: "fixed64", Oneof: "choice"},
		{Name: "when", JSON: "when", Kind: "message", Of: "google.protobuf.Timestamp"},
	} {
		if got := fields[want.Name]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if values := told.Enums["consoletest.Colour"].Values; len(values) != 2 || values[1].Name != "COLOUR_RED" {
		t.Errorf("the enum is %+v", values)
	}
	if comment := told.Messages["chat.v1.SendRequest"].Comment; !strings.Contains(comment, "SendRequest is") {
		t.Errorf("the comment of a message is %q", comment)
	}
	if !slices.IsSorted(told.Bounds) || told.Bounds[0] != 0 || told.Bounds[4] != 0.004 || told.Bounds[len(told.Bounds)-1] < 60_000 {
		t.Errorf("the bounds of the buckets are %v", told.Bounds)
	}
}
