package packet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// typical is a request as a connection sends most of them.
func typical(form packet.Form) *packet.Packet {
	data := `{"text":"hello"}`
	return &packet.Packet{
		Kind:         packet.KindRequest,
		CallID:       12345,
		ActionNumber: 7,
		Created:      time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC).UnixMicro(),
		Token:        "0123456789abcdef0123456789abcdef",
		Data:         []byte(data),
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		b.Run(form.String(), func(b *testing.B) {
			p := typical(form)
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = packet.Append(form, dst[:0], p)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		b.Run(form.String(), func(b *testing.B) {
			text := body(b, form, packet.Append(form, nil, typical(form)))
			var p packet.Packet
			b.ReportAllocs()
			for b.Loop() {
				if err := packet.Parse(form, &p, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMetadata appends and parses a packet with two values of metadata.
func BenchmarkMetadata(b *testing.B) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		p := typical(form)
		p.Metadata = metadata("trace-id", "0123456789abcdef", "tenant", "blue")
		text := packet.Append(form, nil, p)
		b.Run("append/"+form.String(), func(b *testing.B) {
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = packet.Append(form, dst[:0], p)
			}
		})
		b.Run("parse/"+form.String(), func(b *testing.B) {
			text := body(b, form, text)
			var p packet.Packet
			b.ReportAllocs()
			for b.Loop() {
				if err := packet.Parse(form, &p, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLarge finds and parses JSON packets with 64 KiB of data.
func BenchmarkLarge(b *testing.B) {
	p := typical(packet.JSON)
	p.Data = fmt.Appendf(nil, `{"text":%q,"rows":[%s0]}`, strings.Repeat("hello, ", 4600), strings.Repeat(`{"a":12.5},`, 3000))
	text := packet.AppendJSON(nil, p)
	b.Run("split", func(b *testing.B) {
		s := packet.NewSplitter(packet.JSON, 4<<20)
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if body, _, err := s.Next(text); body == nil || err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if err := packet.ParseJSON(p, text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		b.Run(form.String(), func(b *testing.B) {
			text := packet.Append(form, nil, typical(form))
			s := packet.NewSplitter(form, 4<<20)
			b.ReportAllocs()
			for b.Loop() {
				if body, _, err := s.Next(text); body == nil || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
