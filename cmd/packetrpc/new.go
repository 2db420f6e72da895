package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/packetrpc/packetrpc/api"
)

// sketch is the module that new ones are copied from. It has no go.mod, as files of other
// modules cannot be embedded, and a name that the go command passes over.
//
//go:embed all:_new
var sketch embed.FS

const (
	sketchFolder = "_new"
	sketchModule = "example.com/hello" // in its files, where the new module's path comes

	ownModule = "github.com/packetrpc/packetrpc"
	// replaced is the version of a module that is replaced, as the go command writes it.
	replaced = "v0.0.0-00010101000000-000000000000"
)

// The generators of a new module.
const (
	messageGenerator = "google.golang.org/protobuf/cmd/protoc-gen-go"
	stubGenerator    = ownModule + "/cmd/protoc-gen-go-packetrpc"
)

// newNewCommand returns the command that makes a module to begin with.
func newNewCommand() *cli.Command {
	return &cli.Command{
		Name:  "new",
		Usage: "make a module with a server and a client that run at once",
		Description: "Makes the folder NAME, with a .proto file, the code generated of it, a server, a client,\n" +
			"a test and a Makefile:\n\n   packetrpc new hello && cd hello && make run\n\n" +
			"It runs the go command, which heeds GOPROXY, GOFLAGS and the like. When it fails, no folder is left.",
		ArgsUsage: "NAME",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "module", Usage: "the module's `PATH`; otherwise example.com/NAME"},
			&cli.StringFlag{Name: "replace", Usage: "use the checkout of packetrpc in `FOLDER` instead of a published version"},
		},
		Action: newModule,
	}
}

func newModule(ctx context.Context, command *cli.Command) error {
	folder := command.Args().First()
	if command.Args().Len() != 1 || folder == "" {
		return usageErrorf("`%s` takes one NAME, of the folder for the module", command.FullName())
	}
	m := module{folder: folder, path: command.String("module"), replace: command.String("replace"), out: newOutput(command)}
	if m.path == "" {
		m.path = "example.com/" + filepath.Base(folder)
	}
	if err := os.Mkdir(folder, 0o777); err != nil {
		return err
	}
	if err := m.make(ctx); err != nil {
		os.RemoveAll(folder)
		return err
	}
	return m.tell()
}

// module is a module that is being made.
type module struct {
	folder, path string
	replace      string // the folder of a checkout; "" is a published version
	out          *output
}

// make makes everything in the folder. The generators are required before there is code
// that imports what they generate, as the go command would look for that elsewhere.
func (m *module) make(ctx context.Context) error {
	if err := m.require(ctx); err != nil {
		return err
	}
	if err := m.copySketch(); err != nil {
		return err
	}
	if err := m.write("third_party/"+api.OptionsPath, api.Options); err != nil {
		return err
	}
	if err := m.generate(ctx); err != nil {
		return err
	}
	_, err := m.run(ctx, nil, "mod", "tidy")
	return err
}

// copySketch writes the files of the sketch, with the path of the new module.
func (m *module) copySketch() error {
	return fs.WalkDir(sketch, sketchFolder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := sketch.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, sketchFolder+"/")
		if name == "gitignore" {
			name = ".gitignore" // some who pack modules leave hidden files out
		}
		return m.write(name, bytes.ReplaceAll(text, []byte(sketchModule), []byte(m.path)))
	})
}

// write writes a file of the module, whose name has slashes.
func (m *module) write(name string, text []byte) error {
	path := filepath.Join(m.folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o666)
}

// require writes go.mod, with the runtime and the generators. That of messages is of the
// version of protobuf which the runtime needs.
func (m *module) require(ctx context.Context) error {
	if _, err := m.run(ctx, nil, "mod", "init", m.path); err != nil {
		return err
	}
	if err := m.requireRuntime(ctx); err != nil {
		return err
	}
	if _, err := m.run(ctx, nil, "mod", "edit", "-tool="+messageGenerator, "-tool="+stubGenerator); err != nil {
		return err
	}
	_, err := m.run(ctx, nil, "mod", "tidy")
	return err
}

// requireRuntime requires packetrpc itself, from wherever it comes.
func (m *module) requireRuntime(ctx context.Context) error {
	if m.replace == "" {
		if _, err := m.run(ctx, nil, "get", ownModule+"@"+ownVersion()); err != nil {
			return fmt.Errorf("%w\n(--replace FOLDER uses a checkout of packetrpc instead)", err)
		}
		return nil
	}
	checkout, err := filepath.Abs(m.replace)
	if err != nil {
		return err
	}
	_, err = m.run(ctx, nil, "mod", "edit", "-replace="+ownModule+"="+checkout, "-require="+ownModule+"@"+replaced)
	return err
}

// ownVersion returns the version of packetrpc that this program was installed as, or
// "latest" if it was built in a checkout.
func ownVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Sum != "" {
		return info.Main.Version
	}
	return "latest"
}

// run runs the go command in the module, and returns what it prints.
func (m *module) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Stdin = m.folder, bytes.NewReader(input)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	printed, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return printed, nil
}

// tell tells what has been made.
func (m *module) tell() error {
	if m.out.JSON {
		return m.out.Object(map[string]string{"folder": m.folder, "module": m.path})
	}
	_, err := fmt.Fprintf(m.out, "made the module %s in %s; now:\n\n   cd %[2]s && make run\n", m.path, m.folder)
	return err
}
