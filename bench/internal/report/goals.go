package report

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
	"github.com/packetrpc/packetrpc/internal/chart"
)

// A goal is a figure to reach.
type goal struct {
	// of is the contender; "" is packetrpc in its default, the binary form.
	of     string
	cell   string
	metric measure.Metric
	// limit is the least or, if less is better, the most.
	limit float64
	// against is the contender that the limit is a multiple of; see also bestPeer.
	// Where it is empty and otherCell too, the limit is absolute.
	against string
	// otherCell is our own cell that the limit is a multiple of.
	otherCell string
	// floor, if set, is the contender whose own growth from otherCell to cell is no
	// fault of ours.
	floor string
}

// maxGrowth is what counts as no growth, as figures move by a fifth from run to
// run.
const maxGrowth = 1.2

const (
	bestPeer = "the best peer"
	pingName = "floor: ping"
	jsonName = "floor: JSON lines"
)

// goals are the figures to reach that a run can tell.
func goals() []goal {
	busy, crowd := suite.UnaryName(64, 1, 16), suite.UnaryName(1024, 1, 16)
	medium, large := suite.UnaryName(64, 1, 1<<10), suite.UnaryName(16, 1, 64<<10)
	alone := suite.UnaryName(1, 1, 16)
	besideLarge, besideStream := suite.BesideName(measure.BesideLarge), suite.BesideName(measure.BesideStream)
	all := []goal{
		{cell: busy, metric: measure.CallsPerSecond, limit: 8, against: reference},
		{cell: busy, metric: measure.CallsPerSecond, limit: 3.5, against: bestPeer},
		{cell: busy, metric: measure.CPU, limit: 0.12, against: reference},
		{cell: crowd, metric: measure.CallsPerSecond, limit: 11, against: reference},
		{cell: crowd, metric: measure.CallsPerSecond, limit: 3.5, against: bestPeer},
		{cell: suite.UnaryName(8, 1, 16), metric: measure.CallsPerSecond, limit: 4, against: reference},
		{cell: suite.BurningName, metric: measure.CallsPerSecond, limit: 10, against: reference},
		{cell: medium, metric: measure.CallsPerSecond, limit: 6, against: reference},
		{cell: medium, metric: measure.CallsPerSecond, limit: 3.5, against: bestPeer},
		{cell: large, metric: measure.CallsPerSecond, limit: 2.5, against: reference},
		{cell: large, metric: measure.CallsPerSecond, limit: 1.3, against: bestPeer},
		{cell: alone, metric: measure.P50, limit: 1, against: pingName},
		{cell: alone, metric: measure.P50, limit: 0.45, against: reference},
		{cell: suite.PinnedName, metric: measure.P50, limit: 1.3, against: pingName},
		{cell: busy, metric: measure.ServerAllocs, limit: 4},
		{cell: busy, metric: measure.ClientAllocs, limit: 3},
		{cell: suite.StreamName(measure.Upload, 16), metric: measure.MessagesPerSecond, limit: 4, against: reference},
		{cell: suite.StreamName(measure.Download, 16), metric: measure.MessagesPerSecond, limit: 4, against: reference},
		{cell: suite.StreamName(measure.Upload, 1<<10), metric: measure.MessagesPerSecond, limit: 2.2, against: reference},
		{cell: suite.StreamName(measure.Download, 1<<10), metric: measure.MessagesPerSecond, limit: 2.2, against: reference},
		{cell: suite.IdleName, metric: measure.HeapKiB, limit: 10},
		{cell: suite.IdleName, metric: measure.Goroutines, limit: 1},
		{cell: suite.ConnectsName, metric: measure.ConnectsPerSecond, limit: 3, against: reference},
		{cell: besideLarge, metric: measure.P99, limit: 5_000},
		{cell: besideLarge, metric: measure.TransferMiB, limit: 1, against: reference},
		{cell: besideStream, metric: measure.P99, limit: 5_000},
		{cell: besideStream, metric: measure.TransferMiB, limit: 1, against: reference},
		{cell: suite.BroadcastName, metric: measure.MessagesPerSecond, limit: 5, otherCell: suite.AskLoopName},
		{cell: suite.BroadcastName, metric: measure.InCall, limit: 0.2, otherCell: suite.NotifyLoopName},
		{of: "packetrpc JSON", cell: busy, metric: measure.CallsPerSecond, limit: 1, against: jsonName},
	}
	for _, sweep := range suite.Sweeps() {
		all = append(all, goal{
			cell: suite.SweepName(sweep.Name, sweep.To), otherCell: suite.SweepName(sweep.Name, sweep.From),
			metric: measure.CPU, limit: maxGrowth, floor: sweep.Floor,
		})
	}
	return all
}

// wanted writes the figure to reach.
func (g goal) wanted() string {
	sign := "≤"
	if g.metric.Higher() {
		sign = "≥"
	}
	switch {
	case g.floor != "":
		return fmt.Sprintf("%s %s × %s × the growth of %s", sign, chart.Figure(g.limit), g.otherCell, g.floor)
	case g.otherCell != "":
		return fmt.Sprintf("%s %s × %s", sign, chart.Figure(g.limit), g.otherCell)
	case g.against != "":
		return fmt.Sprintf("%s %s × %s", sign, chart.Figure(g.limit), g.against)
	}
	return fmt.Sprintf("%s %s", sign, chart.Figure(g.limit))
}

// reached returns the figure in the unit of the limit, or NaN.
func (r Report) reached(g goal) float64 {
	value := r.median(g.cell, cmp.Or(g.of, ours), g.metric)
	switch {
	case g.floor != "":
		growth := r.median(g.cell, g.floor, g.metric) / r.median(g.otherCell, g.floor, g.metric)
		return value / r.median(g.otherCell, cmp.Or(g.of, ours), g.metric) / growth
	case g.otherCell != "":
		return value / r.median(g.otherCell, cmp.Or(g.of, ours), g.metric)
	case g.against == bestPeer:
		return value / r.bestPeer(g.cell, g.metric)
	case g.against != "":
		return value / r.median(g.cell, g.against, g.metric)
	}
	return value
}

// met writes whether a figure reaches its goal.
func (g goal) met(value float64) string {
	if g.metric == measure.ServerAllocs || g.metric == measure.ClientAllocs {
		value = math.Round(value*10) / 10 // what the runtime makes now and then is no call's
	}
	switch {
	case math.IsNaN(value):
		return "not measured"
	case g.metric.Higher() && value >= g.limit, !g.metric.Higher() && value <= g.limit:
		return "yes"
	}
	return "no"
}

func (r Report) writeGoals(b *strings.Builder) {
	b.WriteString("## The figures to reach\n\n")
	row(b, "contender", "cell", "metric", "to reach", "reached", "met")
	row(b, "---", "---", "---", "--:", "--:", "---")
	for _, g := range goals() {
		value := r.reached(g)
		got := chart.Figure(value)
		if !math.IsNaN(value) && (g.against != "" || g.otherCell != "") {
			got += " ×"
		}
		row(b, cmp.Or(g.of, ours), g.cell, string(g.metric), g.wanted(), got, g.met(value))
	}
	b.WriteString("\n")
}
