package tap_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/tap"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// conversation is what passes when converse does its work, but for packets whose number
// depends on time: each with its side, kind, action, status and data.
const conversation = `
client close
client half-close chat.v1.ChatService/Import
client message chat.v1.ChatService/Import {"text":"a line"}
client message chat.v1.ChatService/Import {"text":"a line"}
client message chat.v1.ChatService/Import {"text":"a line"}
client message chat.v1.ChatService/Talk {"text":"robot"}
client one-way chat.v1.ChatService/Typing {}
client request CorePing {"text":"there?"}
client request chat.v1.ChatService/History {"limit":2}
client request chat.v1.ChatService/Import
client request chat.v1.ChatService/Send {"text":"hello"}
client request chat.v1.ChatService/Send {}
client request chat.v1.ChatService/Talk
client request chat.v1.ChatService/Who {}
client request handShake {"username":"ada","password":"[hidden]"}
client response chat.v1.ChatEvents/Status ok {"status":"well"}
server error chat.v1.ChatService/Send invalid_argument
server message chat.v1.ChatService/History {"message":{"number":1}}
server message chat.v1.ChatService/History {"message":{"number":2}}
server message chat.v1.ChatService/Talk {"text":"robot"}
server one-way chat.v1.ChatEvents/Posted {"message":{"text":"hello"}}
server request chat.v1.ChatEvents/Status {}
server response CorePing ok {"text":"there?"}
server response chat.v1.ChatService/History ok
server response chat.v1.ChatService/Import ok {"count":3}
server response chat.v1.ChatService/Send ok {"number":5}
server response chat.v1.ChatService/Who ok {"people":[{"status":"well"}]}
server response handShake ok {"status":"success","uuid":"[hidden]","remoteToken":"[hidden]"}
`

// told returns the lines of a conversation.
func told(events []*tap.Event) string {
	var lines []string
	for _, e := range events {
		switch e.Kind {
		case tap.KindConnected, tap.KindClosed, "credit", "ack", "ping", "pong", "cancel":
			continue
		}
		words := []string{e.From.String(), e.Kind, e.Action, e.Status, essence(e)}
		words = slices.DeleteFunc(words, func(word string) bool { return word == "" })
		lines = append(lines, strings.Join(words, " "))
	}
	slices.Sort(lines)
	return "\n" + strings.Join(lines, "\n") + "\n"
}

// essence returns the data of an event without what is another each time.
func essence(e *tap.Event) string {
	data := string(e.Data)
	switch {
	case e.Action == "handShake" && e.Kind == "request":
		_, after, _ := strings.Cut(data, `"username"`)
		before, _, _ := strings.Cut(after, `,"limits"`)
		return `{"username"` + before + "}"
	case e.Action == "handShake":
		before, _, _ := strings.Cut(data, `,"version"`)
		return before + "}"
	case e.Action == "CorePing":
		before, _, _ := strings.Cut(data, `,"time"`)
		return strings.TrimSuffix(before, "}") + "}"
	}
	return data
}

// A way is how packets pass the proxy.
type way struct {
	name      string
	encrypted bool
	client    []client.Option
}

func ways() []way {
	return []way{
		{"binary", false, nil},
		{"json", false, []client.Option{client.WithJSON()}},
		{"binary in TLS", true, nil},
		{"json in TLS", true, []client.Option{client.WithJSON()}},
	}
}

// start starts a server and a proxy before it, and returns the options to dial that with.
func (w way) start(t *testing.T) (*watch, []client.Option) {
	t.Helper()
	proxy := &tap.Proxy{Decoding: tap.Decoding{Schema: chatSchema(t)}}
	options := append(w.client, client.WithPassword("ada", aSecret))
	if w.encrypted {
		key := newKey(t)
		proxy.Key, proxy.ServerTLS = newKey(t), pinned(t, key)
		proxy.Server = startRoom(t, server.WithKey(key))
		options = append(options, client.WithServerKey(seal.PinKey(&proxy.Key.PublicKey)))
	} else {
		proxy.Server = startRoom(t)
	}
	return startTap(t, proxy), options
}

// Whatever the way, all packets are decoded, a recording of them shows the same again, and
// secrets are nowhere.
func TestConversation(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			watched, options := w.start(t)
			converse(t, watched.address, options...)
			watched.waitKind(t, tap.KindClosed)
			events := watched.all()
			if diff := cmp.Diff(conversation, told(events)); diff != "" {
				t.Errorf("the conversation differs (-want +got):\n%s", diff)
			}
			checkReplay(t, events)
			checkSecret(t, events, aSecret)
		})
	}
}

// checkReplay records events and compares all views of what is replayed with those of the
// events themselves.
func checkReplay(t *testing.T, events []*tap.Event) {
	t.Helper()
	var file bytes.Buffer
	recorder, err := tap.NewRecorder(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := recorder.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	var replayed []*tap.Event
	err = tap.Replay(&file, func(e *tap.Event) error {
		replayed = append(replayed, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, replayed); diff != "" {
		t.Errorf("a replay differs (-recorded +replayed):\n%s", diff)
	}
	for _, view := range views() {
		if diff := cmp.Diff(lines(view, events), lines(view, replayed)); diff != "" {
			t.Errorf("the view %+v of a replay differs (-recorded +replayed):\n%s", view, diff)
		}
	}
}

func views() []tap.View {
	return []tap.View{{}, {Full: true}, {Calls: true, Full: true}, {JSON: true}, {Color: true, Width: 80}}
}

func lines(view tap.View, events []*tap.Event) string {
	var all bytes.Buffer
	for _, e := range events {
		all.Write(view.Line(e))
	}
	return all.String()
}

// checkSecret looks for a secret in all views.
func checkSecret(t *testing.T, events []*tap.Event, secret string) {
	t.Helper()
	for _, view := range views() {
		for line := range strings.Lines(lines(view, events)) {
			for _, form := range formsOf(secret) {
				if strings.Contains(line, form) {
					t.Errorf("%s is in %s", secret, line)
				}
			}
		}
	}
}

// Numbers stand for actions from the second call on, and what a call has cost is told at
// its end.
func TestCalls(t *testing.T) {
	watched, options := ways()[0].start(t)
	converse(t, watched.address, options...)
	watched.waitKind(t, tap.KindClosed)
	type call struct {
		By                Side
		Action, Status    string
		Requests, Replies int
		Request           string
	}
	var calls []call
	for _, e := range watched.all() {
		if c := e.Call; c != nil && e.Action != "handShake" {
			if (c.Duration > 0) != (e.Kind != "one-way") || c.Requests.Bytes == 0 || (c.Replies.Bytes == 0) != (e.Kind == "one-way" || e.Kind == "cancel" && c.Replies.Count == 0) {
				t.Errorf("the %s of %s tells %+v", e.Kind, e.Action, *c)
			}
			calls = append(calls, call{Side(c.By.String()), e.Action, e.Status, c.Requests.Count, c.Replies.Count, string(c.Request)})
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	want := []call{
		{"client", "CorePing", "ok", 1, 1, `{"text":"there?"}`},
		{"client", "chat.v1.ChatService/History", "ok", 1, 2, `{"limit":2}`},
		{"client", "chat.v1.ChatService/Import", "ok", 3, 1, ""},
		{"client", "chat.v1.ChatService/Send", "invalid_argument", 1, 0, "{}"},
		{"client", "chat.v1.ChatService/Send", "ok", 1, 1, `{"text":"hello"}`},
		{"client", "chat.v1.ChatService/Talk", "canceled", 1, 1, ""},
		{"client", "chat.v1.ChatService/Typing", "", 1, 0, ""},
		{"client", "chat.v1.ChatService/Who", "ok", 1, 1, "{}"},
		{"server", "chat.v1.ChatEvents/Posted", "", 1, 0, ""},
		{"server", "chat.v1.ChatEvents/Status", "ok", 1, 1, "{}"},
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("the calls differ (-want +got):\n%s", diff)
	}
}

// Side is tap.Side as a text.
type Side string

// Large messages come in fragments, and are shown whole.
func TestFragments(t *testing.T) {
	watched, options := ways()[0].start(t)
	conn, err := client.Dial(within(t), watched.address, options...)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("all work and no play ", 20_000)
	_, err = chatv1packetrpc.NewChatServiceClient(conn).Send(within(t), &chatv1.SendRequest{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	watched.waitKind(t, tap.KindClosed)
	for _, e := range watched.all() {
		if e.Kind == "request" && strings.HasSuffix(e.Action, "/Send") {
			if e.Fragments < 2 || e.Size < len(text) || string(e.Data) != `{"text":"`+text+`"}` {
				t.Errorf("shown as %d bytes in %d fragments: %.100s", e.Size, e.Fragments, e.Data)
			}
			return
		}
	}
	t.Error("the request was not shown")
}

// A call whose connection ends is told of.
func TestUnanswered(t *testing.T) {
	srv := server.New()
	entered := make(chan struct{})
	chatv1packetrpc.RegisterChatServiceHandler(srv, stuck{entered: entered})
	address, _ := serve(t, srv.Serve)
	watched := startTap(t, &tap.Proxy{Server: address, Decoding: tap.Decoding{Schema: chatSchema(t)}})
	conn, err := client.Dial(within(t), watched.address, client.WithoutReconnect())
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	go func() {
		_, err := chatv1packetrpc.NewChatServiceClient(conn).Send(context.Background(), &chatv1.SendRequest{Text: "hello"})
		called <- err
	}()
	<-entered
	conn.Close()
	<-called
	e := watched.waitKind(t, tap.KindUnanswered)
	if e.From != tap.Client || e.Action != chatv1packetrpc.ChatServiceSendAction || e.Status != "unavailable" || e.Call == nil || string(e.Call.Request) != `{"text":"hello"}` {
		t.Errorf("told as %s", tap.View{Full: true}.Line(e))
	}
}

// stuck handles nothing until its caller is gone.
type stuck struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
	entered chan struct{}
}

func (s stuck) Send(ctx context.Context, _ *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	close(s.entered)
	<-ctx.Done()
	return nil, ctx.Err()
}

// With a key of its own the tap can be no party to sealed data; with the server's key it
// passes on what it cannot read.
func TestSealed(t *testing.T) {
	key := newKey(t)
	for _, test := range []struct {
		name string
		own  *rsa.PrivateKey
		code packetrpc.Code
	}{
		{"own key", newKey(t), packetrpc.CodeFailedPrecondition},
		{"the server's key", key, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{
				Server: startRoom(t, server.WithKey(key)), Key: test.own, ServerTLS: pinned(t, key),
				Decoding: tap.Decoding{Schema: chatSchema(t)},
			})
			mine := newKey(t)
			conn, err := client.Dial(within(t), watched.address, client.WithServerKey(seal.PinKey(&test.own.PublicKey)), client.WithKey(mine))
			if err != nil {
				t.Fatal(err)
			}
			_, err = chatv1packetrpc.NewChatServiceClient(conn).Whisper(within(t), &chatv1.WhisperRequest{To: "bob", Text: aSecret})
			if packetrpc.CodeOf(err) != test.code {
				t.Errorf("whispering: %v, want %v", err, test.code)
			}
			conn.Close()
			watched.waitKind(t, tap.KindClosed)
			events := watched.all()
			checkSecret(t, events, aSecret)
			if shown := lines(tap.View{Full: true}, events); !strings.Contains(shown, seal.Fingerprint(&mine.PublicKey)+" cannot be passed on") || strings.Contains(shown, " sealed\n") != (test.code == 0) {
				t.Errorf("shown as\n%s", shown)
			}
		})
	}
}

// Keys that do not fit end the connection before anything passes.
func TestWrongKeys(t *testing.T) {
	key, own, other := newKey(t), newKey(t), newKey(t)
	room := startRoom(t, server.WithKey(key))
	for _, test := range []struct {
		name           string
		server, client *rsa.PrivateKey // by whose keys they are known
		want           string
	}{
		{"the client's pin", key, other, "it must know the tap by the key " + seal.Fingerprint(&own.PublicKey)},
		{"the tap's pin", other, own, "not the pinned " + seal.Fingerprint(&other.PublicKey)},
	} {
		t.Run(test.name, func(t *testing.T) {
			watched := startTap(t, &tap.Proxy{Server: room, Key: own, ServerTLS: pinned(t, test.server)})
			conn, err := client.Dial(within(t), watched.address, client.WithServerKey(seal.PinKey(&test.client.PublicKey)))
			if err == nil {
				conn.Close()
				t.Fatal("the client got through")
			}
			if e := watched.waitKind(t, tap.KindFailed); !strings.Contains(e.Message, test.want) {
				t.Errorf("told %q, want %q in it", e.Message, test.want)
			}
		})
	}
}

// What cannot be set up is refused.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name  string
		proxy tap.Proxy
		want  string
	}{
		{"no pin", tap.Proxy{Server: "127.0.0.1:1", Key: newKey(t)}, "--server-key"},
		{"a weak key", tap.Proxy{Server: "127.0.0.1:1", Key: new(rsa.PrivateKey), ServerTLS: pinned(t, newKey(t))}, "key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.proxy.Serve(within(t), listen(t), func(*tap.Event) {})
			if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A server that is not there is told of, and the client is sent away.
func TestNoServer(t *testing.T) {
	gone := listen(t)
	gone.Close()
	watched := startTap(t, &tap.Proxy{Server: gone.Addr().String()})
	if conn, err := client.Dial(within(t), watched.address); err == nil {
		conn.Close()
		t.Error("the client got through")
	}
	if e := watched.waitKind(t, tap.KindFailed); !strings.Contains(e.Message, "refused") {
		t.Errorf("told %q", e.Message)
	}
}
