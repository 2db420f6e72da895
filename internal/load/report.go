package load

import (
	_ "embed"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/packetrpc/packetrpc/internal/chart"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

//go:embed report.html
var reportText string

// WriteHTML writes a result as a page that needs no other files and no scripts.
func (r *Result) WriteHTML(to io.Writer) error {
	functions := template.FuncMap{"count": chart.Count, "duration": chart.Duration}
	page, err := template.New("report").Funcs(functions).Parse(reportText)
	if err != nil {
		return err
	}
	var charts []template.HTML
	for _, c := range r.charts() {
		charts = append(charts, template.HTML(c.SVG())) // which has escaped what is not its own
	}
	return page.Execute(to, struct {
		*Result
		Began     string
		Facts     []fact
		Charts    []template.HTML
		Latencies []row
	}{r, r.Began.UTC().Format("2006-01-02 15:04:05 MST"), r.facts(), charts, r.rows()})
}

// WriteSVG writes the chart of latencies by percentile, or where no call has succeeded of
// calls over time.
func (r *Result) WriteSVG(to io.Writer) error {
	charts := r.charts()
	if len(charts) == 0 {
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "no call has ended, so that there is nothing to draw")
	}
	_, err := io.WriteString(to, charts[0].SVG())
	return err
}

// The measures of the charts, in pixels: small enough that their letters can be read at
// the width of a phone.
const (
	chartWidth  = 400
	chartHeight = 280
)

// charts returns the pictures of a report. Without a call that has succeeded there are no
// latencies to draw.
func (r *Result) charts() []chart.Lines {
	switch {
	case len(r.Series) == 0:
		return nil
	case r.OK == 0:
		return []chart.Lines{r.throughputChart()}
	}
	return []chart.Lines{r.distributionChart(), r.throughputChart(), r.latencyChart()}
}

// distributionChart draws which part of the calls took at most how long. The percentiles
// are spread as their distance from 100.
func (r *Result) distributionChart() chart.Lines {
	c := chart.Lines{Title: "Latency by percentile", Width: chartWidth, Height: chartHeight}
	decades := math.Min(math.Max(math.Floor(math.Log10(float64(r.OK))), 1), 5)
	c.X = chart.Axis{Name: "percentile of calls", Log: true, Low: 1, High: math.Pow(10, decades), Ticks: []chart.Tick{{At: 1, Label: "0"}, {At: 2, Label: "50"}}}
	for decade := 10.0; decade <= c.X.High; decade *= 10 {
		c.X.Ticks = append(c.X.Ticks, chart.Tick{At: decade, Label: strconv.FormatFloat(100-100/decade, 'f', -1, 64)})
	}
	least := micros(r.Latency.Min())
	c.Lines = []chart.Line{r.Latency.line(latencyHead, c.X.High)}
	c.Lines[0].Colour = chart.Blue
	if r.Service != nil {
		least = math.Min(least, micros(r.Service.Min()))
		service := r.Service.line(serviceHead, c.X.High)
		service.Colour, service.Dashed = chart.Slate, true
		c.Lines = append(c.Lines, service)
	}
	c.Y = latencyAxis(least, micros(r.Latency.Max()))
	return c
}

// line returns the percentiles up to the one that 1 in last calls is above.
func (l *Latencies) line(name string, last float64) chart.Line {
	const steps = 20 // for each decade
	line := chart.Line{Name: name}
	for i := 0; ; i++ {
		x := math.Pow(10, float64(i)/steps)
		if x > last*1.001 {
			return line
		}
		line.Points = append(line.Points, chart.Point{X: x, Y: micros(l.Percentile(100 - 100/x))})
	}
}

func latencyAxis(least, most float64) chart.Axis {
	return chart.Decades("", least, most, chart.RoundDuration)
}

func (r *Result) throughputChart() chart.Lines {
	c := chart.Lines{Title: "Calls per second", Width: chartWidth, Height: chartHeight, X: r.timeAxis()}
	most := 0.0
	for _, i := range r.Series {
		most = math.Max(most, math.Max(i.PerSecond(), perSecond(i.Failed, i.Span)))
	}
	c.Y = chart.Linear("", most, chart.Round)
	c.Lines = []chart.Line{r.over("ok", chart.Blue, Interval.PerSecond)}
	if r.Failed > 0 {
		c.Lines = append(c.Lines, r.over("failed", chart.Red, func(i Interval) float64 { return perSecond(i.Failed, i.Span) }))
	}
	return c
}

func (r *Result) latencyChart() chart.Lines {
	c := chart.Lines{Title: "Latency over time", Width: chartWidth, Height: chartHeight, X: r.timeAxis()}
	least, most := math.Inf(1), 0.0
	for _, i := range r.Series {
		if i.OK > 0 {
			least, most = math.Min(least, i.P50), math.Max(most, i.Max)
		}
	}
	c.Y = latencyAxis(least, most)
	c.Lines = []chart.Line{
		r.over("p50", chart.Blue, func(i Interval) float64 { return i.latency(i.P50) }),
		r.over("p99", chart.Orange, func(i Interval) float64 { return i.latency(i.P99) }),
		r.over("most", chart.Slate, func(i Interval) float64 { return i.latency(i.Max) }),
	}
	c.Lines[2].Dashed = true
	return c
}

// latency returns a latency of an interval, or NaN where no call succeeded.
func (i Interval) latency(micros float64) float64 {
	if i.OK == 0 {
		return math.NaN()
	}
	return micros
}

func (r *Result) timeAxis() chart.Axis {
	last := r.Series[len(r.Series)-1]
	axis := chart.Linear("seconds", last.At+last.Span, chart.Round)
	axis.High = last.At + last.Span // the last tick may be left out
	axis.Ticks = slices.DeleteFunc(axis.Ticks, func(tick chart.Tick) bool { return tick.At > axis.High })
	return axis
}

// over returns a figure over time, each at the middle of its interval.
func (r *Result) over(name, colour string, of func(Interval) float64) chart.Line {
	const fewest = 20 // points that make a line to look at
	line := chart.Line{Name: name, Colour: colour, Marked: len(r.Series) < fewest}
	for _, i := range r.Series {
		line.Points = append(line.Points, chart.Point{X: i.At + i.Span/2, Y: of(i)})
	}
	return line
}
