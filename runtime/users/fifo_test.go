//go:build unix

package users_test

import (
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
