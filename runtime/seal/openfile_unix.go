//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// openFile opens a file to be read. Of a named pipe it does not wait for the
// other end, and a terminal does not become the process's own.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

// checkOwnerOnly refuses a file to which others than its owner have any right.
func checkOwnerOnly(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"%s holds a private key, but others than its owner have rights to it (mode %04o): chmod 600 %s", path, mode, path)
	}
	return nil
}
