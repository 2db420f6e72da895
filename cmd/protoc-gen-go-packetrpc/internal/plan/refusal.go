package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Refusal says why a declaration cannot be generated, and what to write instead.
type Refusal struct {
	Position
	What string
}

// Error returns the refusal in the form of a compiler's message.
func (r Refusal) Error() string { return r.Position.String() + ": " + r.What }

// Refusals are all refusals of one run of the plugin, in the order of their
// positions.
type Refusals []Refusal

// Error returns the refusals, one per line.
func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i, refusal := range r {
		lines[i] = refusal.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted puts refusals into the order in which a person reads the files.
func (r Refusals) sorted() Refusals {
	slices.SortStableFunc(r, func(a, b Refusal) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.What, b.What),
		)
	})
	return r
}

// Position is a place in a .proto file. Lines and columns are counted from 1; 0
// means that the compiler did not tell them.
type Position struct {
	File         string
	Line, Column int
}

// String returns "file.proto:LINE:COLUMN".
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// The numbers of the fields of descriptor.proto that lead to what is refused.
const (
	fileOptions          = 8
	fileOptionsGoPackage = 11
	serviceOptions       = 3
	methodOptions        = 4
)

// locate returns the place of base, or of what steps lead to from there. Not
// every compiler tells where each field of an option is, so the longest known
// part of the way counts.
func locate(desc protoreflect.FileDescriptor, base protoreflect.SourcePath, steps ...int32) Position {
	path := append(slices.Clone(base), steps...)
	for len(path) >= len(base) && len(path) > 0 {
		if found := desc.SourceLocations().ByPath(path); found.Path != nil {
			return Position{File: desc.Path(), Line: found.StartLine + 1, Column: found.StartColumn + 1}
		}
		path = path[:len(path)-1]
	}
	return Position{File: desc.Path()}
}

// refuse notes a refusal; planning goes on, so that one run reports them all.
func (p *planner) refuse(at Position, format string, args ...any) {
	p.refusals = append(p.refusals, Refusal{Position: at, What: fmt.Sprintf(format, args...)})
}

func servicePosition(service *protogen.Service) Position {
	return locate(service.Desc.ParentFile(), service.Location.Path)
}

func methodPosition(method *protogen.Method) Position {
	return locate(method.Desc.ParentFile(), method.Location.Path)
}
