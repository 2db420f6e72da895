package main

import (
	"fmt"
	"slices"
	"time"
)

// reportTo adds what the rounds have shown to a report.
func (o *overload) reportTo(r *report) {
	o.reportLatencies(r)
	o.reportHealthy(r)
	o.reportServer(r)
	o.reportCourse(r)
	o.reportDepartures(r)
	o.reportRests(r)
}

// of returns a figure of each attacked round, or of each quiet one.
func (o *overload) of(attacked bool, figure func(round) time.Duration) (all []time.Duration) {
	for _, r := range o.rounds {
		if r.attacked == attacked {
			all = append(all, figure(r))
		}
	}
	return all
}

func (o *overload) reportLatencies(r *report) {
	t := newComparison(fmt.Sprintf("%d connections, of which 1 %% never read and 1 %% send garbage", o.connections))
	t.notes = []string{
		fmt.Sprintf("Quiet rounds and attacked ones of %v alternate, %d of each. In quiet ones all %d connections are healthy; in attacked ones %d freeze and %d send garbage instead. "+
			"Healthy clients make %d calls a second, one after the other over all connections, and the server broadcasts to all every %v. "+
			"Both happen on a schedule, and latencies count from when something was due. A ratio is that of an attacked round to the quiet one before. "+
			"A broadcast keeps the processors busy until all have heard it; calls that are due meanwhile wait, which is what their p99 shows, in quiet as well.",
			o.span, o.attack.rounds, o.connections, o.percent(), o.percent(), o.rate, o.every),
		fmt.Sprintf("The frozen shake hands with limits as high as they go, ask for %d replies of %d KiB and for another one every %v, and read nothing; the server cuts who takes nothing for %v. "+
			"The others send every %v either 4 KiB of random bytes, a packet that says to have 2^53 bytes, a malformed one, or %d packets without a token, of unknown kinds, of unknown actions, for calls that there are not, or that open calls with large replies and cancel them; they read what they are told. "+
			"Who is cut comes again. All processes share the processors of one machine: what the attackers themselves take slows the others as well.",
			fillsAtOnce, fillSize>>10, attackInterval, o.limits.write, attackInterval, helping),
	}
	for _, percentile := range percentiles() {
		calls := func(r round) time.Duration { return r.calls.latencies.percentile(percentile) }
		t.compare(r, fmt.Sprintf("p%v of calls", percentile), o.of(false, calls), o.of(true, calls), o.limitFor(percentile))
	}
	for _, percentile := range percentiles() {
		heard := func(r round) time.Duration { return r.heard.percentile(percentile) }
		t.compare(r, fmt.Sprintf("p%v of broadcasts", percentile), o.of(false, heard), o.of(true, heard), o.limitFor(percentile))
	}
	r.add(t.table)
}

// limitFor returns the limit of a ratio, which there is for the p99 alone.
func (a attack) limitFor(percentile float64) float64 {
	if percentile == 99 {
		return a.ratio
	}
	return 0
}

func (o *overload) reportHealthy(r *report) {
	t := table{title: "The healthy clients", header: []string{"round", "calls", "failed", "broadcasts", "not heard", "connections lost"}}
	for i, each := range o.rounds {
		t.row(fmt.Sprint(i+1, " ", each.name()), each.calls.latencies.count(), each.calls.failed.Load(),
			each.seen.Broadcasts, each.missed(), each.lost)
		if failure := each.calls.failure.Load(); failure != nil {
			r.fault("round %d: %d calls have failed, the first with: %v", i+1, each.calls.failed.Load(), *failure)
		}
		if each.lost > 0 {
			r.fault("round %d: healthy clients have lost %d connections", i+1, each.lost)
		}
		if missed := each.missed(); missed > 0 {
			r.fault("round %d: %d broadcasts were not heard", i+1, missed)
		}
	}
	r.add(t)
}

func (o *overload) reportServer(r *report) {
	t := table{title: "The server", header: []string{"round", "peak memory", "most that WithMaxMemory counts", "most goroutines", "most files",
		"calls refused", "broadcasts refused", "processor time", "of the healthy", "of the attackers"}}
	t.notes = []string{"Memory is resident memory, and files are file descriptors. Refused is what there was no room for: of calls by a limit of the server, of broadcasts at a client that did not take what came before."}
	for i, each := range o.rounds {
		goroutines, files, counted := 0, 0, int64(0)
		for _, seen := range each.course {
			goroutines, files = max(goroutines, seen.Usage.Goroutines), max(files, seen.Usage.Files)
			counted = max(counted, seen.Stats.Memory)
		}
		peak := each.seen.Usage.PeakResident
		if o.memory > 0 && peak > uint64(o.memory)<<20 {
			r.fault("round %d: the server has taken %s, and should take at most %d MiB", i+1, mebibytes(peak), o.memory)
		}
		t.row(fmt.Sprint(i+1, " ", each.name()), mebibytes(peak), mebibytes(uint64(counted)), goroutines, files,
			each.seen.Stats.CallsRefused-each.before.CallsRefused, each.seen.Stats.PushesRefused-each.before.PushesRefused,
			seconds(each.processor.server), seconds(each.processor.healthy), seconds(each.processor.attackers))
	}
	r.add(t)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// coursePoints is how many moments of a round the course of memory shows.
const coursePoints = 10

func (o *overload) reportCourse(r *report) {
	t := table{title: "The server's memory in the course of each round", header: []string{"round"}}
	step := max(1, int(o.span.Seconds())/coursePoints)
	for second := 0; second < int(o.span.Seconds()); second += step {
		t.header = append(t.header, fmt.Sprintf("%d s", second))
	}
	t.notes = []string{"Resident memory, and the heap with its garbage."}
	for i, each := range o.rounds {
		cells := []any{i + 1}
		for second := 0; second < min(len(each.course), int(o.span.Seconds())); second += step {
			seen := each.course[second].Usage
			cells = append(cells, mebibytes(seen.Resident)+", "+mebibytes(seen.Heap))
		}
		t.row(cells...)
	}
	r.add(t)
}

func (o *overload) reportDepartures(r *report) {
	t := table{title: "Who was cut, and why", header: []string{"round", "who", "reason", "how many", "soonest", "latest"}}
	t.notes = []string{"As server.WithDisconnected is told, during the round. Times are from the handshake. Who sends garbage leaves by itself after a while and comes again with another kind."}
	for i, each := range o.rounds {
		frozen := 0
		for _, d := range each.seen.Departures {
			t.row(i+1, d.Name, d.Reason, d.Count, d.Soonest.Round(10*time.Millisecond), d.Latest.Round(10*time.Millisecond))
			if d.Name == frozenName {
				frozen += d.Count
			}
			if d.Name == healthyName {
				r.fault("round %d: %d healthy clients have gone: %s", i+1, d.Count, d.Reason)
			}
		}
		if each.attacked && frozen < o.percent() && o.span >= 2*o.limits.write {
			r.fault("round %d: %d of %d frozen clients were cut", i+1, frozen, o.percent())
		}
	}
	r.add(t)
}

func (o *overload) reportRests(r *report) {
	t := table{title: "What the server holds at rest", header: []string{"when", "clients", "resident memory", "heap", "goroutines", "files"}}
	for _, each := range o.rests {
		t.row(each.when, each.Stats.Connections, mebibytes(each.Usage.Resident), mebibytes(each.Usage.Heap), each.Usage.Goroutines, each.Usage.Files)
		before := o.restWith(each.Stats.Connections)
		r.checkLeft(each.when, "goroutines", before.Usage.Goroutines, each.Usage.Goroutines)
		r.checkLeft(each.when, "open files", before.Usage.Files, each.Usage.Files)
	}
	r.add(t)
}

// restWith returns the first rest with so many clients.
func (o *overload) restWith(clients int) rest {
	return o.rests[slices.IndexFunc(o.rests, func(r rest) bool { return r.Stats.Connections == clients })]
}

// checkLeft looks for what was left behind. Some may still be on their way out.
func (r *report) checkLeft(when, what string, before, after int) {
	const leaving = 10
	if after > before+leaving {
		r.fault("%s, the server has %d %s, and had %d before", when, after, what, before)
	}
}
