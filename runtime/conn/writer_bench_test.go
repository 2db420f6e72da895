package conn

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// discard is a net.Conn that takes everything.
type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error)      { return len(b), nil }
func (discard) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkWriter queues requests with 16 bytes of data, and flushes after so many.
func BenchmarkWriter(b *testing.B) {
	for name, batch := range map[string]int{"each": 1, "64 at once": 64} {
		b.Run(name, func(b *testing.B) {
			workers := NewWorkers()
			b.Cleanup(workers.Close)
			c := &Conn{form: packet.Binary}
			c.cfg.Remote.MaxMessageSize = 1 << 20
			c.out = writer{nc: discard{}, timeout: time.Minute, workers: workers, window: newSendWindow(0)}
			window := newSendWindow(0)
			in := wrapperspb.String("0123456789abcdef")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p := packet.Packet{Kind: packet.KindRequest, CallID: 12345, ActionNumber: 7, Token: "0123456789abcdef0123456789abcdef"}
				if err := c.send(context.Background(), &window, &p, nil, in, nil); err != nil {
					b.Fatal(err)
				}
				if i%batch == 0 {
					c.out.flush()
				}
			}
		})
	}
}
