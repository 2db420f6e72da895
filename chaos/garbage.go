package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// garbage returns the kinds of what an attacker sends after the handshake, each as a
// function that makes one helping.
func garbage() []func(*speaker) []byte {
	return []func(*speaker) []byte{
		randomBytes, hugeLength, malformed, withoutToken, unknownKinds, unknownActions, strayPackets, cancelFlood,
	}
}

// helping is how many packets there are in one.
const helping = 20

func randomBytes(*speaker) []byte {
	bytes := make([]byte, 4<<10)
	for i := range bytes {
		bytes[i] = byte(rand.Uint32())
	}
	return bytes
}

// hugeLength is a packet that says to have 2^53 bytes.
func hugeLength(*speaker) []byte {
	return append(binary.AppendUvarint(nil, 1<<53), bytes.Repeat([]byte{0}, 4<<10)...)
}

// malformed is a packet that is none inside.
func malformed(*speaker) []byte {
	return append(binary.AppendUvarint(nil, 100), bytes.Repeat([]byte{0xff}, 100)...)
}

func withoutToken(s *speaker) (all []byte) {
	for range helping {
		all = s.call(all, packet.Packet{Action: echoSpec.Action})
	}
	return all
}

func unknownKinds(s *speaker) (all []byte) {
	for i := range helping {
		all = s.call(all, packet.Packet{Kind: packet.Kind(14 + i), Token: s.token, Action: echoSpec.Action})
	}
	return all
}

func unknownActions(s *speaker) (all []byte) {
	for range helping {
		all = s.call(all, packet.Packet{Token: s.token, Action: "nobody.Serves/This"})
	}
	return all
}

// strayPackets belong to calls that there are not.
func strayPackets(s *speaker) (all []byte) {
	for i := range helping {
		kind := packet.KindMessage + packet.Kind(i%6)
		all = s.call(all, packet.Packet{Kind: kind, Token: s.token, Credit: 1 << 60, Data: []byte("stray")})
	}
	return all
}

// cancelFlood opens calls with large replies and cancels them at once.
func cancelFlood(s *speaker) (all []byte) {
	for range helping {
		all = s.call(all, packet.Packet{Token: s.token, Action: fillSpec.Action, Data: fillRequest()})
		all = packet.AppendBinary(all, &packet.Packet{Kind: packet.KindCancel, CallID: s.id})
	}
	return all
}
