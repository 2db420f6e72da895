package packet_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

func handshake() *packetrpcv1.HandshakeRequest {
	return &packetrpcv1.HandshakeRequest{
		Version:     1,
		Username:    "a \"b\" \\ \n c  d",
		Limits:      &packetrpcv1.Limits{MaxMessageSize: 5},
		ResumeToken: []byte{1, 2},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		text, err := packet.AppendMessage(form, []byte("x "), handshake())
		if err != nil {
			t.Fatal(err)
		}
		got := new(packetrpcv1.HandshakeRequest)
		if err := packet.UnmarshalMessage(form, text[2:], got); err != nil || string(text[:2]) != "x " {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(handshake(), got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

func TestAppendMessage(t *testing.T) {
	want := `x {"version":1,"username":"a \"b\" \\ \n c  d","limits":{"maxMessageSize":"5"},"resumeToken":"AQI="}`
	text, err := packet.AppendMessage(packet.JSON, []byte("x "), handshake())
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	for _, empty := range []proto.Message{nil, (*packetrpcv1.Limits)(nil), &packetrpcv1.Limits{}} {
		if text, err := packet.AppendMessage(packet.Binary, nil, empty); err != nil || len(text) != 0 || packet.Size(empty) != 0 {
			t.Errorf("%#v: %q, %v", empty, text, err)
		}
		if text, err := packet.AppendMessage(packet.JSON, nil, empty); err != nil || string(text) != "{}" {
			t.Errorf("%#v: %q, %v", empty, text, err)
		}
	}
	text, err = packet.AppendMessage(packet.JSON, nil, (*timestamppb.Timestamp)(nil))
	if err != nil || string(text) != `"1970-01-01T00:00:00Z"` {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAppendSized(t *testing.T) {
	m := handshake()
	want, err := packet.AppendMessage(packet.Binary, []byte("x"), m)
	if err != nil {
		t.Fatal(err)
	}
	size := packet.Size(m)
	if size != len(want)-1 {
		t.Errorf("size %d, want %d", size, len(want)-1)
	}
	if got, err := packet.AppendSized([]byte("x"), m, size); err != nil || string(got) != string(want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, empty := range []proto.Message{nil, (*packetrpcv1.Limits)(nil)} {
		if got, err := packet.AppendSized([]byte("x"), empty, 0); err != nil || string(got) != "x" {
			t.Errorf("%#v: %q, %v", empty, got, err)
		}
	}
}

func TestMessageRefuses(t *testing.T) {
	for _, m := range []proto.Message{
		&packetrpcv1.HandshakeRequest{Username: "\xff"},
		&descriptorpb.UninterpretedOption_NamePart{}, // its required fields are not set
	} {
		for _, form := range []packet.Form{packet.Binary, packet.JSON} {
			if got, err := packet.AppendMessage(form, []byte("x"), m); err == nil || string(got[:1]) != "x" {
				t.Errorf("%s: %q, %v", form, got, err)
			}
		}
	}
	for _, test := range []struct {
		form packet.Form
		text string
	}{
		{packet.Binary, "\x12\x01\xff"}, {packet.Binary, "\x12"},
		{packet.JSON, "{\"username\":\"\xff\"}"}, {packet.JSON, `[]`}, {packet.JSON, `{"username":1}`}, {packet.JSON, `{}x`},
	} {
		if err := packet.UnmarshalMessage(test.form, []byte(test.text), new(packetrpcv1.HandshakeRequest)); err == nil {
			t.Errorf("%s %q: no error", test.form, test.text)
		}
	}
}

func TestUnmarshalMessage(t *testing.T) {
	for _, text := range []string{"", " ", "null", "\n null ", "{}", `{"not a field":[{}]}`} {
		got := handshake()
		if err := packet.UnmarshalMessage(packet.JSON, []byte(text), got); err != nil || !proto.Equal(got, &packetrpcv1.HandshakeRequest{}) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	// The names of the .proto file are good as well.
	var got packetrpcv1.HandshakeRequest
	if err := packet.UnmarshalMessage(packet.JSON, []byte(`{"resume_token":"AQI="}`), &got); err != nil || len(got.GetResumeToken()) != 2 {
		t.Errorf("%v, %v", &got, err)
	}
	var value structpb.Value
	if err := packet.UnmarshalMessage(packet.JSON, []byte("null"), &value); err != nil || value.GetKind() == nil {
		t.Errorf("%v, %v", &value, err)
	}
}

func TestMessageIsOneLine(t *testing.T) {
	fields := map[string]any{}
	for _, key := range strings.Fields("a b c d e f g h") {
		fields[key] = []any{"x\n y", nil, 1.5, map[string]any{" ": true}}
	}
	m, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	text, err := packet.AppendMessage(packet.JSON, nil, m)
	if err != nil || strings.ContainsAny(string(text), "\n\t") || strings.Contains(string(text), ", ") || strings.Contains(string(text), ": ") {
		t.Errorf("%s, %v", text, err)
	}
}

// vtMessage is a message with methods like those that vtprotobuf generates.
type vtMessage struct {
	*wrapperspb.StringValue
	wrong bool // it writes less than it said
}

func (m vtMessage) SizeVT() int { return len(m.Value) }

func (m vtMessage) MarshalToSizedBufferVT(b []byte) (int, error) {
	if m.wrong {
		return 0, nil
	}
	return copy(b[len(b)-len(m.Value):], m.Value), nil
}

func (m vtMessage) UnmarshalVT(b []byte) error {
	m.Value = string(b)
	return nil
}

// TestMessageVT: a message's own methods are used for the binary form, and only
// for that. The ones here write something that reflection would not.
func TestMessageVT(t *testing.T) {
	m := vtMessage{StringValue: wrapperspb.String("text")}
	binary, err := packet.AppendMessage(packet.Binary, []byte("x "), m)
	if err != nil || string(binary) != "x text" || packet.Size(m) != 4 {
		t.Errorf("%q, %v", binary, err)
	}
	text, err := packet.AppendMessage(packet.JSON, nil, m)
	if err != nil || string(text) != `"text"` {
		t.Errorf("%q, %v", text, err)
	}
	for form, data := range map[packet.Form]string{packet.Binary: "text", packet.JSON: `"text"`} {
		got := vtMessage{StringValue: new(wrapperspb.StringValue)}
		if err := packet.UnmarshalMessage(form, []byte(data), got); err != nil || got.Value != "text" {
			t.Errorf("%s: %q, %v", form, got.Value, err)
		}
	}
	m.wrong = true
	if got, err := packet.AppendMessage(packet.Binary, []byte("x "), m); err == nil || string(got) != "x " {
		t.Errorf("%q, %v", got, err)
	}
}
