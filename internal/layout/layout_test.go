// Package layout_test holds the project's packages to the table in
// CONTRIBUTING.md: each imports only from rows above its own.
package layout_test

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/packetrpc/packetrpc"

// A unit is a package of the module, or with "/..." at its end a folder with all
// packages below it, which may import each other.
type unit struct {
	path string
	// needs is what the unit imports beside the module, the standard library and
	// google.golang.org/protobuf.
	needs []string
}

// rows is the order: a unit imports only from rows above its own. A row may name
// what is yet to be written.
var rows = [][]unit{
	{{path: "api"}},
	{{path: "gen/packetrpc/v1"}},
	{{path: "runtime/packetrpc"}},
	{{path: "runtime/schema"}},
	{{path: "gen/packetrpc/v1/packetrpcv1packetrpc"}},
	{{path: "internal/interop/..."}},
	{{path: "runtime/packet"}},
	{{path: "runtime/internal/ownfile"}},
	{{path: "runtime/seal", needs: []string{"github.com/go-jose/go-jose/v4", "golang.org/x/crypto"}}},
	{{path: "runtime/session"}},
	{{path: "runtime/users", needs: []string{"golang.org/x/crypto"}}},
	{{path: "runtime/conn"}},
	{{path: "runtime/internal/setup"}},
	{{path: "runtime/server"}, {path: "runtime/client", needs: []string{"github.com/cenkalti/backoff/v5"}}},
	{{path: "runtime/status"}, {path: "runtime/console"}},
	{{path: testHelpers, needs: []string{"go.uber.org/goleak"}}},
	{{path: "internal/conformance/..."}},
	{{path: "internal/backcompat"}},
	{{path: "internal/tap"}},
	{{path: "internal/chart"}},
	{{path: "internal/load", needs: []string{"github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sync"}}},
	{{path: generator + "/...", needs: []string{"github.com/dave/jennifer"}}, {path: "cmd/packetrpc/...", needs: []string{"github.com/urfave/cli/v3", "golang.org/x/term", "github.com/bufbuild/protocompile", "github.com/agnivade/levenshtein"}}},
	{{path: "examples/..."}},
	{{path: "internal/tour", needs: []string{"golang.org/x/mod"}}, {path: "internal/corpus", needs: []string{"golang.org/x/tools"}}},
}

const (
	// testHelpers is open to the tests inside of any package.
	testHelpers = "runtime/packetrpctest"
	generator   = "cmd/protoc-gen-go-packetrpc"
	coreStubs   = "gen/packetrpc/v1/packetrpcv1packetrpc"
	// everywhere may be imported by all.
	everywhere = "google.golang.org/protobuf"
)

// sources is a package's imports, each with a file that has it.
type sources struct {
	imports, testImports map[string]string
}

func TestImportDirection(t *testing.T) {
	packages, err := load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatal("found no packages")
	}
	for _, problem := range problems(rows, packages) {
		t.Error(problem)
	}
}

// The generator writes the Core stubs, so it must compile while there are none.
func TestGeneratorDoesNotNeedItsOutput(t *testing.T) {
	packages, err := load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if chain := importChain(packages, generator, coreStubs); chain != nil {
		t.Errorf("the generator imports what it generates: %s; break this chain, or `make gen` cannot start from nothing",
			strings.Join(chain, " → "))
	}
}

func TestProblems(t *testing.T) {
	table := [][]unit{
		{{path: "low"}},
		{{path: "left", needs: []string{"example.com/dep"}}, {path: "right"}},
		{{path: testHelpers}},
		{{path: "tools/..."}},
	}
	imports := func(paths ...string) map[string]string {
		m := make(map[string]string)
		for _, p := range paths {
			m[p] = "file.go"
		}
		return m
	}
	inModule := func(p string) string { return module + "/" + p }
	for _, test := range []struct {
		name    string
		path    string
		sources sources
		want    string // a part of the only problem; "" is none
	}{
		{"standard library and protobuf", "low", sources{imports: imports("fmt", "net/http", everywhere+"/proto")}, ""},
		{"row above", "left", sources{imports: imports(inModule("low"))}, ""},
		{"row below", "low", sources{imports: imports(inModule("left"))}, "file.go: low must not import left"},
		{"same row", "left", sources{imports: imports(inModule("right"))}, "left must not import right"},
		{"same folder", "tools/a", sources{imports: imports(inModule("tools/b/c"))}, ""},
		{"needed module", "left", sources{imports: imports("example.com/dep", "example.com/dep/sub")}, ""},
		{"module of another", "right", sources{imports: imports("example.com/dep")}, "right must not import example.com/dep"},
		{"similar name", "left", sources{imports: imports("example.com/deputy")}, "must not import example.com/deputy"},
		{"unplaced", "lower", sources{}, "lower is in no row"},
		{"unplaced below", "low/sub", sources{}, "low/sub is in no row"},
		{"imports unplaced", "left", sources{imports: imports(inModule("other"))}, "imports other, which is in no row"},
		{"tests with helpers", "low", sources{testImports: imports(inModule(testHelpers), "example.com/any")}, ""},
		{"tests in the wrong direction", "low", sources{testImports: imports(inModule("left"))}, "package low_test"},
		{"runtime", "runtime", sources{}, "holds no Go file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := problems(table, map[string]*sources{test.path: &test.sources})
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("got %q, want none", got)
			case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
				t.Errorf("got %q, want one with %q", got, test.want)
			}
		})
	}
}

// load reads the imports of every package of the module at root, by its path
// inside the module. External tests are left out. It parses the files itself, so
// that it sees those of every platform, and so that go test knows which files
// the outcome depends on.
func load(root string) (map[string]*sources, error) {
	packages := make(map[string]*sources)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name == root {
				return nil
			}
			if base == "testdata" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
			return nil
		}
		if filepath.Ext(base) != ".go" || base[0] == '.' || base[0] == '_' {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		isTest := strings.HasSuffix(base, "_test.go")
		if isTest && strings.HasSuffix(file.Name.Name, "_test") {
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		folder := path.Dir(relative)
		if packages[folder] == nil {
			packages[folder] = &sources{imports: make(map[string]string), testImports: make(map[string]string)}
		}
		imports := packages[folder].imports
		if isTest {
			imports = packages[folder].testImports
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", relative, spec.Path.Value, err)
			}
			imports[imported] = relative
		}
		return nil
	})
	return packages, err
}

// place finds a package's unit in the table.
func place(table [][]unit, folder string) (row int, found *unit) {
	for row, units := range table {
		for i := range units {
			tree, isTree := strings.CutSuffix(units[i].path, "/...")
			if folder == tree || isTree && within(folder, tree) {
				return row, &units[i]
			}
		}
	}
	return 0, nil
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// problems returns what is wrong with the packages, and what to do about it.
func problems(table [][]unit, packages map[string]*sources) []string {
	var found []string
	for _, folder := range slices.Sorted(maps.Keys(packages)) {
		if folder == "runtime" {
			found = append(found, "runtime/ itself holds no Go file, so that nothing shadows the standard library's runtime: move its files into a folder below it")
			continue
		}
		row, self := place(table, folder)
		if self == nil {
			found = append(found, fmt.Sprintf("%s is in no row of the table: decide what it may import, and add it to `rows` in internal/layout/layout_test.go and to the table in CONTRIBUTING.md", folder))
			continue
		}
		for _, imported := range slices.Sorted(maps.Keys(packages[folder].imports)) {
			if problem := importProblem(table, row, self, folder, imported); problem != "" {
				found = append(found, packages[folder].imports[imported]+": "+problem)
			}
		}
		for _, imported := range slices.Sorted(maps.Keys(packages[folder].testImports)) {
			if !within(imported, module) || imported == module+"/"+testHelpers {
				continue
			}
			if problem := importProblem(table, row, self, folder, imported); problem != "" {
				found = append(found, fmt.Sprintf("%s: %s; an external test (package %s_test) may",
					packages[folder].testImports[imported], problem, path.Base(folder)))
			}
		}
	}
	return found
}

func importProblem(table [][]unit, row int, self *unit, folder, imported string) string {
	if !within(imported, module) {
		domain, _, _ := strings.Cut(imported, "/")
		allowed := !strings.Contains(domain, ".") || // the standard library
			within(imported, everywhere) ||
			slices.ContainsFunc(self.needs, func(need string) bool { return within(imported, need) })
		if allowed {
			return ""
		}
		return fmt.Sprintf("%s must not import %s: if no package that has it already can do the work, add its module to the `needs` of %q in internal/layout/layout_test.go",
			folder, imported, self.path)
	}
	target := cmp.Or(strings.TrimPrefix(strings.TrimPrefix(imported, module), "/"), ".")
	targetRow, other := place(table, target)
	switch {
	case other == nil:
		return fmt.Sprintf("%s imports %s, which is in no row of the table: add it to `rows` in internal/layout/layout_test.go", folder, target)
	case other == self || targetRow < row:
		return ""
	case targetRow == row:
		return fmt.Sprintf("%s must not import %s, which is in the same row: move what both need into a row above", folder, target)
	default:
		return fmt.Sprintf("%s must not import %s, which is in a row below it: move what it needs into a row above, or declare an interface that %s satisfies", folder, target, target)
	}
}

// importChain returns how from comes to import to, or nil.
func importChain(packages map[string]*sources, from, to string) []string {
	seen := make(map[string]bool)
	var visit func(folder string) []string
	visit = func(folder string) []string {
		if folder == to {
			return []string{folder}
		}
		if seen[folder] || packages[folder] == nil {
			return nil
		}
		seen[folder] = true
		for _, imported := range slices.Sorted(maps.Keys(packages[folder].imports)) {
			if target, ok := strings.CutPrefix(imported, module+"/"); ok {
				if chain := visit(target); chain != nil {
					return append([]string{folder}, chain...)
				}
			}
		}
		return nil
	}
	return visit(from)
}
