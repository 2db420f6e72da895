package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
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
	gracePeriod = 2 * time.Second
	// runSlack is by how much a shutdown in bad weather may exceed its grace period.
	runSlack = 3 * time.Second
)

// run makes a run, prints how it goes, and returns an error when a promise was broken.
func (p plan) run(ctx context.Context, out io.Writer) error {
	t, err := newTrial(p.folder, out)
	if err != nil {
		return err
	}
	if err := t.conclude(p.try(ctx, t)); err != nil {
		return fmt.Errorf("%w; -seed %d draws the same faults", err, p.seed)
	}
	return nil
}

// try lets users call a server through a proxy that breaks, and checks what they have
// seen.
func (p plan) try(ctx context.Context, t *trial) error {
	server, err := startProcess(serving{journal: t.journal(), resume: resumeWithin, grace: gracePeriod, interval: pushInterval}, 1, runSlack)
	if err != nil {
		return err
	}
	t.processes = append(t.processes, server)
	proxy, err := newProxy(server.serving.address)
	if err != nil {
		return err
	}
	for i := range p.clients {
		u, err := newUser(ctx, i, habits{span: anySpan}, t.history, proxy.address())
		if err != nil {
			return err
		}
		t.users = append(t.users, u)
	}
	p.rage(ctx, t, proxy)
	return t.end(proxy.close)
}

// anySpan is for how long a call is waited for.
func anySpan() time.Duration { return 200*time.Millisecond + rand.N(3*time.Second) }

// rage lets calls be made and faults be injected at the same time.
func (p plan) rage(ctx context.Context, t *trial, proxy *proxy) {
	ctx, cancel := context.WithTimeout(ctx, p.span)
	defer cancel()
	for _, u := range t.users {
		u.call(ctx, p.callers)
	}
	s := &storm{proxy: proxy, process: t.processes[0], history: t.history, wanted: p.faults,
		every: p.every, random: rand.New(rand.NewPCG(p.seed, 0))}
	var both sync.WaitGroup
	both.Go(func() { s.rage(ctx) })
	both.Go(func() { t.report(ctx) })
	both.Wait()
}
