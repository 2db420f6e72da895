package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/schema"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// chatServer is a server with the chat's service, which answers Send only.
func chatServer(t *testing.T, options ...server.Option) *packetrpctest.Server {
	srv := server.New(options...)
	chatv1packetrpc.RegisterChatServiceHandler(srv, chatv1packetrpc.UnimplementedChatServiceHandler{})
	return packetrpctest.Start(t, srv)
}

func reflect(t *testing.T, c packetrpc.Caller, names ...string) (*packetrpcv1.ReflectResponse, error) {
	return packetrpcv1packetrpc.NewCoreServiceClient(c).Reflect(within(t), &packetrpcv1.ReflectRequest{Names: names})
}

func TestReflect(t *testing.T) {
	for _, form := range [][]client.Option{nil, {client.WithJSON()}} {
		started := chatServer(t)
		c := started.Dial(t, form...)
		told, err := reflect(t, c)
		if err != nil {
			t.Fatal(err)
		}
		known, err := schema.New(told.GetFiles())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{chatv1packetrpc.ChatServiceSendAction, chatv1packetrpc.ChatEventsPostedAction, packetrpcv1packetrpc.CoreServicePingAction} {
			if _, err := known.Action(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		// An action that this program has no code for can be called.
		action, err := known.Action(packetrpcv1packetrpc.CoreServicePingAction)
		if err != nil {
			t.Fatal(err)
		}
		request, response := action.NewRequest(), action.NewResponse()
		if err := (protojson.UnmarshalOptions{Resolver: known.Types()}).Unmarshal([]byte(`{"text":"hello"}`), request); err != nil {
			t.Fatal(err)
		}
		if err := c.CallUnary(within(t), action.Spec, request, response); err != nil {
			t.Fatal(err)
		}
		text := response.ProtoReflect().Get(response.ProtoReflect().Descriptor().Fields().ByName("text")).String()
		if text != "hello" {
			t.Errorf("the reply is %q", text)
		}

		// Comments come along, of messages as well.
		for name, want := range map[string]string{
			"chat.v1.ChatService":           "ChatService is",
			"chat.v1.ChatService.Send":      "Send ",
			"packetrpc.v1.PingRequest.text": "Any text.",
		} {
			found, err := known.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			comment := found.ParentFile().SourceLocations().ByDescriptor(found).LeadingComments
			if !strings.HasPrefix(comment, want) {
				t.Errorf("%s is told to be %q", name, comment)
			}
		}
	}
}

func TestReflectNames(t *testing.T) {
	c := chatServer(t).Dial(t)
	paths := func(names ...string) (paths []string, err error) {
		told, err := reflect(t, c, names...)
		for _, file := range told.GetFiles() {
			paths = append(paths, file.GetName())
		}
		return paths, err
	}
	for _, name := range []string{chatv1packetrpc.ChatServiceSendAction, chatv1packetrpc.ChatServiceName, string((&chatv1.SendRequest{}).ProtoReflect().Descriptor().FullName()), "chat.v1.ChatService.Send"} {
		got, err := paths(name)
		if err != nil || got[len(got)-1] != "chat/v1/chat.proto" || slices.Contains(got, "packetrpc/v1/core.proto") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		for _, imported := range []string{"packetrpc/v1/options.proto", "google/protobuf/descriptor.proto"} {
			if !slices.Contains(got, imported) {
				t.Errorf("%s: %s is missing in %v", name, imported, got)
			}
		}
	}
	for _, name := range []string{"nobody", "chat.v1.Nothing", "freeform.v1.FreeformService", "packetrpc.v1.ReflectRequest.nothing"} {
		if got, err := paths(chatv1packetrpc.ChatServiceSendAction, name); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// What is linked into the program and not handled, or beside it, is nobody's business.
func TestReflectShowsNothingElse(t *testing.T) {
	c := packetrpctest.Start(t, server.New()).Dial(t)
	_, linked := reflect(t, c, "chat.v1.ChatService")
	_, unknown := reflect(t, c, "nobody.v1.NoService")
	if got, want := strings.ReplaceAll(fmt.Sprint(linked), "chat.v1.ChatService", "nobody.v1.NoService"), fmt.Sprint(unknown); packetrpc.CodeOf(linked) != packetrpc.CodeNotFound || got != want {
		t.Errorf("a service that is linked only: %v, and one that nobody knows: %v", linked, unknown)
	}
	told, err := reflect(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range told.GetFiles() {
		if pkg := file.GetPackage(); pkg != "packetrpc.v1" && !strings.HasPrefix(pkg, "google.protobuf") {
			t.Errorf("%s is shown", file.GetName())
		}
	}
}

func TestReflectionClosed(t *testing.T) {
	off := chatServer(t, server.WithoutReflection()).Dial(t)
	if _, err := reflect(t, off); packetrpc.CodeOf(err) != packetrpc.CodeUnimplemented || !strings.Contains(err.Error(), "server.WithoutReflection") {
		t.Errorf("switched off: %v", err)
	}
	started := chatServer(t, server.WithReflectionRole("developer"), server.WithRoles("ada", "developer"))
	if _, err := reflect(t, started.Dial(t, client.WithName("bob"))); packetrpc.CodeOf(err) != packetrpc.CodePermissionDenied {
		t.Errorf("without the role: %v", err)
	}
	if _, err := reflect(t, started.Dial(t, client.WithName("ada"))); err != nil {
		t.Errorf("with the role: %v", err)
	}
}

func TestHealth(t *testing.T) {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, chatv1packetrpc.UnimplementedChatServiceHandler{})
	c := packetrpctest.Start(t, srv).Dial(t)
	const chat, other = chatv1packetrpc.ChatServiceName, packetrpcv1packetrpc.CoreServiceName
	check := func(what, service string, ready bool, reason string) {
		t.Helper()
		told, err := packetrpcv1packetrpc.NewCoreServiceClient(c).Health(within(t), &packetrpcv1.HealthRequest{Service: service})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		reasons := ""
		for _, one := range told.GetServices() {
			if one.GetReason() != "" && !strings.Contains(reasons, one.GetReason()) {
				reasons += one.GetReason()
			}
		}
		if told.GetReady() != ready || reasons != reason {
			t.Errorf("%s: %s is told to be %v", what, service, told)
		}
		if err := srv.Health(service); (err == nil) != ready || !ready && packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
			t.Errorf("%s: Health(%q) returns %v", what, service, err)
		}
	}
	check("at first", "", true, "")
	check("at first", chat, true, "")
	srv.SetHealth(chat, errors.New("the database is away"))
	check("with a problem", chat, false, "the database is away")
	check("with a problem", "", false, "the database is away")
	check("with another's problem", other, true, "")
	srv.SetHealth("", errors.New("warming up"))
	check("with a problem of all", other, false, "warming up")
	srv.SetHealth("", nil)
	srv.SetHealth(chat, nil)
	check("at last", "", true, "")
	if _, err := packetrpcv1packetrpc.NewCoreServiceClient(c).Health(within(t), &packetrpcv1.HealthRequest{Service: "nobody"}); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
		t.Errorf("a service that is not handled: %v", err)
	}
	if err := srv.Health("nobody"); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
		t.Errorf("a service that is not handled: %v", err)
	}
	if err := srv.Shutdown(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := srv.Health(""); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
		t.Errorf("after the shutdown: %v", err)
	}
}
