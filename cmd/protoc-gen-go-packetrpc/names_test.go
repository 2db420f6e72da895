package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestRandomNames makes services of words that the generated names are made of
// as well, so that they clash as often as they can. Whatever is not refused must
// declare each name once, and import nothing under a declared name.
func TestRandomNames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	refusals, separated := 0, 0 // of the 100 files
	for range 100 {
		source := randomServices(random)
		files, refused := output(t, compile(t, map[string]string{"a.proto": source}, ""))
		if refused != "" {
			refusals++
			continue
		}
		for name, text := range files {
			if duplicates := duplicateNames(t, text); len(duplicates) > 0 {
				t.Fatalf("%s declares %v twice; it comes from\n%s", name, duplicates, source)
			}
			if strings.Contains(text, "func New_") {
				separated++
			}
		}
	}
	// Otherwise the words no longer clash, or nothing is left to look at.
	if separated == 0 || refusals > 50 {
		t.Errorf("%d files are refused, %d have underscores", refusals, separated)
	}
}

// randomServices returns a .proto file with services of odd names.
func randomServices(random *rand.Rand) string {
	words := []string{"New", "Register", "Client", "Handler", "A", "B", "B_", "_b"}
	pick := func(most int) map[string]bool {
		names := make(map[string]bool)
		for range most {
			var name strings.Builder
			for range 1 + random.IntN(3) {
				name.WriteString(words[random.IntN(len(words))])
			}
			names[name.String()] = true
		}
		return names
	}
	var source strings.Builder
	source.WriteString("syntax = \"proto3\";\nimport \"packetrpc/v1/options.proto\";\n" +
		"option go_package = \"golden.test/random;newClient\";\nmessage Message {}\n")
	for _, service := range slices.Sorted(maps.Keys(pick(7))) {
		fmt.Fprintf(&source, "service %s {\n  option (packetrpc.v1.service).one_way = %t;\n", service, random.IntN(2) == 0)
		for _, method := range slices.Sorted(maps.Keys(pick(3))) {
			fmt.Fprintf(&source, "  rpc %s(Message) returns (Message);\n", method)
		}
		source.WriteString("}\n")
	}
	return source.String()
}

// duplicateNames returns the names that a Go file declares more than once in one
// place: in the package, as methods of one type or in one interface.
func duplicateNames(t *testing.T, source string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, receiver(decl)+decl.Name.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				names = append(names, specNames(spec)...)
			}
		}
	}
	slices.Sort(names)
	var duplicates []string
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] && names[i] != "_" {
			duplicates = append(duplicates, names[i])
		}
	}
	return duplicates
}

// receiver returns the name of a method's type and a dot, or "" for a function.
func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return ""
	}
	expr := decl.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	return expr.(*ast.Ident).Name + "."
}

func specNames(spec ast.Spec) []string {
	var names []string
	switch spec := spec.(type) {
	case *ast.ImportSpec:
		if spec.Name != nil {
			names = append(names, spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			names = append(names, name.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
		if contract, ok := spec.Type.(*ast.InterfaceType); ok {
			for _, method := range contract.Methods.List {
				names = append(names, spec.Name.Name+"#"+method.Names[0].Name)
			}
		}
	}
	return names
}
