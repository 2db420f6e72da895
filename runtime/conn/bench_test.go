package conn_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// BenchmarkUnary is whole calls with 16 bytes each way on one connection, both
// ends in this process.
func BenchmarkUnary(b *testing.B) {
	for _, over := range links() {
		for _, spec := range []*packetrpc.Spec{echo, inline} {
			for _, callers := range []int{1, 8, 64, 1024} {
				b.Run(fmt.Sprintf("%v/%s/%d", over, spec.Action, callers), func(b *testing.B) {
					p := newPair(b, over, nil)
					in := wrapperspb.String("0123456789abcdef")
					var left atomic.Int64
					left.Store(int64(b.N))
					var all sync.WaitGroup
					b.ReportAllocs()
					b.ResetTimer()
					for range callers {
						all.Go(func() {
							for left.Add(-1) >= 0 {
								if _, err := packetrpc.CallUnary[text](context.Background(), p.dialled, spec, in); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					all.Wait()
				})
			}
		}
	}
}

// BenchmarkStream is messages of 16 bytes in one direction.
func BenchmarkStream(b *testing.B) {
	p := newPair(b, overBinary, nil)
	in := wrapperspb.String("0123456789abcdef")
	upload, err := packetrpc.CallClientStream[text, text](context.Background(), p.dialled, join)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := upload.Send(in); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := upload.CloseAndReceive(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDispatch is what a serving connection does with requests that arrive 64
// at once, from reading them to writing the answers. The other end only writes and
// counts packets.
func BenchmarkDispatch(b *testing.B) {
	for _, spec := range []*packetrpc.Spec{echo, inline} {
		b.Run(spec.Action, func(b *testing.B) {
			const batch = 64
			r := newUnreadRaw(b, packet.Binary, false, func(cfg *conn.Config) { endless(cfg) })
			splitter := packet.NewSplitter(packet.Binary, 1<<20)
			var requests, answers []byte
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; left -= batch {
				requests = requests[:0]
				for range min(batch, left) {
					requests = packet.AppendBinary(requests, r.request(r.newID(), spec, "0123456789abcdef"))
				}
				r.write(requests)
				for missing := min(batch, left); missing > 0; {
					body, n, err := splitter.Next(answers)
					answers = answers[n:]
					switch {
					case err != nil:
						b.Fatal(err)
					case body != nil:
						missing--
					case n == 0:
						answers = readMore(b, r.nc, answers)
					}
				}
			}
		})
	}
}

// readMore appends what comes next to what is unread.
func readMore(b *testing.B, nc net.Conn, unread []byte) []byte {
	more := append(make([]byte, 0, 64<<10), unread...)
	n, err := nc.Read(more[len(more):cap(more)])
	if err != nil {
		b.Fatal(err)
	}
	return more[:len(more)+n]
}
