package tap

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// fuzzToken is the token of the session that the fuzzer plays in.
const fuzzToken = "FD51TrM77JFksmzmWJ6s2Q"

// shaken returns what both sides send for a handshake.
func shaken(form packet.Form) (client, server []byte) {
	request := packet.Packet{Action: handshakeAction}
	answer := packet.Packet{Kind: packet.KindResponse, Action: handshakeAction, Token: fuzzToken}
	if form == packet.Binary {
		client = []byte(packet.Preface)
	}
	return packet.Append(form, client, &request), packet.Append(form, nil, &answer)
}

// FuzzDecode plays what two sides send, in pieces. Whatever that is, events can be
// recorded and come back the same, lines have nothing in them that terminals act on, and
// nobody sees the token once there was a handshake.
func FuzzDecode(f *testing.F) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		data := []byte(`{"text":"` + fuzzToken + `"}`)
		if form == packet.Binary {
			data = append([]byte{0x0a, byte(len(fuzzToken))}, fuzzToken...)
		}
		request := packet.Packet{CallID: 3, Action: "CorePing", ActionNumber: 1, Token: fuzzToken, Data: data, Timeout: time.Second}
		request.Metadata.Add("a", fuzzToken)
		begin := packet.Packet{CallID: 5, ActionNumber: 1, Data: data[:4], More: true, MessageSize: uint64(len(data))}
		rest := packet.Packet{CallID: 5, Data: data[4:]}
		push := packet.Packet{Kind: packet.KindOneWay, CallID: 2, Action: "x.Y/Z", Data: data, Sequence: 1}
		reply := packet.Packet{Kind: packet.KindResponse, CallID: 3, Data: data}
		failure := packet.Packet{Kind: packet.KindError, CallID: 5, Status: 3, Message: fuzzToken}
		var client, server []byte
		for _, p := range []*packet.Packet{&request, &begin, &rest} {
			if form == packet.Binary || !p.More && p != &rest {
				client = packet.Append(form, client, p)
			}
		}
		for _, p := range []*packet.Packet{&push, &reply, &failure} {
			server = packet.Append(form, server, p)
		}
		f.Add(form == packet.JSON, true, client, server, uint8(7))
		f.Add(form == packet.JSON, true, client, server, uint8(0))
	}
	f.Add(false, false, []byte("GET / HTTP/1.1\r\n\r\n"), []byte("packetrpc: no\n"), uint8(3))
	describer := newDescriber(Decoding{Raw: true})
	f.Fuzz(func(t *testing.T, asJSON, shake bool, client, server []byte, step uint8) {
		form := packet.Binary
		if asJSON {
			form = packet.JSON
		}
		p := newPlay(describer)
		if shake {
			p.both(shaken(form))
		}
		size := int(step) + 1
		for len(client) > 0 || len(server) > 0 {
			c, s := min(size, len(client)), min(size, len(server))
			p.both(client[:c], server[:s])
			client, server = client[c:], server[s:]
		}
		p.end()
		for _, e := range p.events {
			checkEvent(t, e, shake)
		}
	})
}

// play is a connection whose bytes are decoded as they are sent.
type play struct {
	decoder        *decoder
	client, server *cutter
	events         []*Event
}

func newPlay(describer *describer) *play {
	p, opening := new(play), new(opening)
	p.decoder = newDecoder(describer, func(e *Event) { p.events = append(p.events, e) })
	p.client = &cutter{from: Client, opening: opening, emit: p.emit}
	p.server = &cutter{from: Server, opening: opening, emit: p.emit}
	return p
}

func (p *play) emit(next piece) {
	next.at, next.connection = time.Now(), 1
	next.body = bytes.Clone(next.body)
	p.decoder.handle(next)
}

// both plays what the client sends, and then what the server does.
func (p *play) both(client, server []byte) {
	p.client.write(client)
	p.server.write(server)
}

func (p *play) end() {
	p.client.end()
	p.server.end()
	p.emit(piece{event: &Event{Kind: KindClosed, Closed: &Closed{}}})
}

// checkEvent checks what must hold for every event.
func checkEvent(t *testing.T, e *Event, tokenKnown bool) {
	t.Helper()
	var text bytes.Buffer
	if err := newLines(&text).Encode(e); err != nil {
		t.Fatalf("%+v cannot be recorded: %v", e, err)
	}
	again := new(Event)
	if err := json.Unmarshal(text.Bytes(), again); err != nil || !reflect.DeepEqual(e, again) {
		t.Fatalf("recorded was\n%+v\nreplayed is\n%+v\n%v", e, again, err)
	}
	for _, view := range []View{{Full: true}, {Calls: true}, {JSON: true}} {
		line := string(view.Line(e))
		if line == "" {
			continue
		}
		if tokenKnown && strings.Contains(line, fuzzToken) {
			t.Errorf("the token is in %s", line)
		}
		if line, ended := strings.CutSuffix(line, "\n"); !ended || !view.JSON && strings.ContainsFunc(line, isUnprintable) || !utf8.ValidString(line) {
			t.Errorf("%q is no line for a terminal", line)
		}
	}
}
