package users_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
	"github.com/packetrpc/packetrpc/runtime/users"
)

func TestEditMakesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.txt")
	edit(t, path, func(table *users.Table) error { return table.Add("ada", "secret", "admin", "may chat") })
	wanted := regexp.MustCompile(`^ada:\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}:admin,may chat\n$`)
	if got := text(t, path); !wanted.MatchString(got) {
		t.Errorf("the file is %q", got)
	}
	checkMode(t, path, 0o600)
	checkFolder(t, path)
	want := packetrpc.Identity{Name: "ada", Roles: []string{"admin", "may chat"}}
	if diff := cmp.Diff(want, login(t, open(t, path), "ada", "secret")); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

func TestEditKeepsTheRest(t *testing.T) {
	ada, bob, eve := entry("ada", "secret", "admin"), entry("bob", "secret"), strings.TrimSpace(entry("eve", "secret", "x"))
	path := newFile(t, "# first\r\n"+ada+"\n  # second\n"+bob+eve)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(table *users.Table) error {
		return errors.Join(table.Remove("ada"), table.Add("fay", "secret"), table.SetRoles("bob", "mod"))
	})
	edit(t, path, func(table *users.Table) error { return table.SetPassword("fay", "better") })
	got := text(t, path)
	kept := "# first\r\n\n  # second\n" + strings.TrimSpace(bob) + "mod\n" + eve + "\nfay:$argon2id$"
	if !strings.HasPrefix(got, kept) || strings.Count(got, "\n") != 6 {
		t.Errorf("the file is\n%s\nit should begin with\n%s", got, kept)
	}
	checkMode(t, path, 0o400)
	file := open(t, path)
	login(t, file, "bob", "secret")
	login(t, file, "eve", "secret")
	login(t, file, "fay", "better")
	table, err := users.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []packetrpc.Identity{{Name: "bob", Roles: []string{"mod"}}, {Name: "eve", Roles: []string{"x"}}, {Name: "fay"}}
	if diff := cmp.Diff(want, table.Users()); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if !table.Has("bob") || table.Has("ada") || table.Has("") {
		t.Error("Has is wrong")
	}
}

func TestEditRefuses(t *testing.T) {
	long := strings.Repeat("x", users.MaxPasswordSize+1)
	for _, test := range []struct {
		name string
		edit func(*users.Table) error
		code packetrpc.Code
		want string
	}{
		{"known name", func(u *users.Table) error { return u.Add("ada", "other") }, packetrpc.CodeAlreadyExists, "`packetrpc users passwd`"},
		{"no name", func(u *users.Table) error { return u.Add("", "other") }, packetrpc.CodeInvalidArgument, "the name is empty"},
		{"name with colon", func(u *users.Table) error { return u.Add("a:b", "other") }, packetrpc.CodeInvalidArgument, "the name has the character :"},
		{"name like a comment", func(u *users.Table) error { return u.Add("#ada", "other") }, packetrpc.CodeInvalidArgument, "the name begins with #"},
		{"name in two lines", func(u *users.Table) error { return u.Add("bob\neve", "other") }, packetrpc.CodeInvalidArgument, "U+000A"},
		{"name not UTF-8", func(u *users.Table) error { return u.Add("b\xf6b", "other") }, packetrpc.CodeInvalidArgument, "not UTF-8"},
		{"no password", func(u *users.Table) error { return u.Add("bob", "") }, packetrpc.CodeInvalidArgument, "the password is empty"},
		{"long password", func(u *users.Table) error { return u.Add("bob", long) }, packetrpc.CodeInvalidArgument, "more than 1024 bytes"},
		{"password not UTF-8", func(u *users.Table) error { return u.Add("bob", "\xff") }, packetrpc.CodeInvalidArgument, "the password is not UTF-8"},
		{"role with comma", func(u *users.Table) error { return u.Add("bob", "other", "a,b") }, packetrpc.CodeInvalidArgument, "the role has the character ,"},
		{"role twice", func(u *users.Table) error { return u.SetRoles("ada", "a", "a") }, packetrpc.CodeInvalidArgument, "twice"},
		{"long line", func(u *users.Table) error { return u.SetRoles("ada", strings.Repeat("r", 4096)) }, packetrpc.CodeInvalidArgument, "the user's line has"},
		{"remove nobody", func(u *users.Table) error { return u.Remove("bob") }, packetrpc.CodeNotFound, `has no user "bob"`},
		{"password of nobody", func(u *users.Table) error { return u.SetPassword("bob", "other") }, packetrpc.CodeNotFound, `has no user "bob"`},
		{"roles of nobody", func(u *users.Table) error { return u.SetRoles("bob", "admin") }, packetrpc.CodeNotFound, `has no user "bob"`},
		{"no password again", func(u *users.Table) error { return u.SetPassword("ada", "") }, packetrpc.CodeInvalidArgument, "the password is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := entry("ada", "secret")
			path := newFile(t, before)
			err := users.Edit(t.Context(), path, test.edit)
			if packetrpc.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want %v with %q", err, test.code, test.want)
			}
			if got := text(t, path); got != before {
				t.Errorf("the file has changed to %q", got)
			}
			checkFolder(t, path)
		})
	}
}

func TestEditRefusesFiles(t *testing.T) {
	change := func(table *users.Table) error { return table.Add("bob", "secret") }
	for name, text := range map[string]string{"malformed": "ada\n", "not UTF-8": "# \xff\n"} {
		path := newFile(t, text)
		if err := users.Edit(t.Context(), path, change); err == nil || !strings.Contains(err.Error(), path+":1: ") {
			t.Errorf("%s: got the error %v", name, err)
		}
		checkFolder(t, path)
	}
	if err := users.Edit(t.Context(), filepath.Join(t.TempDir(), "none", "users.txt"), change); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: got the error %v", err)
	}
}

func TestEditWithoutAChange(t *testing.T) {
	path := newFile(t, entry("ada", "secret"))
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(*users.Table) error { return nil })
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced (error %v)", err)
	}
	none := filepath.Join(t.TempDir(), "users.txt")
	edit(t, none, func(*users.Table) error { return nil })
	if _, err := os.Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an edit that changes nothing made a file (error %v)", err)
	}
}

func TestEditThroughALink(t *testing.T) {
	target := newFile(t, entry("ada", "secret"))
	path := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, path); err != nil {
		t.Skip(err)
	}
	file := open(t, path)
	edit(t, path, func(table *users.Table) error { return table.Add("bob", "better") })
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, error %v", info, err)
	}
	if !strings.Contains(text(t, target), "bob:") {
		t.Error("the target has not changed")
	}
	login(t, file, "bob", "better")
	checkFolder(t, target)
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	err := users.Edit(t.Context(), path, func(table *users.Table) error { return table.Add("eve", "secret") })
	if err == nil || !strings.Contains(err.Error(), "a symbolic link that leads nowhere") {
		t.Errorf("got the error %v for a link that leads nowhere", err)
	}
}

func TestInterruptedEdit(t *testing.T) {
	path := newFile(t, entry("ada", "secret"))
	write(t, path+".lock", "bob:$arg")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := users.Edit(ctx, path, func(table *users.Table) error { return table.Remove("ada") })
	if packetrpc.CodeOf(err) != packetrpc.CodeUnavailable || !strings.Contains(err.Error(), path+".lock exists") {
		t.Errorf("got the error %v", err)
	}
	if got := text(t, path+".lock"); got != "bob:$arg" {
		t.Errorf("the file of the other edit is now %q", got)
	}
	login(t, open(t, path), "ada", "secret")
}

// Editors take turns, and whoever logs in meanwhile sees each user as it was
// before an edit or after it.
func TestEditConcurrently(t *testing.T) {
	const editors, edits = 4, 5
	path := newFile(t, entry("ada", "secret"))
	file := open(t, path)
	var all sync.WaitGroup
	for i := range editors {
		all.Go(func() {
			for j := range edits {
				name := fmt.Sprintf("user %d of %d", j, i)
				edit(t, path, func(table *users.Table) error { return table.Add(name, "secret") })
			}
		})
		all.Go(func() {
			for range edits {
				login(t, file, "ada", "secret")
				credentials := session.Credentials{Username: "nobody", Password: "secret"}
				if _, err := file.Authenticate(t.Context(), credentials); err != session.ErrCredentials {
					t.Errorf("got the error %v", err)
				}
			}
		})
	}
	all.Wait()
	table, err := users.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(table.Users()), 1+editors*edits; got != want {
		t.Errorf("%d users are in the file, want %d", got, want)
	}
	login(t, file, "user 0 of 0", "secret")
	checkFolder(t, path)
}

func edit(t testing.TB, path string, change func(*users.Table) error) {
	t.Helper()
	// The wait for other edits is for people; a slow machine may take longer.
	err := users.Edit(t.Context(), path, change)
	for packetrpc.CodeOf(err) == packetrpc.CodeUnavailable {
		err = users.Edit(t.Context(), path, change)
	}
	if err != nil {
		t.Error(err)
	}
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); runtime.GOOS != "windows" && got != want {
		t.Errorf("the mode is %o, want %o", got, want)
	}
}

// checkFolder looks for files that an edit has left behind.
func checkFolder(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(path) {
			t.Errorf("%s is there", entry.Name())
		}
	}
}
