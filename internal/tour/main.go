// Command tour packs this module into a folder as a module proxy serves it, so
// that programs outside of the repository can use it before it is published. Its
// test takes the README's tour that way.
//
//	go run ./internal/tour FOLDER
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const modulePath = "github.com/packetrpc/packetrpc"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tour:", err)
		os.Exit(1)
	}
}

// run packs the module in the current folder and prints how go finds it.
func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: go run ./internal/tour FOLDER")
	}
	folder, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	if err := writeProxy(folder, "."); err != nil {
		return err
	}
	proxies, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "export GOPROXY=%s,%s\nexport GONOSUMDB=%s\n",
		fileURL(folder), strings.TrimSpace(string(proxies)), modulePath)
	return err
}

// fileURL returns a folder as GOPROXY takes it.
func fileURL(folder string) string {
	slashed := filepath.ToSlash(folder)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // a drive's letter
	}
	return "file://" + slashed
}

// writeProxy adds the module whose root is given to the proxy in folder, as a
// version of its own: go never fetches a version twice.
func writeProxy(folder, root string) error {
	now := time.Now().UTC()
	version := "v0.1.0-dev." + now.Format("20060102150405")
	dir := filepath.Join(folder, filepath.FromSlash(modulePath), "@v")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, version+".mod"), goMod, 0o666); err != nil {
		return err
	}
	info := fmt.Sprintf("{\"Version\":%q,\"Time\":%q}\n", version, now.Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(dir, version+".info"), []byte(info), 0o666); err != nil {
		return err
	}
	if err := writeZip(filepath.Join(dir, version+".zip"), version, root); err != nil {
		return err
	}
	list, err := os.OpenFile(filepath.Join(dir, "list"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(list, version)
	return errors.Join(err, list.Close())
}

func writeZip(path, version, root string) error {
	files, err := moduleFiles(root)
	if err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	err = zip.Create(out, module.Version{Path: modulePath, Version: version}, files)
	return errors.Join(err, out.Close())
}

// moduleFiles lists the files of the module. Folders of hidden files, of built
// programs and of other modules are left out.
func moduleFiles(root string) ([]zip.File, error) {
	var files []zip.File
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case inside == ".":
			return nil
		case entry.IsDir():
			if inside == "bin" || strings.HasPrefix(entry.Name(), ".") || exists(filepath.Join(path, "go.mod")) {
				return fs.SkipDir
			}
			return nil
		case entry.Type().IsRegular() && !strings.HasPrefix(entry.Name(), "."):
			files = append(files, file{name: filepath.ToSlash(inside), path: path})
		}
		return nil
	})
	return files, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// file is a file of the module, as package zip wants it.
type file struct{ name, path string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.path) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.path) }
