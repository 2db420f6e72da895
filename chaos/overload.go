package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/server"
)

// overload compares quiet rounds, in which all clients are healthy, with attacked ones,
// in which some freeze and some send garbage.
type overload struct {
	attack
	*stage
	crowd  *crowd
	out    io.Writer
	rounds []round // quiet and attacked in turn
	rests  []rest
}

// round is what a round has shown.
type round struct {
	attacked  bool
	healthy   int // clients
	calls     *called
	heard     *latencies // of broadcasts
	lost      int64      // connections of healthy clients
	before    server.Stats
	seen      observed   // in the end
	course    []observed // each second
	attackers attackersObserved
	processor processorTimes
}

// missed is how many broadcasts healthy clients have not heard.
func (r round) missed() int64 { return int64(r.seen.Broadcasts*r.healthy) - r.heard.count() }

// rest is what the server takes when nothing happens.
type rest struct {
	when string
	observed
}

// measureOverload makes the rounds and adds what they have shown to the report.
func (a attack) measureOverload(ctx context.Context, out io.Writer, r *report) error {
	s, err := openStage(a.limits)
	if err != nil {
		return err
	}
	o := &overload{attack: a, stage: s, crowd: newCrowd(s.address), out: out}
	err = o.run(ctx)
	if failure := s.close(); err == nil {
		err = failure
	}
	if err == nil {
		o.reportTo(r)
	}
	return err
}

func (o *overload) run(ctx context.Context) error {
	defer o.crowd.resize(ctx, 0)
	if err := o.rest("before anybody comes"); err != nil {
		return err
	}
	if err := o.warm(ctx); err != nil {
		return err
	}
	if err := o.rest("all are healthy, before the attacks"); err != nil {
		return err
	}
	for range o.attack.rounds {
		for _, attacked := range []bool{false, true} {
			if err := o.round(ctx, attacked); err != nil {
				return err
			}
		}
	}
	return o.leave(ctx)
}

// warm lets the healthy clients come and make a call each.
func (o *overload) warm(ctx context.Context) error {
	fmt.Fprintf(o.out, "%d healthy clients come\n", o.connections)
	if err := o.gather(ctx, o.connections); err != nil {
		return err
	}
	if _, err := askFor[observed](o.server, "begin", o.every); err != nil {
		return err
	}
	o.crowd.call(ctx, o.rate, time.Duration(o.connections)*time.Second/time.Duration(o.rate))
	_, err := askFor[observed](o.server, "end")
	return err
}

// gather lets there be so many healthy clients, and nobody else.
func (o *overload) gather(ctx context.Context, healthy int) error {
	if err := o.crowd.resize(ctx, healthy); err != nil {
		return err
	}
	return o.awaitClients(ctx, healthy)
}

// leave notes what the server takes after the attacks, and when all have gone.
func (o *overload) leave(ctx context.Context) error {
	if err := o.gather(ctx, o.connections); err != nil {
		return err
	}
	if err := o.rest("all are healthy, after the attacks"); err != nil {
		return err
	}
	if err := o.gather(ctx, 0); err != nil {
		return err
	}
	return o.rest("when all have gone")
}

// rest notes what the server takes after a while without anything to do.
func (o *overload) rest(when string) error {
	time.Sleep(o.span / 10) // for the timers that give back what is not used
	seen, err := askFor[observed](o.server, "rest")
	o.rests = append(o.rests, rest{when, seen})
	return err
}

// round makes a round.
func (o *overload) round(ctx context.Context, attacked bool) error {
	r := round{attacked: attacked, healthy: o.connections}
	if attacked {
		r.healthy -= 2 * o.percent()
	}
	if err := o.gather(ctx, r.healthy); err != nil {
		return err
	}
	if attacked {
		if err := o.stage.attack(ctx, 2*o.percent(), "connect", o.percent(), o.percent()); err != nil {
			return err
		}
	}
	if _, err := askFor[observed](o.server, "rest"); err != nil { // what the round before has left does not count
		return err
	}
	var err error
	if r.processor, err = o.processorTimesOf(func() error { return o.load(ctx, &r) }); err != nil {
		return err
	}
	if r.attackers, err = o.callOff(); err != nil {
		return err
	}
	o.rounds = append(o.rounds, r)
	fmt.Fprintf(o.out, "round %d: %v\n", len(o.rounds), r)
	return o.awaitClients(ctx, r.healthy)
}

func (r round) name() string {
	if r.attacked {
		return "attacked"
	}
	return "quiet"
}

// String tells a round in a line.
func (r round) String() string {
	return fmt.Sprintf("%s, p99 of calls %s, of broadcasts %s, peak memory %s", r.name(),
		millis(r.calls.latencies.percentile(99)), millis(r.heard.percentile(99)), mebibytes(r.seen.Usage.PeakResident))
}

// load lets calls and broadcasts be made for a round, and watches the server.
func (o *overload) load(ctx context.Context, r *round) error {
	r.heard = newLatencies()
	o.crowd.heard.Store(r.heard)
	lost := o.crowd.lost.Load()
	begun, err := askFor[observed](o.server, "begin", o.every)
	if err != nil {
		return err
	}
	r.before = begun.Stats
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.course, err = o.watch(watching) })
	r.calls = o.crowd.call(ctx, o.rate, o.span)
	stop()
	watch.Wait()
	if err == nil {
		r.seen, err = askFor[observed](o.server, "end")
	}
	if err != nil {
		return err
	}
	for limit := time.Now().Add(callTimeout); r.missed() > 0 && time.Now().Before(limit); {
		time.Sleep(10 * time.Millisecond)
	}
	r.lost = o.crowd.lost.Load() - lost
	return ctx.Err()
}

// watch looks at the server each second until the context ends.
func (o *overload) watch(ctx context.Context) (course []observed, err error) {
	for due := time.Now(); waitUntil(ctx, due); due = due.Add(time.Second) {
		seen, err := o.look()
		if err != nil {
			return course, err
		}
		course = append(course, seen)
	}
	return course, nil
}
