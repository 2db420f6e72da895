package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/urfave/cli/v3"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
)

// newPingCommand returns the command that measures round trips.
func newPingCommand() *cli.Command {
	return &cli.Command{
		Name:        "ping",
		Usage:       "call a server again and again, and tell how long it takes to answer",
		Description: connectHelp + "\n\nIt ends after --count calls, or when it is interrupted. A call without an answer within\n--timeout has failed.",
		ArgsUsage:   "[ADDR]",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "count", Aliases: []string{"c"}, Usage: "call `N` times", HideDefault: true},
			&cli.DurationFlag{Name: "interval", Aliases: []string{"i"}, Usage: "call every `DURATION`", Value: time.Second},
		}, connectFlags()...),
		Action: connected(0, 0, ping),
	}
}

func ping(ctx context.Context, r *remote, _ []string) error {
	interval, count := r.flags.Duration("interval"), r.flags.Int("count")
	if interval <= 0 || count < 0 {
		return usageErrorf("--interval is more than 0, and --count is not less")
	}
	p := &pinger{remote: r}
	if err := p.run(ctx, interval, count); err != nil {
		p.summarize()
		return callError(err, nil)
	}
	p.summarize()
	if p.received == 0 {
		return errors.New("no call was answered")
	}
	return nil
}

// pinger measures round trips.
type pinger struct {
	*remote
	sent, received    int
	least, most       time.Duration
	sum, sumOfSquares float64 // in seconds
}

// run makes count calls, or as many as there are until ctx ends. It fails when the
// connection is lost.
func (p *pinger) run(ctx context.Context, interval time.Duration, count int) error {
	pause := time.NewTicker(interval)
	defer pause.Stop()
	for {
		took, err := p.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		p.count(took, err)
		if p.client.Err() != nil || p.sent == count {
			return p.client.Err()
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// once makes a call and measures how long it takes.
func (p *pinger) once(ctx context.Context) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	began := time.Now()
	_, err = p.core.Ping(ctx, &packetrpcv1.PingRequest{})
	return time.Since(began), err
}

// count counts a call, and prints what has become of it.
func (p *pinger) count(took time.Duration, err error) {
	p.sent++
	if err == nil {
		p.add(took)
	}
	p.print(took, err)
}

func (p *pinger) add(took time.Duration) {
	if p.received == 0 || took < p.least {
		p.least = took
	}
	p.most = max(p.most, took)
	p.sum += took.Seconds()
	p.sumOfSquares += took.Seconds() * took.Seconds()
	p.received++
}

func (p *pinger) print(took time.Duration, err error) {
	switch {
	case p.out.JSON && err != nil:
		failed := newFailure(err)
		p.out.Object(pinged{Number: p.sent, Error: &failed})
	case p.out.JSON:
		p.out.Object(pinged{Number: p.sent, Milliseconds: milliseconds(took)})
	case err != nil:
		fmt.Fprintf(p.out, "%d: %v\n", p.sent, err)
	default:
		fmt.Fprintf(p.out, "%d: answer from %s after %.3f ms\n", p.sent, p.address, milliseconds(took))
	}
}

// pinged is a line of the output of ping.
type pinged struct {
	Number       int      `json:"number"`
	Milliseconds float64  `json:"ms,omitempty"`
	Error        *failure `json:"error,omitempty"`
}

// summarize prints what all calls came to.
func (p *pinger) summarize() {
	sum := pingSummary{Sent: p.sent, Received: p.received}
	if p.received > 0 {
		sum.Least, sum.Most = milliseconds(p.least), milliseconds(p.most)
		mean := p.sum / float64(p.received)
		sum.Mean, sum.Deviation = mean*1000, math.Sqrt(max(0, p.sumOfSquares/float64(p.received)-mean*mean))*1000
	}
	if p.out.JSON {
		p.out.Object(sum)
		return
	}
	fmt.Fprintf(p.out, "%d calls, %d answers\n", sum.Sent, sum.Received)
	if p.received > 0 {
		fmt.Fprintf(p.out, "round trip: least %.3f, mean %.3f, most %.3f, standard deviation %.3f ms\n",
			sum.Least, sum.Mean, sum.Most, sum.Deviation)
	}
}

// pingSummary is the last line of the output of ping. Times are in milliseconds.
type pingSummary struct {
	Sent      int     `json:"sent"`
	Received  int     `json:"received"`
	Least     float64 `json:"min_ms"`
	Mean      float64 `json:"mean_ms"`
	Most      float64 `json:"max_ms"`
	Deviation float64 `json:"stddev_ms"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
