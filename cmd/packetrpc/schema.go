package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/packetrpc/packetrpc/api"
	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// schemaFlags returns the flags that say what there is to call, for servers that do not
// tell it.
func schemaFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "proto", Usage: "do not ask the server what there is to call, but read `FILE`, a .proto file"},
		&cli.StringSliceFlag{Name: "proto-path", Usage: "look for what .proto files import in `FOLDER`; otherwise in those of the files"},
	}
	for _, flag := range flags {
		place(flag, "WHAT THERE IS TO CALL")
	}
	return flags
}

// schema returns what there is to call: from --proto, or as the server tells it.
func (t *target) schema(ctx context.Context, server packetrpc.Caller) (*schema.Schema, error) {
	if known, err := protoSchema(ctx, t.flags); known != nil || err != nil {
		return known, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	told, err := packetrpcv1packetrpc.NewCoreServiceClient(server).Reflect(ctx, &packetrpcv1.ReflectRequest{})
	switch packetrpc.CodeOf(err) {
	case 0:
		return schema.New(told.GetFiles())
	case packetrpc.CodeUnimplemented, packetrpc.CodePermissionDenied:
		err = &notTold{fmt.Errorf("%s does not tell what there is to call (--proto FILE does): %w", t.address, err)}
	}
	return nil, callError(err, nil)
}

// notTold is the error of a server that does not tell what there is to call, or not to this
// client.
type notTold struct{ error }

func (n *notTold) Unwrap() error { return n.error }

// isNotTold reports whether an error is a notTold.
func isNotTold(err error) bool {
	var told *notTold
	return errors.As(err, &told)
}

// schemaFor returns a schema with the named action or message. That of the Core actions is
// known without asking.
func (r *remote) schemaFor(ctx context.Context, name string) (*schema.Schema, error) {
	if isCore(name) {
		core, err := coreSchema()
		if err != nil {
			return nil, err
		}
		if _, err := findDeclared(core, name); err == nil {
			return core, nil
		}
	}
	return r.schema(ctx, r.client)
}

// coreSchema returns the Core actions.
func coreSchema() (*schema.Schema, error) {
	handlers, comments := new(packetrpc.Handlers), make(schema.Comments)
	packetrpcv1packetrpc.RegisterCoreServiceHandler(handlers, packetrpcv1packetrpc.UnimplementedCoreServiceHandler{})
	for method := range handlers.All() {
		comments.Add(method.Spec.Comments)
	}
	files, err := schema.Linked().Files([]string{packetrpcv1packetrpc.CoreServiceName}, comments)
	if err != nil {
		return nil, err
	}
	return schema.New(files)
}

// protoSchema returns what the files of --proto declare, or nil where there are none.
func protoSchema(ctx context.Context, command *cli.Command) (*schema.Schema, error) {
	files := command.StringSlice("proto")
	if len(files) == 0 {
		return nil, nil
	}
	names, folders := importNames(files, command.StringSlice("proto-path"))
	compiled, err := compile(ctx, names, folders)
	if err != nil {
		return nil, usageErrorf("--proto: %w", err)
	}
	return schema.New(compiled)
}

// compile compiles .proto files, which are named as others import them, and returns them
// and what they import, each behind what it imports.
func compile(ctx context.Context, names, folders []string) ([]*descriptorpb.FileDescriptorProto, error) {
	options := &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{api.OptionsPath: string(api.Options)})}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(protocompile.CompositeResolver{&protocompile.SourceResolver{ImportPaths: folders}, options}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	return describeFiles(compiled)
}

// importNames returns files by the names that others import them by, and the folders to
// look for them in.
func importNames(files, folders []string) (names, paths []string) {
	for _, file := range files {
		folder := folderOf(file, folders)
		if folder == "" {
			folder = filepath.Dir(file)
			paths = append(paths, folder)
		}
		name, err := filepath.Rel(folder, file)
		if err != nil {
			name = file
		}
		names = append(names, filepath.ToSlash(name))
	}
	return names, append(paths, folders...)
}

// folderOf returns which of the folders a file is in, or "".
func folderOf(file string, folders []string) string {
	for _, folder := range folders {
		if name, err := filepath.Rel(folder, file); err == nil && filepath.IsLocal(name) {
			return folder
		}
	}
	return ""
}

// describeFiles returns compiled files, each behind those that it imports.
func describeFiles(compiled linker.Files) (files []*descriptorpb.FileDescriptorProto, err error) {
	seen := make(map[string]bool)
	var add func(file protoreflect.FileDescriptor) error
	add = func(file protoreflect.FileDescriptor) error {
		if seen[file.Path()] {
			return nil
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			if err := add(file.Imports().Get(i).FileDescriptor); err != nil {
				return err
			}
		}
		described, err := generatedOptions(protoutil.ProtoFromFileDescriptor(file))
		files = append(files, described)
		return err
	}
	for _, file := range compiled {
		if err := add(file); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// generatedOptions returns a file whose options are of the generated types, by which they
// are read, rather than of those that the compiler has made.
func generatedOptions(file *descriptorpb.FileDescriptorProto) (*descriptorpb.FileDescriptorProto, error) {
	encoded, err := proto.Marshal(file)
	if err != nil {
		return nil, err
	}
	decoded := new(descriptorpb.FileDescriptorProto)
	return decoded, proto.Unmarshal(encoded, decoded)
}
