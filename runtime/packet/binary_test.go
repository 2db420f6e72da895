package packet_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// micros is how a duration travels.
func micros(d time.Duration) uint64 {
	whole := uint64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		whole++
	}
	return whole
}

// toProto says the same as p with the generated message.
func toProto(p *packet.Packet) *packetrpcv1.Packet {
	m := &packetrpcv1.Packet{
		Action:       p.Action,
		Data:         p.Data,
		Created:      uint64(p.Created),
		Token:        []byte(p.Token),
		Kind:         packetrpcv1.Kind(p.Kind),
		CallId:       p.CallID,
		More:         p.More,
		ActionNumber: p.ActionNumber,
		Timeout:      micros(p.Timeout),
		Status:       packetrpcv1.Code(p.Status),
		Message:      p.Message,
		Details:      p.Details,
		Credit:       p.Credit,
		Reason:       p.Reason,
		Sequence:     p.Sequence,
		Acknowledged: p.Acknowledged,
		RetryAfter:   micros(p.RetryAfter),
		MayHaveRun:   p.MayHaveRun,
		Sealed:       p.Sealed,
		MessageSize:  p.MessageSize,
	}
	for key, value := range p.Metadata.All() {
		m.Metadata = append(m.Metadata, &packetrpcv1.Metadata{Key: key, Value: value})
	}
	return m
}

// normalize gives one shape to what counts as the same: a request by name and by
// silence, and what a Packet has no room for.
func normalize(m *packetrpcv1.Packet) *packetrpcv1.Packet {
	switch {
	case m.Kind == 0:
		m.Kind = packetrpcv1.Kind_KIND_REQUEST
	case m.Kind < 0 || m.Kind > 255:
		m.Kind = packetrpcv1.Kind(packet.KindUnknown)
	}
	longest := micros(math.MaxInt64)
	m.Timeout, m.RetryAfter = min(m.Timeout, longest), min(m.RetryAfter, longest)
	if len(m.Data) == 0 {
		m.Data = nil
	}
	if len(m.Token) == 0 {
		m.Token = nil
	}
	m.ProtoReflect().SetUnknown(nil)
	for _, pair := range m.Metadata {
		pair.ProtoReflect().SetUnknown(nil)
	}
	for _, detail := range m.Details {
		detail.ProtoReflect().SetUnknown(nil)
	}
	return m
}

// random makes packets of which each field is there half the time.
type random struct{ *rand.Rand }

func (r random) some() bool { return r.IntN(2) == 0 }

func (r random) text() string {
	if r.some() {
		return ""
	}
	return string([]rune("aé€\n\"\\x")[r.IntN(7):])
}

func (r random) number() uint64 {
	if r.some() {
		return 0
	}
	return r.Uint64() >> (11 + r.IntN(53))
}

func (r random) packet() *packet.Packet {
	p := &packet.Packet{
		Action:       r.text(),
		Created:      int64(r.number()),
		Token:        strings.Repeat("t", r.IntN(2)*r.IntN(200)),
		Kind:         packet.Kind(1 + r.IntN(13)),
		CallID:       r.number(),
		ActionNumber: uint32(r.number()),
		Timeout:      time.Duration(r.number()%1e12) * time.Microsecond,
		Status:       packetrpc.Code(r.IntN(17)),
		Message:      r.text(),
		Credit:       r.number(),
		Reason:       r.text(),
		Sequence:     r.number(),
		Acknowledged: r.number(),
		RetryAfter:   time.Duration(r.number()%1e12) * time.Microsecond,
		MayHaveRun:   r.some(),
		Sealed:       r.some(),
	}
	for range r.IntN(4) {
		p.Metadata.Add(string(rune('a'+r.IntN(3))), r.text())
	}
	for range r.IntN(3) {
		p.Details = append(p.Details, &anypb.Any{TypeUrl: "type.googleapis.com/x.Y", Value: r.bytes(300)})
	}
	return p
}

func (r random) bytes(most int) []byte {
	b := make([]byte, r.IntN(most))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// sameProto compares with proto.Equal first, as a diff takes its time.
func sameProto(t *testing.T, want, got proto.Message) {
	t.Helper()
	if !proto.Equal(want, got) {
		t.Fatalf("(-want +got):\n%s", cmp.Diff(want, got, protocmp.Transform()))
	}
}

func TestBinaryIsProtobuf(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 2))}
	for range 1000 {
		p := r.packet()
		p.More, p.MessageSize, p.Data = r.some(), r.number(), r.bytes(20000>>r.IntN(15))
		want := normalize(toProto(p))

		// Written by this package, read by protobuf.
		var read packetrpcv1.Packet
		if err := proto.Unmarshal(body(t, packet.Binary, packet.AppendBinary(nil, p)), &read); err != nil {
			t.Fatal(err)
		}
		sameProto(t, want, normalize(&read))

		// Written by protobuf, read by this package.
		text, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got packet.Packet
		if err := packet.ParseBinary(&got, text); err != nil {
			t.Fatal(err)
		}
		sameProto(t, want, normalize(toProto(&got)))
	}
}

func TestRandomJSONRoundTrip(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 4))}
	var got packet.Packet
	for range 1000 {
		want := r.packet()
		want.Data = []byte(`{"a":[1,"}"]}`)
		line := packet.AppendJSON(nil, want)
		if strings.Count(string(line), "\n") != 1 {
			t.Fatalf("%q is not one line", line)
		}
		if err := packet.ParseJSON(&got, line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		want.Metadata = sorted(want.Metadata)
		if diff := cmp.Diff(want, &got, compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// The size of the length depends on what follows it, at every boundary.
func TestBinaryLength(t *testing.T) {
	for size := range 70000 {
		if size > 400 && size < 16000 || size > 17000 && size < 69000 {
			continue
		}
		for _, token := range []string{"", strings.Repeat("t", 100)} {
			p := packet.Packet{CallID: 1, Token: token, Data: make([]byte, size)}
			text := packet.AppendBinary([]byte("before"), &p)
			length, n := protowire.ConsumeVarint(text[6:])
			if got := len(text) - 6 - n; uint64(got) != length || n != protowire.SizeVarint(length) {
				t.Fatalf("data of %d bytes: length %d in %d bytes, packet of %d bytes", size, length, n, got)
			}
		}
	}
}

func TestAppendBinaryHeader(t *testing.T) {
	for _, size := range []int{0, 1, 100, 1 << 20} {
		p := full()
		p.Data = make([]byte, size)
		want := packet.AppendBinary([]byte("x"), p)
		p.Data = []byte("ignored")
		got := packet.AppendBinaryHeader([]byte("x"), p, size)
		if got = append(got, make([]byte, size)...); !bytes.Equal(want, got) {
			t.Errorf("data of %d bytes: the header differs", size)
		}
	}
}

func TestBinarySmallFieldsFirst(t *testing.T) {
	p := &packet.Packet{
		Kind: packet.KindMessage, CallID: 3, More: true, ActionNumber: 4, Action: "a", Token: "t", Data: []byte("data"),
	}
	want := "\x14\x28\x03\x30\x03\x38\x01\x40\x04\x0a\x01a\x22\x01t\x12\x04data"
	if got := string(packet.AppendBinary(nil, p)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a receiver would refuse or take for something else is mended.
func TestAppendMends(t *testing.T) {
	p := &packet.Packet{
		Action:     "a\xff\xffb",
		Created:    -1,
		Timeout:    -time.Second,
		RetryAfter: -time.Second,
		Message:    "\xc0",
		Metadata:   metadata("k", "\xf0v"),
		Details:    []*anypb.Any{{TypeUrl: "x/\xff"}, nil},
		Data:       []byte("{}"),
	}
	want := &packet.Packet{
		Kind:     packet.KindRequest,
		Action:   "a\ufffdb",
		Timeout:  time.Microsecond,
		Message:  "\ufffd",
		Metadata: metadata("k", "\ufffdv"),
		Details:  []*anypb.Any{{TypeUrl: "x/\ufffd"}, {}},
		Data:     []byte("{}"),
	}
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		if form == packet.JSON {
			want.Details[0].TypeUrl = "type.googleapis.com/\ufffd"
			want.Details[1].TypeUrl = "type.googleapis.com/"
		}
		var got packet.Packet
		if err := packet.Parse(form, &got, body(t, form, packet.Append(form, nil, p))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &got, compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

func TestParseBinaryRefuses(t *testing.T) {
	for _, test := range []struct {
		name, body, want string
	}{
		{"tag cut off", "\x30\x07\x80", "not protobuf"},
		{"number cut off", "\x30\x07\x28", "not protobuf"},
		{"number too long", "\x30\x07\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not protobuf"},
		{"bytes cut off", "\x30\x07\x12\x05abc", "not protobuf"},
		{"length beyond all", "\x30\x07\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not protobuf"},
		{"fixed cut off", "\x30\x07\x19abc", "not protobuf"},
		{"field number 0", "\x30\x07\x00\x01", "not protobuf"},
		{"field number too large", "\x30\x07\x80\x80\x80\x80\x20\x01", "not protobuf"},
		{"end of no group", "\x30\x07\x0c", "not protobuf"},
		{"group without end", "\x30\x07\xa3\x06", "not protobuf"},
		{"wire type 6", "\x30\x07\x0e", "not protobuf"},
		{"wire type 7", "\x30\x07\x0f", "not protobuf"},
		{"action", "\x0a\x01\xff\x30\x07", "field 1 (action): not UTF-8"},
		{"message", "\x62\x01\xff\x30\x07", "field 12 (message): not UTF-8"},
		{"reason", "\x7a\x01\xff\x30\x07", "field 15 (reason): not UTF-8"},
		{"created", "\x19\xff\xff\xff\xff\xff\xff\xff\xff\x30\x07", "field 3 (created): 18446744073709551615 microseconds are out of range"},
		{"metadata key", "\x52\x03\x0a\x01A\x30\x07", "field 10 (metadata): \"A\" is not a key: keys are lower-case letters, digits, '-', '_' and '.'"},
		{"metadata without key", "\x52\x00\x30\x07", "field 10 (metadata): \"\" is not a key: keys are lower-case letters, digits, '-', '_' and '.'"},
		{"metadata value", "\x52\x06\x0a\x01a\x12\x01\xff\x30\x07", "field 10 (metadata): not UTF-8"},
		{"metadata cut off", "\x52\x02\x0a\x01\x30\x07", "field 10 (metadata): not protobuf"},
		{"metadata tag", "\x52\x01\xff\x30\x07", "field 10 (metadata): not protobuf"},
		{"metadata number too large", "\x52\x07\x80\x80\x80\x80\x20\x01\x00\x30\x07", "field 10 (metadata): not protobuf"},
		{"details", "\x6a\x01\xff\x30\x07", "field 13 (details): not the encoding of a google.protobuf.Any"},
		{"the first error counts", "\x0a\x01\xff\x62\x01\xff\x30\x07\x00", "field 1 (action): not UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p packet.Packet
			err := packet.ParseBinary(&p, []byte(test.body))
			if err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
			if p.CallID != 7 {
				t.Errorf("call id %d, want 7", p.CallID)
			}
			// protobuf refuses them as well, but for what only packets forbid.
			if proto.Unmarshal([]byte(test.body), new(packetrpcv1.Packet)) == nil &&
				!strings.Contains(test.want, "created") && !strings.Contains(test.want, "key") {
				t.Error("protobuf accepts it")
			}
		})
	}
}

func TestParseBinaryIgnoresAndOverwrites(t *testing.T) {
	text := "\x28\x02" + // kind
		"\x0b\x08\x01\x0c" + // action's number as a group
		"\x08\x05" + // action's number with a number
		"\x32\x01x" + // call id's number with bytes
		"\x35abcd" + "\x31abcdefgh" + // and with fixed ones
		"\xfa\x7f\x02zz" + "\xf8\x7f\x05" + // unknown fields
		"\x52\x08\x08\x01\x0a\x01a\x12\x01b" + // metadata with an unknown field
		"\x30\x01\x30\x02" + "\x12\x01a\x12\x00" + // twice
		"\x28\x00" // kind, none after all
	var got packet.Packet
	if err := packet.ParseBinary(&got, []byte(text)); err != nil {
		t.Fatal(err)
	}
	want := &packet.Packet{Kind: packet.KindRequest, CallID: 2, Metadata: metadata("a", "b")}
	if diff := cmp.Diff(want, &got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKinds(t *testing.T) {
	for number, name := range packetrpcv1.Kind_name {
		kind := packet.Kind(number)
		if number == 0 {
			kind = packet.KindRequest
			name = "KIND_REQUEST"
		}
		want := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "KIND_")), "_", "-")
		if kind.String() != want || !kind.Valid() {
			t.Errorf("kind %d: %s, valid %t, want %s", number, kind, kind.Valid(), want)
		}
	}
	for wire, want := range map[uint64]packet.Kind{
		14: 14, 254: 254, 255: packet.KindUnknown, 256: packet.KindUnknown, math.MaxUint64: packet.KindUnknown,
	} {
		var p packet.Packet
		if err := packet.ParseBinary(&p, protowire.AppendVarint([]byte{0x28}, wire)); err != nil || p.Kind != want {
			t.Errorf("kind %d: %v, %v, want %v", wire, p.Kind, err, want)
		}
		if p.Kind.Valid() {
			t.Errorf("kind %d is valid", wire)
		}
	}
	if got := packet.Kind(14).String(); got != "kind_14" {
		t.Errorf("kind 14 is called %s", got)
	}
}

func TestDurationsBeyondRange(t *testing.T) {
	text, err := proto.Marshal(&packetrpcv1.Packet{Timeout: math.MaxUint64, RetryAfter: math.MaxInt64})
	if err != nil {
		t.Fatal(err)
	}
	var p packet.Packet
	if err := packet.ParseBinary(&p, text); err != nil {
		t.Fatal(err)
	}
	if p.Timeout != math.MaxInt64 || p.RetryAfter != math.MaxInt64 {
		t.Errorf("timeout %d, retry after %d, want the longest", p.Timeout, p.RetryAfter)
	}
}
