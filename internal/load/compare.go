package load

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/packetrpc/packetrpc/internal/chart"
)

// Comparison sets a result beside another.
type Comparison struct {
	// Differences says in which ways the loads were not the same.
	Differences []string `json:"differences,omitempty"`
	Metrics     []Metric `json:"metrics"`
}

// Metric is a figure of both results.
type Metric struct {
	Name string `json:"name"` // with its unit
	A    Spread `json:"a"`
	B    Spread `json:"b"`
	// Ratio is the median of B to that of A; 0 where there is none.
	Ratio   float64 `json:"ratio"`
	Verdict Verdict `json:"verdict"`
}

// Spread is the median of a figure over the intervals of a run, and the quartiles: half of
// the intervals are between them.
type Spread struct {
	Median    float64 `json:"median"`
	Lower     float64 `json:"lower_quartile"`
	Upper     float64 `json:"upper_quartile"`
	Intervals int     `json:"intervals"`
}

// Verdict is what a comparison comes to.
type Verdict string

// The verdicts on B.
const (
	Better Verdict = "better"
	Worse  Verdict = "worse"
	// WithinNoise: the spreads overlap.
	WithinNoise Verdict = "within the noise"
	// TooShort: one of the runs has too few intervals to know its noise.
	TooShort Verdict = "too short to tell"
)

// fewestIntervals is how many a run must have for its spread to mean something.
const fewestIntervals = 5

// Compare compares the figures of two results. What is within the noise is told from how
// much the intervals of each run differ: two runs of the same program can differ more than
// that, so what is better should be so again.
func Compare(a, b *Result) *Comparison {
	c := &Comparison{Differences: differences(a, b)}
	for _, metric := range []struct {
		name   string
		higher bool // is better
		of     func(Interval) float64
	}{
		{"ok/s", true, Interval.PerSecond},
		{"p50 µs", false, func(i Interval) float64 { return i.P50 }},
		{"p99 µs", false, func(i Interval) float64 { return i.P99 }},
		{"failed/s", false, func(i Interval) float64 { return perSecond(i.Failed, i.Span) }},
	} {
		latency := strings.HasPrefix(metric.name, "p")
		compared := Metric{Name: metric.name, A: a.spread(metric.of, latency), B: b.spread(metric.of, latency)}
		if compared.A.Median != 0 {
			compared.Ratio = compared.B.Median / compared.A.Median
		}
		compared.Verdict = judge(compared.A, compared.B, metric.higher)
		c.Metrics = append(c.Metrics, compared)
	}
	return c
}

// spread returns the spread of a figure. Latencies are those of intervals that have some.
func (r *Result) spread(of func(Interval) float64, latency bool) Spread {
	var figures []float64
	for _, interval := range r.Series {
		if !latency || interval.OK > 0 {
			figures = append(figures, of(interval))
		}
	}
	if len(figures) == 0 {
		return Spread{}
	}
	slices.Sort(figures)
	return Spread{
		Median: quantile(figures, 0.5), Lower: quantile(figures, 0.25), Upper: quantile(figures, 0.75),
		Intervals: len(figures),
	}
}

// quantile returns what the given part of sorted figures is below, between two of them if
// need be.
func quantile(sorted []float64, part float64) float64 {
	at := part * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

func judge(a, b Spread, higher bool) Verdict {
	switch {
	case min(a.Intervals, b.Intervals) < fewestIntervals:
		return TooShort
	case a.Lower <= b.Upper && b.Lower <= a.Upper:
		return WithinNoise
	case (b.Median > a.Median) == higher:
		return Better
	}
	return Worse
}

// differences returns what keeps two results from being comparable.
func differences(a, b *Result) (all []string) {
	for _, setting := range []struct {
		name string
		a, b any
	}{
		{"action", a.Action, b.Action},
		{"connections", a.Connections, b.Connections},
		{"callers", a.Callers, b.Callers},
		{"rate", a.Rate, b.Rate},
		{"messages", a.Messages, b.Messages},
		{"bytes of the messages sent", a.Sent.mean(), b.Sent.mean()},
	} {
		if setting.a != setting.b {
			all = append(all, fmt.Sprintf("%s: %v and %v", setting.name, setting.a, setting.b))
		}
	}
	return all
}

// mean returns the bytes of a message, rounded.
func (t Traffic) mean() int64 {
	return int64(math.Round(float64(t.Bytes) / float64(max(t.Messages, 1))))
}

// WriteText writes a comparison for people. The names are those of the results.
func (c *Comparison) WriteText(to io.Writer, a, b string) error {
	var text strings.Builder
	for _, difference := range c.Differences {
		fmt.Fprintf(&text, "the loads differ in the %s\n", difference)
	}
	if len(c.Differences) > 0 {
		text.WriteString("\n")
	}
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\t%s\t%s\tratio\t\n", a, b)
	for _, metric := range c.Metrics {
		ratio := "–"
		if metric.Ratio != 0 {
			ratio = chart.Figure(metric.Ratio) + " ×"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", metric.Name, metric.A, metric.B, ratio, metric.Verdict)
	}
	table.Flush()
	text.WriteString("\nMedians of the intervals of each run, with the quartiles.\n")
	_, err := io.WriteString(to, text.String())
	return err
}

// String returns the median, with the quartiles.
func (s Spread) String() string {
	if s.Intervals == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", chart.Figure(s.Median), chart.Figure(s.Lower), chart.Figure(s.Upper))
}
