package users

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is read from a file of users, written down and read again, is the same; and
// whatever can be added to it can be read.
func FuzzParseUsers(f *testing.F) {
	const good = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for _, text := range []string{
		"",
		"# nobody\r\n\n",
		"ada:" + good,
		"ada:" + good + ":\nbob b:" + good + ":admin,may chat\r\n",
		"ada:" + good + "\nada:" + good,
		"ada:" + strings.Replace(good, "m=256", "m=4294967296", 1),
		"\ufeffada:" + good,
		"ada:$argon2id$v=19$$$",
		"ada:admin:" + good,
		good,
		"::\n:\n,",
		"\x00\xff",
	} {
		f.Add([]byte(text), "eve", "admin")
	}
	f.Add([]byte("ada:"+good), "ada", "a,b")
	f.Add([]byte(""), "#a:\ufeff", "\"")
	f.Fuzz(func(t *testing.T, text []byte, name, role string) {
		lines, err := parseLines("file", text)
		if err != nil {
			if !strings.Contains(err.Error(), "file:") {
				t.Fatalf("the error has no line: %v", err)
			}
			return
		}
		table := &Table{path: "file", lines: lines}
		if got := string(table.text()); got != string(text) {
			t.Fatalf("kept %q, want %q", got, text)
		}
		var want, written []*user
		for i, read := range lines {
			if read.user == nil {
				continue
			}
			want = append(want, read.user)
			checkBounds(t, read.user.hash)
			if lines[i], err = newLine(read.user); err != nil {
				t.Fatal(err)
			}
		}
		if added, err := makeLine(name, []string{role}, defaultHash()); err == nil && checkName(name) == nil && !table.Has(name) {
			want = append(want, added.user)
			lines = append(slices.Clone(lines), added)
			if n := len(lines) - 2; n >= 0 && !strings.HasSuffix(lines[n].text, "\n") {
				lines[n].text += "\n"
			}
		}
		again, err := parseLines("file", (&Table{lines: lines}).text())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range again {
			if line.user != nil {
				written = append(written, line.user)
			}
		}
		if diff := cmp.Diff(want, written, cmp.AllowUnexported(user{}, hash{})); diff != "" {
			t.Fatalf("users (-want +got):\n%s", diff)
		}
	})
}

func checkBounds(t *testing.T, h hash) {
	if h.memory > maxMemory || h.time < 1 || h.time > maxTime || h.threads < 1 || h.threads > maxThreads ||
		len(h.salt) > maxSaltSize || len(h.key) < minKeySize || len(h.key) > maxKeySize {
		t.Fatalf("read a hash beyond the bounds: m=%d,t=%d,p=%d", h.memory, h.time, h.threads)
	}
}

// What is read from a file of keys has names and roles that a file of users could
// have.
func FuzzParseKeys(f *testing.F) {
	const key = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCyZmWk/uT56+X2q2dk2h/KSQFQPC0CYf4fWIWK3xxnwmHeIhFrzyseZmiTQd7aJQ5X5gOG8MtKB++6y4Z0LK+UVagp9+3OWoFhxns5AVv04EQw2GA6ntP72Rxamsimbg0QfqgImI7p9R46+f3EYJCvpY0tsU5IZq0xknY/WvIVKIkzfgiJBvJHRS7ld2TUBJWpjvwa4dobYQC2yj9+Y62VHPBZ6+maMuhxLEweZE1xrcJGtaMqDTLBls7DCEe53o6yzrpsP291YU4k25SNpakT90Gg18M2YLyH4PqyvbUzGyc6yI4T/Lt/Z+RbUFRFP1TI5PqwKJaC3bWsNrAKcXQB"
	for _, text := range []string{
		"",
		"# none\r\n",
		key + " ada",
		`roles="admin,may chat" ` + key + " bob b\r\n" + key + " ada\n",
		`roles="" ` + key + " ada",
		`roles="a\",b" ` + key + " ada",
		`roles="a",no-pty ` + key + " ada",
		key,
		"ssh-rsa AAAA ada",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA ada",
		"\x00\xff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := parseOwners("file", text)
		if err != nil {
			if !strings.Contains(err.Error(), "file:") {
				t.Fatalf("the error has no line: %v", err)
			}
			return
		}
		for _, owner := range read {
			if err := checkName(owner.Name); err != nil {
				t.Errorf("read the name %q: %v", owner.Name, err)
			}
			if err := checkRoles(owner.Roles); err != nil {
				t.Errorf("read the roles %q: %v", owner.Roles, err)
			}
		}
	})
}
