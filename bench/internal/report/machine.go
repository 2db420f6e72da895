package report

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
)

// Machine is where figures were taken, and with what.
type Machine struct {
	CPU    string
	Cores  int
	Kernel string
	Go     string
	// Revision is the commit of this repository.
	Revision string
	// Versions are those of the contenders' modules, from the build info.
	Versions map[string]string
}

const unknown = "unknown"

// ThisMachine describes this one. What cannot be found out is unknown.
func ThisMachine(ctx context.Context) Machine {
	m := Machine{
		CPU:      cpuModel(),
		Cores:    runtime.GOMAXPROCS(0),
		Kernel:   kernel(),
		Go:       fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
		Revision: revision(ctx),
		Versions: make(map[string]string),
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	for _, module := range build.Deps {
		if slices.ContainsFunc(contender.All(), func(c contender.Contender) bool { return c.Info().Module == module.Path }) {
			m.Versions[module.Path] = module.Version
		}
	}
	return m
}

// cpuModel asks Linux.
func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return unknown
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

// kernel asks Linux.
func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(release))
}

// revision asks git.
func revision(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(text))
}

// version returns the version of a contender.
func (m Machine) version(info contender.Info) string {
	switch {
	case info.Kind == contender.Ours:
		return m.Revision
	case info.Module == "":
		return "–"
	case m.Versions[info.Module] == "":
		return unknown
	}
	return info.Module + " " + m.Versions[info.Module]
}
