package main

import (
	"context"
	"errors"
	"path"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// sketchProto is the .proto file of a new module, as others import it.
const sketchProto = "greet/v1/greet.proto"

// generate writes the code of a new module's .proto file, as `make gen` does there; but it
// does not need buf, which takes minutes to build.
func (m *module) generate(ctx context.Context) error {
	files, err := compile(ctx, []string{sketchProto}, []string{filepath.Join(m.folder, "proto"), filepath.Join(m.folder, "third_party")})
	if err != nil {
		return err
	}
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{sketchProto},
		Parameter:      proto.String("module=" + m.path),
		ProtoFile:      files,
	})
	if err != nil {
		return err
	}
	for _, generator := range []string{messageGenerator, stubGenerator} {
		if err := m.runGenerator(ctx, path.Base(generator), request); err != nil {
			return err
		}
	}
	return nil
}

// runGenerator runs a generator, and writes the files that it answers with.
func (m *module) runGenerator(ctx context.Context, name string, request []byte) error {
	answer, err := m.run(ctx, request, "tool", name)
	if err != nil {
		return err
	}
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(answer, response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(name + ": " + response.GetError())
	}
	for _, file := range response.GetFile() {
		if err := m.write(file.GetName(), []byte(file.GetContent())); err != nil {
			return err
		}
	}
	return nil
}
