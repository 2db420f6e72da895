package main

import (
	"bytes"
	"cmp"
	"flag"
	"go/format"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/types/pluginpb"
)

var update = flag.Bool("update", false, "write the output into the golden files")

// golden is a case: testdata/NAME.txtar. Its comment says what it is for, and its
// files are
//
//	*.proto      the input; all of them are generated
//	parameter    the plugin's parameter, "module=golden.test" unless given
//	want/*       the wanted output, or
//	refused      the wanted error
//	*.go         code that uses the output; it is compiled, and tests in it run
type golden struct {
	name    string
	archive *txtar.Archive
	sources map[string]string
	want    map[string]string
	uses    map[string]string
	refused string
	request *pluginpb.CodeGeneratorRequest
}

const (
	wantPrefix  = "want/"
	refusedFile = "refused"
)

func readGolden(t *testing.T, path string) *golden {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{
		name:    strings.TrimSuffix(filepath.Base(path), ".txtar"),
		archive: archive,
		sources: make(map[string]string),
		want:    make(map[string]string),
		uses:    make(map[string]string),
	}
	parameter := "module=golden.test"
	for _, file := range archive.Files {
		text := string(file.Data)
		switch {
		case strings.HasPrefix(file.Name, wantPrefix):
			g.want[strings.TrimPrefix(file.Name, wantPrefix)] = text
		case file.Name == refusedFile:
			g.refused = text
		case file.Name == "parameter":
			parameter = strings.TrimSpace(text)
		case strings.HasSuffix(file.Name, ".proto"):
			g.sources[file.Name] = text
		case strings.HasSuffix(file.Name, ".go"):
			g.uses[file.Name] = text
		default:
			t.Fatalf("%s: what is %s?", path, file.Name)
		}
	}
	g.request = compile(t, g.sources, parameter)
	return g
}

// write replaces the wanted output by what the generator wrote.
func (g *golden) write(t *testing.T, output map[string]string, refused string) {
	t.Helper()
	g.archive.Files = slices.DeleteFunc(g.archive.Files, func(file txtar.File) bool {
		return strings.HasPrefix(file.Name, wantPrefix) || file.Name == refusedFile
	})
	if refused != "" {
		g.archive.Files = append(g.archive.Files, txtar.File{Name: refusedFile, Data: []byte(refused)})
	}
	for _, name := range slices.Sorted(maps.Keys(output)) {
		g.archive.Files = append(g.archive.Files, txtar.File{Name: wantPrefix + name, Data: []byte(output[name])})
	}
	path := filepath.Join("testdata", g.name+".txtar")
	if err := os.WriteFile(path, txtar.Format(g.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// output runs the generator and returns the files that it writes, or its error.
func output(t *testing.T, request *pluginpb.CodeGeneratorRequest) (files map[string]string, refused string) {
	t.Helper()
	response, err := respond(request)
	if err != nil {
		t.Fatal(err)
	}
	files = make(map[string]string)
	for _, file := range response.File {
		files[file.GetName()] = file.GetContent()
	}
	if response.Error != nil {
		refused = response.GetError() + "\n"
	}
	return files, refused
}

// TestGolden compares the output of each case with the wanted one, twice: the
// order of the services must make no difference. What the cases want is then
// compiled.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	module := newModule(t)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			g := readGolden(t, path)
			files, refused := output(t, g.request)
			if *update {
				g.write(t, files, refused)
				g.want, g.refused = files, refused
			}
			if difference := gocmp.Diff(g.refused, refused); difference != "" {
				t.Errorf("refusal (-want +got):\n%s", difference)
			}
			if difference := gocmp.Diff(g.want, files); difference != "" {
				t.Errorf("output (-want +got):\n%s", difference)
			}
			again, refusedAgain := output(t, reordered(g.request))
			if difference := cmp.Or(gocmp.Diff(files, again), gocmp.Diff(refused, refusedAgain)); difference != "" {
				t.Errorf("with the services reordered (-before +after):\n%s", difference)
			}
			checkFormat(t, files)
			if len(files) > 0 {
				module.add(t, g, files)
			}
		})
	}
	module.vet(t)
	module.test(t)
}

func checkFormat(t *testing.T, files map[string]string) {
	t.Helper()
	for name, source := range files {
		formatted, err := format.Source([]byte(source))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(formatted, []byte(source)) {
			t.Errorf("%s is not as gofmt formats it:\n%s", name, gocmp.Diff(string(formatted), source))
		}
	}
}
