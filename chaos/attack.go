package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// attack is what an attack is told.
type attack struct {
	connections int           // in all; 0 leaves out what is measured with them
	rate        int           // calls a second, over all connections
	every       time.Duration // the time between broadcasts
	halfOpen    int           // connections without a handshake; 0 leaves out what is measured with them
	rounds      int           // quiet ones, and as many that are attacked
	span        time.Duration // of a round
	limits      timeLimits    // of the server
	ratio       float64       // of an attacked p99 to a quiet one, at most; 0 is any
	memory      int           // MiB that the server may take; 0 is any number
	report      string        // the file that the report is written to; "" is none
	command     string        // how the attack is repeated
}

// percent is how many attackers of each of two kinds there are among the connections.
func (a attack) percent() int { return max(1, a.connections/100) }

// run attacks a server, prints what that does to the others and writes the report. It
// returns an error when something is not as it should be.
func (a attack) run(ctx context.Context, out io.Writer) error {
	if err := a.checkFiles(); err != nil {
		return err
	}
	r := newReport(ctx, a.command)
	if a.connections > 0 {
		if err := a.measureOverload(ctx, out, r); err != nil {
			return err
		}
	}
	if a.halfOpen > 0 {
		if err := a.measureHalfOpen(ctx, out, r); err != nil {
			return err
		}
	}
	r.took = time.Since(r.began)
	r.print(out)
	if err := a.writeReport(r); err != nil {
		return err
	}
	if len(r.faults) > 0 {
		return fmt.Errorf("not as it should be: %s", strings.Join(r.faults, "; "))
	}
	return nil
}

// checkFiles looks whether each process may have its connections. Go has raised the
// soft limit to the hard one.
func (a attack) checkFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	const others = 200 // files, and connections that come while others go
	if needed := max(a.connections+a.percent()*2, a.halfOpen*2) + others; uint64(needed) > uint64(limit.Cur) {
		return fmt.Errorf("a process may have %d open files (ulimit -n) and needs %d; -connections and -half-open say how many", limit.Cur, needed)
	}
	return nil
}

func (a attack) writeReport(r *report) error {
	if a.report == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(a.report), 0o755); err != nil {
		return err
	}
	var text strings.Builder
	r.writeMarkdown(&text)
	return os.WriteFile(a.report, []byte(text.String()), 0o644)
}
