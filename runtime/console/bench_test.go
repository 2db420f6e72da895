package console_test

import (
	"context"
	"testing"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/console"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// BenchmarkCall tells what counting costs: calls over a connection in memory, 64 at once,
// to a server with the console's options and to one without.
func BenchmarkCall(b *testing.B) {
	for _, with := range []struct {
		name    string
		options []server.Option
	}{{"off", nil}, {"on", console.New().Options()}} {
		b.Run(with.name, func(b *testing.B) {
			srv := server.New(with.options...)
			chatv1packetrpc.RegisterChatServiceHandler(srv, new(chat))
			room := chatv1packetrpc.NewChatServiceClient(packetrpctest.Dial(b, srv))
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := room.Send(context.Background(), &chatv1.SendRequest{Text: "hello"}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
