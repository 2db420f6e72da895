package emit

import (
	"strings"

	"github.com/dave/jennifer/jen"
)

// commenter is a place to put a comment: a file or the body of a declaration.
type commenter interface {
	Comment(text string) *jen.Statement
}

// document emits a doc comment of the paragraphs that are not empty, or none.
func document(out commenter, paragraphs ...string) {
	var lines []string
	for _, paragraph := range paragraphs {
		if paragraph == "" {
			continue
		}
		if len(lines) > 0 {
			lines = append(lines, "//")
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			lines = append(lines, comment(line))
		}
	}
	if len(lines) > 0 {
		out.Comment(strings.Join(lines, "\n"))
	}
}

// comment makes a comment of one line. What follows "//" without a space would
// be a directive to Go's tools, which a .proto file must not be able to give.
func comment(line string) string {
	switch {
	case line == "", line[0] == ' ', line[0] == '\t':
		return "//" + line
	default:
		return "// " + line
	}
}
