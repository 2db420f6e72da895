package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// maxJSON is how many bytes of a packet's JSON form, and of a message, are shown.
const maxJSON = 64 << 10

// masked stands for a token.
const masked = "masked"

// packetView is a packet as the page shows it, in both forms, with the token masked. One
// of them is what went over the wire; the other one is the same packet in the other form.
type packetView struct {
	Sent    bool   `json:"sent"`    // by the console
	Omitted bool   `json:"omitted"` // this packet and those that follow are not shown
	Kind    string `json:"kind"`
	Form    string `json:"form"` // in which it went over the wire
	Size    int    `json:"size"` // in that form
	JSON    string `json:"json"`
	Binary  []row  `json:"binary"` // nil when the message's type is not known
}

// viewOf returns a packet of which body is what went over the wire. The message is an
// empty one of the type of the data, or nil where that is not known or not complete.
func viewOf(form packet.Form, p *packet.Packet, body []byte, message proto.Message) packetView {
	view := packetView{Kind: p.Kind.String(), Form: form.String(), Size: len(body)}
	if message != nil && packet.UnmarshalMessage(form, p.Data, message) != nil {
		message = nil
	}
	if form == packet.Binary {
		view.Binary = dump(body, message)
		view.JSON = jsonOf(p, jsonData(p, message))
		return view
	}
	view.JSON = jsonOf(p, p.Data)
	if data, ok := binaryData(p, message); ok {
		converted := *p
		converted.Data = data
		body, _ := protowire.ConsumeBytes(packet.AppendBinary(nil, &converted)) // behind its length
		view.Binary = dump(body, message)
	}
	return view
}

// jsonOf returns the JSON form of a packet with other data, in several lines.
func jsonOf(p *packet.Packet, data []byte) string {
	shown := *p
	shown.Data = data
	if shown.Token != "" {
		shown.Token = masked
	}
	var indented bytes.Buffer
	text := packet.AppendJSON(nil, &shown)
	if json.Indent(&indented, text, "", "  ") == nil {
		text = indented.Bytes()
	}
	return shortened(strings.TrimSpace(string(text)), maxJSON)
}

// jsonData returns the JSON form of binary data. What is not a message that is known is
// written in base64, as bytes are in protojson.
func jsonData(p *packet.Packet, message proto.Message) []byte {
	if message != nil {
		if data, err := packet.AppendMessage(packet.JSON, nil, message); err == nil {
			return data
		}
	}
	if len(p.Data) == 0 {
		return nil
	}
	return []byte(`"` + base64.StdEncoding.EncodeToString(p.Data) + `"`)
}

// binaryData returns the binary form of JSON data, if it has one that is known.
func binaryData(p *packet.Packet, message proto.Message) ([]byte, bool) {
	switch {
	case message != nil:
		data, err := packet.AppendMessage(packet.Binary, nil, message)
		return data, err == nil
	case p.Sealed:
		data, err := packet.ParseSealed(packet.JSON, p.Data)
		return data, err == nil
	}
	return nil, len(p.Data) == 0
}
