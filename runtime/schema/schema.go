package schema

import (
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Schema is a set of .proto files with the actions that they declare. It does not change
// and may be used concurrently.
type Schema struct {
	files   *protoregistry.Files
	types   resolver
	actions map[string]*Action
}

// Action is an action that a .proto file declares. It does not change.
type Action struct {
	// Spec describes the action, as generated code does.
	Spec *packetrpc.Spec
	// Method is the rpc's descriptor.
	Method protoreflect.MethodDescriptor
	// Rivals are the full names of other rpcs with the same action. Nothing tells which
	// of them is meant.
	Rivals []protoreflect.FullName

	types resolver
}

// NewRequest returns an empty request. It is of the generated type where that is linked
// into the program and the schema is [Linked].
func (a *Action) NewRequest() proto.Message { return a.types.newMessage(a.Method.Input()) }

// NewResponse returns an empty reply likewise.
func (a *Action) NewResponse() proto.Message { return a.types.newMessage(a.Method.Output()) }

// Linked returns the schema of all .proto files whose generated code is linked into the
// program. It makes protobuf load every descriptor there is.
func Linked() *Schema {
	return newSchema(protoregistry.GlobalFiles, resolver{protoregistry.GlobalTypes, true})
}

// New returns the schema of files, each of which must come after those that it imports.
// What they import and what is not among them, such as the messages that come with
// protobuf, is taken from the program. The error says what is wrong with the files.
func New(files []*descriptorpb.FileDescriptorProto) (*Schema, error) {
	registry := new(protoregistry.Files)
	for _, file := range files {
		built, err := protodesc.NewFile(file, fallback{registry, protoregistry.GlobalFiles})
		if err == nil {
			err = registry.RegisterFile(built)
		}
		if err != nil {
			return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%s cannot be used: %w", file.GetName(), err)
		}
	}
	return newSchema(registry, resolver{dynamicpb.NewTypes(registry), false}), nil
}

func newSchema(files *protoregistry.Files, types resolver) *Schema {
	s := &Schema{files: files, types: types, actions: make(map[string]*Action)}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			s.addService(file.Services().Get(i))
		}
		return true
	})
	for _, action := range s.actions {
		slices.Sort(action.Rivals)
	}
	return s
}

func (s *Schema) addService(service protoreflect.ServiceDescriptor) {
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		spec := SpecOf(method)
		first := s.actions[spec.Action]
		switch added := (&Action{Spec: spec, Method: method, types: s.types}); {
		case first == nil:
			s.actions[spec.Action] = added
		case first.Method.FullName() < method.FullName():
			first.Rivals = append(first.Rivals, method.FullName())
		default: // whichever comes first, the result is the same
			added.Rivals = append(first.Rivals, first.Method.FullName())
			s.actions[spec.Action] = added
		}
	}
}

// Lookup returns the action of a name, or nil.
func (s *Schema) Lookup(name string) *Action { return s.actions[name] }

// Action returns the action of a name. The error has the code not_found, or, when
// several rpcs have the name, failed_precondition.
func (s *Schema) Action(name string) (*Action, error) {
	action := s.actions[name]
	switch {
	case action == nil:
		return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "there is no action %q", name)
	case len(action.Rivals) > 0:
		return nil, packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "action %q is declared by both %s and %s",
			name, action.Method.FullName(), action.Rivals[0])
	}
	return action, nil
}

// Names returns the names of the actions, sorted.
func (s *Schema) Names() []string { return slices.Sorted(maps.Keys(s.actions)) }

// Actions returns the actions, sorted by name.
func (s *Schema) Actions() []*Action {
	names := s.Names()
	actions := make([]*Action, len(names))
	for i, name := range names {
		actions[i] = s.actions[name]
	}
	return actions
}

// Find returns the descriptor of a service, message, enum, field or rpc by its full name.
// Otherwise the error has the code not_found.
func (s *Schema) Find(name string) (protoreflect.Descriptor, error) {
	found, err := s.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "nothing is called %q", name)
	}
	return found, nil
}

// Types resolves the messages in google.protobuf.Any and extensions, for protojson and
// the like.
func (s *Schema) Types() interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
} {
	return s.types
}

// typeRegistry is what both the program's types and dynamic ones are found by.
type typeRegistry interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// resolver finds the types of messages.
type resolver struct {
	typeRegistry
	generated bool // rather than dynamic ones, where there are some
}

func (r resolver) newMessage(message protoreflect.MessageDescriptor) proto.Message {
	if r.generated {
		if known, err := r.FindMessageByName(message.FullName()); err == nil {
			return known.New().Interface()
		}
	}
	return dynamicpb.NewMessage(message)
}

// fallback finds files and descriptors in the first of two places that has them.
type fallback struct{ first, second protodesc.Resolver }

func (f fallback) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if file, err := f.first.FindFileByPath(path); !errors.Is(err, protoregistry.NotFound) {
		return file, err
	}
	return f.second.FindFileByPath(path)
}

func (f fallback) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if found, err := f.first.FindDescriptorByName(name); !errors.Is(err, protoregistry.NotFound) {
		return found, err
	}
	return f.second.FindDescriptorByName(name)
}
