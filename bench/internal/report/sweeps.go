package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
	"github.com/packetrpc/packetrpc/internal/chart"
)

// cellsOf returns the cells of a sweep.
func (r Report) cellsOf(sweep suite.Sweep) []measure.Cell {
	return slices.DeleteFunc(slices.Clone(r.Plan.Cells), func(c measure.Cell) bool { return c.Sweep != sweep.Name })
}

// sweepPlots returns a plot for each sweep that was measured.
func (r Report) sweepPlots() []plot {
	var found []plot
	for _, sweep := range suite.Sweeps() {
		if lines := r.lines(sweep); len(lines) > 0 {
			title := fmt.Sprintf("growth with %s: %s for each call, both processes", sweep.Name, measure.CPU)
			found = append(found, plot{title: title, file: sweepFile(sweep), svg: lineChart(title, sweep.Name, lines)})
		}
	}
	return found
}

// sweepFile names the file of a sweep's plot.
func sweepFile(sweep suite.Sweep) string {
	return "sweep-" + strings.ReplaceAll(sweep.Name, " ", "-") + ".svg"
}

// lines returns the cost of a call for each contender in a sweep.
func (r Report) lines(sweep suite.Sweep) []line {
	var lines []line
	for _, info := range r.Plan.Contenders {
		l := line{name: info.Name, kind: info.Kind}
		for _, cell := range r.cellsOf(sweep) {
			if samples := r.Results.Samples(cell.Name, info.Name, measure.CPU); len(samples) > 0 {
				l.points = append(l.points, point{float64(cell.X), intervalOf(samples)})
			}
		}
		if len(l.points) > 0 {
			lines = append(lines, l)
		}
	}
	return lines
}

// writeSweep writes the plot of a sweep, and one table of its cells.
func (r Report) writeSweep(b *strings.Builder, sweep suite.Sweep) {
	if len(r.lines(sweep)) == 0 {
		return
	}
	fmt.Fprintf(b, "## Growth with %s\n\n%s\n\n", sweep.Name, sweep.About)
	fmt.Fprintf(b, "![growth with %s](%s)\n\n", sweep.Name, sweepFile(sweep))
	columns := []measure.Metric{measure.CPU, measure.CallsPerSecond, measure.P50, measure.P99}
	head, rule := []string{sweep.Name, "contender"}, []string{"--:", "---"}
	for _, metric := range columns {
		head, rule = append(head, string(metric)), append(rule, "--:")
	}
	row(b, head...)
	row(b, rule...)
	for _, cell := range r.cellsOf(sweep) {
		for _, info := range r.Plan.Contenders {
			if len(r.Results.Samples(cell.Name, info.Name, measure.CPU)) == 0 {
				continue
			}
			fields := []string{chart.Count(int64(cell.X)), info.Name}
			for _, metric := range columns {
				fields = append(fields, spread(r.Results.Samples(cell.Name, info.Name, metric)))
			}
			row(b, fields...)
		}
	}
	b.WriteString("\n")
}
