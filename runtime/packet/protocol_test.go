package packet_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// TestProtocolExample: the conversation in section 14 of docs/PROTOCOL.md is what
// this package writes, in both forms.
func TestProtocolExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## 14.")
	if !found {
		t.Fatal("there is no section 14")
	}
	lines := make(map[string]bool)
	for line := range strings.Lines(section) {
		lines[strings.TrimSuffix(line, "\n")] = true
	}
	const token = "q7VtQ0u3nO2bY1xk5mZz8A"
	request := &packetrpcv1.HandshakeRequest{Version: 1, Username: "ada",
		Limits: &packetrpcv1.Limits{MaxMessageSize: 4 << 20, CallWindow: 256 << 10, ConnectionWindow: 1 << 20}}
	response := &packetrpcv1.HandshakeResponse{Status: "success", Uuid: token, RemoteToken: token, Version: 1, Id: "27a6c966db"}
	ping := &packetrpcv1.PingRequest{Text: "hi"}
	for _, step := range []struct {
		packet packet.Packet
		data   proto.Message
		binary bool // only the binary form has it
	}{
		{packet.Packet{Kind: packet.KindRequest, Action: "handShake"}, request, false},
		{packet.Packet{Kind: packet.KindResponse, Action: "handShake", Token: token}, response, false},
		{packet.Packet{Kind: packet.KindRequest, Action: "CorePing", ActionNumber: 1, CallID: 3, Token: token}, ping, true},
		{packet.Packet{Kind: packet.KindRequest, Action: "CorePing", CallID: 3, Token: token}, ping, false},
		{packet.Packet{Kind: packet.KindResponse, CallID: 3}, ping, false},
		{packet.Packet{Kind: packet.KindRequest, ActionNumber: 1, CallID: 5, Token: token}, ping, true},
	} {
		if written := write(t, packet.Binary, step.packet, step.data); !lines[hex.EncodeToString(written)] && (step.binary || step.packet.Action != "CorePing") {
			t.Errorf("the document lacks %x", written)
		}
		if step.binary {
			continue
		}
		if written := strings.TrimSpace(string(write(t, packet.JSON, step.packet, step.data))); !lines[written] {
			t.Errorf("the document lacks %s", written)
		}
	}
	if !lines[hex.EncodeToString([]byte(packet.Preface))] {
		t.Errorf("the document lacks the preface")
	}
}

func write(t *testing.T, form packet.Form, p packet.Packet, data proto.Message) []byte {
	t.Helper()
	var err error
	if p.Data, err = packet.AppendMessage(form, nil, data); err != nil {
		t.Fatal(err)
	}
	return packet.Append(form, nil, &p)
}
