// Package ownfile reads files that decide over what is protected: keys, and who may
// use what.
package ownfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// What others than a file's owner must not do with it.
const (
	ReadOrWrite fs.FileMode = 0o077
	Write       fs.FileMode = 0o022
	Nothing     fs.FileMode = 0 // forbidden: they may do anything
)

// Read reads a regular file of at most limit bytes, to which others than its owner
// have none of the forbidden rights; outside of Unix nothing is known of those.
// Symbolic links are followed. The file's state is that from before it was read, and
// is there as soon as the file could be opened.
//
// The errors name the file, and the command that mends it where there is one. They
// have [packetrpc.CodeNotFound] when there is no such file and
// [packetrpc.CodeFailedPrecondition] otherwise.
func Read(path string, limit int64, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, Error(err)
	}
	defer file.Close()
	// The open file is asked, not its name, which may stand for another by now.
	info, err := file.Stat()
	if err != nil {
		return nil, nil, Error(err)
	}
	if err := check(path, info, limit, forbidden); err != nil {
		return nil, info, err
	}
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, info, Error(err)
	}
	return text, info, CheckSize(path, int64(len(text)), limit) // it may have grown
}

func check(path string, info fs.FileInfo, limit int64, forbidden fs.FileMode) error {
	mode := info.Mode()
	if !mode.IsRegular() {
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "%s is no regular file but has the mode %s", path, mode)
	}
	if rights := mode.Perm(); runtime.GOOS != "windows" && rights&forbidden != 0 {
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"the mode of %s is %04o, which lets others use it: run `chmod %o %s`", path, rights, rights&^forbidden, path)
	}
	return CheckSize(path, info.Size(), limit)
}

// CheckSize refuses files of more than limit bytes, with
// [packetrpc.CodeFailedPrecondition].
func CheckSize(path string, size, limit int64) error {
	if size <= limit {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "%s has %d bytes; it may have %d", path, size, limit)
}

// Error gives an error of the system, which names the file, its code.
func Error(err error) error {
	code := packetrpc.CodeFailedPrecondition
	if errors.Is(err, fs.ErrNotExist) {
		code = packetrpc.CodeNotFound
	}
	return packetrpc.NewError(code, err)
}
