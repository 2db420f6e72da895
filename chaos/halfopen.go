package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// connectInterval is the least time between connects: each keeps a port of the machine
// for a minute.
const connectInterval = 5 * time.Millisecond

// halfOpenRound is what a round of connects has shown.
type halfOpenRound struct {
	connects  *latencies
	halfOpen  int // how many there were in the end
	processor processorTimes
	attackers attackersObserved
}

// halfOpenTest compares how long healthy clients take to connect in quiet rounds, and
// beside many connections whose handshake does not come.
type halfOpenTest struct {
	attack
	*stage
	crowd           *crowd
	quiet, attacked []halfOpenRound
}

// measureHalfOpen makes the rounds and adds what they have shown to the report.
func (a attack) measureHalfOpen(ctx context.Context, out io.Writer, r *report) error {
	s, err := openStage(a.limits)
	if err != nil {
		return err
	}
	h := &halfOpenTest{attack: a, stage: s, crowd: newCrowd(s.address)}
	err = h.run(ctx, out)
	if failure := s.close(); err == nil {
		err = failure
	}
	if err == nil {
		h.reportTo(r)
	}
	return err
}

func (h *halfOpenTest) run(ctx context.Context, out io.Writer) error {
	if _, err := h.connects(ctx, h.span/10); err != nil { // which warms all up
		return err
	}
	for n := range h.rounds {
		quiet, err := h.round(ctx)
		if err != nil {
			return err
		}
		if err := h.stage.attack(ctx, h.halfOpen, "half-open", h.halfOpen); err != nil {
			return err
		}
		attacked, err := h.round(ctx)
		if err != nil {
			return err
		}
		if attacked.attackers, err = h.callOff(); err != nil {
			return err
		}
		h.quiet, h.attacked = append(h.quiet, quiet), append(h.attacked, attacked)
		fmt.Fprintf(out, "half-open round %d: p99 of connects %s quiet, %s beside %d\n", n+1,
			millis(quiet.connects.percentile(99)), millis(attacked.connects.percentile(99)), h.halfOpen)
	}
	return nil
}

func (h *halfOpenTest) round(ctx context.Context) (r halfOpenRound, err error) {
	r.processor, err = h.processorTimesOf(func() error {
		r.connects, err = h.connects(ctx, h.span/2)
		return err
	})
	if err != nil {
		return r, err
	}
	seen, err := h.look()
	r.halfOpen = seen.Stats.HalfOpen
	return r, err
}

// connects lets healthy clients connect, call once and leave, one after the other.
func (h *halfOpenTest) connects(ctx context.Context, span time.Duration) (*latencies, error) {
	found := newLatencies()
	for end, due := time.Now().Add(span), time.Now(); time.Now().Before(end) && waitUntil(ctx, due); {
		began := time.Now()
		due = began.Add(connectInterval)
		visitor, err := h.crowd.join(ctx)
		if err != nil {
			return nil, err
		}
		err = visitor.echo(ctx, 0)
		found.record(time.Since(began))
		visitor.leave()
		if err != nil {
			return nil, err
		}
	}
	return found, ctx.Err()
}

func (h *halfOpenTest) reportTo(r *report) {
	t := newComparison(fmt.Sprintf("Connecting beside %d half-open connections", h.halfOpen))
	t.notes = []string{fmt.Sprintf("Healthy clients connect, shake hands, make one call and leave, one after the other, at most one every %v, in rounds of %v that are quiet or attacked in turn, %d of each. "+
		"The attackers connect and say nothing, or half of a handshake, and come again when the server cuts them, %v later, which is spread over that time; they have %d addresses. "+
		"The server is given WithMaxHalfOpen(1024, %d), as by default it lets no more than 4,096 be half-open and closes those beyond as they come.",
		connectInterval, h.span/2, h.attack.rounds, h.limits.handshake, sources, halfOpenRoom)}
	for _, percentile := range percentiles() {
		t.compare(r, fmt.Sprintf("p%v of connects", percentile), connectsOf(h.quiet, percentile), connectsOf(h.attacked, percentile), h.limitFor(percentile))
	}
	for i, round := range h.attacked {
		if round.halfOpen < h.halfOpen*9/10 {
			r.fault("round %d: %d connections were half-open and should have been %d", i+1, round.halfOpen, h.halfOpen)
		}
	}
	r.add(t.table)
	r.add(h.roundTable())
}

func connectsOf(rounds []halfOpenRound, percentile float64) (all []time.Duration) {
	for _, r := range rounds {
		all = append(all, r.connects.percentile(percentile))
	}
	return all
}

func (h *halfOpenTest) roundTable() table {
	t := table{title: "The rounds beside half-open connections", header: []string{"round", "connects", "half-open in the end",
		"cut meanwhile", "processor time of the server", "of the healthy", "of the attackers"}}
	add := func(name string, r halfOpenRound) {
		t.row(name, r.connects.count(), r.halfOpen, r.attackers.Cut,
			seconds(r.processor.server), seconds(r.processor.healthy), seconds(r.processor.attackers))
	}
	for i := range h.quiet {
		add(fmt.Sprint(2*i+1, " quiet"), h.quiet[i])
		add(fmt.Sprint(2*i+2, " attacked"), h.attacked[i])
	}
	return t
}
