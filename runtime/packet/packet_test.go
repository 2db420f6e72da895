package packet_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// compare are the options under which packets are the same when they say the
// same.
var compare = cmp.Options{
	cmpopts.IgnoreUnexported(packet.Packet{}),
	cmpopts.EquateEmpty(),
	protocmp.Transform(),
	cmp.Transformer("pairs", pairs),
}

func pairs(m packetrpc.Metadata) [][2]string {
	var all [][2]string
	for key, value := range m.All() {
		all = append(all, [2]string{key, value})
	}
	return all
}

func metadata(keysAndValues ...string) packetrpc.Metadata {
	var m packetrpc.Metadata
	for pair := range slices.Chunk(keysAndValues, 2) {
		m.Add(pair[0], pair[1])
	}
	return m
}

// full is a packet with all that both forms can say, its data apart.
func full() *packet.Packet {
	return &packet.Packet{
		Action:       "chat.v1.ChatService/Send \"\\ \x01 €",
		Data:         []byte(`{"text":"hello"}`),
		Created:      1712345678_900001,
		Token:        "0123456789abcdef",
		Kind:         packet.KindError,
		CallID:       1<<53 - 1,
		ActionNumber: 300,
		Timeout:      5*time.Second + time.Microsecond,
		Metadata:     metadata("a", "1", "b", "2", "b", "\n3"),
		Status:       packetrpc.CodeNotFound,
		Message:      "no such room",
		Details: []*anypb.Any{
			{TypeUrl: "type.googleapis.com/google.protobuf.Empty"},
			{TypeUrl: "type.googleapis.com/some.Type", Value: []byte{1, 2, 3, 255}},
		},
		Credit:       1 << 20,
		Reason:       "going down",
		Sequence:     7,
		Acknowledged: 6,
		RetryAfter:   1500 * time.Millisecond,
		MayHaveRun:   true,
		Sealed:       true,
	}
}

// body returns what a form's parser is given of a packet that was appended.
func body(t testing.TB, form packet.Form, appended []byte) []byte {
	t.Helper()
	body, n, err := packet.NewSplitter(form, 1<<30).Next(appended)
	if err != nil || body == nil || n != len(appended) {
		t.Fatalf("Next(%q) = %q, %d, %v", appended, body, n, err)
	}
	return body
}

func TestRoundTrip(t *testing.T) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		t.Run(form.String(), func(t *testing.T) {
			for name, want := range map[string]*packet.Packet{
				"full":    full(),
				"request": {Kind: packet.KindRequest, Data: []byte("{}")},
				"ping":    {Kind: packet.KindPing},
			} {
				got := packet.Packet{Message: "left over"}
				if err := packet.Parse(form, &got, body(t, form, packet.Append(form, nil, want))); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(want, &got, compare); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// sorted returns the metadata as the JSON form orders it.
func sorted(m packetrpc.Metadata) packetrpc.Metadata {
	var all packetrpc.Metadata
	ordered := pairs(m)
	slices.SortStableFunc(ordered, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, pair := range ordered {
		all.Add(pair[0], pair[1])
	}
	return all
}

func TestForms(t *testing.T) {
	for form, want := range map[packet.Form]string{packet.Binary: "binary", packet.JSON: "json", 2: "form_2"} {
		if got := form.String(); got != want {
			t.Errorf("form %d is called %s, want %s", form, got, want)
		}
	}
	if last := packet.Preface[len(packet.Preface)-1]; last != packet.Version {
		t.Errorf("the preface ends in %d, not in the version", last)
	}
}

// The same action and token parsed again allocate nothing, also when a packet
// without them came in between.
func TestParseAllocations(t *testing.T) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		p := typical(form)
		p.Action = "chat.v1.ChatService/Send"
		with := body(t, form, packet.Append(form, nil, p))
		p.Action, p.Token = "", ""
		without := body(t, form, packet.Append(form, nil, p))
		var got packet.Packet
		allocations := testing.AllocsPerRun(100, func() {
			if packet.Parse(form, &got, without) != nil || packet.Parse(form, &got, with) != nil {
				t.Fail()
			}
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations", form, allocations)
		}
	}
}

func TestAppendAllocations(t *testing.T) {
	dst := make([]byte, 0, 4096)
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		for name, p := range map[string]*packet.Packet{
			"typical": typical(form),
			"failure": {Kind: packet.KindError, Status: packetrpc.CodeNotFound, Message: "no such room"},
		} {
			if n := testing.AllocsPerRun(100, func() { dst = packet.Append(form, dst[:0], p) }); n != 0 {
				t.Errorf("%s, %s: %v allocations", form, name, n)
			}
		}
	}
}

// TestParseOverwrites: nothing is left of what a packet held, whatever that was.
func TestParseOverwrites(t *testing.T) {
	var want packet.Packet
	if err := packet.ParseBinary(&want, nil); err != nil {
		t.Fatal(err)
	}
	held := full()
	held.More, held.MessageSize = true, 1000
	for i := range reflect.TypeFor[packet.Packet]().NumField() {
		if field := reflect.ValueOf(held).Elem().Field(i); field.CanSet() && field.IsZero() {
			t.Fatalf("field %d of the full packet is not set", i)
		}
	}
	if err := packet.ParseBinary(held, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *held, cmpopts.IgnoreUnexported(packet.Packet{}), cmp.AllowUnexported(packetrpc.Metadata{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
