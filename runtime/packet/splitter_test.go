package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// split feeds a stream to a Splitter in chunks, each of a size that the function
// gives, and returns what came of it, one line each, with what was left at the
// end.
func split(t testing.TB, s *packet.Splitter, stream []byte, chunk func() int) []string {
	var events []string
	var unread []byte
	for len(stream) > 0 {
		n := min(chunk(), len(stream))
		unread = append(unread[:len(unread):len(unread)], stream[:n]...)
		stream = stream[n:]
		for {
			body, n, err := s.Next(unread)
			if n < 0 || n > len(unread) || body != nil && n < len(body) {
				t.Fatalf("Next consumes %d of %d bytes", n, len(unread))
			}
			unread = unread[n:]
			var oversized *packet.OversizedError
			switch {
			case errors.As(err, &oversized):
				p := oversized.Packet
				events = append(events, fmt.Sprintf("%v (%v %d %t %q %d)", err, p.Kind, p.CallID, p.More, p.Action, p.ActionNumber))
			case err != nil:
				return append(events, err.Error())
			case body != nil:
				events = append(events, string(body))
			}
			if n == 0 {
				break
			}
		}
	}
	return append(events, fmt.Sprintf("left: %q", unread))
}

func all() int { return 1 << 30 }

func TestSplitterEverySplit(t *testing.T) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		t.Run(form.String(), func(t *testing.T) {
			var stream []byte
			var want []string
			for _, p := range []*packet.Packet{full(), {}, typical(form), {Kind: packet.KindMessage, Data: []byte(`{"a":["\"\\",[{}]]}`)}} {
				text := packet.Append(form, nil, p)
				stream = append(stream, text...)
				want = append(want, string(body(t, form, text)))
			}
			want = append(want, `left: ""`)
			for at := range len(stream) {
				first := at + 1
				chunk := func() int { n := first; first = len(stream); return n }
				if diff := cmp.Diff(want, split(t, packet.NewSplitter(form, 1<<20), stream, chunk)); diff != "" {
					t.Fatalf("split at %d (-want +got):\n%s", at, diff)
				}
			}
			for size := 1; size < 20; size++ {
				if diff := cmp.Diff(want, split(t, packet.NewSplitter(form, 1<<20), stream, func() int { return size })); diff != "" {
					t.Fatalf("chunks of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

func TestSplitter(t *testing.T) {
	header := "\x28\x03\x30\x09\x38\x01\x40\x05\x0a\x03abc" // kind, call id, more, number, action
	large := func(size int) string {
		return string(protowire.AppendVarint(nil, uint64(size))) + header + strings.Repeat("x", size-len(header))
	}
	long := strings.Repeat("x", 5000)
	for _, test := range []struct {
		name   string
		form   packet.Form
		limit  int
		stream string
		want   []string
	}{
		{"nothing", packet.Binary, 100, "", []string{`left: ""`}},
		{"empty packets", packet.Binary, 100, "\x00\x00", []string{"", "", `left: ""`}},
		{"length cut off", packet.Binary, 100, "\xff", []string{`left: "\xff"`}},
		{"packet cut off", packet.Binary, 100, "\x02a", []string{`left: "\x02a"`}},
		{"long length", packet.Binary, 100, "\x81\x80\x00a", []string{"a", `left: ""`}},
		{"no length", packet.Binary, 100, strings.Repeat("\xff", 10), []string{"the length of a packet is not a number up to 2^53"}},
		{"2^53+1", packet.Binary, 100, "\x81\x80\x80\x80\x80\x80\x80\x10", []string{"the length of a packet is not a number up to 2^53"}},
		{"2^53 begins", packet.Binary, 100, "\x80\x80\x80\x80\x80\x80\x80\x10", []string{`left: "\x80\x80\x80\x80\x80\x80\x80\x10"`}},
		{"at the limit", packet.Binary, 3, "\x03abc\x01d", []string{"abc", "d", `left: ""`}},
		{
			"oversized", packet.Binary, 100, large(101) + "\x01a",
			[]string{`packet of 101 bytes exceeds the limit of 100 (message 9 true "abc" 5)`, "a", `left: ""`},
		},
		{
			"twice", packet.Binary, 100, large(10000) + large(4097) + "\x01a",
			[]string{
				`packet of 10000 bytes exceeds the limit of 100 (message 9 true "abc" 5)`,
				`packet of 4097 bytes exceeds the limit of 100 (message 9 true "abc" 5)`, "a", `left: ""`,
			},
		},
		{"oversized and cut off", packet.Binary, 100, large(10000)[:4000], []string{fmt.Sprintf("left: %q", large(10000)[:4000])}},
		{"no limit of its own", packet.Binary, 0, large(4097), []string{`packet of 4097 bytes exceeds the limit of 4096 (message 9 true "abc" 5)`, `left: ""`}},

		{"white space", packet.JSON, 100, " \t\r\n{}{} {\"a\":[]}\n ", []string{"{}", "{}", `{"a":[]}`, `left: ""`}},
		{"cut off", packet.JSON, 100, ` {"a}`, []string{`left: "{\"a}"`}},
		{"wrong inside", packet.JSON, 100, `{"a" tru} {}`, []string{`{"a" tru}`, "{}", `left: ""`}},
		{"limit without white space", packet.JSON, 2, "  {}  {}  ", []string{"{}", "{}", `left: ""`}},
		{"no object", packet.JSON, 100, `[]`, []string{`a JSON packet begins with '{', not with '['`}},
		{"binary", packet.JSON, 100, "{}\xf5", []string{"{}", `a JSON packet begins with '{', not with 0xf5`}},
		{"brackets", packet.JSON, 100, `{"a":[}`, []string{`not JSON: '}' closes what another bracket opened`}},
		{"other brackets", packet.JSON, 100, `{"a":]`, []string{`not JSON: ']' closes what another bracket opened`}},
		{"line break in string", packet.JSON, 100, "{\"a\n", []string{`not JSON: the control character '\n' in a string`}},
		{"behind a backslash", packet.JSON, 100, "{\"a\\\x00", []string{`not JSON: the control character '\x00' in a string`}},
		{"control character", packet.JSON, 100, "{\x00", []string{`not JSON: '\x00' outside of a string`}},
		{"byte beyond ASCII", packet.JSON, 100, "{\xe9", []string{`not JSON: 0xe9 outside of a string`}},
		{"deepest", packet.JSON, 5000, `{"":` + nested(511) + `}`, []string{`{"":` + nested(511) + `}`, `left: ""`}},
		{"too deep", packet.JSON, 5000, `{"":` + nested(512) + `}`, []string{`not a JSON packet: nested deeper than 512`}},
		{
			"oversized JSON", packet.JSON, 100, `{"kind":"message", "id":9,"number":5,"action":"abc","x":"` + long + `"}` + "\n{}",
			[]string{`packet exceeds the limit of 100 bytes (message 9 false "abc" 5)`, "{}", `left: ""`},
		},
		{
			"oversized JSON before its id", packet.JSON, 100, `{"action":"abc","data":{"x":"` + long + `"},"id":9}{}`,
			[]string{`packet exceeds the limit of 100 bytes (request 0 false "abc" 0)`, "{}", `left: ""`},
		},
		{
			"oversized JSON gone wrong", packet.JSON, 100, `{"x":"` + long + `"}}`,
			[]string{`packet exceeds the limit of 100 bytes (request 0 false "" 0)`, `a JSON packet begins with '{', not with '}'`},
		},
		{
			"oversized JSON gone wrong inside", packet.JSON, 100, `{"x":"` + long + `"]`,
			[]string{`packet exceeds the limit of 100 bytes (request 0 false "" 0)`, `not JSON: ']' closes what another bracket opened`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, chunk := range []int{1 << 20, 1, 7} {
				got := split(t, packet.NewSplitter(test.form, test.limit), []byte(test.stream), func() int { return chunk })
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("chunks of %d (-want +got):\n%s", chunk, diff)
				}
			}
		})
	}
}

// An oversized packet is recognised before it is there.
func TestOversizedIsToldEarly(t *testing.T) {
	stream := protowire.AppendVarint(nil, 1<<40)
	stream = append(stream, make([]byte, packet.MaxBeforeHandshake)...)
	s := packet.NewSplitter(packet.Binary, 100)
	if _, n, err := s.Next(stream[:len(stream)-1]); n != 0 || err != nil {
		t.Errorf("one byte short: %d, %v", n, err)
	}
	var oversized *packet.OversizedError
	if _, n, err := s.Next(stream); n != len(stream) || !errors.As(err, &oversized) || oversized.Size != 1<<40 || oversized.Limit != 100 {
		t.Errorf("got %d, %v", n, err)
	}

	s = packet.NewSplitter(packet.JSON, 100)
	stream = append([]byte(`{"id":3,"data":"`), bytes.Repeat([]byte("x"), 84)...)
	if _, n, err := s.Next(stream[:99]); n != 0 || err != nil {
		t.Errorf("one byte short: %d, %v", n, err)
	}
	if _, n, err := s.Next(stream); n != len(stream) || !errors.As(err, &oversized) || oversized.Size != 0 || oversized.Packet.CallID != 3 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestSetMaxPacket(t *testing.T) {
	for form, stream := range map[packet.Form]string{packet.Binary: "\x04abcd", packet.JSON: `{   }`} {
		var s packet.Splitter
		if form == packet.JSON {
			s = *packet.NewSplitter(form, 3)
		}
		s.SetMaxPacket(5)
		if body, _, err := s.Next([]byte(stream)); err != nil || body == nil {
			t.Errorf("%s: %q, %v", form, body, err)
		}
		// Lowered amid a packet.
		if _, n, err := s.Next([]byte(stream[:3])); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", form, n, err)
		}
		s.SetMaxPacket(2)
		var oversized *packet.OversizedError
		if _, n, err := s.Next([]byte(stream)); n == 0 || !errors.As(err, &oversized) {
			t.Errorf("%s: %d, %v", form, n, err)
		}
	}
}

// What has been scanned once is not scanned again: it may even have changed.
func TestSplitterScansOnce(t *testing.T) {
	stream := []byte(`{"a":{"b":"}\"`)
	s := packet.NewSplitter(packet.JSON, 100)
	if body, n, err := s.Next(stream); body != nil || n != 0 || err != nil {
		t.Fatal(body, n, err)
	}
	changed := append(bytes.Repeat([]byte("}"), len(stream)), `"}}{}`...)
	if body, n, err := s.Next(changed); len(body) != len(stream)+3 || n != len(stream)+3 || err != nil {
		t.Errorf("%q, %d, %v", body, n, err)
	}
}
