package suite_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/process"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
)

// TestMain lets the test's program be the processes that jobs need.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == process.ServeCommand:
		err = process.Serve(os.Args[2], os.Stdin, os.Stdout)
	case len(os.Args) == 2 && os.Args[1] == suite.JobCommand:
		err = suite.ServeJob(context.Background(), os.Stdin, os.Stdout)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// small makes a plan short: few callers and connections, and one contender.
func small(t *testing.T, plan suite.Plan, contenders string) suite.Plan {
	t.Helper()
	if err := plan.Select("", contenders); err != nil {
		t.Fatal(err)
	}
	plan.Rounds, plan.Warm, plan.Span = 1, 0, 20*time.Millisecond
	for i := range plan.Cells {
		plan.Cells[i].Conns = min(plan.Cells[i].Conns, 10)
		plan.Cells[i].Callers = min(plan.Cells[i].Callers, 64)
	}
	return plan
}

// Every column of every quick cell has a figure for packetrpc.
func TestQuickCells(t *testing.T) {
	plan := small(t, suite.Quick(), "^packetrpc$")
	var progress bytes.Buffer
	results, err := plan.Run(t.Context(), &progress)
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range results.Failures {
		t.Error(failure)
	}
	for _, cell := range plan.Cells {
		for _, metric := range cell.Kind.Columns() {
			if metric == measure.ResidentKiB {
				continue // only Linux tells
			}
			if got := results.Samples(cell.Name, "packetrpc", metric); len(got) != 1 {
				t.Errorf("%s: got %v for %s, want one figure", cell.Name, got, metric)
			}
		}
	}
	if lines := bytes.Count(progress.Bytes(), []byte("\n")); lines != len(plan.Cells) {
		t.Errorf("got %d lines of progress for %d jobs:\n%s", lines, len(plan.Cells), &progress)
	}
	if !bytes.Contains(progress.Bytes(), []byte(", 0s left")) {
		t.Errorf("the progress does not end with nothing left:\n%s", &progress)
	}
}

// Every column of every cell of security has a figure for everybody in it.
func TestSecurityCells(t *testing.T) {
	plan := small(t, suite.Security(), "")
	results, err := plan.Run(t.Context(), new(bytes.Buffer))
	if err != nil || len(results.Failures) > 0 {
		t.Fatalf("error %v, failures %q", err, results.Failures)
	}
	for _, cell := range plan.Cells {
		if len(cell.Only) < 2 {
			t.Errorf("%s: compares %q, want two at least", cell.Name, cell.Only)
		}
		for _, name := range cell.Only {
			for _, metric := range cell.Kind.Columns() {
				if got := results.Samples(cell.Name, name, metric); len(got) != 1 {
					t.Errorf("%s, %s: got %v for %s, want one figure", cell.Name, name, got, metric)
				}
			}
		}
	}
}

// Whoever encrypts, seals or asks for passwords is compared apart from the others.
func TestSecureContenders(t *testing.T) {
	for _, info := range suite.Full().Contenders {
		if info.Secure {
			t.Errorf("%s is among all others", info.Name)
		}
	}
}

// The ends of each sweep have figures for everybody in it, with at most ten
// connections.
func TestSweeps(t *testing.T) {
	plan := suite.Plan{Contenders: suite.Full().Contenders}
	for _, sweep := range suite.Sweeps() {
		for _, cell := range sweep.Cells() {
			if cell.X == sweep.From || cell.X == sweep.To {
				plan.Cells = append(plan.Cells, cell)
			}
		}
	}
	if want := 2 * len(suite.Sweeps()); len(plan.Cells) != want {
		t.Errorf("got %d cells that judge growth, want %d", len(plan.Cells), want)
	}
	plan = small(t, plan, "")
	results, err := plan.Run(t.Context(), new(bytes.Buffer))
	if err != nil || len(results.Failures) > 0 {
		t.Fatalf("error %v, failures %q", err, results.Failures)
	}
	for _, cell := range plan.Cells {
		for _, name := range cell.Only {
			if got := results.Samples(cell.Name, name, measure.CPU); len(got) != 1 {
				t.Errorf("%s, %s: got %v, want one figure", cell.Name, name, got)
			}
		}
	}
}

// What the Makefile promises.
func TestEstimates(t *testing.T) {
	if got := suite.Full().Estimate(); got > 45*time.Minute {
		t.Errorf("the full run takes up to %v", got)
	}
	if got := suite.Quick().Estimate(); got > 10*time.Minute {
		t.Errorf("the quick run takes up to %v", got)
	}
	if got := suite.Security().Estimate(); got > 10*time.Minute {
		t.Errorf("the run for security takes up to %v", got)
	}
}

// A contender that lacks what a cell needs is left out, and that is no failure.
func TestUnsupported(t *testing.T) {
	plan := small(t, suite.Quick(), "^net/rpc$")
	if err := plan.Select("^(upload|64 callers, 16 B$)", ""); err != nil {
		t.Fatal(err)
	}
	results, err := plan.Run(t.Context(), new(bytes.Buffer))
	if err != nil || len(results.Failures) > 0 {
		t.Fatalf("error %v, failures %q", err, results.Failures)
	}
	if got := results.Samples(suite.StreamName(measure.Upload, 16), "net/rpc", measure.MessagesPerSecond); got != nil {
		t.Errorf("got %v for a stream, want none", got)
	}
	if got := results.Samples(suite.UnaryName(64, 1, 16), "net/rpc", measure.CallsPerSecond); len(got) != 1 {
		t.Errorf("got %v for calls, want one figure", got)
	}
}

// The figures to reach and the plots find their cells by name.
func TestNamesAreUnique(t *testing.T) {
	for _, plan := range []suite.Plan{suite.Full(), suite.Quick(), suite.Security()} {
		seen := make(map[string]bool)
		for _, cell := range plan.Cells {
			if seen[cell.Name] {
				t.Errorf("two cells are named %q", cell.Name)
			}
			seen[cell.Name] = true
		}
	}
}
