package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
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

// The measures of a chart of lines, in pixels; see plots.go for the others.
const (
	lineHeight  = 400
	lineLeft    = 70
	lineRight   = 30
	lineTop     = 70
	lineBottom  = 56
	legendWidth = 150
	zeroGap     = 40 // between 0, which has no logarithm, and the least number
)

// A logAxis places numbers by their logarithms.
type logAxis struct {
	low, high  float64 // numbers
	start, end float64 // pixels
}

func (a logAxis) at(number float64) float64 {
	if number <= 0 {
		return a.start - zeroGap
	}
	return a.start + (a.end-a.start)*math.Log(number/a.low)/math.Log(a.high/a.low)
}

// lineChart draws lines over logarithmic axes, with a bar from the least to the
// most at each point.
func lineChart(title, xName string, lines []line) string {
	numbers, x, y := axes(lines)
	var b strings.Builder
	openChart(&b, title, lineHeight)
	for _, tick := range ticks(y) {
		at := y.at(tick)
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#e2e8f0"/>`+"\n", lineLeft, at, chartWidth-lineRight)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end" font-size="11">%s</text>`+"\n", lineLeft-6, at+4, scaleFigure(tick))
	}
	for _, number := range numbers {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11">%s</text>`+"\n",
			x.at(number), lineHeight-lineBottom+18, scaleFigure(number))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
		(lineLeft+chartWidth-lineRight)/2, lineHeight-14, html.EscapeString(xName))
	for i, l := range lines {
		drawLine(&b, l, x, y)
		left := lineLeft + i*legendWidth
		fmt.Fprintf(&b, `<path d="M%d %dh24" %s/>`+"\n", left, headHeight+4, stroke(l.kind))
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", left+30, headHeight+9, html.EscapeString(l.name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// axes returns all numbers on the x axis, and both axes. The y axis has whole
// decades.
func axes(lines []line) (numbers []float64, x, y logAxis) {
	var costs []float64
	for _, l := range lines {
		for _, p := range l.points {
			numbers = append(numbers, p.x)
			costs = append(costs, p.least, p.greatest)
		}
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	x = logAxis{low: math.Max(numbers[0], 1), high: numbers[len(numbers)-1], start: lineLeft + 20, end: chartWidth - lineRight - 20}
	if numbers[0] == 0 {
		x.start += zeroGap
		if len(numbers) > 1 {
			x.low = numbers[1]
		}
	}
	x.high = math.Max(x.high, 2*x.low)
	y = logAxis{start: lineHeight - lineBottom, end: lineTop}
	y.low = math.Pow(10, math.Floor(math.Log10(math.Max(slices.Min(costs), 0.01))))
	y.high = math.Pow(10, math.Ceil(math.Log10(math.Max(slices.Max(costs), 2*y.low))))
	return numbers, x, y
}

// ticks returns 1, 2 and 5 of each decade of an axis.
func ticks(axis logAxis) []float64 {
	var all []float64
	for decade := axis.low; decade < axis.high*0.99; decade *= 10 {
		all = append(all, decade, 2*decade, 5*decade)
	}
	return append(all, axis.high)
}

// drawLine draws a line with its points and their bars.
func drawLine(b *strings.Builder, l line, x, y logAxis) {
	var path strings.Builder
	for i, p := range l.points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x.at(p.x), y.at(p.value))
		fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="#0f172a"/>`+"\n", x.at(p.x), y.at(p.least), y.at(p.greatest))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x.at(p.x), y.at(p.value), lineColour(l.kind))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" %s/>`+"\n", &path, stroke(l.kind))
}

// lineColour is darker than that of a bar, which has more of it.
func lineColour(kind contender.Kind) string {
	switch kind {
	case contender.Peer:
		return "#ea580c"
	case contender.Floor:
		return "#64748b"
	}
	return colour(kind)
}

// stroke returns how a line looks.
func stroke(kind contender.Kind) string {
	dashes := ""
	if kind == contender.Floor {
		dashes = ` stroke-dasharray="6 4"`
	}
	return fmt.Sprintf(`stroke="%s" stroke-width="2"%s`, lineColour(kind), dashes)
}

// scaleFigure writes a round number.
func scaleFigure(number float64) string {
	if number > 0 && number < 1 {
		return strconv.FormatFloat(number, 'g', 1, 64)
	}
	return thousands(strconv.FormatFloat(number, 'f', 0, 64))
}
