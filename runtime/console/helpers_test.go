package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/console"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// patience is how long a test waits for what must happen: longer than the minute that
// TestScreenshots waits for.
const patience = 90 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// passwords is an authenticator of root, who is an administrator, and of everybody else,
// who is not. The password of each is "of" and the name.
var passwords = session.AuthenticatorFunc(func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
	switch {
	case c.Password != "of "+c.Username:
		return packetrpc.Identity{}, session.ErrCredentials
	case c.Username == "root":
		return packetrpc.Identity{Name: "root", Roles: []string{"admin", "auditor"}}, nil
	}
	return packetrpc.Identity{Name: c.Username}, nil
})

// chat answers calls of the chat's service.
type chat struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
	typed chan string // who has called Typing
}

func (c *chat) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	switch text := request.GetText(); {
	case strings.HasPrefix(text, "fail: "):
		return nil, packetrpc.Errorf(packetrpc.CodeAborted, "%s", strings.TrimPrefix(text, "fail: "))
	case text == "":
		err := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no text")
		return nil, errors.Join(err.AddDetail(&chatv1.TextProblem{MaxLength: 1000}), err)
	case text == "panic":
		panic("told to")
	case text == "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	packetrpc.SetMetadata(ctx, "heard-in", packetrpc.MetadataFrom(ctx).Get("language"))
	return &chatv1.SendResponse{Number: uint32(len(request.GetText()))}, nil
}

func (c *chat) Typing(ctx context.Context, _ *chatv1.TypingRequest) error {
	c.typed <- packetrpc.PeerFrom(ctx).Identity().Name
	return nil
}

func (c *chat) History(_ context.Context, request *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	for number := range request.GetLimit() {
		if err := stream.Send(&chatv1.HistoryResponse{Message: &chatv1.Message{Number: number + 1, Text: "hello"}}); err != nil {
			return err
		}
	}
	return nil
}

func (c *chat) Import(_ context.Context, stream packetrpc.Receiver[chatv1.ImportRequest]) (*chatv1.ImportResponse, error) {
	response := new(chatv1.ImportResponse)
	for _, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		response.Count++
	}
	return response, nil
}

func (c *chat) Talk(_ context.Context, stream packetrpc.BidiStream[chatv1.TalkResponse, chatv1.TalkRequest]) error {
	for line, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(&chatv1.TalkResponse{Text: "you said " + line.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

// Whisper is a sealed action.
func (c *chat) Whisper(context.Context, *chatv1.WhisperRequest) (*chatv1.WhisperResponse, error) {
	return &chatv1.WhisperResponse{}, nil
}

// everything is a message with fields of every kind, which no generated code knows.
const everything = `
syntax = "proto3";
package consoletest;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; }
message Everything {
  bool flag = 1;
  int32 small = 2;
  int64 large = 3;
  double real = 4;
  string text = 5;
  bytes raw = 6;
  Colour colour = 7;
  optional uint32 perhaps = 8;
  repeated string words = 9;
  repeated sint32 numbers = 10;
  map<string, int32> ages = 11;
  Everything inside = 12;
  repeated Everything more = 13;
  oneof choice { string name = 14; fixed64 code = 15; Everything other = 16; }
  google.protobuf.Timestamp when = 17;
  google.protobuf.Duration within = 18;
  google.protobuf.Struct any = 19;
  google.protobuf.Int64Value maybe = 20;
  map<bool, Colour> colours = 21;
  float ratio = 22;
  sfixed32 fixed = 23;
}`

// handleEverything registers an action that answers with its request in JSON. Neither type
// is one of generated code's, and that of the reply is not told.
func handleEverything(t *testing.T, r packetrpc.Registrar) {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"everything.proto": everything}),
	})}
	files, err := compiler.Compile(t.Context(), "everything.proto")
	if err != nil {
		t.Fatal(err)
	}
	message := files[0].Messages().ByName("Everything")
	r.Register(&packetrpc.Method{
		Spec:       &packetrpc.Spec{Action: "consoletest/Everything", Request: message.FullName()},
		NewRequest: func() proto.Message { return dynamicpb.NewMessage(message) },
		Unary: func(_ context.Context, request proto.Message) (proto.Message, error) {
			text, err := protojson.Marshal(request)
			if err != nil {
				return nil, err
			}
			object := new(structpb.Struct)
			return object, protojson.Unmarshal(text, object)
		},
	})
}

// site is a server with its console.
type site struct {
	t       *testing.T
	srv     *server.Server
	chat    *chat
	serving *packetrpctest.Server
	console *httptest.Server
}

// newSite starts a server that knows the passwords, and its console, until the test ends.
func newSite(t *testing.T, options ...server.Option) *site {
	t.Helper()
	return newSiteWith(t, nil, append([]server.Option{server.WithAuthenticator(passwords)}, options...)...)
}

func newSiteWith(t *testing.T, of []console.Option, options ...server.Option) *site {
	t.Helper()
	c := console.New(of...)
	options = append(append(c.Options(), server.WithLogger(slog.New(slog.DiscardHandler))), options...)
	s := &site{t: t, srv: server.New(options...), chat: &chat{typed: make(chan string, 10)}}
	chatv1packetrpc.RegisterChatServiceHandler(s.srv, s.chat)
	handleEverything(t, s.srv)
	guarded := &packetrpc.Spec{Action: "consoletest/Guarded", Type: packetrpc.OneWay, Requires: "owner"}
	packetrpc.HandleOneWay(s.srv, guarded, func(context.Context, *emptypb.Empty) error { return nil })
	s.serving = packetrpctest.Start(t, s.srv)
	s.console = httptest.NewServer(c.Handler(s.srv))
	t.Cleanup(s.console.Close)
	return s
}

// dial returns a client of the server.
func (s *site) dial(name string, options ...client.Option) *client.Client {
	s.t.Helper()
	return s.serving.Dial(s.t, append([]client.Option{client.WithPassword(name, "of "+name)}, options...)...)
}

// request is a request that the console's own page makes as root, unless it is changed.
func (s *site) request(method, path, body string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(within(s.t), method, s.console.URL+path, bytes.NewBufferString(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth("root", "of root")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Packetrpc-Console", "test")
	}
	return r
}

// do makes a request and returns its status and its body.
func (s *site) do(r *http.Request) (*http.Response, string) {
	s.t.Helper()
	response, err := s.console.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, string(body)
}

// get decodes the answer to a GET.
func (s *site) get(path string, into any) {
	s.t.Helper()
	response, body := s.do(s.request(http.MethodGet, path, ""))
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, response.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		s.t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// receive waits for a value.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// eventually waits for something that happens by itself.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("in vain waited for: " + what)
		}
	}
}

// remote is an address beyond this machine.
var remote = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8080}
