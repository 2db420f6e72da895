// Package report writes down what a run found: tables in Markdown, and plots.
package report

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
	"github.com/packetrpc/packetrpc/internal/chart"
)

// FileName is the name of the report in its folder.
const FileName = "report.md"

// A Report is a run with all that belongs to it.
type Report struct {
	Plan suite.Plan
	// Results is saved as its failures; the samples have a file of their own.
	Results *suite.Results
	Machine Machine
	// Command repeats the run.
	Command string
	Began   time.Time
	Took    time.Duration
}

const (
	ours      = "packetrpc"
	reference = "grpc-go"
)

// Write writes the report and its plots into a folder, which it makes. It needs
// no more than the Report itself: to write it anew, Read what Save has written.
func (r Report) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	bars := r.plots()
	for _, p := range append(bars, r.sweepPlots()...) {
		if err := os.WriteFile(filepath.Join(folder, p.file), []byte(p.svg), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, FileName), []byte(r.markdown(bars)), 0o644)
}

// markdown returns the report.
func (r Report) markdown(bars []plot) string {
	var b strings.Builder
	title, readme, judge := "# Benchmarks", "README.md", r.writeGoals
	if r.Plan.Name == suite.SecurityName {
		title, readme, judge = "# Benchmarks of security", "../README.md", r.writeSecurity
	}
	b.WriteString(title + "\n\n")
	fmt.Fprintf(&b, "Written by `bench`; [README.md](%s) tells how and what the figures mean. Only ratios within one report count.\n\n", readme)
	r.writeMachine(&b)
	r.writeContenders(&b)
	judge(&b)
	for _, p := range bars {
		fmt.Fprintf(&b, "![%s](%s)\n\n", p.title, p.file)
	}
	for _, sweep := range suite.Sweeps() {
		r.writeSweep(&b, sweep)
	}
	for _, cell := range r.Plan.Cells {
		if cell.Sweep == "" {
			r.writeCell(&b, cell)
		}
	}
	if len(r.Results.Failures) > 0 {
		b.WriteString("## What failed\n\n")
		for _, failure := range r.Results.Failures {
			fmt.Fprintf(&b, "- %s\n", inCell(failure))
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (r Report) writeMachine(b *strings.Builder) {
	b.WriteString("## The run\n\n")
	row(b, "", "")
	row(b, "---", "---")
	row(b, "machine", fmt.Sprintf("%s, %d cores", r.Machine.CPU, r.Machine.Cores))
	row(b, "kernel", r.Machine.Kernel)
	row(b, "Go", r.Machine.Go)
	row(b, "begun", r.Began.UTC().Format("2006-01-02 15:04 MST"))
	row(b, "took", r.Took.Round(time.Second).String())
	row(b, "rounds", fmt.Sprintf("%d, each job %v after %v of warm-up", r.Plan.Rounds, r.Plan.Span, r.Plan.Warm))
	row(b, "command", "`"+r.Command+"`")
	b.WriteString("\n")
}

func (r Report) writeContenders(b *strings.Builder) {
	b.WriteString("## The contenders\n\n")
	row(b, "contender", "version", "set-up")
	row(b, "---", "---", "---")
	for _, info := range r.Plan.Contenders {
		row(b, info.Name, r.Machine.version(info), info.About)
	}
	b.WriteString("\n")
}

// writeCell writes the table of a cell: the median of the rounds, with the least
// and the most.
func (r Report) writeCell(b *strings.Builder, cell measure.Cell) {
	columns := r.columns(cell)
	if len(columns) == 0 {
		return
	}
	fmt.Fprintf(b, "## %s\n\n", title(cell))
	head, rule := []string{"contender"}, []string{"---"}
	for _, metric := range columns {
		head, rule = append(head, string(metric)), append(rule, "--:")
	}
	first := columns[0]
	head = append(head, "to "+reference, "to the best peer")
	rule = append(rule, "--:", "--:")
	row(b, head...)
	row(b, rule...)
	for _, info := range r.Plan.Contenders {
		if len(r.Results.Samples(cell.Name, info.Name, first)) == 0 {
			continue
		}
		fields := []string{info.Name}
		for _, metric := range columns {
			fields = append(fields, spread(r.Results.Samples(cell.Name, info.Name, metric)))
		}
		value := r.median(cell.Name, info.Name, first)
		fields = append(fields, ratio(value, r.median(cell.Name, reference, first)), ratio(value, r.bestPeer(cell.Name, first)))
		row(b, fields...)
	}
	fmt.Fprintf(b, "\nRatios are those of %s.\n\n", first)
}

// title names a cell, with what its name leaves out.
func title(cell measure.Cell) string {
	switch cell.Kind {
	case measure.Idle, measure.Broadcast, measure.NotifyLoop, measure.AskLoop:
		return fmt.Sprintf("%s, %d connections", cell.Name, cell.Conns)
	}
	return cell.Name
}

// columns returns the metrics of a cell that have been found.
func (r Report) columns(cell measure.Cell) []measure.Metric {
	return slices.DeleteFunc(cell.Kind.Columns(), func(metric measure.Metric) bool {
		return !slices.ContainsFunc(r.Plan.Contenders, func(info contender.Info) bool {
			return len(r.Results.Samples(cell.Name, info.Name, metric)) > 0
		})
	})
}

// median returns the median of the rounds, or NaN where there is none.
func (r Report) median(cell, contender string, metric measure.Metric) float64 {
	return median(r.Results.Samples(cell, contender, metric))
}

// bestPeer returns the best median of those that are neither ours nor floors.
func (r Report) bestPeer(cell string, metric measure.Metric) float64 {
	best := math.NaN()
	for _, info := range r.Plan.Contenders {
		if info.Kind != contender.Peer {
			continue
		}
		value := r.median(cell, info.Name, metric)
		if math.IsNaN(best) || metric.Higher() && value > best || !metric.Higher() && value < best {
			best = value
		}
	}
	return best
}

// An interval is a median with its spread.
type interval struct{ value, least, greatest float64 }

func intervalOf(samples []float64) interval {
	return interval{median(samples), slices.Min(samples), slices.Max(samples)}
}

// median returns the middle of some figures, the mean of the two if there are
// two, or NaN if there is none.
func median(samples []float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread writes the median with the least and the most.
func spread(samples []float64) string {
	switch len(samples) {
	case 0:
		return "–"
	case 1:
		return chart.Figure(samples[0])
	}
	of := intervalOf(samples)
	return fmt.Sprintf("%s (%s–%s)", chart.Figure(of.value), chart.Figure(of.least), chart.Figure(of.greatest))
}

// ratio writes how many times the base a value is.
func ratio(value, base float64) string {
	if math.IsNaN(value) || math.IsNaN(base) || base == 0 {
		return "–"
	}
	return chart.Figure(value/base) + " ×"
}

// row writes a row of a table.
func row(b *strings.Builder, fields ...string) {
	for _, field := range fields {
		fmt.Fprintf(b, "| %s ", cmp.Or(inCell(field), " "))
	}
	b.WriteString("|\n")
}

// inCell makes a text fit into a row.
func inCell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "\r", "").Replace(text)
}
