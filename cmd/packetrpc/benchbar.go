package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/internal/chart"
	"github.com/packetrpc/packetrpc/internal/load"
)

// benchBar shows at a terminal how far a load has come, in a line that is written over.
type benchBar struct {
	to io.Writer // nil when there is no terminal
}

func newBenchBar(to io.Writer) *benchBar {
	if isTerminal(to) {
		return &benchBar{to}
	}
	return new(benchBar)
}

// clearLine returns to the beginning of the line and empties it.
const clearLine = "\r\x1b[K"

func (p *benchBar) show(now load.Progress) {
	if p.to != nil {
		fmt.Fprint(p.to, clearLine+benchLine(now))
	}
}

func (p *benchBar) clear() {
	if p.to != nil {
		fmt.Fprint(p.to, clearLine)
	}
}

// benchLine fits into 80 columns.
func benchLine(now load.Progress) string {
	if now.Warming {
		return "warming up"
	}
	const width = 20
	full := int(now.Done * width)
	return fmt.Sprintf("%s%s %3.0f %%  %s ok/s  p50 %s  p99 %s  %s failed",
		strings.Repeat("█", full), strings.Repeat("░", width-full), 100*now.Done,
		chart.Figure(now.Last.PerSecond()), chart.Duration(fromMicros(now.Last.P50)), chart.Duration(fromMicros(now.Last.P99)),
		chart.Count(now.Failed))
}

func fromMicros(micros float64) time.Duration {
	return time.Duration(micros * float64(time.Microsecond))
}
