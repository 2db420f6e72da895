package users

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Table is what is in a file of users. It keeps comments and the order of lines.
// One goroutine may use it at a time.
type Table struct {
	path  string // for errors
	lines []*line
}

// Read reads a file of users. It fails as [Open] does.
func Read(path string) (*Table, error) {
	text, _, err := readFile(path, ownfile.ReadOrWrite)
	if err != nil {
		return nil, err
	}
	return newTable(path, text)
}

func newTable(path string, text []byte) (*Table, error) {
	lines, err := parseLines(path, text)
	return &Table{path: path, lines: lines}, err
}

// Users returns the names and the roles of all users, in the order of the file.
func (t *Table) Users() []packetrpc.Identity {
	var all []packetrpc.Identity
	for _, line := range t.lines {
		if line.user != nil {
			all = append(all, packetrpc.Identity{Name: line.user.Name, Roles: slices.Clone(line.user.Roles)})
		}
	}
	return all
}

// Has reports whether there is a user of a name.
func (t *Table) Has(name string) bool { return t.find(name) >= 0 }

// Add adds a user behind all others. It fails with [packetrpc.CodeAlreadyExists]
// when there is one of the name, and with [packetrpc.CodeInvalidArgument] when the
// name, the password or a role is one that a user cannot have.
func (t *Table) Add(name, password string, roles ...string) error {
	if err := checkName(name); err != nil {
		return packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	if t.Has(name) {
		return packetrpc.Errorf(packetrpc.CodeAlreadyExists,
			"%s has a user %q already; `packetrpc users passwd` sets another password", t.path, name)
	}
	if err := checkPassword(password); err != nil {
		return err
	}
	added, err := makeLine(name, roles, newHash(password))
	if err != nil {
		return err
	}
	if n := len(t.lines); n > 0 && !strings.HasSuffix(t.lines[n-1].text, "\n") {
		t.lines[n-1].text += "\n"
	}
	t.lines = append(t.lines, added)
	return nil
}

// Remove removes a user. It fails with [packetrpc.CodeNotFound] when there is none
// of the name, as SetPassword and SetRoles do.
func (t *Table) Remove(name string) error {
	i := t.find(name)
	if i < 0 {
		return t.notFound(name)
	}
	t.lines = slices.Delete(t.lines, i, i+1)
	return nil
}

// SetPassword gives a user another password.
func (t *Table) SetPassword(name, password string) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	return t.change(name, func(u *user) { u.hash = newHash(password) })
}

// SetRoles gives a user other roles in place of those that it has.
func (t *Table) SetRoles(name string, roles ...string) error {
	return t.change(name, func(u *user) { u.Roles = roles })
}

// change replaces a user's line.
func (t *Table) change(name string, change func(*user)) error {
	i := t.find(name)
	if i < 0 {
		return t.notFound(name)
	}
	changed := *t.lines[i].user
	change(&changed)
	replacement, err := makeLine(name, changed.Roles, changed.hash)
	if err != nil {
		return err
	}
	t.lines[i] = replacement
	return nil
}

func (t *Table) find(name string) int {
	return slices.IndexFunc(t.lines, func(l *line) bool { return l.user != nil && l.user.Name == name })
}

func (t *Table) notFound(name string) error {
	return packetrpc.Errorf(packetrpc.CodeNotFound, "%s has no user %q; `packetrpc users list` shows all", t.path, name)
}

func (t *Table) text() []byte {
	var text []byte
	for _, line := range t.lines {
		text = append(text, line.text...)
	}
	return text
}

// makeLine returns the line of a user whose name is right.
func makeLine(name string, roles []string, h hash) (*line, error) {
	if err := checkRoles(roles); err != nil {
		return nil, packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	made, err := newLine(&user{Identity: packetrpc.Identity{Name: name, Roles: slices.Clone(roles)}, hash: h})
	if err != nil {
		return nil, packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	return made, nil
}

// checkPassword refuses passwords that no client could send.
func checkPassword(password string) error {
	switch n := len(password); {
	case n == 0:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the password is empty")
	case n > MaxPasswordSize:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the password has more than %d bytes", MaxPasswordSize)
	case !utf8.ValidString(password):
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the password is not UTF-8")
	}
	return nil
}
