package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

const (
	resumeWithin = 5 * time.Second
	pushInterval = 20 * time.Millisecond
	// patience is how long everybody may take to come to rest in the end.
	patience = 20 * time.Second
)

// trial is what a run and a rolling restart have in common: servers, users who call
// them and are pushed to, and the check of what everybody has seen.
type trial struct {
	folder    string // where the history is written
	temporary bool   // it goes when all is well
	history   *history
	out       io.Writer
	processes []*process
	users     []*user
	ledger    *ledger

	goroutines, files int // that there were in the beginning
}

// newTrial returns a trial that writes to a folder; "" is a new temporary one.
func newTrial(folder string, out io.Writer) (*trial, error) {
	t := &trial{folder: folder, temporary: folder == "", out: out}
	var err error
	if t.temporary {
		t.folder, err = os.MkdirTemp("", "chaos")
	} else {
		err = os.MkdirAll(t.folder, 0o700)
	}
	if err != nil {
		return nil, err
	}
	t.history, err = newHistory(filepath.Join(t.folder, "history"))
	t.goroutines, t.files = runtime.NumGoroutine(), openFiles()
	return t, err
}

func (t *trial) journal() string { return filepath.Join(t.folder, "journal") }

// conclude ends a trial: it prints what has happened, unless that has failed, and
// returns an error when a promise was broken.
func (t *trial) conclude(failure error) error {
	if err := t.history.close(); failure == nil {
		failure = err
	}
	if failure == nil {
		t.summarize()
		if n := len(t.history.broken); n > 0 {
			failure = fmt.Errorf("%d times a promise was broken", n)
		}
	}
	if failure != nil {
		return fmt.Errorf("%w (the history is in %s)", failure, t.folder)
	}
	if t.temporary {
		return os.RemoveAll(t.folder)
	}
	return nil
}

// report prints how it goes, now and then, until the context ends.
func (t *trial) report(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			calls, faults, broken := t.history.progress()
			fmt.Fprintf(t.out, "%5.0fs  %8d calls  %5d faults  %d promises broken\n", time.Since(t.history.began).Seconds(), calls, faults, broken)
		case <-ctx.Done():
			return
		}
	}
}

// end brings everything to rest, stops it and checks what everybody has seen. between
// is called when the servers have become quiet and the clients are gone.
func (t *trial) end(between func()) error {
	t.settle()
	if err := t.rest(); err != nil {
		return err
	}
	between()
	for _, p := range t.processes {
		if err := p.stop(); err != nil {
			t.history.complain("%v", err)
		}
	}
	t.checkLeaks()
	var err error
	if t.ledger, err = readLedger(t.journal()); err != nil {
		return err
	}
	t.history.checkEffects(t.ledger)
	for _, u := range t.users {
		u.checkPushes(t.ledger)
	}
	return nil
}

// settle waits until the calls have ended, and the last pushes have arrived.
func (t *trial) settle() {
	ended := make(chan struct{})
	go func() {
		for _, u := range t.users {
			u.calling.Wait()
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.history.complain("calls hang; the file stacks shows where")
		t.writeStacks()
	}
	t.hush()
	for _, u := range t.users {
		if !u.awaitBye(patience) {
			t.history.complain("user %d gets no good-bye from its session %s; its state is %+v", u.index, u.client.ID(), u.client.State())
		}
	}
}

// hush lets the servers end their pushes.
func (t *trial) hush() {
	var all sync.WaitGroup
	for _, p := range t.processes {
		all.Go(func() {
			if answer, err := p.ask("quiet"); err != nil || answer != "quiet" {
				t.history.complain("the server does not become quiet: %q, %v", answer, err)
			}
		})
	}
	all.Wait()
}

// rest closes the clients, and lets the servers tell what is left of them.
func (t *trial) rest() error {
	for _, u := range t.users {
		if err := u.client.Err(); err != nil {
			t.history.complain("user %d has ended by itself: %v", u.index, err)
		}
		u.client.Close()
	}
	var failures []error
	for _, p := range t.processes {
		failures = append(failures, t.checkRest(p))
	}
	return errors.Join(failures...)
}

// checkRest asks a server what is left of its clients.
func (t *trial) checkRest(p *process) error {
	answer, err := p.ask("rest")
	if err != nil {
		return err
	}
	var sessions, goroutines, files int
	if _, err := fmt.Sscanf(answer, "rest %d %d %d", &sessions, &goroutines, &files); err != nil {
		return err
	}
	if sessions > 0 || goroutines > 0 || files > 0 {
		t.history.complain("the server has %d sessions, %d goroutines and %d open files left", sessions, goroutines, files)
	}
	return nil
}

// checkLeaks looks for what this process has left.
func (t *trial) checkLeaks() {
	for limit := time.Now().Add(2 * time.Second); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= t.goroutines && openFiles() <= t.files {
			return
		}
	}
	t.history.complain("%d goroutines and %d open files are left; the file stacks shows the former",
		runtime.NumGoroutine()-t.goroutines, openFiles()-t.files)
	t.writeStacks()
}

func (t *trial) writeStacks() {
	_ = os.WriteFile(filepath.Join(t.folder, "stacks"), []byte(allStacks()), 0o600)
}

// summarize prints what has happened.
func (t *trial) summarize() {
	h, table := t.history, tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "calls\tall\tok\tanswered\tnot sent\tunknown\t")
	for _, kind := range slices.Sorted(maps.Keys(h.tallies)) {
		t := h.tallies[kind]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t\n", kind, t.sum(), t[ok], t[answered], t[notSent], t[unknown])
	}
	table.Flush()
	fmt.Fprintln(t.out, "faults", h.faults)
	pushes, resumed, told, gapped := 0, 0, 0, uint64(0)
	for _, u := range t.users {
		pushes, resumed, told, gapped = pushes+len(u.pushes), resumed+u.resumed, told+u.told, gapped+u.gapped
	}
	fmt.Fprintf(t.out, "%d pushes, %d refused, %d reported as lost; sessions went on %d times, and not %d times\n", pushes, len(t.ledger.refused), gapped, resumed, told)
	fmt.Fprintf(t.out, "%d idempotent calls failed before their deadline; the slowest call took %v\n", h.early, h.slowest.Round(time.Millisecond))
	for i, what := range h.broken {
		if i == 20 {
			fmt.Fprintln(t.out, "BROKEN: …")
			break
		}
		fmt.Fprintln(t.out, "BROKEN:", what)
	}
}
