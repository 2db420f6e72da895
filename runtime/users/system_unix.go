//go:build unix

package users

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives file the owner that the file it will replace has, so that what
// root edits is still its owner's.
func keepOwner(file *os.File, replaced fs.FileInfo) error {
	made, err := file.Stat()
	if err != nil {
		return err
	}
	is, was := made.Sys().(*syscall.Stat_t), replaced.Sys().(*syscall.Stat_t)
	if is.Uid == was.Uid {
		return nil
	}
	return file.Chown(int(was.Uid), int(was.Gid))
}

// syncFolder makes a renaming in a folder outlive a loss of power, where the file
// system can.
func syncFolder(path string) {
	folder, err := os.Open(path)
	if err != nil {
		return
	}
	defer folder.Close()
	folder.Sync()
}
