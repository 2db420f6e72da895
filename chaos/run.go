package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// plan is what a run is told.
type plan struct {
	span, every      time.Duration
	seed             uint64
	clients, callers int
	faults           []string
	folder           string // where the history is written; "" is a new temporary folder
}

const (
	resumeWithin = 5 * time.Second
	gracePeriod  = 2 * time.Second
	pushInterval = 20 * time.Millisecond
	// patience is how long everybody may take to come to rest after the faults.
	patience = 20 * time.Second
)

// run makes a run, prints how it goes, and returns an error when a promise was broken.
func (p plan) run(ctx context.Context, out io.Writer) error {
	temporary := p.folder == ""
	if temporary {
		var err error
		if p.folder, err = os.MkdirTemp("", "chaos"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		return err
	}
	h, err := newHistory(filepath.Join(p.folder, "history"))
	if err != nil {
		return err
	}
	r := &trial{plan: p, history: h, out: out}
	err = r.run(ctx)
	if failure := h.close(); err == nil {
		err = failure
	}
	if err != nil {
		return fmt.Errorf("%w (-seed %d; the history is in %s)", err, p.seed, p.folder)
	}
	r.summarize()
	if n := len(h.broken); n > 0 {
		return fmt.Errorf("%d times a promise was broken (-seed %d; the history is in %s)", n, p.seed, p.folder)
	}
	if temporary {
		return os.RemoveAll(p.folder)
	}
	return nil
}

// trial is a run under way.
type trial struct {
	plan
	history *history
	out     io.Writer
	process *process
	proxy   *proxy
	users   []*user
	refused int // pushes
}

func (r *trial) run(ctx context.Context) (err error) {
	goroutines, files := runtime.NumGoroutine(), openFiles()
	journal := filepath.Join(r.folder, "journal")
	r.process, err = startProcess(serving{journal: journal, resume: resumeWithin, grace: gracePeriod, interval: pushInterval})
	if err != nil {
		return err
	}
	if r.proxy, err = newProxy(r.process.serving.address); err != nil {
		return err
	}
	for i := range r.clients {
		u, err := newUser(ctx, i, r.proxy.address(), r.history)
		if err != nil {
			return err
		}
		r.users = append(r.users, u)
	}
	r.rage(ctx)
	r.settle()
	if err := r.rest(); err != nil {
		return err
	}
	r.proxy.close()
	if err := r.process.stop(); err != nil {
		r.history.complain("%v", err)
	}
	r.checkLeaks(goroutines, files)
	l, err := readLedger(journal)
	if err != nil {
		return err
	}
	r.refused = len(l.refused)
	r.history.checkEffects(l)
	for _, u := range r.users {
		u.checkPushes(l)
	}
	return nil
}

// rage lets calls be made and faults be injected at the same time.
func (r *trial) rage(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.span)
	defer cancel()
	for _, u := range r.users {
		u.call(ctx, r.callers)
	}
	s := &storm{proxy: r.proxy, process: r.process, history: r.history, wanted: r.faults,
		every: r.every, random: rand.New(rand.NewPCG(r.seed, 0))}
	var both sync.WaitGroup
	both.Go(func() { s.rage(ctx) })
	both.Go(func() { r.report(ctx) })
	both.Wait()
}

// report prints how it goes, now and then.
func (r *trial) report(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			calls, faults, broken := r.history.progress()
			fmt.Fprintf(r.out, "%5.0fs  %8d calls  %5d faults  %d promises broken\n", time.Since(r.history.began).Seconds(), calls, faults, broken)
		case <-ctx.Done():
			return
		}
	}
}

// settle waits until the calls have ended, and the last pushes have arrived.
func (r *trial) settle() {
	ended := make(chan struct{})
	go func() {
		for _, u := range r.users {
			u.calling.Wait()
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		r.history.complain("calls hang; the file stacks shows where")
		_ = os.WriteFile(filepath.Join(r.folder, "stacks"), []byte(allStacks()), 0o600)
	}
	if answer, err := r.process.ask("quiet"); err != nil || answer != "quiet" {
		r.history.complain("the server does not become quiet: %q, %v", answer, err)
	}
	for _, u := range r.users {
		if !u.awaitBye(patience) {
			r.history.complain("user %d gets no good-bye from its session %s; its state is %+v", u.index, u.client.ID(), u.client.State())
		}
	}
}

// rest closes the clients, and lets the server tell what is left of them.
func (r *trial) rest() error {
	for _, u := range r.users {
		if err := u.client.Err(); err != nil {
			r.history.complain("user %d has ended by itself: %v", u.index, err)
		}
		u.client.Close()
	}
	answer, err := r.process.ask("rest")
	if err != nil {
		return err
	}
	var sessions, goroutines, files int
	if _, err := fmt.Sscanf(answer, "rest %d %d %d", &sessions, &goroutines, &files); err != nil {
		return err
	}
	if sessions > 0 || goroutines > 0 || files > 0 {
		r.history.complain("the server has %d sessions, %d goroutines and %d open files left", sessions, goroutines, files)
	}
	return nil
}

// checkLeaks looks for what this process has left.
func (r *trial) checkLeaks(goroutines, files int) {
	for limit := time.Now().Add(2 * time.Second); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= goroutines && openFiles() <= files {
			return
		}
	}
	r.history.complain("%d goroutines and %d open files are left; the file stacks shows the former",
		runtime.NumGoroutine()-goroutines, openFiles()-files)
	_ = os.WriteFile(filepath.Join(r.folder, "stacks"), []byte(allStacks()), 0o600)
}

// summarize prints what has happened.
func (r *trial) summarize() {
	h, table := r.history, tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "calls\tall\tok\tanswered\tnot sent\tunknown\t")
	for _, kind := range slices.Sorted(maps.Keys(h.tallies)) {
		t := h.tallies[kind]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t\n", kind, t.sum(), t[ok], t[answered], t[notSent], t[unknown])
	}
	table.Flush()
	fmt.Fprintln(r.out, "faults", h.faults)
	pushes, resumed, told, gapped := 0, 0, 0, uint64(0)
	for _, u := range r.users {
		pushes, resumed, told, gapped = pushes+len(u.pushes), resumed+u.resumed, told+u.told, gapped+u.gapped
	}
	fmt.Fprintf(r.out, "%d pushes, %d refused, %d reported as lost; sessions went on %d times, and not %d times\n", pushes, r.refused, gapped, resumed, told)
	fmt.Fprintf(r.out, "%d idempotent calls failed before their deadline; the slowest call took %v\n", h.early, h.slowest.Round(time.Millisecond))
	for i, what := range h.broken {
		if i == 20 {
			fmt.Fprintln(r.out, "BROKEN: …")
			break
		}
		fmt.Fprintln(r.out, "BROKEN:", what)
	}
}
