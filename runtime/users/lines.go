package users

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// maxLineSize is the number of bytes that a line may have.
const maxLineSize = 4096

// byteOrderMark is what some editors put before a text, where nobody sees it.
const byteOrderMark = '\ufeff'

// user is a user of a file of users.
type user struct {
	packetrpc.Identity
	hash hash
}

// line is one line of a file of users.
type line struct {
	text string // with what ends it
	user *user  // nil: a comment or an empty line
}

// parseLines reads a file of users. path is for errors.
func parseLines(path string, text []byte) ([]*line, error) {
	var lines []*line
	first := make(map[string]int) // the number of the line with a name
	err := eachLine(path, text, func(number int, whole, content string) error {
		read := &line{text: whole}
		lines = append(lines, read)
		if content == "" {
			return nil
		}
		var err error
		if read.user, err = parseUser(content); err != nil {
			return err
		}
		if n, taken := first[read.user.Name]; taken {
			return fmt.Errorf("the name is that of line %d already", n)
		}
		first[read.user.Name] = number
		return nil
	})
	return lines, err
}

// eachLine calls visit for each line of a file, with the number of the line, the
// line as it is, and what it says, which is empty for a comment. It puts file and
// line before errors.
func eachLine(path string, text []byte, visit func(number int, whole, content string) error) error {
	number := 0
	for whole := range strings.Lines(string(text)) {
		number++
		content, err := contentOf(whole)
		if err == nil {
			err = visit(number, whole, content)
		}
		if err != nil {
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%s:%d: %w", path, number, err)
		}
	}
	return nil
}

// contentOf returns what a line says, which is empty for a comment.
func contentOf(whole string) (string, error) {
	content := strings.TrimSuffix(strings.TrimSuffix(whole, "\n"), "\r")
	if len(content) > maxLineSize {
		return "", fmt.Errorf("the line has %d bytes; it may have %d", len(content), maxLineSize)
	}
	if !utf8.ValidString(content) {
		return "", errors.New("the line is not UTF-8")
	}
	if strings.HasPrefix(content, string(byteOrderMark)) {
		return "", errors.New("the line begins with a byte order mark: save the file as UTF-8 without one")
	}
	if trimmed := strings.TrimSpace(content); trimmed == "" || trimmed[0] == '#' {
		return "", nil
	}
	return content, nil
}

// parseUser reads NAME:HASH or NAME:HASH:ROLE,ROLE. Its errors show nothing of the
// line, as any part of it may be a secret that is in the wrong place.
func parseUser(content string) (*user, error) {
	parts := strings.Split(content, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, errors.New("the line is neither NAME:HASH nor NAME:HASH:ROLE,ROLE")
	}
	if err := checkName(parts[0]); err != nil {
		return nil, err
	}
	read := &user{Identity: packetrpc.Identity{Name: parts[0]}}
	var err error
	if read.hash, err = parseHash(parts[1]); err != nil {
		return nil, err
	}
	if len(parts) == 3 && parts[2] != "" {
		read.Roles = strings.Split(parts[2], ",")
	}
	return read, checkRoles(read.Roles)
}

// newLine returns the line of a user, which must have passed the checks.
func newLine(u *user) (*line, error) {
	text := u.Name + ":" + u.hash.encoded()
	if len(u.Roles) > 0 {
		text += ":" + strings.Join(u.Roles, ",")
	}
	if len(text) > maxLineSize {
		return nil, fmt.Errorf("the user's line has %d bytes; it may have %d", len(text), maxLineSize)
	}
	return &line{text: text + "\n", user: u}, nil
}

// checkName refuses names that a file cannot hold or no client can have.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > session.MaxNameSize:
		return fmt.Errorf("the name has %d bytes; it may have %d", len(name), session.MaxNameSize)
	case name[0] == '#':
		return errors.New("the name begins with #, as comments do")
	}
	return checkText("name", name, ":")
}

func checkRoles(roles []string) error {
	for i, role := range roles {
		if role == "" {
			return errors.New("a role is empty")
		}
		if err := checkText("role", role, `,:"\`); err != nil {
			return err
		}
		if slices.Contains(roles[:i], role) {
			return errors.New("a role is there twice")
		}
	}
	return nil
}

// checkText refuses a name or a role that would not be read as it was written.
func checkText(what, text, separators string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("the %s is not UTF-8", what)
	}
	if strings.TrimSpace(text) != text {
		return fmt.Errorf("the %s begins or ends with white space", what)
	}
	for _, r := range text {
		if unicode.IsControl(r) || r == byteOrderMark {
			return fmt.Errorf("the %s has the control character %U", what, r)
		}
		if strings.ContainsRune(separators, r) {
			return fmt.Errorf("the %s has the character %c, which it may not have", what, r)
		}
	}
	return nil
}
