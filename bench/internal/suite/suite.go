// Package suite says which cells there are, and runs them in rounds: in each
// round every contender has its turn in every cell, so that what disturbs the
// machine for a while disturbs all alike.
package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// A Plan is a run.
type Plan struct {
	Cells      []measure.Cell
	Contenders []contender.Info
	Rounds     int
	Warm, Span time.Duration
}

// Sizes of messages.
const (
	small  = 16
	medium = 1 << 10
	large  = 64 << 10
)

// Full returns the whole comparison, which takes less than an hour.
func Full() Plan {
	var cells []measure.Cell
	for _, size := range []int{small, medium, large} {
		for _, callers := range []int{1, 8, 64, 1024} {
			cells = append(cells, unary(callers, 1, size))
		}
		cells = append(cells, unary(64, 4, size))
	}
	cells = append(cells, unary(16, 1, large), burning(), pinned())
	cells = append(cells, connections(1_000)...)
	for _, size := range []int{small, medium} {
		cells = append(cells, stream(measure.Upload, size), stream(measure.Download, size))
	}
	cells = append(cells, stream(measure.PingPong, small))
	cells = append(cells, beside(measure.BesideNone), beside(measure.BesideLarge), beside(measure.BesideStream))
	cells = append(cells, serverCalls())
	cells = append(cells, pushes(10_000)...)
	return Plan{Cells: cells, Contenders: infos(), Rounds: 3, Warm: 500 * time.Millisecond, Span: 2 * time.Second}
}

// Quick returns the cells that say most, in a few minutes.
func Quick() Plan {
	cells := []measure.Cell{
		unary(1, 1, small),
		unary(64, 1, small),
		unary(1024, 1, small),
		unary(64, 1, medium),
		unary(16, 1, large),
	}
	cells = append(cells, connections(200)...)
	cells = append(cells, stream(measure.Upload, small), stream(measure.Download, medium))
	cells = append(cells, beside(measure.BesideStream))
	cells = append(cells, serverCalls())
	cells = append(cells, pushes(200)...)
	return Plan{Cells: cells, Contenders: infos(), Rounds: 2, Warm: 200 * time.Millisecond, Span: 600 * time.Millisecond}
}

// infos describes all contenders.
func infos() []contender.Info {
	var all []contender.Info
	for _, c := range contender.All() {
		all = append(all, c.Info())
	}
	return all
}

// Names of cells that the figures to reach are about; see package report.
const (
	BurningName    = "64 callers, 16 B, the server's cores burning"
	PinnedName     = "1 caller, 16 B, both processes on one core"
	ConnectsName   = "connect, handshake, first call"
	IdleName       = "idle connections"
	ServerName     = "64 callers, 16 B, server to client"
	BroadcastName  = "broadcast"
	NotifyLoopName = "loop of one-way calls"
	AskLoopName    = "loop of calls"
)

// UnaryName names a cell.
func UnaryName(callers, conns, size int) string {
	name := fmt.Sprintf("%s, %s", plural(callers, "caller"), SizeName(size))
	if conns > 1 {
		name += fmt.Sprintf(", %d connections", conns)
	}
	return name
}

// StreamName names a cell.
func StreamName(kind measure.Kind, size int) string {
	return fmt.Sprintf("%s, %s", kind, SizeName(size))
}

// BesideName names a cell.
func BesideName(kind measure.Kind) string {
	switch kind {
	case measure.BesideLarge:
		return "small calls beside messages of 64 MiB"
	case measure.BesideStream:
		return "small calls beside a stream of 64 KiB messages"
	}
	return "small calls alone"
}

// SizeName writes a number of bytes.
func SizeName(size int) string {
	if size >= 1<<10 {
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d B", size)
}

func plural(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}

func unary(callers, conns, size int) measure.Cell {
	return measure.Cell{Name: UnaryName(callers, conns, size), Kind: measure.Unary, Callers: callers, Conns: conns, Size: size}
}

func burning() measure.Cell {
	return measure.Cell{Name: BurningName, Kind: measure.Unary, Callers: 64, Conns: 1, Size: small, Burn: true}
}

func pinned() measure.Cell {
	return measure.Cell{Name: PinnedName, Kind: measure.Unary, Callers: 1, Conns: 1, Size: small, Pinned: true}
}

func connections(idle int) []measure.Cell {
	return []measure.Cell{
		{Name: ConnectsName, Kind: measure.Connects, Callers: 8, Size: small},
		{Name: IdleName, Kind: measure.Idle, Conns: idle, Size: small},
	}
}

func stream(kind measure.Kind, size int) measure.Cell {
	return measure.Cell{Name: StreamName(kind, size), Kind: kind, Conns: 1, Size: size}
}

func beside(kind measure.Kind) measure.Cell {
	return measure.Cell{Name: BesideName(kind), Kind: kind, Conns: 1, Size: small}
}

func serverCalls() measure.Cell {
	return measure.Cell{Name: ServerName, Kind: measure.ServerCalls, Callers: 64, Conns: 1, Size: small}
}

func pushes(conns int) []measure.Cell {
	return []measure.Cell{
		{Name: BroadcastName, Kind: measure.Broadcast, Conns: conns, Size: small},
		{Name: NotifyLoopName, Kind: measure.NotifyLoop, Conns: conns, Size: small},
		{Name: AskLoopName, Kind: measure.AskLoop, Conns: conns, Size: small},
	}
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

// Results is what a run found.
type Results struct {
	samples map[key][]float64
	// Failures are jobs that failed, in words.
	Failures []string
}

// key is what a figure belongs to.
type key struct {
	cell, contender string
	metric          measure.Metric
}

// NewResults returns empty results.
func NewResults() *Results { return &Results{samples: make(map[key][]float64)} }

// Add adds a figure of one round.
func (r *Results) Add(cell, contender string, metric measure.Metric, value float64) {
	k := key{cell, contender, metric}
	r.samples[k] = append(r.samples[k], value)
}

// Samples returns the figures of all rounds, or nil.
func (r *Results) Samples(cell, contender string, metric measure.Metric) []float64 {
	return r.samples[key{cell, contender, metric}]
}

// pair is a contender in a cell.
type pair struct{ cell, contender string }

// Run runs the plan, each job in a process of its own, and tells its progress. A
// job that fails is noted and not repeated in later rounds. The error is that of
// a context that ends.
func (p Plan) Run(ctx context.Context, progress io.Writer) (*Results, error) {
	results := NewResults()
	skip := make(map[pair]bool)
	done, all, began := 0, p.Rounds*len(p.Cells)*len(p.Contenders), time.Now()
	for round := range p.Rounds {
		for _, cell := range p.Cells {
			for i := range p.Contenders {
				// Each round begins with another contender.
				name := p.Contenders[(i+round)%len(p.Contenders)].Name
				if ctx.Err() != nil {
					return results, ctx.Err()
				}
				done++
				if skip[pair{cell.Name, name}] {
					continue
				}
				job := measure.Job{Contender: name, Cell: cell, Warm: p.Warm, Span: p.Span}
				said, again := results.record(ctx, job)
				skip[pair{cell.Name, name}] = !again
				fmt.Fprintf(progress, "%s %d/%d round %d | %s | %s: %s\n", time.Since(began).Round(time.Second), done, all, round+1, cell.Name, name, said)
			}
		}
	}
	return results, nil
}

// record runs a job and notes what it found. It returns that in words, and
// whether the job makes sense in the next round.
func (r *Results) record(ctx context.Context, job measure.Job) (said string, again bool) {
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
	for metric, value := range result.Values {
		r.Add(job.Cell.Name, job.Contender, metric, value)
	}
	first := job.Cell.Kind.Columns()[0]
	return fmt.Sprintf("%.5g %s", result.Values[first], first), true
}

// JobCommand is the first argument of the process of a job.
const JobCommand = "job"

// patience is how much longer a job may take than it measures.
const patience = 90 * time.Second

// runJob runs a job in a process of its own.
func runJob(ctx context.Context, job measure.Job) (measure.Result, error) {
	var result measure.Result
	order, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, job.Warm+job.Span+patience)
	defer cancel()
	var output, complaints bytes.Buffer
	command, err := process.Command(ctx, job.Cell.Pinned, JobCommand)
	if err != nil {
		return result, err
	}
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(order), &output, &complaints
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil {
		return result, fmt.Errorf("%w: %s", err, lastLine(complaints.Bytes()))
	}
	err = json.Unmarshal(output.Bytes(), &result)
	return result, err
}

// lastLine returns the last line of what a process complained.
func lastLine(text []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return lines[len(lines)-1]
}

// ServeJob is the work of such a process.
func ServeJob(ctx context.Context, input io.Reader, output io.Writer) error {
	var job measure.Job
	if err := json.NewDecoder(input).Decode(&job); err != nil {
		return err
	}
	result, err := job.Run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(result)
}
