//go:build linux

package server_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const exhausted = "resource_exhausted"

// sizeRows are attacks by what is too large, or says so.
func sizeRows() []hostile {
	kilobyte := strings.Repeat("x", 1<<10)
	look := func(p packet.Packet) *packet.Packet {
		p.CallID, p.Action = 3, lookSpec.Action
		return &p
	}
	return []hostile{
		{name: "action of 1,025 bytes", attack: asksBinary(&packet.Packet{CallID: 3, Action: kilobyte + "x"}), want: said{exhausted, "the action's name has 1025 bytes; it may have 1024"}},
		{name: "action of 1 MiB", attack: asksBinary(&packet.Packet{CallID: 3, Action: strings.Repeat(kilobyte, 1<<10)}), want: said{exhausted, "bytes besides its data; it may have 131072"}},
		{name: "metadata of 200 KiB", attack: asksBinary(look(packet.Packet{Metadata: metadata(200, kilobyte)})), want: said{exhausted, "bytes besides its data; it may have 131072"}},
		{name: "metadata of 10,000 keys", attack: asksBinary(look(packet.Packet{Metadata: metadata(10_000, "xxxxxxxx")})), want: said{exhausted, "bytes besides its data; it may have 131072"}},
		{name: "message beyond the limit", attack: asksBinary(look(packet.Packet{Data: make([]byte, 4<<20+200_000)})), want: said{exhausted, "exceeds the limit of 4325376 (WithMaxMessageSize)"}, memory: 48 << 20},
		{name: "message that says to be of 2^60 bytes", attack: asksBinary(look(packet.Packet{More: true, MessageSize: 1 << 60})), want: said{exhausted, "message of 1099511627776 bytes or more exceeds this side's limit of 4194304 (WithMaxMessageSize)"}},
		{name: "JSON string of 8 MiB", attack: endlessString(8<<20, `"}`), want: said{exhausted, "packet exceeds the limit of 4325376 bytes (WithMaxMessageSize)"}, memory: 32 << 20},   // in a buffer that doubles
		{name: "JSON string without end", attack: endlessString(64<<20, ""), want: said{exhausted, "packet exceeds the limit of 4325376 bytes (WithMaxMessageSize)"}, memory: 32 << 20}, // in a buffer that doubles
		{name: "white space without end", attack: endlessSpace, want: said{"pong", ""}},
		{name: "packet of 2^53 bytes of which some come", attack: endlessPacket, want: said{exhausted, "packet of 9007199254740992 bytes exceeds the limit of 4325376 (WithMaxMessageSize)"}},
		{name: "fragments without end", attack: endlessFragments(0), want: said{exhausted, "message of 4259840 bytes or more exceeds this side's limit of 4194304 (WithMaxMessageSize)"}},
		{name: "fragments that say to be few", attack: endlessFragments(10), want: said{exhausted, "message of 4259840 bytes or more exceeds this side's limit of 4194304 (WithMaxMessageSize)"}},
		{name: "fragments of many messages", attack: manyFragments, memory: 400 << 20, // of the 256 MiB that a connection may begin
			want: said{exhausted, "the messages of this connection that have not arrived whole may have 268435456 bytes together"}},
		{name: "fragment with an action of its own", attack: tellsBinary(look(packet.Packet{More: true, Data: []byte("x")}), look(packet.Packet{})), want: said{"invalid_argument", "call 3 is open already"}},
		{name: "limits of 2^64-1", attack: greedy, want: said{closed, ""}, memory: 32 << 20},
	}
}

func metadata(count int, value string) (m packetrpc.Metadata) {
	for i := range count {
		m.Add(fmt.Sprint("key", i), value)
	}
	return m
}

// endlessString sends a packet with a long string in pieces, and then the end.
func endlessString(size int, end string) func(*attacker) said {
	return func(a *attacker) said {
		s := a.shaken()
		s.tells(`{"id":3,"action":"bank.Bank/Look","token":TOKEN,"data":"`)
		s.repeats(strings.Repeat("x", 64<<10), size>>16)
		s.write(end)
		return hears(s.raw)
	}
}

func endlessSpace(a *attacker) said {
	s := a.shaken()
	s.repeats(strings.Repeat(" \r\n\t", 16<<10), 256)
	return s.asks(`{"id":9,"kind":"ping"}`)
}

func endlessPacket(a *attacker) said {
	b := a.shakenBinary(nil)
	b.write("\x80\x80\x80\x80\x80\x80\x80\x10")
	piece := string(packet.AppendBinary(nil, &packet.Packet{CallID: 3, Action: lookSpec.Action})[1:])
	piece += "\x12\xff\xff\xff\xff\xff\xff\xff\x0f" + strings.Repeat("\x00", 64<<10)
	b.repeats(piece, 512)
	return b.hears()
}

// endlessFragments sends more of a message than there may be.
func endlessFragments(size uint64) func(*attacker) said {
	return func(a *attacker) said {
		b := a.shakenBinary(nil)
		data := make([]byte, 64<<10)
		b.tells(&packet.Packet{CallID: 3, Action: lookSpec.Action, More: true, MessageSize: size, Data: data})
		b.repeats(string(packet.AppendBinary(nil, &packet.Packet{CallID: 3, More: true, Data: data})), 128)
		return b.hears()
	}
}

// repeats writes something many times.
func (r *raw) repeats(piece string, times int) {
	r.t.Helper()
	for bytes := []byte(piece); times > 0; times-- {
		if _, err := r.Write(bytes); err != nil {
			r.t.Fatal(err)
		}
	}
}

// manyFragments begins many messages and completes none.
func manyFragments(a *attacker) said {
	b := a.shakenBinary(nil)
	heard := make(chan said, 1)
	go func() { heard <- b.hears() }()
	data := make([]byte, 4<<20)
	b.floods(70, 1, func(id uint64) []*packet.Packet {
		return []*packet.Packet{{CallID: id, Action: lookSpec.Action, More: true, Data: data}}
	})
	return receive(a.T, heard)
}

// greedy says to take everything and reads nothing.
func greedy(a *attacker) said {
	const most = 1<<64 - 1
	b := a.shakenBinary(&packetrpcv1.Limits{MaxMessageSize: most, CallWindow: most, ConnectionWindow: most, MaxOpenCalls: 1<<32 - 1, MaxActionNumbers: 1<<32 - 1})
	for i := range uint64(20) {
		b.tells(&packet.Packet{CallID: 3 + 2*i, Action: floodSpec.Action})
	}
	a.gone() // as it takes nothing
	return said{closed, ""}
}

// gone waits until the server has ended all the attacker's connections.
func (a *attacker) gone() { a.awaitCalm(a.T) }

// floodRows are attacks by very much of what is allowed. The attacker's own packets are
// garbage on the same heap, and what a connection may queue for it is 4 MiB in a buffer
// that doubles.
func floodRows() []hostile {
	rows := []hostile{
		{name: "100,000 calls at once", attack: manyCalls, want: said{exhausted, "4096 calls are open (WithMaxOpenCalls)"}},
		{name: "100,000 calls that are cancelled at once", attack: manyCancelled, want: said{"pong", ""}},
		{name: "100,000 pings that nobody reads the answers of", attack: manyPings, want: said{closed, ""}},
		{name: "100,000 refusals that nobody reads", attack: manyRefusals, want: said{closed, ""}},
		{name: "streams that nobody reads", attack: unreadStreams, want: said{closed, ""}},
		{name: "one-way packets without credit", attack: manyNotes, want: said{exhausted, "a one-way packet was sent without credit; the window is 262144 bytes"}},
		{name: "messages of a stream without credit", attack: manyMessages, want: said{exhausted, "credit"}},
		{name: "credit for a stream that nobody reads", attack: muchCredit, want: said{closed, ""}},
		{name: "requests without an id on a plain connection", attack: manyPlain, want: said{answered, ""}},
		{name: "300 connections of one who shakes hands", attack: manySessions, want: said{answered, ""}},
	}
	for i := range rows {
		rows[i].memory = 48 << 20
	}
	return rows
}

const many = 100_000

// floods sends packets for many calls, some of them at once, until that fails.
func (b *binarySpeaker) floods(calls, atOnce uint64, make func(id uint64) []*packet.Packet) {
	var bytes []byte
	for i := range calls {
		for _, p := range make(3 + 2*i) {
			p.Token = b.token
			bytes = packet.AppendBinary(bytes, p)
		}
		if (i+1)%atOnce != 0 {
			continue
		}
		if _, err := b.Write(bytes); err != nil {
			return
		}
		bytes = bytes[:0]
	}
}

func manyCalls(a *attacker) said {
	b := a.shakenBinary(nil)
	heard := make(chan said, 1)
	go func() { // the first refusal, and all the others
		heard <- b.hears()
		for range many - 4096 - 1 {
			if got := b.hears(); got.status != exhausted {
				heard <- got
				return
			}
		}
		heard <- said{}
	}()
	b.floods(many, 100, func(id uint64) []*packet.Packet {
		return []*packet.Packet{{CallID: id, Action: holdSpec.Action}}
	})
	first := receive(a.T, heard)
	if other := receive(a.T, heard); other.status != "" {
		a.Errorf("some are answered by %v", other)
	}
	return first
}

func manyCancelled(a *attacker) said {
	b := a.shakenBinary(nil)
	heard := make(chan said, 1)
	go func() {
		for {
			if got := b.hears(); got.status != exhausted { // calls that are cancelled count until their handler has returned
				heard <- got
				return
			}
		}
	}()
	b.floods(many, 100, func(id uint64) []*packet.Packet {
		return []*packet.Packet{{CallID: id, Action: holdSpec.Action}, {Kind: packet.KindCancel, CallID: id}}
	})
	b.tells(&packet.Packet{Kind: packet.KindPing})
	return receive(a.T, heard)
}

func manyPings(a *attacker) said {
	b := a.shakenBinary(nil)
	data := make([]byte, 1<<10)
	b.floods(many, 100, func(id uint64) []*packet.Packet {
		return []*packet.Packet{{Kind: packet.KindPing, CallID: id, Data: data}}
	})
	a.gone()
	return said{closed, ""}
}

func manyRefusals(a *attacker) said {
	b := a.shakenBinary(nil)
	action := strings.Repeat("x", 1000)
	b.floods(many, 100, func(id uint64) []*packet.Packet { return []*packet.Packet{{CallID: id, Action: action}} })
	a.gone()
	return said{closed, ""}
}

func unreadStreams(a *attacker) said {
	b := a.shakenBinary(nil)
	b.floods(200, 1, func(id uint64) []*packet.Packet { return []*packet.Packet{{CallID: id, Action: floodSpec.Action}} })
	a.gone()
	return said{closed, ""}
}

func muchCredit(a *attacker) said {
	b := a.shakenBinary(&packetrpcv1.Limits{CallWindow: 1, ConnectionWindow: 1})
	b.floods(20, 1, func(id uint64) []*packet.Packet {
		return []*packet.Packet{{CallID: id, Action: floodSpec.Action},
			{Kind: packet.KindCredit, CallID: id, Credit: 1 << 63}, {Kind: packet.KindCredit, CallID: id, Credit: 1 << 63},
			{Kind: packet.KindCredit, Credit: 1<<64 - 1}}
	})
	a.gone()
	return said{closed, ""}
}

func encodedText(t testing.TB, size int) []byte {
	data, err := proto.Marshal(wrapperspb.String(strings.Repeat("x", size)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func manyNotes(a *attacker) said {
	b := a.shakenBinary(nil)
	data := encodedText(a, 16<<10)
	for range 100 {
		b.tells(&packet.Packet{Kind: packet.KindOneWay, CallID: 1, Action: holdNoteSpec.Action, Data: data})
	}
	return b.hears()
}

func manyMessages(a *attacker) said {
	b := a.shakenBinary(nil)
	data := encodedText(a, 16<<10)
	b.tells(&packet.Packet{CallID: 3, Action: ignoreSpec.Action})
	for range 200 {
		b.tells(&packet.Packet{Kind: packet.KindMessage, CallID: 3, Data: data})
	}
	return b.hears()
}

// manyPlain sends requests to a server that stops reading, as nobody reads the
// answers.
func manyPlain(a *attacker) said {
	nc := a.connect()
	token := nc.shake()
	line := `{"action":"test.Echo/Echo","data":"x","token":"` + token + `"}`
	const n = 5000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		nc.Write([]byte(strings.Repeat(line, n)))
	}()
	for range n - 1 {
		hears(nc)
	}
	<-sent
	if last := hears(nc); last.status != "" {
		return last
	}
	return said{answered, ""}
}

func manySessions(a *attacker) (last said) {
	for range 300 {
		last = a.shaken().asks(`{"id":3,"action":"test.Echo/Echo","data":"x","token":TOKEN}`)
	}
	return last
}
