package users

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// An edit waits for another one at most editWait, and looks every editPause
// whether that has ended.
const (
	editWait  = 5 * time.Second
	editPause = 10 * time.Millisecond
)

// Edit changes a file of users: change gets what is in the file, and when it
// returns nil the file is replaced by what change has made of that, all at once.
// When change fails, the file stays as it is and Edit returns change's error. A
// missing file is like an empty one, and is made when change adds a user. The file
// keeps its mode and its owner; a new one has the mode 0600. A symbolic link stays
// one: the file that it leads to is replaced.
//
// No two edits lose each other's change: the file FILE.lock, in which the new file
// is written, is there while one is under way. Another edit waits for that at most
// 5 seconds, and no longer than ctx lasts. When a program ends in the middle of an
// edit, by a loss of power for instance, FILE is as it was before and FILE.lock
// stays; the error of later edits says that it must be removed. Edit may be called
// concurrently.
func Edit(ctx context.Context, path string, change func(*Table) error) error {
	return edit(ctx, path, ownfile.ReadOrWrite, func(text []byte) ([]byte, error) {
		table, err := newTable(path, text)
		if err != nil {
			return nil, err
		}
		if err := change(table); err != nil {
			return nil, err
		}
		return table.text(), nil
	})
}

// edit is Edit of any file, which others than its owner may not use in a forbidden
// way.
func edit(ctx context.Context, path string, forbidden fs.FileMode, change func(text []byte) ([]byte, error)) error {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	next, err := lock(ctx, target)
	if err != nil {
		return err
	}
	defer next.discard()
	text, info, err := readFile(target, forbidden)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	changed, err := change(text)
	if err != nil || bytes.Equal(changed, text) {
		return err
	}
	if err := ownfile.CheckSize(path, int64(len(changed)), maxFileSize); err != nil {
		return err
	}
	if err := next.replace(changed, info); err != nil {
		return badFile("%s stays as it was: %w", path, err)
	}
	return nil
}

// resolve returns the file that a path leads to, which need not exist.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		return target, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", badFile("%w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return "", badFile("%s is a symbolic link that leads nowhere", path)
	}
	return path, nil
}

// nextFile is the file that is to replace another one. As long as it exists, no
// other edit goes on.
type nextFile struct {
	*os.File
	target string
}

// lock makes the next file, once no other edit is under way.
func lock(ctx context.Context, target string) (*nextFile, error) {
	ctx, cancel := context.WithTimeout(ctx, editWait)
	defer cancel()
	path := target + ".lock"
	for {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return &nextFile{file, target}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, badFile("%w", err)
		}
		select {
		case <-time.After(editPause):
		case <-ctx.Done():
			return nil, packetrpc.Errorf(packetrpc.CodeUnavailable,
				"%s exists, so another edit is under way, or one was interrupted: if none is, remove that file", path)
		}
	}
}

// replace puts the next file, with text in it, where the other one is. info is
// that of the other one, or nil if there is none.
func (n *nextFile) replace(text []byte, info fs.FileInfo) error {
	if _, err := n.Write(text); err != nil {
		return err
	}
	if info != nil {
		if err := errors.Join(n.Chmod(info.Mode().Perm()), keepOwner(n.File, info)); err != nil {
			return err
		}
	}
	if err := errors.Join(n.Sync(), n.Close()); err != nil {
		return err
	}
	if err := os.Rename(n.Name(), n.target); err != nil {
		return err
	}
	n.target = ""
	syncFolder(filepath.Dir(n.Name()))
	return nil
}

// discard ends an edit. It does nothing after replace has succeeded.
func (n *nextFile) discard() {
	if n.target == "" {
		return // by now the path can be that of another edit
	}
	n.Close()
	os.Remove(n.Name())
}
