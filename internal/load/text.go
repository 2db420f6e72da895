package load

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/packetrpc/packetrpc/internal/chart"
)

// WriteText writes a result for people at a terminal.
func (r *Result) WriteText(to io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", r.Title(), r.Description())
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, fact := range r.facts() {
		fmt.Fprintf(table, "%s\t%s\n", fact.Name, fact.Text)
	}
	table.Flush()
	if r.OK > 0 {
		r.writeLatencies(&b)
		writeBars(&b, r.Latency)
	}
	r.writeErrors(&b)
	_, err := io.WriteString(to, b.String())
	return err
}

// Title says what was called, and where.
func (r *Result) Title() string {
	if r.Address == "" {
		return r.Action
	}
	return r.Action + " at " + r.Address
}

// A fact is a line of the summary.
type fact struct{ Name, Text string }

// facts returns the summary.
func (r *Result) facts() []fact {
	calls := fmt.Sprintf("%s ok, %s failed", chart.Count(r.OK), chart.Count(r.Failed))
	if r.Unfinished > 0 {
		calls += fmt.Sprintf(", %s cut off at the end", chart.Count(r.Unfinished))
	}
	facts := []fact{
		{"calls", calls},
		{"rate", fmt.Sprintf("%s ok/s in %.3g s, until %s", chart.Figure(r.PerSecond), r.Elapsed, r.Ended)},
		{"sent", r.Sent.text(r.Elapsed)},
		{"received", r.Received.text(r.Elapsed)},
	}
	if r.Unsent > 0 {
		facts = append(facts, fact{"not sent", fmt.Sprintf("%s calls were due, but all %d callers were busy until the end", chart.Count(r.Unsent), r.Callers)})
	}
	if r.Late > 0 {
		facts = append(facts, fact{"late", fmt.Sprintf("%s calls were due while all %d callers were busy; latency counts from then", chart.Count(r.Late), r.Callers)})
	}
	if r.Starved > 0 {
		facts = append(facts, fact{"starved", fmt.Sprintf("%s calls began late because this machine was busy; latency counts from when they were due", chart.Count(r.Starved))})
	}
	if r.Retries > 0 {
		facts = append(facts, fact{"retries", chart.Count(r.Retries)})
	}
	return facts
}

func (t Traffic) text(seconds float64) string {
	return fmt.Sprintf("%s messages (%s/s), %s (%s/s)", chart.Count(t.Messages), chart.Figure(perSecond(t.Messages, seconds)),
		chart.Bytes(float64(t.Bytes)), chart.Bytes(perSecond(t.Bytes, seconds)))
}

// A row is a line of the table of latencies. Service is 0 in a closed loop.
type row struct {
	Name             string
	Latency, Service time.Duration
}

// rows returns the table of latencies.
func (r *Result) rows() []row {
	rows := []row{r.row("mean", (*Latencies).Mean), r.row("least", (*Latencies).Min)}
	for _, p := range percentiles {
		rows = append(rows, r.row(p.name, func(l *Latencies) time.Duration { return l.Percentile(p.percent) }))
	}
	return append(rows, r.row("most", (*Latencies).Max))
}

func (r *Result) row(name string, of func(*Latencies) time.Duration) row {
	if r.Service == nil {
		return row{Name: name, Latency: of(r.Latency)}
	}
	return row{name, of(r.Latency), of(r.Service)}
}

// The heads of the columns of that table. A closed loop has the first one only.
const (
	latencyHead = "latency"
	serviceHead = "from when sent"
)

func (r *Result) writeLatencies(b *strings.Builder) {
	b.WriteString("\n")
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	if r.Service != nil {
		fmt.Fprintf(table, "\t%s\t%s\t\n", latencyHead, serviceHead)
	} else {
		fmt.Fprintf(table, "\t%s\t\n", latencyHead)
	}
	for _, row := range r.rows() {
		fmt.Fprintf(table, "%s\t%s\t", row.Name, chart.Duration(row.Latency))
		if r.Service != nil {
			fmt.Fprintf(table, "%s\t", chart.Duration(row.Service))
		}
		fmt.Fprintln(table)
	}
	table.Flush()
}

// The measures of the bars, in lines and characters.
const (
	barRows  = 12
	barWidth = 40
)

// writeBars draws how many calls took how long. The steps are even multiples, as latencies
// differ by orders of magnitude.
func writeBars(b *strings.Builder, l *Latencies) {
	bounds := barBounds(l)
	counts := make([]int64, len(bounds))
	var most int64
	for _, bar := range l.counts.Distribution() {
		i := 0
		for i < len(bounds)-1 && time.Duration(bar.From) > bounds[i] {
			i++
		}
		counts[i] += bar.Count
		most = max(most, counts[i])
	}
	b.WriteString("\n")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, bound := range bounds {
		length := int(math.Ceil(barWidth * float64(counts[i]) / float64(most)))
		fmt.Fprintf(table, "≤ %s\t%s\t  %s\n", chart.Duration(bound), chart.Count(counts[i]), strings.Repeat("█", length))
	}
	table.Flush()
}

// barBounds returns the upper ends of the bars.
func barBounds(l *Latencies) []time.Duration {
	least, most := float64(l.Min()), float64(l.Max())
	if most < 2*least { // next to no difference
		return []time.Duration{l.Max()}
	}
	upper := max(float64(l.Percentile(99.9)), 1.5*least)
	var bounds []time.Duration
	for i := range barRows {
		bounds = append(bounds, time.Duration(least*math.Pow(upper/least, float64(i+1)/barRows)))
	}
	if upper < most {
		bounds = append(bounds, l.Max())
	}
	return bounds
}

func (r *Result) writeErrors(b *strings.Builder) {
	if len(r.Errors) == 0 {
		return
	}
	b.WriteString("\n")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, failure := range r.Errors {
		for i, sample := range failure.Samples {
			if i == 0 {
				fmt.Fprintf(table, "%s\t%s\t%s\n", failure.Code, chart.Count(failure.Count), oneLine(sample))
			} else {
				fmt.Fprintf(table, "\t\t%s\n", oneLine(sample))
			}
		}
	}
	table.Flush()
}

// oneLine keeps what a server says from breaking the table, or the terminal.
func oneLine(text string) string {
	const longest = 200
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return text
}
