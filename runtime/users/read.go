package users

import (
	"io/fs"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxFileSize is the number of bytes that a file may have.
const maxFileSize = 16 << 20

func readFile(path string, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	return ownfile.Read(path, maxFileSize, forbidden)
}

func badFile(format string, args ...any) error {
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, format, args...)
}
