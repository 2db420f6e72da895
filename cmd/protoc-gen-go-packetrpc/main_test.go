package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"--version"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	if fields := strings.Fields(out.String()); len(fields) != 2 || fields[0] != "protoc-gen-go-packetrpc" {
		t.Errorf("--version prints %q", out.String())
	}
}

// TestWriteOptions shows that the file is found by the path that .proto files
// import it by, and that it may be written again.
func TestWriteOptions(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(root, "api", "packetrpc", "v1", "options.proto"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "third_party")
	for range 2 {
		var out bytes.Buffer
		if err := run([]string{"--write-options", folder}, nil, &out); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "packetrpc", "v1", "options.proto")
		if out.String() != path+"\n" {
			t.Errorf("it prints %q", out.String())
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := run([]string{"--write-options", filepath.Join(folder, "packetrpc", "v1", "options.proto")}, nil, io.Discard); err == nil {
		t.Error("a folder that is a file was written to")
	}
}

func TestRunRefuses(t *testing.T) {
	parameter := func(text string) string {
		wire, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{Parameter: &text})
		if err != nil {
			t.Fatal(err)
		}
		return string(wire)
	}
	for _, test := range []struct {
		name string
		args []string
		in   string
		want string
	}{
		{"an argument", []string{"chat.proto"}, "", `unknown argument "chat.proto": protoc and buf start this program and give it none`},
		{"no request", nil, "service Chat {}", "standard input holds no plugin request"},
		{"an unknown parameter", nil, parameter("path=source_relative"), `unknown parameter "path": there are paths, module and M`},
		{"a wrong parameter", nil, parameter("paths=nowhere"), `unknown path type "nowhere"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(test.args, strings.NewReader(test.in), &out)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if out.Len() > 0 {
				t.Errorf("it wrote %d bytes all the same", out.Len())
			}
		})
	}
}

// TestFeatures shows that protoc lets the plugin have proto3's optional fields
// and editions.
func TestFeatures(t *testing.T) {
	response, err := respond(&pluginpb.CodeGeneratorRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &pluginpb.CodeGeneratorResponse{
		SupportedFeatures: proto.Uint64(3),
		MinimumEdition:    proto.Int32(int32(descriptorpb.Edition_EDITION_PROTO2)),
		MaximumEdition:    proto.Int32(int32(descriptorpb.Edition_EDITION_2024)),
	}
	if !proto.Equal(response, want) {
		t.Errorf("got %v, want %v", response, want)
	}
}

// TestUnknownOption shows that an option which only a newer options.proto has is
// not passed over.
func TestUnknownOption(t *testing.T) {
	const source = `syntax = "proto3";
package a;
import "packetrpc/v1/options.proto";
option go_package = "golden.test/a";
message M {}
service S {
  option (packetrpc.v1.service).sealed = true;
  rpc Call(M) returns (M) {
    option (packetrpc.v1.method).sealed = true;
  }
}
`
	request := compile(t, map[string]string{"a.proto": source}, "")
	// Field 52170 with a message that holds 2000: 1.
	newer := []byte{0xd2, 0xbc, 0x19, 0x03, 0x80, 0x7d, 0x01}
	for _, file := range request.ProtoFile {
		if file.GetName() == "a.proto" {
			merge(t, file.Service[0].Options, newer)
			merge(t, file.Service[0].Method[0].Options, newer)
		}
	}
	_, refused := output(t, request)
	const what = "a packetrpc option is set that this generator does not know; use a generator as new as options.proto\n"
	if difference := gocmp.Diff("a.proto:7:3: "+what+"a.proto:9:5: "+what, refused); difference != "" {
		t.Errorf("refusal (-want +got):\n%s", difference)
	}
}

func merge(t *testing.T, options proto.Message, wire []byte) {
	t.Helper()
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(wire, options); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutPositions shows that a refusal names the file when the compiler
// told no positions.
func TestWithoutPositions(t *testing.T) {
	const source = `syntax = "proto3";
option go_package = "golden.test/a";
message M {}
service Core {
  rpc Call(M) returns (M);
}
`
	request := compile(t, map[string]string{"a.proto": source}, "")
	for _, file := range request.ProtoFile {
		file.SourceCodeInfo = nil
	}
	_, refused := output(t, request)
	const want = `a.proto: the action "Core/Call" begins with "Core", which is for actions of the runtime; set "action" to a name that does not` + "\n"
	if difference := gocmp.Diff(want, refused); difference != "" {
		t.Errorf("refusal (-want +got):\n%s", difference)
	}
}

// TestBrokenComment puts into a comment what no .proto compiler needs to keep
// out of it and no Go file may hold.
func TestBrokenComment(t *testing.T) {
	const source = `syntax = "proto3";
option go_package = "golden.test/a";
message M {}
// Comment
service S {}
`
	request := compile(t, map[string]string{"a.proto": source}, "")
	for _, location := range request.ProtoFile[len(request.ProtoFile)-1].SourceCodeInfo.Location {
		if location.LeadingComments != nil {
			location.LeadingComments = proto.String("\r\n\x00 \xff\uFEFF\rpackage broken\r\n\n")
		}
	}
	files, refused := output(t, request)
	if refused != "" || len(files) != 1 {
		t.Fatalf("%d files, refused: %s", len(files), refused)
	}
	checkFormat(t, files)
	for _, source := range files {
		if !strings.Contains(source, "//\n// \uFFFD \uFFFD\n// package broken\ntype SClient interface{}\n") {
			t.Errorf("the comment is not as it should be:\n%s", source)
		}
	}
}

// TestProtoc runs the plugin as users do and wants what the golden file wants.
func TestProtoc(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("protoc is not installed; the golden tests cover all but its way of starting the plugin")
	}
	plugin := build(t, ".")
	for _, name := range []string{"call_types", "comments", "options", "services", "refused_actions", "refused_options"} {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, filepath.Join("testdata", name+".txtar"))
			in, out := t.TempDir(), t.TempDir()
			args := []string{
				"--plugin=" + plugin, "--go-packetrpc_out=" + out, "--go-packetrpc_opt=" + g.request.GetParameter(),
				"-I" + in, "-I" + filepath.Join(root, "api"),
			}
			files := &module{dir: in}
			for name, source := range g.sources {
				files.write(t, name, source)
				args = append(args, name)
			}
			slices.Sort(args[5:])
			message, _ := exec.CommandContext(t.Context(), protoc, args...).CombinedOutput()
			refused := strings.TrimPrefix(string(message), "--go-packetrpc_out: ")
			if difference := gocmp.Diff(g.refused, refused); difference != "" {
				t.Errorf("refusal (-want +got):\n%s", difference)
			}
			if difference := gocmp.Diff(g.want, readFolder(t, out)); difference != "" {
				t.Errorf("output (-want +got):\n%s", difference)
			}
		})
	}
}

// readFolder returns the files below a folder by their paths in it.
func readFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
