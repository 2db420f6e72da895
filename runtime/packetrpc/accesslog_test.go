package packetrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// logged is a writer that hands each line on.
type logged chan string

func (l logged) Write(line []byte) (int, error) {
	l <- string(bytes.TrimSpace(line))
	return len(line), nil
}

// newAccessLog returns a log as JSON, without what differs from run to run.
func newAccessLog(lines logged, level slog.Level) packetrpc.Interceptor {
	return packetrpc.AccessLog(slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "duration", "client", "address":
				return slog.Attr{}
			}
			return a
		},
	})))
}

func TestAccessLog(t *testing.T) {
	lines := make(logged, 10)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	srv := server.New(server.WithLogger(quiet), server.WithInterceptors(newAccessLog(lines, slog.LevelDebug)))
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	conn := packetrpctest.Dial(t, srv, client.WithName("ada"), client.WithHandlers(guestHandlers()))
	<-lines // the ping of packetrpctest
	chat := chatv1packetrpc.NewChatServiceClient(conn)
	for _, test := range []struct {
		name string
		call func()
		want []string
	}{
		{"success", func() { chat.Send(t.Context(), &chatv1.SendRequest{Text: "hello"}) }, []string{
			`{"level":"DEBUG","msg":"packetrpc: call","action":"chat.v1.ChatService/Send","type":"unary","direction":"incoming","name":"ada",` +
				`"sent_messages":1,"sent_bytes":2,"received_messages":1,"received_bytes":7}`,
		}},
		{"failure", func() { chat.Send(t.Context(), &chatv1.SendRequest{}) }, []string{
			`{"level":"WARN","msg":"packetrpc: call","action":"chat.v1.ChatService/Send","type":"unary","direction":"incoming","name":"ada",` +
				`"sent_messages":0,"sent_bytes":0,"received_messages":1,"received_bytes":0,"code":"invalid_argument","error":"there is no text"}`,
		}},
		{"panic", func() { chat.Send(t.Context(), &chatv1.SendRequest{Text: "panic"}) }, []string{
			`{"level":"ERROR","msg":"packetrpc: call","action":"chat.v1.ChatService/Send","type":"unary","direction":"incoming","name":"ada",` +
				`"sent_messages":0,"sent_bytes":0,"received_messages":1,"received_bytes":7,"code":"internal","error":"the handler did not return"}`,
		}},
		{"both directions", func() { chat.Who(t.Context(), &chatv1.WhoRequest{}) }, []string{
			`{"level":"DEBUG","msg":"packetrpc: call","action":"chat.v1.ChatEvents/Status","type":"unary","direction":"outgoing","name":"ada",` +
				`"sent_messages":1,"sent_bytes":0,"received_messages":1,"received_bytes":6}`,
			`{"level":"DEBUG","msg":"packetrpc: call","action":"chat.v1.ChatService/Who","type":"unary","direction":"incoming","name":"ada",` +
				`"sent_messages":1,"sent_bytes":0,"received_messages":1,"received_bytes":0}`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.call()
			for _, want := range test.want {
				if diff := cmp.Diff(want, <-lines); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// Every line has the same keys, but for those of a failure, and on a client for what a
// server has no name for.
func TestAccessLogKeys(t *testing.T) {
	lines := make(logged, 1)
	log := packetrpc.AccessLog(slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: slog.LevelWarn})))
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	chat := chatv1packetrpc.NewChatServiceClient(packetrpctest.Dial(t, srv, client.WithInterceptors(log)))
	if _, err := chat.Send(context.Background(), &chatv1.SendRequest{Text: "not logged"}); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Send(context.Background(), &chatv1.SendRequest{}); err == nil {
		t.Fatal("an empty text was sent")
	}
	line := make(map[string]any)
	if err := json.Unmarshal([]byte(<-lines), &line); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range line {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	want := []string{"action", "address", "code", "direction", "duration", "error", "level", "msg",
		"received_bytes", "received_messages", "sent_bytes", "sent_messages", "time", "type"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}
