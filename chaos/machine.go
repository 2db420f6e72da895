package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where figures were taken, and with what. What cannot be found out is
// "unknown".
type machine struct {
	cpu, kernel, version, revision string
	load                           string // the average of the last minute
	cores                          int
}

func thisMachine(ctx context.Context) machine {
	return machine{
		cpu:      cpuModel(),
		kernel:   firstWord(contentOf("/proc/sys/kernel/osrelease")),
		version:  runtime.Version(),
		revision: revision(ctx),
		load:     firstWord(contentOf("/proc/loadavg")),
		cores:    runtime.GOMAXPROCS(0),
	}
}

const unknownText = "unknown"

// contentOf returns the content of a small file without the space around it.
func contentOf(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return unknownText
	}
	return strings.TrimSpace(string(text))
}

func cpuModel() string {
	for line := range strings.Lines(contentOf("/proc/cpuinfo")) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknownText
}

func revision(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return unknownText
	}
	return strings.TrimSpace(string(text))
}
