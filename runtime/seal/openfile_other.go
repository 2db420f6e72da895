//go:build !unix

package seal

import (
	"io/fs"
	"os"
)

// openFile opens a file to be read.
func openFile(path string) (*os.File, error) { return os.Open(path) }

// checkOwnerOnly refuses nothing: the mode of a file tells who has rights to it on
// Unix only.
func checkOwnerOnly(string, fs.FileInfo) error { return nil }
