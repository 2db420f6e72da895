package report

import (
	"math"
	"slices"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/internal/chart"
)

// A line is what one contender shows in a sweep.
type line struct {
	name   string
	kind   contender.Kind
	points []point
}

// A point is one figure of it.
type point struct {
	x float64
	interval
}

// lineHeight is how high a chart of lines is, in pixels; see plots.go for its width.
const lineHeight = 400

// lineChart draws lines over logarithmic axes, with a bar from the least to the most
// at each point.
func lineChart(title, xName string, lines []line) string {
	var numbers, costs []float64
	c := chart.Lines{Title: title, Width: chartWidth, Height: lineHeight}
	for _, l := range lines {
		drawn := chart.Line{Name: l.name, Colour: lineColour(l.kind), Dashed: l.kind == contender.Floor, Marked: true}
		for _, p := range l.points {
			numbers = append(numbers, p.x)
			costs = append(costs, p.least, p.greatest)
			drawn.Points = append(drawn.Points, chart.Point{X: p.x, Y: p.value, Least: p.least, Greatest: p.greatest})
		}
		c.Lines = append(c.Lines, drawn)
	}
	c.X = numberAxis(xName, numbers)
	c.Y = chart.Decades("", math.Max(slices.Min(costs), 0.01), slices.Max(costs), chart.Round)
	return c.SVG()
}

// numberAxis returns the axis of the numbers of a sweep, each with its tick.
func numberAxis(name string, numbers []float64) chart.Axis {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	axis := chart.Axis{Name: name, Log: true, Low: math.Max(numbers[0], 1)}
	if numbers[0] == 0 && len(numbers) > 1 {
		axis.Low = numbers[1]
	}
	axis.High = math.Max(numbers[len(numbers)-1], 2*axis.Low)
	for _, number := range numbers {
		axis.Ticks = append(axis.Ticks, chart.Tick{At: number, Label: chart.Round(number)})
	}
	return axis
}

// lineColour is darker than that of a bar, which has more of it.
func lineColour(kind contender.Kind) string {
	switch kind {
	case contender.Peer:
		return chart.Orange
	case contender.Floor:
		return chart.Slate
	}
	return colour(kind)
}
