package users_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// entry returns the line of a user, whose hash takes little time.
func entry(name, password string, roles ...string) string {
	return costlyEntry(8, name, password, roles...)
}

// costlyEntry returns the line of a user, whose hash takes some KiB.
func costlyEntry(memory uint32, name, password string, roles ...string) string {
	salt := []byte("salt of " + name)
	key := argon2.IDKey([]byte(password), salt, 1, memory, 1, 32)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s:$argon2id$v=19$m=%d,t=1,p=1$%s$%s:%s\n",
		name, memory, encode(salt), encode(key), strings.Join(roles, ","))
}

// newFile returns the path of a new file with a text.
func newFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.txt")
	write(t, path, text)
	return path
}

// write gives a file another text, in place.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace gives a file another text by renaming.
func replace(t testing.TB, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func text(t testing.TB, path string) string {
	t.Helper()
	read, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(read)
}
