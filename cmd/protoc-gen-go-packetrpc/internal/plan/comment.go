package plan

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// commentText returns the text of a comment in a .proto file as lines that may
// stand behind "//" in a Go file: without what Go does not take in its source
// (zero bytes, byte order marks, broken UTF-8, carriage returns), and without
// empty lines at either end, which would tear the comment off its declaration.
func commentText(comments protogen.Comments) string {
	text := strings.ToValidUTF8(string(comments), "\uFFFD")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD", "\uFEFF", "").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\v\f")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// deprecation returns the note for a declaration that is deprecated by an
// option. A comment that says so itself, and says why, is left alone.
func deprecation(deprecated bool, comment, source string) string {
	if !deprecated {
		return ""
	}
	for line := range strings.Lines(comment) {
		if strings.HasPrefix(strings.TrimSpace(line), "Deprecated:") {
			return ""
		}
	}
	return "Deprecated: marked as deprecated in " + source + "."
}
