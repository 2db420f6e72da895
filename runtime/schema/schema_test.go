package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// generated returns the methods of generated code.
func generated() *packetrpc.Handlers {
	methods := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatServiceHandler(methods, chatv1packetrpc.UnimplementedChatServiceHandler{})
	chatv1packetrpc.RegisterChatEventsHandler(methods, chatv1packetrpc.UnimplementedChatEventsHandler{})
	packetrpcv1packetrpc.RegisterCoreServiceHandler(methods, packetrpcv1packetrpc.UnimplementedCoreServiceHandler{})
	interopv1packetrpc.RegisterInteropServiceHandler(methods, interopv1packetrpc.UnimplementedInteropServiceHandler{})
	interopv1packetrpc.RegisterUnregisteredServiceHandler(methods, interopv1packetrpc.UnimplementedUnregisteredServiceHandler{})
	return methods
}

// What descriptors tell is what generated code says, even after a journey.
func TestActions(t *testing.T) {
	linked := schema.Linked()
	comments := make(schema.Comments)
	var names []string
	for method := range generated().All() {
		comments.Add(method.Spec.Comments)
		names = append(names, method.Spec.Action)
	}
	files, err := linked.Files(names, comments)
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files { // as they come from a server
		encoded, err := proto.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(encoded, files[i]); err != nil {
			t.Fatal(err)
		}
	}
	told, err := schema.New(files)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told.Names(), slices.Sorted(slices.Values(names))) {
		t.Errorf("the actions are %v", told.Names())
	}
	for method := range generated().All() {
		want := *method.Spec
		want.Comments = ""
		for _, known := range []*schema.Schema{linked, told} {
			action, err := known.Action(want.Action)
			if err != nil {
				t.Fatal(err)
			}
			if difference := cmp.Diff(&want, action.Spec); difference != "" {
				t.Errorf("-generated +schema:\n%s", difference)
			}
			if got := action.NewRequest().ProtoReflect().Descriptor().FullName(); got != want.Request {
				t.Errorf("%s: the request is a %s", want.Action, got)
			}
		}
	}
	send, _ := linked.Action(chatv1packetrpc.ChatServiceSendAction)
	if _, generated := send.NewRequest().(*chatv1.SendRequest); !generated {
		t.Errorf("the request is a %T", send.NewRequest())
	}
}

func TestUnknownNames(t *testing.T) {
	linked := schema.Linked()
	if _, err := linked.Action("nobody's"); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
		t.Errorf("an action: %v", err)
	}
	if _, err := linked.Find("no.such.Message"); packetrpc.CodeOf(err) != packetrpc.CodeNotFound {
		t.Errorf("a message: %v", err)
	}
	if _, err := linked.Files([]string{"CorePing", "nothing"}, nil); packetrpc.CodeOf(err) != packetrpc.CodeNotFound || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("files: %v", err)
	}
	if got := linked.ServicesBeside([]string{"chat.v1.ChatService", "nobody.Here"}); !slices.Equal(got, []string{"chat.v1.ChatEvents", "chat.v1.ChatService"}) {
		t.Errorf("beside the chat's service are %v", got)
	}
}

// file returns a file with a service of one rpc, which takes and returns a message.
func file(name, service, message string, imports ...string) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{
		Name: proto.String(name), Package: proto.String("p"), Syntax: proto.String("proto3"), Dependency: imports,
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String(service + "M")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String(service),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: proto.String("Do"), InputType: proto.String(message), OutputType: proto.String(message),
			}},
		}},
	}
}

// withAction gives the rpc of a file an action.
func withAction(file *descriptorpb.FileDescriptorProto, action string) *descriptorpb.FileDescriptorProto {
	options := new(descriptorpb.MethodOptions)
	// As it comes over the wire: field 52170 with a message whose field 1 is the action.
	options.ProtoReflect().SetUnknown(protoreflect.RawFields(append([]byte{0xd2, 0xbc, 0x19, byte(len(action) + 2), 0x0a, byte(len(action))}, action...)))
	encoded, err := proto.Marshal(options)
	if err != nil {
		panic(err)
	}
	file.Service[0].Method[0].Options = new(descriptorpb.MethodOptions)
	if err := proto.Unmarshal(encoded, file.Service[0].Method[0].Options); err != nil {
		panic(err)
	}
	return file
}

func TestFilesThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []*descriptorpb.FileDescriptorProto
	}{
		{"an import is missing", []*descriptorpb.FileDescriptorProto{file("a.proto", "A", ".p.AM", "b.proto")}},
		{"a message is missing", []*descriptorpb.FileDescriptorProto{file("a.proto", "A", ".p.BM")}},
		{"an import comes later", []*descriptorpb.FileDescriptorProto{file("a.proto", "A", ".p.BM", "b.proto"), file("b.proto", "B", ".p.BM")}},
		{"a file comes twice", []*descriptorpb.FileDescriptorProto{file("a.proto", "A", ".p.AM"), file("a.proto", "A", ".p.AM")}},
	} {
		if _, err := schema.New(test.files); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument || !strings.Contains(err.Error(), "a.proto") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Two rpcs may have one action, in files that were not generated together.
func TestRivals(t *testing.T) {
	a, b := withAction(file("a.proto", "A", ".p.AM"), "DO"), withAction(file("b.proto", "B", ".p.BM"), "DO")
	for _, files := range [][]*descriptorpb.FileDescriptorProto{{a, b}, {b, a}} {
		known, err := schema.New(files)
		if err != nil {
			t.Fatal(err)
		}
		_, err = known.Action("DO")
		if packetrpc.CodeOf(err) != packetrpc.CodeFailedPrecondition || !strings.Contains(err.Error(), "p.A.Do and p.B.Do") {
			t.Errorf("got %v", err)
		}
	}
}

func TestComments(t *testing.T) {
	comments := make(schema.Comments)
	comments.Add("no object")
	comments.Add(`{"p.A":"A does.","p.A.Do":"Do it.","p.AM":"AM is nothing."}`)
	source, err := schema.New([]*descriptorpb.FileDescriptorProto{file("a.proto", "A", ".p.AM")})
	if err != nil {
		t.Fatal(err)
	}
	files, err := source.Files([]string{"p.A"}, comments)
	if err != nil {
		t.Fatal(err)
	}
	known, err := schema.New(files)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range comments {
		found, err := known.Find(string(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := found.ParentFile().SourceLocations().ByDescriptor(found).LeadingComments; got != want {
			t.Errorf("%s is told to be %q, want %q", name, got, want)
		}
	}
}
