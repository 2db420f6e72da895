package schema

import (
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Files returns the files that declare what is named, and all that they import, each
// after those that it imports, so that [New] takes them. Names are those of actions, and
// full names of services, messages, enums and rpcs. The comments are put into the files.
// An error has the code not_found.
func (s *Schema) Files(names []string, comments Comments) ([]*descriptorpb.FileDescriptorProto, error) {
	c := collector{comments: comments, seen: make(map[string]bool)}
	for _, name := range names {
		file := s.FileOf(name)
		if file == nil {
			return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "no action, and nothing else, is called %q", name)
		}
		c.add(file)
	}
	return c.files, nil
}

// FileOf returns the file that declares what is named, likewise, or nil.
func (s *Schema) FileOf(name string) protoreflect.FileDescriptor {
	if action := s.actions[name]; action != nil {
		return action.Method.ParentFile()
	}
	found, err := s.Find(name)
	if err != nil {
		return nil
	}
	return found.ParentFile()
}

// ServicesBeside returns the full names, sorted, of all services that are declared in the
// proto packages of given ones, these included.
func (s *Schema) ServicesBeside(services []string) []string {
	packages := make(map[protoreflect.FullName]bool)
	for _, service := range services {
		packages[protoreflect.FullName(service).Parent()] = true
	}
	var beside []string
	for pkg := range packages {
		s.files.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
			for i := range file.Services().Len() {
				beside = append(beside, string(file.Services().Get(i).FullName()))
			}
			return true
		})
	}
	slices.Sort(beside)
	return beside
}

// collector gathers files.
type collector struct {
	comments Comments
	seen     map[string]bool
	files    []*descriptorpb.FileDescriptorProto
}

// add gathers a file behind those that it imports.
func (c *collector) add(file protoreflect.FileDescriptor) {
	if c.seen[file.Path()] || file.IsPlaceholder() {
		return
	}
	c.seen[file.Path()] = true
	for i := range file.Imports().Len() {
		c.add(file.Imports().Get(i).FileDescriptor)
	}
	described := protodesc.ToFileDescriptorProto(file)
	if described.SourceCodeInfo == nil {
		described.SourceCodeInfo = c.comments.of(file)
	}
	c.files = append(c.files, described)
}

// Comments are the texts of comments by the full names of what they are about.
type Comments map[protoreflect.FullName]string

// Add adds those that generated code has; see [packetrpc.Spec.Comments].
func (c Comments) Add(text string) {
	var more Comments
	if json.Unmarshal([]byte(text), &more) != nil {
		return // what is written by hand may be anything, and comments are not worth a failure
	}
	for name, comment := range more {
		c[name] = comment
	}
}

// of returns the comments of a file as descriptors hold them, or nil.
func (c Comments) of(file protoreflect.FileDescriptor) *descriptorpb.SourceCodeInfo {
	l := locator{comments: c}
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		path := l.place(service, nil, fileServices, i)
		for j := range service.Methods().Len() {
			l.place(service.Methods().Get(j), path, serviceMethods, j)
		}
	}
	l.messages(file.Messages(), nil, fileMessages)
	l.enums(file.Enums(), nil, fileEnums)
	if l.info.Location == nil {
		return nil
	}
	return &l.info
}

// The numbers of the fields of descriptor.proto that lead to declarations.
const (
	fileMessages   = 4
	fileEnums      = 5
	fileServices   = 6
	serviceMethods = 2
	messageFields  = 2
	messageNested  = 3
	messageEnums   = 4
	messageOneofs  = 8
	enumValues     = 2
)

// locator puts comments at the paths of what they are about.
type locator struct {
	comments Comments
	info     descriptorpb.SourceCodeInfo
}

// place notes the comment about a declaration, and returns the declaration's path.
func (l *locator) place(about protoreflect.Descriptor, parent []int32, field int32, index int) []int32 {
	path := append(slices.Clone(parent), field, int32(index))
	if text, has := l.comments[about.FullName()]; has {
		l.info.Location = append(l.info.Location, &descriptorpb.SourceCodeInfo_Location{
			Path: path, Span: []int32{0, 0, 0}, LeadingComments: &text,
		})
	}
	return path
}

func (l *locator) messages(messages protoreflect.MessageDescriptors, parent []int32, field int32) {
	for i := range messages.Len() {
		message := messages.Get(i)
		path := l.place(message, parent, field, i)
		for j := range message.Fields().Len() {
			l.place(message.Fields().Get(j), path, messageFields, j)
		}
		for j := range message.Oneofs().Len() {
			l.place(message.Oneofs().Get(j), path, messageOneofs, j)
		}
		l.messages(message.Messages(), path, messageNested)
		l.enums(message.Enums(), path, messageEnums)
	}
}

func (l *locator) enums(enums protoreflect.EnumDescriptors, parent []int32, field int32) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		path := l.place(enum, parent, field, i)
		for j := range enum.Values().Len() {
			l.place(enum.Values().Get(j), path, enumValues, j)
		}
	}
}
