package users

import (
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxFileSize is the number of bytes that a file may have.
const maxFileSize = 16 << 20

// What others than a file's owner must not do with it.
const (
	readOrWrite fs.FileMode = 0o077
	write       fs.FileMode = 0o022
)

// readFile reads a file that is what it should be. The file's state is that from
// before it was read, and is there as soon as the file could be opened.
func readFile(path string, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, nil, badFile("%w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, badFile("%w", err)
	}
	if err := checkFile(path, info, forbidden); err != nil {
		return nil, info, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	switch {
	case err != nil:
		return nil, info, badFile("%w", err)
	case len(text) > maxFileSize: // it has grown since it was looked at
		return nil, info, tooLarge(path, int64(len(text)))
	}
	return text, info, nil
}

func checkFile(path string, info fs.FileInfo, forbidden fs.FileMode) error {
	if !info.Mode().IsRegular() {
		return badFile("%s is no regular file", path)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&forbidden != 0 {
		return badFile("the mode of %s is %04o, which lets others use it: run `chmod %o %s`",
			path, mode, mode&^forbidden, path)
	}
	if info.Size() > maxFileSize {
		return tooLarge(path, info.Size())
	}
	return nil
}

func tooLarge(path string, size int64) error {
	return badFile("%s has %d bytes; it may have %d", path, size, maxFileSize)
}

func badFile(format string, args ...any) error {
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, format, args...)
}
