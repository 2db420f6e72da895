package ownfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func TestRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes on Windows")
	}
	folder := t.TempDir()
	file := func(name string, mode fs.FileMode) string {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(path, []byte("12345"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(folder, "link")
	if err := os.Symlink(file("target", 0o644), link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path      string
		limit     int64
		forbidden fs.FileMode
		code      packetrpc.Code
		text      string
	}{
		{file("own", 0o600), 5, ownfile.ReadOrWrite, 0, ""},
		{file("readable", 0o644), 5, ownfile.Write, 0, ""},
		{file("writable", 0o666), 5, ownfile.Nothing, 0, ""},
		{file("readable", 0o644), 5, ownfile.ReadOrWrite, packetrpc.CodeFailedPrecondition, "is 0644, which lets others use it: run `chmod 600 " + folder + "/readable`"},
		{file("writable", 0o666), 5, ownfile.Write, packetrpc.CodeFailedPrecondition, "run `chmod 644 "},
		{link, 5, ownfile.Write, 0, ""},
		{link, 5, ownfile.ReadOrWrite, packetrpc.CodeFailedPrecondition, "chmod 600 " + link},
		{file("large", 0o600), 4, ownfile.ReadOrWrite, packetrpc.CodeFailedPrecondition, "large has 5 bytes; it may have 4"},
		{folder, 5, ownfile.Nothing, packetrpc.CodeFailedPrecondition, "is no regular file but has the mode d"},
		{"/dev/zero", 5, ownfile.Nothing, packetrpc.CodeFailedPrecondition, "is no regular file but has the mode D"},
		{folder + "/none", 5, ownfile.Nothing, packetrpc.CodeNotFound, "no such file"},
	} {
		text, _, err := ownfile.Read(test.path, test.limit, test.forbidden)
		if packetrpc.CodeOf(err) != test.code || err != nil && !strings.Contains(err.Error(), test.text) || err == nil && string(text) != "12345" {
			t.Errorf("%s: %q, %v, want %v with %q", test.path, text, err, test.code, test.text)
		}
	}
}
