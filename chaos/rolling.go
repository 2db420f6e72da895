package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// rolling is what a rolling restart is told.
type rolling struct {
	servers, rounds  int
	clients, callers int
	grace, slack     time.Duration // of a shutdown, and by how much it may exceed that
	pause            time.Duration // between restarts
	folder           string        // where the history is written; "" is a new temporary folder
}

// rollingSpan is for how long a call is waited for: in spite of a server that ends and
// of calls that outlast its grace period again and again.
func rollingSpan() time.Duration { return 30 * time.Second }

// run restarts servers in turn under load, prints how it goes, and returns an error
// when a promise was broken.
func (r rolling) run(ctx context.Context, out io.Writer) error {
	t, err := newTrial(r.folder, out)
	if err != nil {
		return err
	}
	err = r.try(ctx, t)
	if err == nil {
		r.summarize(t)
	}
	return t.conclude(err)
}

func (r rolling) try(ctx context.Context, t *trial) error {
	if err := r.startServers(t); err != nil {
		return err
	}
	for i := range r.clients {
		u, err := newUser(ctx, i, habits{span: rollingSpan, strict: true}, t.history, r.addressesFor(i, t.processes)...)
		if err != nil {
			return err
		}
		t.users = append(t.users, u)
	}
	r.roll(ctx, t)
	return t.end(func() {})
}

// startServers starts the processes. The epoch of one that takes another's place is
// above those of all others, so that the one to be restarted next always has the lowest,
// and clients that leave it go to a higher one.
func (r rolling) startServers(t *trial) error {
	for i := range r.servers {
		p, err := startProcess(serving{
			journal:  t.journal(),
			epoch:    i + 1 - r.servers,
			resume:   resumeWithin,
			grace:    r.grace,
			interval: pushInterval,
			linger:   5 * r.grace / 2,
		}, r.servers, r.slack)
		if err != nil {
			return err
		}
		t.processes = append(t.processes, p)
	}
	return nil
}

// addressesFor returns the servers' addresses in an order that clients do not share:
// forwards or backwards, each beginning with another server.
func (r rolling) addressesFor(client int, processes []*process) []string {
	addresses := make([]string, r.servers)
	for i := range addresses {
		step := i
		if client/r.servers%2 == 1 {
			step = r.servers - i
		}
		addresses[i] = processes[(client+step)%r.servers].serving.address
	}
	return addresses
}

// roll lets calls be made and servers be restarted in turn at the same time.
func (r rolling) roll(ctx context.Context, t *trial) {
	ctx, cancel := context.WithCancel(ctx)
	var reporting sync.WaitGroup
	reporting.Go(func() { t.report(ctx) })
	for _, u := range t.users {
		u.call(ctx, r.callers)
	}
	for round := range r.rounds {
		for i, p := range t.processes {
			select {
			case <-time.After(r.pause):
			case <-ctx.Done():
			}
			if err := p.restart(); err != nil {
				t.history.complain("%v", err)
			}
			t.history.fault(restartFault, round, i)
		}
	}
	cancel()
	reporting.Wait()
}

// summarize prints what only a rolling restart has to tell.
func (r rolling) summarize(t *trial) {
	slowest, repeated := time.Duration(0), 0
	for _, p := range t.processes {
		slowest = max(slowest, p.slowest)
	}
	for _, begun := range t.ledger.lingers {
		repeated += begun - 1
	}
	fmt.Fprintf(t.out, "the slowest shutdown took %v, of a grace period of %v\n", slowest.Round(time.Millisecond), r.grace)
	fmt.Fprintf(t.out, "%d times a call has outlasted the grace period and was made again\n", repeated)
}
