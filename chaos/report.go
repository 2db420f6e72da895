package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what an attack has shown.
type report struct {
	machine machine
	command string
	began   time.Time
	took    time.Duration
	tables  []table
	faults  []string // what is not as it should be
}

func newReport(ctx context.Context, command string) *report {
	return &report{machine: thisMachine(ctx), command: command, began: time.Now()}
}

func (r *report) add(t table) { r.tables = append(r.tables, t) }

// fault notes that something is not as it should be.
func (r *report) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// table is figures, and sentences about them.
type table struct {
	title  string
	notes  []string
	header []string
	rows   [][]string
}

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

// percentiles returns those that are told.
func percentiles() []float64 { return []float64{50, 99, 99.9} }

// comparison is a table of latencies in quiet rounds and attacked ones.
type comparison struct{ table }

func newComparison(title string) comparison {
	return comparison{table{title: title, header: []string{"", "quiet", "attacked", "ratio", "least", "most"}}}
}

// compare adds the medians of the rounds' latencies and of the ratios of each pair of
// rounds, and reports a median beyond the limit, if there is one.
func (c *comparison) compare(r *report, name string, quiet, attacked []time.Duration, limit float64) {
	ratios := make([]float64, len(attacked))
	for i := range ratios {
		ratios[i] = float64(attacked[i]) / float64(quiet[i])
	}
	ratio := median(ratios)
	c.row(name, millis(median(quiet)), millis(median(attacked)), times(ratio), times(slices.Min(ratios)), times(slices.Max(ratios)))
	if limit > 0 && ratio > limit {
		r.fault("the %s is %s of the quiet one, and should be at most %s", name, times(ratio), times(limit))
	}
}

func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

func mebibytes(bytes uint64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

func times(ratio float64) string { return fmt.Sprintf("%.2f ×", ratio) }

// print writes the report for a terminal.
func (r *report) print(out io.Writer) {
	for _, t := range r.tables {
		fmt.Fprintf(out, "\n%s\n\n", t.title)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.header}, t.rows...) {
			fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
		}
		w.Flush()
	}
	fmt.Fprintln(out)
	for _, fault := range r.faults {
		fmt.Fprintln(out, "NOT AS IT SHOULD BE:", fault)
	}
}

// writeMarkdown writes the report for a file.
func (r *report) writeMarkdown(out *strings.Builder) {
	m := r.machine
	fmt.Fprintf(out, "# What attackers do to the others\n\nWritten by `%s`, which took %v. Only ratios count; absolute figures differ from machine to machine.\n\n",
		r.command, r.took.Round(time.Second))
	fmt.Fprintf(out, "%d processors, %s; Linux %s; %s; packetrpc %s. The load average before was %s.\n\n", m.cores, m.cpu, m.kernel, m.version, m.revision, m.load)
	r.writeFaults(out)
	for _, t := range r.tables {
		fmt.Fprintf(out, "## %s\n\n", t.title)
		for _, note := range t.notes {
			fmt.Fprintf(out, "%s\n\n", note)
		}
		writeRow(out, t.header)
		writeRow(out, slices.Repeat([]string{"---"}, len(t.header)))
		for _, row := range t.rows {
			writeRow(out, row)
		}
		out.WriteString("\n")
	}
}

func (r *report) writeFaults(out *strings.Builder) {
	if len(r.faults) == 0 {
		out.WriteString("All is as it should be: each median ratio of the p99 is within its limit, no healthy client has lost its connection, a call or a broadcast, and the frozen were cut.\n\n")
		return
	}
	out.WriteString("Not as it should be:\n\n")
	for _, fault := range r.faults {
		fmt.Fprintf(out, "- %s\n", fault)
	}
	out.WriteString("\n")
}

func writeRow(out *strings.Builder, cells []string) {
	fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
}
