// Command corpus keeps what fuzzing has found interesting, so that the next run goes on
// where the last one has ended. The go command has these inputs in its build cache, where
// every machine has its own; here they are in one file for each fuzz target, which is
// committed.
//
//	go run ./internal/corpus pack    # from the cache into internal/corpus
//	go run ./internal/corpus unpack  # back
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

const (
	module = "github.com/packetrpc/packetrpc"
	folder = "internal/corpus"
	// maxInput is how large an input may be that is kept. Larger ones are found again
	// soon, and make the files large.
	maxInput = 1 << 10
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return err
	}
	cache := filepath.Join(strings.TrimSpace(string(out)), "fuzz", filepath.FromSlash(module))
	switch {
	case slices.Equal(arguments, []string{"pack"}):
		return pack(cache, folder)
	case slices.Equal(arguments, []string{"unpack"}):
		return unpack(folder, cache)
	}
	return errors.New("usage: corpus pack|unpack")
}

// pack adds the inputs of every fuzz target to the target's file.
func pack(cache, folder string) error {
	inputs := make(map[string]map[string][]byte) // by target, and by name
	err := filepath.WalkDir(cache, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		target, err := filepath.Rel(cache, filepath.Dir(path))
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(data) <= maxInput {
			if inputs[target] == nil {
				inputs[target] = make(map[string][]byte)
			}
			inputs[target][filepath.Base(path)] = data
		}
		return nil
	})
	if err != nil {
		return err
	}
	for target, found := range inputs {
		if err := add(filepath.Join(folder, fileOf(target)), found); err != nil {
			return err
		}
	}
	return nil
}

// fileOf returns the name of a target's file: runtime/packet/FuzzSplitter has
// runtime.packet.FuzzSplitter.txtar.
func fileOf(target string) string {
	return strings.ReplaceAll(filepath.ToSlash(target), "/", ".") + ".txtar"
}

// targetOf undoes fileOf.
func targetOf(file string) string {
	return filepath.FromSlash(strings.ReplaceAll(strings.TrimSuffix(file, ".txtar"), ".", "/"))
}

// add adds inputs to a file, which holds them sorted by name, each once.
func add(name string, inputs map[string][]byte) error {
	archive, err := read(name)
	if err != nil {
		return err
	}
	for input, data := range inputs {
		archive.Files = append(archive.Files, txtar.File{Name: input, Data: data})
	}
	slices.SortStableFunc(archive.Files, func(a, b txtar.File) int { return strings.Compare(a.Name, b.Name) })
	archive.Files = slices.CompactFunc(archive.Files, func(a, b txtar.File) bool { return a.Name == b.Name })
	fmt.Printf("corpus: %d inputs in %s\n", len(archive.Files), name)
	return os.WriteFile(name, txtar.Format(archive), 0o644)
}

// read returns what is in a file; one that is not there is empty.
func read(name string) (*txtar.Archive, error) {
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return txtar.Parse(data), nil
}

// unpack writes the inputs to where the go command finds them, except those that are
// there.
func unpack(folder, cache string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil {
		return err
	}
	for _, name := range files {
		archive, err := read(name)
		if err != nil {
			return err
		}
		where := filepath.Join(cache, targetOf(filepath.Base(name)))
		if err := os.MkdirAll(where, 0o777); err != nil {
			return err
		}
		for _, file := range archive.Files {
			path := filepath.Join(where, filepath.Base(file.Name))
			if known, err := os.ReadFile(path); err == nil && bytes.Equal(known, file.Data) {
				continue
			}
			if err := os.WriteFile(path, file.Data, 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}
