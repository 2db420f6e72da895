//go:build !unix

package users

import (
	"io/fs"
	"os"
)

// Elsewhere a pipe has no path that a file could have, a new file's owner is left
// to the folder, and a folder cannot be synced.

const nonBlocking = 0

func keepOwner(*os.File, fs.FileInfo) error { return nil }

func syncFolder(string) {}
