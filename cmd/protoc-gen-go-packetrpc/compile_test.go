package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"
)

// root is the repository, seen from the folder in which go runs the tests.
const root = "../.."

// compile makes the request that protoc or buf would send to generate the given
// .proto files, which may import those of api and of protobuf.
func compile(t *testing.T, sources map[string]string, parameter string) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	names := make([]string, 0, len(sources))
	for name := range sources {
		names = append(names, name)
	}
	slices.Sort(names)
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(resolver(sources)),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(t.Context(), names...)
	if err != nil {
		t.Fatalf("the input does not compile: %v", err)
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names, Parameter: &parameter}
	seen := make(map[string]bool)
	for _, file := range files {
		request.ProtoFile = appendFile(request.ProtoFile, file, seen)
	}
	return resend(t, request)
}

// resolver finds the sources of a case, those in api and the features of Go.
func resolver(sources map[string]string) protocompile.Resolver {
	api := &protocompile.SourceResolver{
		ImportPaths: []string{filepath.Join(root, "api")},
		Accessor:    func(path string) (io.ReadCloser, error) { return os.Open(path) },
	}
	features := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		file := gofeaturespb.File_google_protobuf_go_features_proto
		if path != file.Path() {
			return protocompile.SearchResult{}, os.ErrNotExist
		}
		return protocompile.SearchResult{Proto: protodesc.ToFileDescriptorProto(file)}, nil
	})
	own := &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)}
	return protocompile.CompositeResolver{own, api, features}
}

// appendFile appends a file behind all that it imports.
func appendFile(to []*descriptorpb.FileDescriptorProto, file protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return to
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		to = appendFile(to, imports.Get(i).FileDescriptor, seen)
	}
	return append(to, protoutil.ProtoFromFileDescriptor(file))
}

// resend returns the request as a plugin receives it: with the options in the
// types of this program and not in those of the compiler.
func resend(t *testing.T, request *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	wire, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	received := &pluginpb.CodeGeneratorRequest{}
	if err := proto.Unmarshal(wire, received); err != nil {
		t.Fatal(err)
	}
	return received
}

// reordered returns the request with the services of each file to generate in
// the opposite order. Their places in the source stay as they are.
func reordered(request *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorRequest {
	const services = 6 // FileDescriptorProto.service
	request = proto.CloneOf(request)
	for _, file := range request.ProtoFile {
		if !slices.Contains(request.FileToGenerate, file.GetName()) {
			continue
		}
		slices.Reverse(file.Service)
		for _, location := range file.GetSourceCodeInfo().GetLocation() {
			if len(location.Path) > 1 && location.Path[0] == services {
				location.Path[1] = int32(len(file.Service)) - 1 - location.Path[1]
			}
		}
	}
	return request
}
