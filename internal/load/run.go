package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// dialsAtOnce bounds how many connections are being opened, so that a server
	// with a limit of half-open ones takes them all.
	dialsAtOnce = 16
	// headStart lets the callers of an open loop be there when the first call is due.
	headStart = 5 * time.Millisecond
)

// Run connects, makes the calls and returns what came of them. It fails when not all
// connections can be opened, or the load makes no sense. The end of ctx ends the load
// early: the result then has what was done. Calls that are under way when no more are
// begun have a second to end. The values of ctx, such as outgoing metadata, are those of
// each call.
func (l Load) Run(ctx context.Context) (*Result, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	conns, err := l.dial(ctx)
	defer closeAll(conns)
	if err != nil {
		return nil, err
	}
	return newRun(ctx, &l, conns).conduct(ctx), nil
}

// dial opens all connections. It returns those that are open with an error too.
func (l *Load) dial(ctx context.Context) ([]*client.Client, error) {
	conns := make([]*client.Client, l.Connections)
	dials, ctx := errgroup.WithContext(ctx)
	dials.SetLimit(dialsAtOnce)
	for i := range conns {
		dials.Go(func() (err error) {
			if ctx.Err() == nil { // otherwise another one has failed
				conns[i], err = l.Dial(ctx)
			}
			return err
		})
	}
	return conns, dials.Wait()
}

func closeAll(conns []*client.Client) {
	var closing sync.WaitGroup
	for _, conn := range conns {
		if conn != nil {
			closing.Go(func() { conn.Close() })
		}
	}
	closing.Wait()
}

// run is a load under way.
type run struct {
	*Load
	spec     *packetrpc.Spec
	conns    []*client.Client
	recorder *recorder
	series   series

	start    time.Time // when the first call is due, or begun
	counting time.Time // when calls begin to count
	end      time.Time // after which none is due; zero is never

	stopped   atomic.Bool // no more calls are begun
	stop      chan struct{}
	stoppedAt time.Time
	ended     string // why
	// calling is the context of calls, which ends when those are cut off that are
	// still under way.
	calling context.Context
	cut     context.CancelCauseFunc

	first      int64        // the number of the first call of an open loop that counts
	numbers    atomic.Int64 // how many have been given out
	counted    atomic.Int64 // how many calls of a closed loop have been allowed
	unfinished atomic.Int64
	lost       atomic.Int64 // callers whose connections have ended
}

func newRun(ctx context.Context, l *Load, conns []*client.Client) *run {
	spec := *l.Action.Spec
	if l.Timeout > 0 {
		spec.Timeout = l.Timeout
	}
	r := &run{Load: l, spec: &spec, conns: conns, recorder: newRecorder(l.Callers, l.Rate > 0), stop: make(chan struct{})}
	r.calling, r.cut = context.WithCancelCause(context.WithoutCancel(ctx))
	r.schedule()
	r.series = newSeries(r.counting, l.interval(), l.Rate > 0)
	return r
}

// schedule sets the times of the load.
func (r *run) schedule() {
	r.start = time.Now()
	if r.Rate > 0 {
		r.start = r.start.Add(headStart)
	}
	r.counting = r.start.Add(r.Warmup)
	if r.Duration > 0 {
		r.end = r.counting.Add(r.Duration)
	}
	if r.Rate > 0 {
		r.first = r.dueBefore(r.counting)
	}
}

// conduct has the callers call, watches the time, and gathers what they record.
func (r *run) conduct(ctx context.Context) *Result {
	defer r.cut(nil)
	callers, done := r.call()
	tick := time.NewTimer(r.untilTick())
	defer tick.Stop()
	var timeUp, patienceOver <-chan time.Time
	if r.Duration > 0 {
		timeUp = time.After(time.Until(r.end))
	}
	interrupted := ctx.Done()
	for {
		select {
		case <-tick.C:
			r.observe()
			tick.Reset(r.untilTick())
		case <-timeUp:
			r.halt(EndedTime, r.end)
			interrupted, patienceOver = nil, time.After(grace)
		case <-interrupted:
			r.halt(EndedInterrupted, time.Now())
			interrupted, timeUp, patienceOver = nil, nil, time.After(grace)
		case <-patienceOver:
			r.cut(errEnded)
		case <-done:
			r.settle()
			return r.result(callers)
		}
	}
}

// call starts the callers. done is closed when all have returned.
func (r *run) call() (callers []*caller, done <-chan struct{}) {
	callers = make([]*caller, r.Callers)
	var calling sync.WaitGroup
	for i := range callers {
		c := &caller{run: r, index: i, conn: r.conns[i%len(r.conns)], timer: time.NewTimer(0), ended: r.start}
		c.reply = c.newReply()
		callers[i] = c
		calling.Go(func() {
			ctx, cancel := context.WithCancel(r.calling)
			defer cancel()
			c.ctx = ctx
			c.repeat()
		})
	}
	all := make(chan struct{})
	go func() {
		calling.Wait()
		close(all)
	}()
	return callers, all
}

// halt lets no more calls be begun.
func (r *run) halt(why string, at time.Time) {
	r.ended, r.stoppedAt = why, at
	r.stopped.Store(true)
	close(r.stop)
}

// settle finds out why the callers have returned if they were not halted.
func (r *run) settle() {
	switch {
	case r.ended != "":
	case r.lost.Load() == int64(r.Callers):
		r.ended, r.stoppedAt = EndedConnections, time.Now()
	case r.Rate == 0 || r.end.IsZero() || r.Calls > 0 && r.due(r.first+r.Calls-1).Before(r.end):
		r.ended = EndedCalls
	default: // the last call of an open loop ends before the time does
		r.ended, r.stoppedAt = EndedTime, r.end
	}
}

// ticket is the right to make a call.
type ticket struct {
	number int64
	due    time.Time
	late   bool // it was due before a caller was free
	counts bool // the warm-up is over
}

// next waits until the next call is due. It reports false when no more are begun.
func (c *caller) next() (ticket, bool) {
	if c.stopped.Load() {
		return ticket{}, false
	}
	t := ticket{number: c.numbers.Add(1) - 1}
	if c.Rate > 0 {
		t.due = c.due(t.number)
		t.late = t.due.Before(time.Now())
	} else {
		t.due = c.ended // the clock need not be looked at twice
	}
	t.counts = !t.due.Before(c.counting)
	if !c.end.IsZero() && !t.due.Before(c.end) || t.counts && !c.allowed(t) {
		return ticket{}, false
	}
	return t, t.late || c.Rate == 0 || c.await(t.due)
}

// due returns when a call of an open loop is due, in a century at the latest.
func (r *run) due(number int64) time.Time {
	const century = 100 * 365 * 24 * time.Hour
	return r.start.Add(time.Duration(min(float64(number)/r.Rate*float64(time.Second), float64(century))))
}

// dueBefore returns how many calls of an open loop are due before a moment.
func (r *run) dueBefore(moment time.Time) int64 {
	n := max(int64(moment.Sub(r.start).Seconds()*r.Rate), 0)
	for r.due(n).Before(moment) {
		n++
	}
	for n > 0 && !r.due(n-1).Before(moment) {
		n--
	}
	return n
}

// allowed holds calls that count to the limit of their number.
func (r *run) allowed(t ticket) bool {
	switch {
	case r.Calls == 0:
		return true
	case r.Rate > 0: // callers may come by here in another order than that of their numbers
		return t.number < r.first+r.Calls
	}
	return r.counted.Add(1) <= r.Calls
}

// await waits until a call is due. When the load is halted earlier, it reports false.
func (c *caller) await(due time.Time) bool {
	c.pause(time.Until(due))
	return !time.Now().Before(due)
}

// sleep waits, and reports false when the load is halted meanwhile.
func (c *caller) sleep(d time.Duration) bool {
	c.pause(d)
	return !c.stopped.Load()
}

func (c *caller) pause(d time.Duration) {
	c.timer.Reset(d)
	select {
	case <-c.timer.C:
	case <-c.stop:
		c.timer.Stop()
	}
}

// untilTick returns for how long the interval goes on.
func (r *run) untilTick() time.Duration {
	every, since := r.series.every, time.Since(r.counting)
	if since < 0 {
		return min(every, -since)
	}
	return every - since%every
}

// observe ends an interval, and tells how far the load has come.
func (r *run) observe() {
	now := time.Now()
	if r.stopped.Load() {
		return // what is still under way belongs to the last interval
	}
	if now.Sub(r.series.until) > r.series.every/2 { // it is not the end of the warm-up
		r.series.add(r.recorder.collect(), now)
	}
	if r.Progress != nil {
		r.Progress(r.progress(now))
	}
}

func (r *run) progress(now time.Time) Progress {
	elapsed := max(now.Sub(r.counting), 0)
	ended := r.series.total.latency.Count() + r.series.total.failed
	part := 0.0
	if r.Duration > 0 {
		part = elapsed.Seconds() / r.Duration.Seconds()
	}
	if r.Calls > 0 {
		part = max(part, float64(ended)/float64(r.Calls))
	}
	return Progress{
		Warming: now.Before(r.counting),
		Elapsed: elapsed,
		Done:    min(part, 1),
		OK:      r.series.total.latency.Count(),
		Failed:  r.series.total.failed,
		Last:    r.series.last(),
	}
}

// result puts together what has come of it all. The callers have returned.
func (r *run) result(callers []*caller) *Result {
	end := r.stoppedAt
	for _, c := range callers {
		if c.lastEnd.After(end) {
			end = c.lastEnd
		}
	}
	r.series.finish(r.recorder.collect(), end)
	total := &r.series.total
	result := &Result{
		Version:     resultVersion,
		Action:      r.spec.Action,
		Type:        r.spec.Type.String(),
		Began:       r.start,
		Connections: r.Connections,
		Callers:     r.Callers,
		Rate:        r.Rate,
		Messages:    r.Messages,
		Warmup:      r.Warmup.Seconds(),
		Elapsed:     max(end.Sub(r.counting), 0).Seconds(),
		Ended:       r.ended,
		OK:          total.latency.Count(),
		Failed:      total.failed,
		Unfinished:  r.unfinished.Load(),
		Late:        total.late,
		Starved:     total.starved,
		Retries:     total.retries,
		Sent:        total.sent,
		Received:    total.received,
		Latency:     total.latency,
		Service:     total.service,
		Series:      r.series.done,
		Errors:      r.recorder.failures.all(),
	}
	result.PerSecond = perSecond(result.OK, result.Elapsed)
	result.Unsent = r.unsent(result.Calls() + result.Unfinished)
	return result
}

// unsent returns how many calls of an open loop were due and have not been begun.
func (r *run) unsent(begun int64) int64 {
	if r.Rate == 0 || r.ended == EndedCalls {
		return 0
	}
	due := r.dueBefore(r.stoppedAt) - r.first
	if r.Calls > 0 {
		due = min(due, r.Calls)
	}
	return max(due-begun, 0)
}
