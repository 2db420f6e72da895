// Package measure takes the figures of one cell for one contender: it starts the
// contender's server in a process of its own and is the client itself.
package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// A Kind is what is done in a cell.
type Kind string

// The kinds.
const (
	Unary        Kind = "unary"
	Connects     Kind = "connects"
	Idle         Kind = "idle"
	Upload       Kind = "upload"
	Download     Kind = "download"
	PingPong     Kind = "ping-pong"
	BesideLarge  Kind = "beside large"
	BesideStream Kind = "beside stream"
	BesideNone   Kind = "beside nothing"
	ServerCalls  Kind = "server calls"
	Broadcast    Kind = "broadcast"
	NotifyLoop   Kind = "notify loop"
	AskLoop      Kind = "ask loop"
)

// A Cell is one thing to measure.
type Cell struct {
	Name string
	Kind Kind
	// Callers call at once, over Conns connections, with messages of Size bytes.
	Callers, Conns, Size int
	// Actions is how many actions the calls cycle through; 0 is Echo alone.
	Actions int `json:",omitempty"`
	// Burn has the server's process occupy every core beside.
	Burn bool `json:",omitempty"`
	// Pinned keeps both processes on one core.
	Pinned bool `json:",omitempty"`
	// Sweep names the series of cells that this one belongs to, if it does, and X
	// is the number in which they differ.
	Sweep string `json:",omitempty"`
	X     int    `json:",omitempty"`
	// Only names the contenders that take part; empty is all.
	Only []string `json:",omitempty"`
}

// A Metric is the name of a figure, with its unit.
type Metric string

// The metrics.
const (
	CallsPerSecond    Metric = "calls/s"
	MessagesPerSecond Metric = "messages/s"
	ConnectsPerSecond Metric = "connects/s"
	CPU               Metric = "CPU µs"        // of both processes, for each call, message or connect
	ServerCPU         Metric = "server CPU µs" // the server's part
	ServerAllocs      Metric = "server allocs"
	ClientAllocs      Metric = "client allocs"
	P50               Metric = "p50 µs"
	P99               Metric = "p99 µs"
	HeapKiB           Metric = "heap + stacks KiB" // of the server, for each connection
	ResidentKiB       Metric = "resident KiB"
	InCall            Metric = "µs in the server's call" // for each connection that it reaches
	Goroutines        Metric = "goroutines"
	TransferMiB       Metric = "transfer MiB/s"
)

// Higher reports whether more of the metric is better.
func (m Metric) Higher() bool {
	switch m {
	case CallsPerSecond, MessagesPerSecond, ConnectsPerSecond, TransferMiB:
		return true
	}
	return false
}

// Columns returns the metrics of a kind, the one that says most first.
func (k Kind) Columns() []Metric {
	switch k {
	case Unary:
		return []Metric{CallsPerSecond, CPU, ServerCPU, P50, P99, ServerAllocs, ClientAllocs}
	case Connects:
		return []Metric{ConnectsPerSecond, CPU, ServerCPU, P50, P99}
	case Idle:
		return []Metric{HeapKiB, ResidentKiB, Goroutines}
	case Upload, Download, PingPong:
		return []Metric{MessagesPerSecond, CPU, ServerCPU, ServerAllocs, ClientAllocs}
	case Broadcast, NotifyLoop, AskLoop:
		return []Metric{MessagesPerSecond, InCall, CPU, ServerCPU, ServerAllocs, ClientAllocs}
	case BesideLarge, BesideStream, BesideNone:
		return []Metric{P99, P50, CallsPerSecond, TransferMiB}
	case ServerCalls:
		return []Metric{CallsPerSecond, CPU, ServerCPU, P50, P99, ServerAllocs, ClientAllocs}
	}
	return nil
}

// A Job is a cell for a contender.
type Job struct {
	Contender  string
	Cell       Cell
	Warm, Span time.Duration
}

// Takes estimates how long the job takes, where nothing is amiss.
func (j Job) Takes() time.Duration {
	const (
		processes = 100 * time.Millisecond // to start and to end
		conn      = 300 * time.Microsecond // to open, to call once and to close
	)
	takes := processes + time.Duration(j.Cell.Conns)*conn + j.Warm + j.Span
	if j.Cell.Kind == Idle {
		takes += rest - j.Warm - j.Span
	}
	return takes
}

// Result is what a job found, or that there is nothing to find.
type Result struct {
	// Unsupported is set where the contender lacks what the cell needs.
	Unsupported bool               `json:",omitempty"`
	Values      map[Metric]float64 `json:",omitempty"`
}

// errUnsupported tells that a contender lacks what the cell needs.
var errUnsupported = errors.New("the contender lacks what the cell needs")

// largeMessage is the size of the messages in the cells of that kind.
const largeMessage = 64 << 20

// settings raises the limit of messages where the cell needs that. Data in JSON
// takes a third more.
func (c Cell) settings() contender.Settings {
	settings := contender.Settings{Actions: c.Actions}
	if c.Kind == BesideLarge {
		settings.MaxMessage = 2 * largeMessage
	}
	return settings
}

// Fits reports whether a cell is for this contender.
func (c Cell) Fits(info contender.Info) bool {
	if len(c.Only) > 0 && !slices.Contains(c.Only, info.Name) {
		return false
	}
	switch c.Kind {
	case Unary:
		return !info.NoCalls || c.Conns == 1
	case Connects, Idle:
		return !info.NoCalls
	}
	return !info.NoCalls && !info.PerCaller
}

// Run does a job.
func (j Job) Run(ctx context.Context) (Result, error) {
	c, ok := contender.Find(j.Contender)
	if !ok {
		return Result{}, fmt.Errorf("there is no contender %q", j.Contender)
	}
	if !j.Cell.Fits(c.Info()) {
		return Result{Unsupported: true}, nil
	}
	server, err := process.StartServer(ctx, j.Contender, j.Cell.settings(), j.Cell.Pinned)
	if err != nil {
		return Result{}, err
	}
	s := &session{Job: j, contender: c, server: server}
	values, err := s.measure(ctx)
	s.close()
	err = errors.Join(err, server.Stop())
	if errors.Is(err, errUnsupported) {
		return Result{Unsupported: true}, nil
	}
	return Result{Values: values}, err
}

// session is a job under way.
type session struct {
	Job
	contender contender.Contender
	server    *process.Server
	conns     []contender.Conn // those to close
	usage     []usage
}

// usage is what both processes have used up at a moment.
type usage struct {
	server, client process.Used
}

func (s *session) measure(ctx context.Context) (map[Metric]float64, error) {
	if s.Cell.Burn {
		if _, err := s.server.Order(process.Order{Do: process.Burn}); err != nil {
			return nil, err
		}
	}
	switch s.Cell.Kind {
	case Unary:
		return s.unary(ctx)
	case Connects:
		return s.connects(ctx)
	case Idle:
		return s.idle(ctx)
	case Upload, Download, PingPong:
		return s.streams(ctx)
	case BesideLarge, BesideStream, BesideNone:
		return s.beside(ctx)
	case ServerCalls:
		return s.serverCalls(ctx)
	case Broadcast, NotifyLoop, AskLoop:
		return s.pushes(ctx)
	}
	return nil, fmt.Errorf("there is no kind %q", s.Cell.Kind)
}

// mark notes what both processes have used up by now.
func (s *session) mark() error {
	answer, err := s.server.Order(process.Order{Do: process.Usage})
	if err != nil {
		return err
	}
	client, err := process.ReadUsed()
	s.usage = append(s.usage, usage{server: answer.Used, client: client})
	return err
}

// spent returns what one of so many calls has used up between the two marks.
func (s *session) spent(calls int64) map[Metric]float64 {
	before, after := s.usage[0], s.usage[1]
	each := func(before, after process.Used) (cpu, mallocs float64) {
		return micros(after.CPU-before.CPU) / float64(calls), float64(after.Mallocs-before.Mallocs) / float64(calls)
	}
	serverCPU, serverAllocs := each(before.server, after.server)
	clientCPU, clientAllocs := each(before.client, after.client)
	return map[Metric]float64{
		CPU:          serverCPU + clientCPU,
		ServerCPU:    serverCPU,
		ServerAllocs: serverAllocs,
		ClientAllocs: clientAllocs,
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// perSecond returns a rate.
func perSecond(count int64, elapsed time.Duration) float64 { return float64(count) / elapsed.Seconds() }

// summarize adds the figures of a load to what it has used up.
func (s *session) summarize(load process.LoadSummary) map[Metric]float64 {
	values := s.spent(load.Calls)
	if s.Cell.Burn { // which belongs to no call
		delete(values, CPU)
		delete(values, ServerCPU)
	}
	values[CallsPerSecond] = perSecond(load.Calls, load.Elapsed)
	values[P50] = micros(load.P50)
	values[P99] = micros(load.P99)
	return values
}
