// Command protoc-gen-go-packetrpc is a plugin of protoc and buf that writes the
// packetrpc code for the services of .proto files: clients, handler interfaces,
// broadcasts and the names of actions.
//
// For chat/v1/chat.proto, whose messages are in the Go package chatv1, it writes
// chatv1packetrpc/chat.packetrpc.go beside them. The messages themselves come
// from protoc-gen-go, whose parameters it takes as well: paths, module and M.
//
//	protoc --go_out=. --go-packetrpc_out=. chat/v1/chat.proto
//
// The options that .proto files set are declared in packetrpc/v1/options.proto.
// The plugin brings that file along: this writes it below a folder, for protoc's
// -I or a module of buf.yaml.
//
//	protoc-gen-go-packetrpc --write-options FOLDER
//
// The output depends on the declarations alone: services appear in the order of
// their names and methods in the order in which they are declared. Two names that
// would clash in Go are written with underscores between their parts. Names and
// actions are compared among the files of one run, so generate the files of a Go
// package together, as buf does. What cannot work is refused with its place in
// the .proto file and with what to write instead.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/packetrpc/packetrpc/api"
	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/emit"
	"github.com/packetrpc/packetrpc/cmd/protoc-gen-go-packetrpc/internal/plan"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "protoc-gen-go-packetrpc:", err)
		os.Exit(1)
	}
}

// run reads a request from in and writes the response to out, or answers the
// flags of a person.
func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 1 && args[0] == "--version" {
		_, err := fmt.Fprintln(out, "protoc-gen-go-packetrpc", version())
		return err
	}
	if len(args) == 2 && args[0] == "--write-options" {
		return writeOptions(args[1], out)
	}
	if len(args) > 0 {
		return fmt.Errorf("unknown argument %q: protoc and buf start this program and give it none; people have --version and --write-options FOLDER", args[0])
	}
	input, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{}
	if err := proto.Unmarshal(input, request); err != nil {
		return fmt.Errorf("standard input holds no plugin request: %w", err)
	}
	response, err := respond(request)
	if err != nil {
		return err
	}
	output, err := proto.Marshal(response)
	if err != nil {
		return err
	}
	_, err = out.Write(output)
	return err
}

// writeOptions writes options.proto below a folder, where its import path is to be
// found, and prints where.
func writeOptions(folder string, out io.Writer) error {
	path := filepath.Join(folder, filepath.FromSlash(api.OptionsPath))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path, api.Options, 0o666); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, path)
	return err
}

// respond carries out a request. What is wrong with the .proto files stands in
// the response; the error is for requests that are wrong themselves.
func respond(request *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	gen, err := protogen.Options{ParamFunc: refuseParameter}.New(request)
	if err != nil {
		return nil, err
	}
	gen.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL |
		pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	gen.SupportedEditionsMinimum = descriptorpb.Edition_EDITION_PROTO2
	gen.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_2024
	if err := generate(gen); err != nil {
		gen.Error(err)
	}
	return gen.Response(), nil
}

// generate adds the output files to a request's response.
func generate(gen *protogen.Plugin) error {
	files, err := plan.Build(gen)
	if err != nil {
		return err
	}
	for _, file := range files {
		source, err := emit.File(file)
		if err != nil {
			return err
		}
		out := gen.NewGeneratedFile(file.Output, protogen.GoImportPath(file.ImportPath))
		if _, err := out.Write(source); err != nil {
			return err
		}
	}
	return nil
}

func refuseParameter(name, _ string) error {
	return fmt.Errorf("unknown parameter %q: there are paths, module and M", name)
}

// version returns the module's version that the program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
