package users_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
	"github.com/packetrpc/packetrpc/runtime/users"
)

func TestOpenRefuses(t *testing.T) {
	const (
		salt = "c29tZXNhbHQ"
		key  = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
		good = "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + key
	)
	costs := func(costs string) string { return "ada:$argon2id$v=19$" + costs + "$" + salt + "$" + key }
	long := strings.Repeat("A", 88) // 66 bytes
	for _, test := range []struct{ name, text, want string }{
		{"no separator", "ada", ":1: the line is neither NAME:HASH nor NAME:HASH:ROLE,ROLE"},
		{"too many separators", "ada:" + good + ":admin:mod", ":1: the line is neither"},
		{"hash alone", good, ":1: the line is neither"},
		{"no name", ":" + good, ":1: the name is empty"},
		{"name with space in front", " ada:" + good, ":1: the name begins or ends with white space"},
		{"name with space behind", "ada :" + good, ":1: the name begins or ends with white space"},
		{"long name", strings.Repeat("a", 257) + ":" + good, ":1: the name has 257 bytes; it may have 256"},
		{"control character", "a\tda:" + good, ":1: the name has the control character U+0009"},
		{"null byte", "a\x00da:" + good, ":1: the name has the control character U+0000"},
		{"not UTF-8", "ad\xe4:" + good, ":1: the line is not UTF-8"},
		{"comment that is not UTF-8", "# \xff\n", ":1: the line is not UTF-8"},
		{"byte order mark", "\ufeffada:" + good, ":1: the line begins with a byte order mark"},
		{"byte order mark of another", "a\ufeffda:" + good, ":1: the name has the control character U+FEFF"},
		{"name twice", "ada:" + good + "\n\n# more\nada:" + good, ":4: the name is that of line 1 already"},
		{"no hash", "ada:", ":1: the hash does not begin with $argon2id$v=19$"},
		{"password for hash", "ada:" + key, ":1: the hash does not begin with"},
		{"hash and name swapped", good + ":ada", ":1: the hash does not begin with"},
		{"bcrypt", "ada:$2y$10$" + key, ":1: the hash does not begin with"},
		{"argon2i", "ada:" + strings.Replace(good, "2id", "2i", 1), ":1: the hash does not begin with"},
		{"another version", "ada:" + strings.Replace(good, "v=19", "v=16", 1), ":1: the hash does not begin with"},
		{"cut off hash", "ada:$argon2id$v=19$m=256,t=2,p=1$" + salt, ":1: the hash is not of the form"},
		{"more than a hash", "ada:" + good + "$" + key, ":1: the hash is not of the form"},
		{"two parameters", costs("m=256,t=2"), ":1: the hash does not have the three parameters"},
		{"parameters in another order", costs("t=2,m=256,p=1"), ":1: the parameter t of the hash is not in its place"},
		{"parameter is no number", costs("m=2x,t=2,p=1"), ":1: the parameter m of the hash is no plain number"},
		{"negative parameter", costs("m=256,t=-2,p=1"), ":1: the parameter t of the hash is no plain number"},
		{"parameter with sign", costs("m=256,t=+2,p=1"), ":1: the parameter t of the hash is no plain number"},
		{"parameter with zero in front", costs("m=0256,t=2,p=1"), ":1: the parameter m of the hash is no plain number"},
		{"parameter beyond numbers", costs("m=99999999999,t=2,p=1"), ":1: the parameter m of the hash is no plain number"},
		{"too much memory", costs("m=262145,t=2,p=1"), ":1: the parameter m of the hash is 262145; it may be 8 to 262144"},
		{"too little memory", costs("m=31,t=2,p=4"), ":1: the parameter m of the hash is 31; it may be 32 to 262144"},
		{"too many passes", costs("m=256,t=17,p=1"), ":1: the parameter t of the hash is 17; it may be 1 to 16"},
		{"no passes", costs("m=256,t=0,p=1"), ":1: the parameter t of the hash is 0"},
		{"too many threads", costs("m=256,t=2,p=9"), ":1: the parameter p of the hash is 9; it may be 1 to 8"},
		{"no threads", costs("m=256,t=2,p=0"), ":1: the parameter p of the hash is 0"},
		{"short salt", "ada:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbA$" + key, ":1: the salt has 7 bytes; it may have 8 to 64"},
		{"long salt", "ada:$argon2id$v=19$m=256,t=2,p=1$" + long + "$" + key, ":1: the salt has 66 bytes; it may have 8 to 64"},
		{"short hash", "ada:$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + salt, ":1: the hash has 8 bytes; it may have 16 to 64"},
		{"long hash", "ada:$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + long, ":1: the hash has 66 bytes"},
		{"padded base64", "ada:" + good + "=", ":1: the hash is not base64 without padding"},
		{"base64 with spare bits", "ada:" + good[:len(good)-1] + "5", ":1: the hash is not base64"},
		{"base64 with a carriage return", "ada:" + good[:len(good)-4] + "\r" + good[len(good)-4:], ":1: the hash is not base64"},
		{"space behind hash", "ada:" + good + " ", ":1: the hash is not base64"},
		{"empty role", "ada:" + good + ":admin,", ":1: a role is empty"},
		{"role with space", "ada:" + good + ":admin, mod", ":1: the role begins or ends with white space"},
		{"role with quote", "ada:" + good + `:ad"min`, `:1: the role has the character "`},
		{"role twice", "ada:" + good + ":mod,admin,mod", ":1: a role is there twice"},
		{"roles and hash swapped", "ada:admin:" + good, ":1: the hash does not begin with"},
		{"long line", "ada:" + good + ":" + strings.Repeat("r", 4096), ":1: the line has 4"},
		{"long comment", "ada:" + good + "\r\n#" + strings.Repeat("r", 4096), ":2: the line has 4097 bytes; it may have 4096"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := newFile(t, test.text)
			_, err := users.Open(path)
			if err == nil || !strings.Contains(err.Error(), path+test.want) {
				t.Fatalf("got the error %v, want one with %q", err, test.want)
			}
			if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
				t.Errorf("got the code %v", packetrpc.CodeOf(err))
			}
			for _, secret := range []string{key[:8], salt, "AAAA"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a part of the line: %v", err)
				}
			}
			if _, err := users.Read(path); err == nil {
				t.Error("Read takes the file")
			}
		})
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	folder := t.TempDir()
	large := newFile(t, "")
	if err := os.Truncate(large, 16<<20+1); err != nil {
		t.Fatal(err)
	}
	readable, writable := newFile(t, entry("ada", "secret")), newFile(t, entry("ada", "secret"))
	if err := errors.Join(os.Chmod(readable, 0o640), os.Chmod(writable, 0o602)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, want string
		unix             bool
	}{
		{"missing", filepath.Join(folder, "none"), "none: ", false},
		{"folder", folder, folder + " is no regular file", true},
		{"device", "/dev/zero", "/dev/zero is no regular file", true},
		{"large", large, "has 16777217 bytes; it may have 16777216", false},
		{"readable", readable, "the mode of " + readable + " is 0640, which lets others use it: run `chmod 600 " + readable + "`", true},
		{"writable", writable, "run `chmod 600 " + writable + "`", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.unix && runtime.GOOS == "windows" {
				t.Skip("not on Windows")
			}
			for _, open := range []func() error{
				func() error { _, err := users.Open(test.path); return err },
				func() error { _, err := users.Read(test.path); return err },
			} {
				err := open()
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got the error %v, want one with %q", err, test.want)
				}
				if packetrpc.CodeOf(err) != packetrpc.CodeFailedPrecondition && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("got the code %v", packetrpc.CodeOf(err))
				}
				if missing := test.name == "missing"; errors.Is(err, fs.ErrNotExist) != missing {
					t.Errorf("the file is missing: %t; the error is %v", missing, err)
				}
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	long := strings.Repeat("x", users.MaxPasswordSize)
	file := open(t, newFile(t, "# who may chat\r\n\n  # and who not:\n"+
		entry("ada", "secret", "admin", "may chat")+
		strings.ReplaceAll(entry("Bob B.", "sécret"), "\n", "\r\n")+
		entry("cäcilie@laptop", long)+
		entry("nothing", "")+
		// From the tests of the reference implementation of argon2.
		"vector:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n"+
		"two:$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc:mod"))
	for _, test := range []struct {
		name, password string
		want           *packetrpc.Identity // nil: refused
	}{
		{"ada", "secret", &packetrpc.Identity{Name: "ada", Roles: []string{"admin", "may chat"}}},
		{"Bob B.", "sécret", &packetrpc.Identity{Name: "Bob B."}},
		{"cäcilie@laptop", long, &packetrpc.Identity{Name: "cäcilie@laptop"}},
		{"vector", "password", &packetrpc.Identity{Name: "vector"}},
		{"two", "password", &packetrpc.Identity{Name: "two", Roles: []string{"mod"}}},
		{"ada", "Secret", nil},
		{"ada", "secret ", nil},
		{"ada", "", nil},
		{"ada", long + "x", nil},
		{"Ada", "secret", nil},
		{"Bob B.", "se\u0301cret", nil},
		{"", "secret", nil},
		{"", "", nil},
		{"nobody", "secret", nil},
		{"nobody", long + "x", nil},
		{"nothing", "", nil},
		{"# who may chat", "secret", nil},
	} {
		got, err := file.Authenticate(t.Context(), session.Credentials{Username: test.name, Password: test.password})
		if test.want == nil {
			if err != session.ErrCredentials || !cmp.Equal(got, packetrpc.Identity{}) {
				t.Errorf("%q with %.10q: got %v and the error %v, want only ErrCredentials", test.name, test.password, got, err)
			}
			continue
		}
		if diff := cmp.Diff(*test.want, got); err != nil || diff != "" {
			t.Errorf("%q with %.10q: error %v, identity (-want +got):\n%s", test.name, test.password, err, diff)
		}
	}
}

func TestIdentitiesAreCopies(t *testing.T) {
	file := open(t, newFile(t, entry("ada", "secret", "admin")))
	login(t, file, "ada", "secret").Roles[0] = "changed"
	if got := login(t, file, "ada", "secret").Roles[0]; got != "admin" {
		t.Errorf("changing an identity gave the user the role %q", got)
	}
}

func TestAuthenticateAfterTheContext(t *testing.T) {
	file := open(t, newFile(t, entry("ada", "secret")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := file.Authenticate(ctx, session.Credentials{Username: "ada", Password: "secret"})
	if err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// Hashing needs as much memory as its parameters say, and work in proportion; so
// what Authenticate allocates tells what it has hashed with.
func TestEqualWork(t *testing.T) {
	const small, large = 1024, 2048 // KiB
	hashed := func(file *users.File, name, password string) int {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := file.Authenticate(t.Context(), session.Credentials{Username: name, Password: password})
		runtime.ReadMemStats(&after)
		if err != session.ErrCredentials {
			t.Errorf("%q: got the error %v", name, err)
		}
		return int(after.TotalAlloc-before.TotalAlloc) >> 20
	}
	alike := open(t, newFile(t, costlyEntry(small, "ada", "secret")+costlyEntry(small, "bob", "secret")))
	mixed := open(t, newFile(t, costlyEntry(small, "ada", "secret")+costlyEntry(large, "bob", "secret")))
	empty := open(t, newFile(t, "# nobody yet\n"))
	for _, name := range []string{"ada", "bob", "nobody", ""} {
		if got := hashed(alike, name, "wrong"); got != 1 {
			t.Errorf("%q: hashed with %d MiB, want 1", name, got)
		}
		if got := hashed(alike, name, ""); got != 0 {
			t.Errorf("%q without a password: hashed with %d MiB, want 0", name, got)
		}
		if got := hashed(alike, name, strings.Repeat("x", users.MaxPasswordSize+1)); got != 0 {
			t.Errorf("%q with a long password: hashed with %d MiB, want 0", name, got)
		}
		if got := hashed(empty, name, "wrong"); got != 19 {
			t.Errorf("%q in an empty file: hashed with %d MiB, want 19", name, got)
		}
	}
	count := make(map[int]int)
	for i := range 64 {
		name := fmt.Sprint("nobody", i)
		first, second := hashed(mixed, name, "wrong"), hashed(mixed, name, "other")
		if first != second {
			t.Errorf("%q: hashed with %d MiB, then with %d", name, first, second)
		}
		count[first]++
	}
	if len(count) != 2 || count[1] == 0 || count[2] == 0 {
		t.Errorf("unknown names were hashed with these MiB: %v; want both 1 and 2", count)
	}
}

func TestChangedFile(t *testing.T) {
	var log bytes.Buffer
	path := newFile(t, entry("ada", "secret"))
	file := open(t, path, users.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	// state is who is known, and the number of lines in the log.
	expect := func(when string, logged int, known ...string) {
		t.Helper()
		for _, name := range []string{"ada", "bob", "eve"} {
			want := strings.Contains(strings.Join(known, " "), name)
			for range 3 {
				_, err := file.Authenticate(t.Context(), session.Credentials{Username: name, Password: "secret"})
				if (err == nil) != want {
					t.Errorf("%s: %s is known: %t, want %t", when, name, err == nil, want)
				}
			}
		}
		if got := strings.Count(log.String(), "\n"); got != logged {
			t.Errorf("%s: got %d lines in the log, want %d:\n%s", when, got, logged, &log)
		}
	}
	expect("at first", 0, "ada")
	write(t, path, entry("ada", "secret")+entry("bob", "secret"))
	expect("written in place", 0, "ada", "bob")
	replace(t, path, entry("bob", "secret"))
	expect("replaced", 0, "bob")
	write(t, path, entry("eve", "secret")+"adda\n")
	expect("malformed", 1, "bob")
	write(t, path, entry("eve", "secret")+"# comment\nadda\n")
	expect("malformed elsewhere", 2, "bob")
	replace(t, path, entry("eve", "secret"))
	expect("mended", 2, "eve")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	expect("missing", 3, "eve")
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	expect("restored", 3, "eve")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("missing again", 4, "eve")
	write(t, path, "")
	expect("empty", 4)
	if !strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "argon2id$v=19$m") {
		t.Errorf("the log is wrong:\n%s", &log)
	}
}

// Kernels may give changes that follow closely upon each other the same date. In
// the bubble no time passes between them.
func TestChangedFileOfTheSameDate(t *testing.T) {
	path := newFile(t, "")
	synctest.Test(t, func(t *testing.T) {
		file := open(t, path)
		for _, password := range []string{"first!", "second", "third!"} {
			write(t, path, entry("ada", password))
			if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
			login(t, file, "ada", password)
		}
	})
}

func TestChangedMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are not looked at on Windows")
	}
	var log bytes.Buffer
	path := newFile(t, entry("ada", "secret"))
	file := open(t, path, users.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	write(t, path, "")
	for _, mode := range []fs.FileMode{0o644, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := file.Authenticate(t.Context(), session.Credentials{Username: "ada", Password: "secret"})
		if known := mode == 0o644; (err == nil) != known {
			t.Errorf("mode %o: ada is known: %t, want %t", mode, err == nil, known)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "chmod 600") {
		t.Errorf("the log is wrong:\n%s", got)
	}
}

func TestChangedFileWithManyClients(t *testing.T) {
	var log bytes.Buffer
	path := newFile(t, entry("ada", "secret"))
	file := open(t, path, users.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	write(t, path, "adda\n")
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() { login(t, file, "ada", "secret") })
	}
	clients.Wait()
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("got %d lines in the log, want 1:\n%s", got, &log)
	}
}

func open(t testing.TB, path string, options ...users.Option) *users.File {
	t.Helper()
	file, err := users.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func login(t testing.TB, file *users.File, name, password string) packetrpc.Identity {
	t.Helper()
	identity, err := file.Authenticate(t.Context(), session.Credentials{Username: name, Password: password})
	if err != nil {
		t.Errorf("%q with %q: %v", name, password, err)
	}
	return identity
}
