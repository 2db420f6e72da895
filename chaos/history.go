package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// verdict is what a caller knows of a call that has ended.
type verdict uint8

const (
	ok verdict = iota
	answered
	notSent
	unknown
	verdicts
)

func (v verdict) String() string { return [...]string{"ok", "answered", "not sent", "unknown"}[v] }

func verdictOf(err error) verdict {
	var coded *packetrpc.Error
	switch {
	case err == nil:
		return ok
	case errors.As(err, &coded) && coded.Outcome == packetrpc.OutcomeNotSent:
		return notSent
	case errors.As(err, &coded) && coded.Outcome == packetrpc.OutcomeAnswered:
		return answered
	}
	return unknown
}

// tally counts calls of a kind by their verdicts.
type tally [verdicts]int

func (t *tally) sum() (n int) {
	for _, count := range t {
		n += count
	}
	return n
}

// history is what has happened, in a file, and as far as the check needs it in memory.
// Its methods may be called concurrently.
type history struct {
	began time.Time

	mu      sync.Mutex
	file    *os.File
	lines   *bufio.Writer
	effects map[uint64]verdict // of the calls that have effects
	tallies map[string]*tally
	faults  map[string]int
	early   int // idempotent calls that failed before their deadline
	slowest time.Duration
	broken  []string // promises
}

func newHistory(name string) (*history, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &history{
		began:   time.Now(),
		file:    file,
		lines:   bufio.NewWriter(file),
		effects: make(map[uint64]verdict),
		tallies: make(map[string]*tally),
		faults:  make(map[string]int),
	}, nil
}

func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.lines.Flush(), h.file.Close())
}

// line writes a line with the time. h.mu is held.
func (h *history) line(words ...any) {
	fmt.Fprintf(h.lines, "%.6f %s", time.Since(h.began).Seconds(), fmt.Sprintln(words...))
}

// note writes a line that is not a call.
func (h *history) note(words ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line(words...)
}

// complain notes that a promise is broken.
func (h *history) complain(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	h.broken = append(h.broken, what)
	h.line("broken", what)
}

func (h *history) fault(what string, words ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults[what]++
	h.line(append([]any{"fault", what}, words...)...)
}

// call is a call that has ended.
type call struct {
	kind            string
	id              uint64
	began, deadline time.Time
	err             error
	wrong           string // what is wrong with the reply; "" is nothing
}

// record notes a call, and what can be told of it at once.
func (h *history) record(c call) {
	ended := time.Now()
	v := verdictOf(c.err)
	if late := ended.Sub(c.deadline); late > time.Second {
		h.complain("call %d (%s) has ended %v after its deadline", c.id, c.kind, late)
	}
	if c.wrong != "" {
		h.complain("call %d (%s): %s", c.id, c.kind, c.wrong)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tallies[c.kind]
	if t == nil {
		t = new(tally)
		h.tallies[c.kind] = t
	}
	t[v]++
	h.slowest = max(h.slowest, ended.Sub(c.began))
	if c.kind == effectKind || c.kind == noteKind {
		h.effects[c.id] = v
	}
	if idempotent(c.kind) && c.err != nil && ended.Before(c.deadline) {
		h.early++
	}
	h.line("call", c.kind, c.id, c.began.Sub(h.began).Microseconds(), c.deadline.Sub(h.began).Microseconds(), v, shorten(c.err))
}

func (h *history) progress() (calls, faults, broken int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tallies {
		calls += t.sum()
	}
	for _, n := range h.faults {
		faults += n
	}
	return calls, faults, len(h.broken)
}

func shorten(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}
