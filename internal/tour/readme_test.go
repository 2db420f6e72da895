package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// block is a fenced block of a document.
type block struct {
	heading  string // the last one before it
	language string
	file     string // named by "File `name`:" on the line before; "" is none
	text     string
	line     int
}

var fileLine = regexp.MustCompile("^File `([^`]+)`:$")

// readBlocks returns the fenced blocks of README.md.
func readBlocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	var open *block
	heading, file := "", ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case open == nil && strings.HasPrefix(line, "```"):
			open = &block{heading: heading, language: line[3:], file: file, line: i + 1}
			file = ""
		case open != nil && line == "```":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case line != "":
			file = ""
			if match := fileLine.FindStringSubmatch(line); match != nil {
				file = match[1]
			}
		}
	}
	if open != nil {
		t.Fatalf("README.md:%d: the block has no end", open.line)
	}
	return blocks
}

// Code in the README that belongs to no file of the tour stands in a file that is
// compiled.
func TestSnippetsAreCompiled(t *testing.T) {
	sources := make(map[string][]string) // by language
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		language := strings.TrimPrefix(filepath.Ext(path), ".")
		if err != nil || entry.IsDir() || language != "go" && language != "proto" {
			return err
		}
		text, err := os.ReadFile(path)
		sources[language] = append(sources[language], unindented(string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, b := range readBlocks(t) {
		if b.file != "" || sources[b.language] == nil {
			continue
		}
		found++
		snippet, ok := "\n"+unindented(b.text), false
		for _, source := range sources[b.language] {
			ok = ok || strings.Contains("\n"+source, snippet)
		}
		if !ok {
			t.Errorf("README.md:%d: the code stands in no .%s file:\n%s", b.line, b.language, b.text)
		}
	}
	if found == 0 {
		t.Error("found no code in README.md")
	}
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

var link = regexp.MustCompile(`\]\(([^)#]+)`)

func TestLinksLeadSomewhere(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range link.FindAllStringSubmatch(string(text), -1) {
		if target := match[1]; !strings.Contains(target, "://") && !exists(filepath.Join(root, target)) {
			t.Errorf("README.md links to %s, which does not exist", target)
		}
	}
}
