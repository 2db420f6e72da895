// Package suite says which cells there are, and runs them in rounds: in each
// round every contender has its turn in every cell, so that what disturbs the
// machine for a while disturbs all alike.
package suite

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
)

// A Plan is a run.
type Plan struct {
	// Name tells a plan that is no part of the whole comparison, which has none.
	Name       string `json:",omitempty"`
	Cells      []measure.Cell
	Contenders []contender.Info
	Rounds     int
	Warm, Span time.Duration
}

// Select keeps the cells and the contenders whose names match. An empty pattern
// keeps all.
func (p *Plan) Select(cells, contenders string) error {
	cellPattern, err := regexp.Compile(cells)
	if err != nil {
		return err
	}
	contenderPattern, err := regexp.Compile(contenders)
	if err != nil {
		return err
	}
	p.Cells = keep(p.Cells, func(c measure.Cell) bool { return cellPattern.MatchString(c.Name) })
	p.Contenders = keep(p.Contenders, func(i contender.Info) bool { return contenderPattern.MatchString(i.Name) })
	if len(p.Cells) == 0 || len(p.Contenders) == 0 {
		return fmt.Errorf("no cell matches %q, or no contender %q", cells, contenders)
	}
	return nil
}

func keep[T any](all []T, wanted func(T) bool) []T {
	var kept []T
	for _, one := range all {
		if wanted(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// jobs returns the jobs of a round. Each round begins with another contender.
func (p Plan) jobs(round int) []measure.Job {
	var jobs []measure.Job
	for _, cell := range p.Cells {
		for i := range p.Contenders {
			info := p.Contenders[(i+round)%len(p.Contenders)]
			if cell.Fits(info) {
				jobs = append(jobs, measure.Job{Contender: info.Name, Cell: cell, Warm: p.Warm, Span: p.Span})
			}
		}
	}
	return jobs
}

// Estimate returns how long the plan takes at most: some contenders turn out to
// lack what a cell needs.
func (p Plan) Estimate() time.Duration {
	var round time.Duration
	for _, job := range p.jobs(0) {
		round += job.Takes()
	}
	return time.Duration(p.Rounds) * round
}

// pair is a contender in a cell.
type pair struct{ cell, contender string }

// Run runs the plan, each job in a process of its own, and tells its progress. A
// job that fails is noted and not repeated in later rounds. The error is that of
// a context that ends.
func (p Plan) Run(ctx context.Context, progress io.Writer) (*Results, error) {
	results := new(Results)
	skip := make(map[pair]bool)
	left := p.Estimate()
	for round := 1; round <= p.Rounds; round++ {
		jobs := p.jobs(round)
		for i, job := range jobs {
			at := pair{job.Cell.Name, job.Contender}
			if skip[at] {
				continue
			}
			said, again := results.record(ctx, job, round)
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
			left -= job.Takes()
			if !again {
				skip[at] = true
				left -= time.Duration(p.Rounds-round) * job.Takes()
			}
			fmt.Fprintf(progress, "round %d/%d, job %d/%d, %v left | %s | %s: %s\n",
				round, p.Rounds, i+1, len(jobs), left.Round(time.Second), job.Cell.Name, job.Contender, said)
		}
	}
	return results, nil
}

// record runs a job and notes what it found. It returns that in words, and
// whether the job makes sense in the next round.
func (r *Results) record(ctx context.Context, job measure.Job, round int) (said string, again bool) {
	result, err := runJob(ctx, job)
	switch {
	case ctx.Err() != nil:
		return "interrupted", false
	case err != nil:
		r.Failures = append(r.Failures, fmt.Sprintf("%s, %s: %v", job.Cell.Name, job.Contender, err))
		return "FAILED: " + err.Error(), false
	case result.Unsupported:
		return "not for it", false
	}
	for _, metric := range slices.Sorted(maps.Keys(result.Values)) {
		r.Add(Sample{job.Cell.Name, job.Contender, metric, round, result.Values[metric]})
	}
	first := job.Cell.Kind.Columns()[0]
	return fmt.Sprintf("%.5g %s", result.Values[first], first), true
}
