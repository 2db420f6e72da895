//go:build linux

package server_test

import (
	"encoding/binary"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// sends is an attack by the first bytes of a connection.
func sends(bytes ...string) func(*attacker) said {
	return func(a *attacker) said {
		nc := a.connect()
		nc.write(strings.Join(bytes, ""))
		if bytes != nil && bytes[0] == packet.Preface {
			return (&binarySpeaker{raw: nc}).hears()
		}
		return hears(nc)
	}
}

// sendsBinary is an attack by the first packets of a connection in the binary form.
func sendsBinary(packets ...*packet.Packet) func(*attacker) said {
	return func(a *attacker) said {
		nc := &binarySpeaker{raw: a.connect()}
		nc.write(packet.Preface)
		nc.tells(packets...)
		return nc.hears()
	}
}

// shakesWith is an attack by what a handshake says, as a JSON object.
func shakesWith(data string) func(*attacker) said {
	return sends(`{"action":"handShake","data":`, data, `}`)
}

// asks is an attack by JSON packets after the handshake. Each is answered; what counts is
// the last answer. TOKEN stands for the token.
func asks(lines ...string) func(*attacker) said {
	return func(a *attacker) said { return a.shaken().asks(lines...) }
}

// tells is an attack by JSON packets of which only one is answered, or the connection
// ends.
func tells(lines ...string) func(*attacker) said {
	return func(a *attacker) said {
		s := a.shaken()
		s.tells(lines...)
		return hears(s.raw)
	}
}

// asksBinary is an attack by packets in the binary form, as asks is.
func asksBinary(packets ...*packet.Packet) func(*attacker) said {
	return func(a *attacker) (last said) {
		b := a.shakenBinary(nil)
		for _, p := range packets {
			b.tells(p)
			last = b.hears()
		}
		return last
	}
}

// tellsBinary is an attack by packets in the binary form, as tells is.
func tellsBinary(packets ...*packet.Packet) func(*attacker) said {
	return func(a *attacker) said {
		b := a.shakenBinary(nil)
		b.tells(packets...)
		return b.hears()
	}
}

// writesBinary is an attack by bytes after a handshake in the binary form.
func writesBinary(bytes string) func(*attacker) said {
	return func(a *attacker) said {
		b := a.shakenBinary(nil)
		b.write(bytes)
		return b.hears()
	}
}

// speaker is somebody who speaks the JSON form and has shaken hands.
type speaker struct {
	*raw
	token string
}

// shaken shakes hands in the JSON form.
func (a *attacker) shaken() *speaker {
	a.Helper()
	nc := a.connect()
	nc.write(`{"action":"handShake","data":{"version":1,"username":"eve","password":"eve's secret"}}`)
	p := nc.read()
	if p.Token == nil {
		a.Fatalf("the handshake was answered by %+v", p)
	}
	return &speaker{nc, *p.Token}
}

func (s *speaker) tells(lines ...string) {
	s.t.Helper()
	s.write(strings.ReplaceAll(strings.Join(lines, "\n"), "TOKEN", `"`+s.token+`"`))
}

func (s *speaker) asks(lines ...string) (last said) {
	s.t.Helper()
	for _, line := range lines {
		s.tells(line)
		last = hears(s.raw)
	}
	return last
}

// hears returns the next thing that the server says, but for credit.
func hears(r *raw) said {
	for {
		if line, _ := r.lines.Peek(len(refusalStart)); string(line) == refusalStart {
			text, _ := r.lines.ReadString('\n')
			return said{refused, strings.TrimPrefix(strings.TrimSpace(text), refusalStart)}
		} else if len(line) == 0 {
			return said{closed, ""}
		}
		if p := r.read(); p.Kind != "credit" {
			return p.said()
		}
	}
}

const refusalStart = "packetrpc: "

func (p reply) said() said {
	switch {
	case p.Kind == "close":
		return said{closed, p.Reason}
	case p.Status != "":
		return said{p.Status, p.Message}
	default:
		return said{p.Kind, ""}
	}
}

// binarySpeaker is somebody who speaks the binary form.
type binarySpeaker struct {
	*raw
	token string
}

// shakenBinary shakes hands in the binary form, with limits that may be nil.
func (a *attacker) shakenBinary(limits *packetrpcv1.Limits) *binarySpeaker {
	a.Helper()
	b := &binarySpeaker{raw: a.connect()}
	data, err := proto.Marshal(&packetrpcv1.HandshakeRequest{Version: 1, Username: "eve", Password: "eve's secret", Limits: limits})
	if err != nil {
		a.Fatal(err)
	}
	b.write(packet.Preface)
	b.tells(&packet.Packet{Action: "handShake", Data: data})
	p := b.packet()
	if p == nil || p.Kind != packet.KindResponse {
		a.Fatalf("the handshake was answered by %+v", p)
	}
	b.token = p.Token
	return b
}

// tells sends packets, with the token where none is.
func (b *binarySpeaker) tells(packets ...*packet.Packet) {
	b.t.Helper()
	var all []byte
	for _, p := range packets {
		if p.Token == "" {
			p.Token = b.token
		}
		all = packet.AppendBinary(all, p)
	}
	b.write(string(all))
}

// hears returns the next thing that the server says, but for credit.
func (b *binarySpeaker) hears() said {
	b.t.Helper()
	for {
		p := b.packet()
		switch {
		case p == nil:
			return said{closed, ""}
		case p.Kind == packet.KindClose:
			return said{closed, p.Reason}
		case p.Status != 0:
			return said{p.Status.String(), p.Message}
		case p.Kind != packet.KindCredit:
			return said{p.Kind.String(), ""}
		}
	}
}

// packet returns the next packet, or nil at the end.
func (b *binarySpeaker) packet() *packet.Packet {
	b.t.Helper()
	size, err := binary.ReadUvarint(b.lines)
	if err != nil {
		return nil
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(b.lines, body); err != nil {
		return nil
	}
	p := new(packet.Packet)
	if err := packet.ParseBinary(p, body); err != nil {
		b.t.Fatal(err)
	}
	return p
}
