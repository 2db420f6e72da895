package conn_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// TestTightLimits makes calls of every type and size both ways, many of them
// cancelled, under limits so small that every sender waits for everything there
// is to wait for. Nothing may hang, be lost or be mixed up.
func TestTightLimits(t *testing.T) {
	for _, over := range links() {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%v/%d", over, seed), func(t *testing.T) {
				p := newPair(t, over, func(d, a *conn.Config) {
					for _, config := range []*conn.Config{d, a} {
						config.Local.CallWindow = 1000
						config.Local.ConnectionWindow = 3000
						config.Local.MaxOpenCalls = 8
						config.Local.MaxActionNumbers = 3
						config.MaxRunningCalls = 4
					}
				})
				go drainNotes(t, p.acceptedService)
				go drainNotes(t, p.dialledService)
				var all sync.WaitGroup
				for _, caller := range []*conn.Conn{p.dialled, p.accepted} {
					for i := range uint64(12) {
						all.Go(func() { callAtRandom(t, caller, rand.New(rand.NewPCG(seed, i))) })
					}
				}
				all.Wait()
				for _, caller := range []*conn.Conn{p.dialled, p.accepted} {
					if out, err := call(timeout(t), caller, echo, "in the end"); err != nil || out != "in the end" {
						t.Error(out, err)
					}
				}
			})
		}
	}
}

func drainNotes(t *testing.T, s *service) {
	for {
		select {
		case <-s.notes:
		case <-t.Context().Done():
			return
		}
	}
}

// callAtRandom makes calls one after the other. Those that are cancelled may end
// either way; the others must succeed.
func callAtRandom(t *testing.T, c *conn.Conn, random *rand.Rand) {
	for range 25 {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		cancelled := random.IntN(4) == 0
		if cancelled {
			after := time.Duration(random.IntN(3000)) * time.Microsecond
			timer := time.AfterFunc(after, cancel)
			defer timer.Stop()
		}
		size := []int{0, 10, 900, 5000, 200_000}[random.IntN(5)]
		err := oneCall(ctx, c, random.IntN(5), size)
		refused := packetrpc.CodeOf(err) == packetrpc.CodeResourceExhausted // cancelled calls still hold their places
		if err != nil && !cancelled && !refused {
			t.Errorf("%d bytes: %v", size, err)
		}
		cancel()
	}
}

func oneCall(ctx context.Context, c *conn.Conn, kind, size int) error {
	in := strings.Repeat("x", size)
	switch kind {
	case 0, 1:
		out, err := call(ctx, c, []*packetrpc.Spec{echo, inline}[kind], in)
		if err == nil && out != in {
			return fmt.Errorf("%d bytes came back as %d", len(in), len(out))
		}
		return err
	case 2:
		return c.CallOneWay(ctx, note, wrapperspb.String(in))
	case 3:
		return uploadAll(ctx, c, in)
	default:
		return talkAll(ctx, c, in)
	}
}

func uploadAll(ctx context.Context, c *conn.Conn, in string) error {
	upload, err := packetrpc.CallClientStream[text, text](ctx, c, join)
	if err != nil {
		return err
	}
	for range 5 {
		if err := upload.Send(wrapperspb.String(in)); err != nil && err != io.EOF {
			return err
		}
	}
	sum, err := upload.CloseAndReceive()
	if err == nil && sum.Value != "5" {
		return fmt.Errorf("5 messages arrived as %s", sum.Value)
	}
	return err
}

func talkAll(ctx context.Context, c *conn.Conn, in string) error {
	chat, err := packetrpc.CallBidiStream[text, text](ctx, c, talk)
	if err != nil {
		return err
	}
	defer chat.Close()
	for range 5 {
		if err := chat.Send(wrapperspb.String(in)); err != nil && err != io.EOF {
			return err
		}
		out, err := chat.Receive()
		if err != nil {
			return err
		}
		if out.Value != in {
			return fmt.Errorf("%d bytes came back as %d", len(in), len(out.Value))
		}
	}
	return nil
}
