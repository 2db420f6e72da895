//go:build unix

package users_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/users"
)

// Opening a pipe waits for its other end, unless told not to.
func TestOpenDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	_, err := users.Open(path)
	if err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a file of users: got the error %v", err)
	}
	_, err = users.OpenKeys(path)
	if err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a file of keys: got the error %v", err)
	}
}

func TestEditKeepsTheOwner(t *testing.T) {
	const owner, group = 12345, 23456
	path := newFile(t, entry("ada", "secret"))
	if err := os.Chown(path, owner, group); err != nil {
		t.Skip("only root can give a file away:", err)
	}
	edit(t, path, func(table *users.Table) error { return table.SetRoles("ada", "admin") })
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t); got.Uid != owner || got.Gid != group {
		t.Errorf("the file belongs to %d:%d, want %d:%d", got.Uid, got.Gid, owner, group)
	}
}
