package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	_ "google.golang.org/protobuf/types/known/emptypb" // its file is imported below
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Two services as a .proto file would declare them; the message Note has no
// generated type.
func init() {
	oneWay := func(options *packetrpcv1.MethodOptions) *descriptorpb.MethodOptions {
		o := new(descriptorpb.MethodOptions)
		proto.SetExtension(o, packetrpcv1.E_Method, options)
		return o
	}
	wholeService := new(descriptorpb.ServiceOptions)
	proto.SetExtension(wholeService, packetrpcv1.E_Service, &packetrpcv1.ServiceOptions{OneWay: proto.Bool(true)})
	method := func(name, in string, options *descriptorpb.MethodOptions) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: &in, OutputType: proto.String(".google.protobuf.Empty"), Options: options}
	}
	note := ".servertest.Note"
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("servertest.proto"), Package: proto.String("servertest"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/empty.proto", "google/protobuf/wrappers.proto", "google/protobuf/struct.proto", "packetrpc/v1/options.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Note"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("text"), JsonName: proto.String("text"), Number: proto.Int32(1),
			Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("Events"),
			Method: []*descriptorpb.MethodDescriptorProto{
				method("Noted", note, oneWay(&packetrpcv1.MethodOptions{OneWay: proto.Bool(true)})),
				method("Named", ".google.protobuf.Struct", oneWay(&packetrpcv1.MethodOptions{OneWay: proto.Bool(true), Action: "NAMED"})),
				method("Unary", note, nil),
				method("Sealed", note, oneWay(&packetrpcv1.MethodOptions{OneWay: proto.Bool(true), Sealed: proto.Bool(true)})),
			},
		}, {
			Name: proto.String("AllOneWay"), Options: wholeService,
			Method: []*descriptorpb.MethodDescriptorProto{
				method("Inherited", note, nil),
				method("Answered", note, oneWay(&packetrpcv1.MethodOptions{OneWay: proto.Bool(false)})),
				method("First", note, oneWay(&packetrpcv1.MethodOptions{Action: "TWICE"})),
				method("Second", note, oneWay(&packetrpcv1.MethodOptions{Action: "TWICE"})),
			},
		}},
	}, protoregistry.GlobalFiles)
	if err == nil {
		err = protoregistry.GlobalFiles.RegisterFile(file)
	}
	if err != nil {
		panic(err)
	}
}

// noted is a message of the type servertest.Note.
func noted(text string) proto.Message {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName("servertest.Note")
	if err != nil {
		panic(err)
	}
	file := found.ParentFile()
	note := dynamicpb.NewMessage(file.Messages().ByName("Note"))
	note.Set(note.Descriptor().Fields().ByName("text"), protoreflect.ValueOfString(text))
	return note
}

// pushes is the handlers of a client that tells what was pushed to it.
func pushes() (*packetrpc.Handlers, <-chan string) {
	handlers, received := new(packetrpc.Handlers), make(chan string, 100)
	for _, action := range []string{"servertest.Events/Noted", "servertest.AllOneWay/Inherited"} {
		handlers.Register(&packetrpc.Method{
			Spec:       &packetrpc.Spec{Action: action, Type: packetrpc.OneWay},
			NewRequest: func() proto.Message { return noted("") },
			Unary: func(_ context.Context, note proto.Message) (proto.Message, error) {
				m := note.ProtoReflect()
				received <- action + " " + m.Get(m.Descriptor().Fields().ByName("text")).String()
				return nil, nil
			},
		})
	}
	packetrpc.HandleOneWay(handlers, &packetrpc.Spec{Action: "NAMED", Type: packetrpc.OneWay},
		func(_ context.Context, object *structpb.Struct) error {
			received <- fmt.Sprint("NAMED ", object.AsMap())
			return nil
		})
	return handlers, received
}

func object(t *testing.T, fields map[string]any) *packetrpcv1.Push_Data {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return &packetrpcv1.Push_Data{Data: s}
}

func encoded(t *testing.T, m proto.Message) *packetrpcv1.Push_Message {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return &packetrpcv1.Push_Message{Message: b}
}

// eachForm runs a test with a client that is an administrator and one that is
// not, both connected in the same form. The latter tells what is pushed to it.
func eachForm(t *testing.T, test func(t *testing.T, srv *server.Server, admin, user *client.Client, received <-chan string)) {
	for name, form := range map[string][]client.Option{"binary": nil, "json": {client.WithJSON()}} {
		t.Run(name, func(t *testing.T) {
			srv := server.New(server.WithRoles("root", "admin"), server.WithRoles("root", "auditor"))
			upper(srv)
			packetrpc.HandleOneWay(srv, noteSpec, func(context.Context, *text) error { return nil })
			address := listen(t, srv)
			handlers, received := pushes()
			admin := dial(t, address, append(form, client.WithName("root"))...)
			user := dial(t, address, append(form, client.WithName("ada"), client.WithHandlers(handlers))...)
			test(t, srv, admin, user, received)
		})
	}
}

func TestCoreInfo(t *testing.T) {
	eachForm(t, func(t *testing.T, srv *server.Server, admin, user *client.Client, _ <-chan string) {
		info, err := packetrpcv1packetrpc.NewCoreServiceClient(admin).Info(within(t), &packetrpcv1.InfoRequest{})
		if err != nil {
			t.Fatal(err)
		}
		peer, _ := srv.Connection(admin.ID())
		if info.GetClient().GetId() != admin.ID() || info.GetClient().GetName() != "root" || info.GetAddress() != peer.RemoteAddr().String() ||
			!slices.Equal(info.GetRoles(), []string{"admin", "auditor"}) || info.GetEncrypted() || !strings.HasSuffix(t.Name(), info.GetForm()) {
			t.Errorf("the info is %v", info)
		}
		info, err = packetrpcv1packetrpc.NewCoreServiceClient(user).Info(within(t), &packetrpcv1.InfoRequest{})
		if err != nil || len(info.GetRoles()) != 0 {
			t.Errorf("the other's info is %v, %v", info, err)
		}
	})
}

func TestCorePing(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *server.Server, admin, _ *client.Client, _ <-chan string) {
		reply, err := packetrpcv1packetrpc.NewCoreServiceClient(admin).Ping(within(t), &packetrpcv1.PingRequest{Text: "hello"})
		if err != nil || reply.GetText() != "hello" || !reply.GetTime().IsValid() {
			t.Errorf("got %v, %v", reply, err)
		}
	})
}

func TestCoreListClients(t *testing.T) {
	eachForm(t, func(t *testing.T, srv *server.Server, admin, user *client.Client, _ <-chan string) {
		list := func(group string) (all []string) {
			t.Helper()
			reply, err := packetrpcv1packetrpc.NewCoreServiceClient(user).ListClients(within(t), &packetrpcv1.ListClientsRequest{Group: group})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range reply.GetClients() {
				if !c.GetConnected().IsValid() {
					t.Errorf("%v has connected at no time", c)
				}
				all = append(all, c.GetId()+" "+c.GetName())
			}
			return all
		}
		if got, want := list(""), []string{admin.ID() + " root", user.ID() + " ada"}; !slices.Equal(got, want) {
			t.Errorf("the clients are %v, want %v", got, want)
		}
		peer, _ := srv.Connection(user.ID())
		peer.Join("lobby")
		if got, want := list("lobby"), []string{user.ID() + " ada"}; !slices.Equal(got, want) {
			t.Errorf("the group is %v, want %v", got, want)
		}
		if got := list("nowhere"); len(got) != 0 {
			t.Errorf("a group that does not exist is %v", got)
		}
	})
}

func TestCoreListActions(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *server.Server, admin, _ *client.Client, _ <-chan string) {
		reply, err := packetrpcv1packetrpc.NewCoreServiceClient(admin).ListActions(within(t), &packetrpcv1.ListActionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range reply.GetActions() {
			got = append(got, fmt.Sprintf("%s %s %s>%s %s", a.GetName(), a.GetType(), a.GetRequest(), a.GetResponse(), a.GetRequires()))
		}
		want := []string{
			"CoreBroadcast unary packetrpc.v1.BroadcastRequest>packetrpc.v1.BroadcastResponse admin",
			"CoreDisconnect unary packetrpc.v1.DisconnectRequest>packetrpc.v1.DisconnectResponse admin",
			"CoreHealth unary packetrpc.v1.HealthRequest>packetrpc.v1.HealthResponse ",
			"CoreInfo unary packetrpc.v1.InfoRequest>packetrpc.v1.InfoResponse ",
			"CoreListActions unary packetrpc.v1.ListActionsRequest>packetrpc.v1.ListActionsResponse ",
			"CoreListClients unary packetrpc.v1.ListClientsRequest>packetrpc.v1.ListClientsResponse ",
			"CorePing unary packetrpc.v1.PingRequest>packetrpc.v1.PingResponse ",
			"CoreReflect unary packetrpc.v1.ReflectRequest>packetrpc.v1.ReflectResponse ",
			"CoreSend unary packetrpc.v1.SendRequest>packetrpc.v1.SendResponse admin",
			"test.Echo/Echo unary google.protobuf.StringValue>google.protobuf.StringValue ",
			"test.Echo/Note one-way google.protobuf.StringValue> ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the actions are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestCoreSend(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *server.Server, admin, user *client.Client, received <-chan string) {
		send := func(by *client.Client, id string, push *packetrpcv1.Push) error {
			_, err := packetrpcv1packetrpc.NewCoreServiceClient(by).Send(within(t), &packetrpcv1.SendRequest{Id: id, Push: push})
			return err
		}
		for _, test := range []struct {
			push *packetrpcv1.Push
			want string
		}{
			{&packetrpcv1.Push{Action: "servertest.Events/Noted", Payload: object(t, map[string]any{"text": "a"})}, "servertest.Events/Noted a"},
			{&packetrpcv1.Push{Action: "servertest.Events/Noted", Payload: encoded(t, noted("b"))}, "servertest.Events/Noted b"},
			{&packetrpcv1.Push{Action: "servertest.Events/Noted"}, "servertest.Events/Noted "},
			{&packetrpcv1.Push{Action: "servertest.AllOneWay/Inherited", Payload: encoded(t, noted("c"))}, "servertest.AllOneWay/Inherited c"},
			{&packetrpcv1.Push{Action: "NAMED", Payload: object(t, map[string]any{"any": "thing"})}, "NAMED map[any:thing]"},
		} {
			if err := send(admin, user.ID(), test.push); err != nil {
				t.Errorf("sending %v: %v", test.push, err)
				continue
			}
			if got := receive(t, received); got != test.want {
				t.Errorf("%q arrived, want %q", got, test.want)
			}
		}
		fine := &packetrpcv1.Push{Action: "servertest.Events/Noted"}
		for _, test := range []struct {
			by   *client.Client
			id   string
			push *packetrpcv1.Push
			code packetrpc.Code
			text string
		}{
			{user, admin.ID(), fine, packetrpc.CodePermissionDenied, `action CoreSend needs the role "admin"`},
			{admin, "nobody", fine, packetrpc.CodeNotFound, `"nobody"`},
			{admin, user.ID(), nil, packetrpc.CodeInvalidArgument, "names no action"},
			{admin, user.ID(), &packetrpcv1.Push{Action: "nowhere"}, packetrpc.CodeUnimplemented, `"nowhere"`},
			{admin, user.ID(), &packetrpcv1.Push{Action: "servertest.Events/Unary"}, packetrpc.CodeUnimplemented, "one-way"},
			{admin, user.ID(), &packetrpcv1.Push{Action: "servertest.AllOneWay/Answered"}, packetrpc.CodeUnimplemented, "one-way"},
			{admin, user.ID(), &packetrpcv1.Push{Action: "TWICE"}, packetrpc.CodeUnimplemented, "both"},
			{admin, user.ID(), &packetrpcv1.Push{Action: "servertest.Events/Noted", Payload: object(t, map[string]any{"txet": "a"})},
				packetrpc.CodeInvalidArgument, "txet"},
			{admin, user.ID(), &packetrpcv1.Push{Action: "servertest.Events/Noted", Payload: &packetrpcv1.Push_Message{Message: []byte{0xff}}},
				packetrpc.CodeInvalidArgument, "servertest.Note"},
		} {
			if err := send(test.by, test.id, test.push); packetrpc.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("sending %v: %v, want %v with %q", test.push, err, test.code, test.text)
			}
		}
	})
}

func TestCoreBroadcast(t *testing.T) {
	eachForm(t, func(t *testing.T, srv *server.Server, admin, user *client.Client, received <-chan string) {
		broadcast := func(by *client.Client, group, action string) (string, error) {
			reply, err := packetrpcv1packetrpc.NewCoreServiceClient(by).Broadcast(within(t), &packetrpcv1.BroadcastRequest{
				Group: group, Push: &packetrpcv1.Push{Action: action, Payload: object(t, map[string]any{"text": "x"})}})
			return fmt.Sprint(reply.GetQueued(), " ", reply.GetRefused()), err
		}
		if got, err := broadcast(admin, "", "servertest.Events/Noted"); got != "2 0" || err != nil {
			t.Errorf("to all: %s, %v", got, err)
		}
		receive(t, received)
		if got, err := broadcast(admin, "lobby", "servertest.Events/Noted"); got != "0 0" || err != nil {
			t.Errorf("to nobody: %s, %v", got, err)
		}
		peer, _ := srv.Connection(user.ID())
		peer.Join("lobby")
		if got, err := broadcast(admin, "lobby", "servertest.Events/Noted"); got != "1 0" || err != nil {
			t.Errorf("to a group: %s, %v", got, err)
		}
		receive(t, received)
		if _, err := broadcast(user, "", "servertest.Events/Noted"); packetrpc.CodeOf(err) != packetrpc.CodePermissionDenied {
			t.Errorf("without the role: %v", err)
		}
		if _, err := broadcast(admin, "", "nowhere"); packetrpc.CodeOf(err) != packetrpc.CodeUnimplemented {
			t.Errorf("an unknown action: %v", err)
		}
		if _, err := broadcast(admin, "", "servertest.Events/Sealed"); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
			t.Errorf("a sealed action: %v", err)
		}
	})
}

func TestCoreDisconnect(t *testing.T) {
	eachForm(t, func(t *testing.T, _ *server.Server, admin, user *client.Client, _ <-chan string) {
		disconnect := func(by *client.Client, id string) error {
			_, err := packetrpcv1packetrpc.NewCoreServiceClient(by).Disconnect(within(t), &packetrpcv1.DisconnectRequest{Id: id, Reason: "flooding"})
			return err
		}
		if err := disconnect(user, admin.ID()); packetrpc.CodeOf(err) != packetrpc.CodePermissionDenied {
			t.Errorf("without the role: %v", err)
		}
		if err := disconnect(admin, "nobody"); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
			t.Errorf("an unknown client: %v", err)
		}
		if err := disconnect(admin, user.ID()); err != nil {
			t.Fatal(err)
		}
		receive(t, user.Done())
		if !strings.Contains(user.Err().Error(), "flooding") {
			t.Errorf("the client is told %v", user.Err())
		}
	})
}

// An old program sees itself, and cannot be pushed to.
func TestCoreAndPlainClients(t *testing.T) {
	srv := server.New(server.WithRoles("root", "admin"))
	address := listen(t, srv)
	admin, old := dial(t, address, client.WithName("root")), dialRaw(t, address)
	token := old.shake()
	old.write(`{"action":"CoreInfo","token":"` + token + `"}`)
	p := old.read()
	self, _ := p.field("client").(map[string]any)
	if p.Action != "CoreInfo" || p.field("form") != "plain" || self["name"] != "demo" {
		t.Fatalf("the info is %+v", p)
	}
	core := packetrpcv1packetrpc.NewCoreServiceClient(admin)
	_, err := core.Send(within(t), &packetrpcv1.SendRequest{Id: self["id"].(string), Push: &packetrpcv1.Push{Action: "NAMED"}})
	if packetrpc.CodeOf(err) != packetrpc.CodeFailedPrecondition {
		t.Errorf("sending to it: %v", err)
	}
	if _, err := core.Disconnect(within(t), &packetrpcv1.DisconnectRequest{Id: self["id"].(string)}); err != nil {
		t.Error(err)
	}
	old.ends()
}

func TestClosedClientList(t *testing.T) {
	srv := server.New(server.WithClientListClosed(), server.WithRoles("root", "admin"))
	started := packetrpctest.Start(t, srv)
	for name, want := range map[string]packetrpc.Code{"root": 0, "ada": packetrpc.CodePermissionDenied} {
		c := started.Dial(t, client.WithName(name))
		_, err := packetrpcv1packetrpc.NewCoreServiceClient(c).ListClients(within(t), &packetrpcv1.ListClientsRequest{})
		if packetrpc.CodeOf(err) != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// Roles come from the authenticator and from the option, for calls of every
// type, before the handler runs.
func TestRoles(t *testing.T) {
	authenticator := session.AuthenticatorFunc(func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
		if c.Username == "clerk" {
			return packetrpc.Identity{Name: "clerk", Roles: []string{"writer"}}, nil
		}
		return packetrpc.Identity{Name: c.Username}, nil
	})
	srv := server.New(server.WithAuthenticator(authenticator), server.WithRoles("ada", "writer", "writer"), server.WithRoles("clerk", "reader"))
	guarded := *echoSpec
	guarded.Requires = "writer"
	ran := make(chan packetrpc.Identity, 10)
	packetrpc.HandleUnary(srv, &guarded, func(ctx context.Context, s *text) (*text, error) {
		ran <- packetrpc.PeerFrom(ctx).Identity()
		return s, nil
	})
	stream := &packetrpc.Spec{Action: "test.Echo/Stream", Type: packetrpc.ServerStream, Requires: "writer"}
	packetrpc.HandleServerStream(srv, stream, func(_ context.Context, s *text, out packetrpc.Sender[text]) error { return out.Send(s) })
	started := packetrpctest.Start(t, srv)
	for name, roles := range map[string][]string{"clerk": {"writer", "reader"}, "ada": {"writer"}, "nobody": nil} {
		c := started.Dial(t, client.WithName(name))
		_, err := echo(within(t), c, "x")
		_, streamErr := readAll(t, c, stream)
		if roles == nil {
			for _, err := range []error{err, streamErr} {
				if packetrpc.CodeOf(err) != packetrpc.CodePermissionDenied || !strings.Contains(err.Error(), `needs the role "writer"`) {
					t.Errorf("%s: %v", name, err)
				}
			}
			continue
		}
		if err != nil || streamErr != nil {
			t.Errorf("%s: %v, %v", name, err, streamErr)
			continue
		}
		if identity := receive(t, ran); identity.Name != name || !slices.Equal(identity.Roles, roles) {
			t.Errorf("%s is %+v, want the roles %v", name, identity, roles)
		}
	}
	if len(ran) > 0 {
		t.Error("the handler ran for somebody without the role")
	}
}

func readAll(t *testing.T, c packetrpc.Caller, spec *packetrpc.Spec) (all []string, err error) {
	stream, err := packetrpc.CallServerStream[text](within(t), c, spec, wrapperspb.String("x"))
	if err != nil {
		return nil, err
	}
	for m, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		all = append(all, m.GetValue())
	}
	return all, nil
}
