// Package chart draws lines over two axes as SVG, and writes numbers as charts and tables
// have them. The pictures need neither scripts nor other files, and are dark where the
// reader's system is.
package chart

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The colours of lines, which show on a light ground and on a dark one.
const (
	Blue   = "#2563eb"
	Orange = "#ea580c"
	Slate  = "#64748b"
	Red    = "#dc2626"
)

// Lines is a chart of lines.
type Lines struct {
	Title         string
	Width, Height int // in pixels, where nobody scales it
	X, Y          Axis
	Lines         []Line
}

// Line is a line of a chart.
type Line struct {
	Name   string
	Colour string
	Dashed bool
	// Marked draws a dot at each point.
	Marked bool
	Points []Point
}

// Point is a point of a line. Y is NaN where the line is interrupted.
type Point struct {
	X, Y float64
	// Least and Greatest are the ends of a bar through the point; both 0 is no bar.
	Least, Greatest float64
}

// The margins around the axes, in pixels.
const (
	left, right = 70, 30
	top, bottom = 70, 56
	inset       = 20 // from the y axis to the first x, and behind the last
)

// style gives the classes of what is not a line their colours.
const style = `<style>.paper{fill:#fff}.ink{fill:#0f172a}.bar{stroke:#0f172a}.rule{stroke:#e2e8f0}` +
	`@media(prefers-color-scheme:dark){.paper{fill:#0f172a}.ink{fill:#e2e8f0}.bar{stroke:#e2e8f0}.rule{stroke:#334155}}</style>`

// Open begins a picture with its title. Its end, </svg>, is the caller's to write.
func Open(b *strings.Builder, title string, width, height int) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(title))
	b.WriteString(style + "\n")
	fmt.Fprintf(b, `<rect width="%d" height="%d" class="paper"/>`+"\n", width, height)
	fmt.Fprintf(b, `<text x="12" y="26" font-size="15" font-weight="bold" class="ink">%s</text>`+"\n", html.EscapeString(title))
}

// SVG draws the chart.
func (c Lines) SVG() string {
	var b strings.Builder
	Open(&b, c.Title, c.Width, c.Height)
	c.X.start, c.X.end = left+inset, float64(c.Width-right-inset)
	c.Y.start, c.Y.end = float64(c.Height-bottom), top
	if c.X.hasZero() {
		c.X.start += zeroGap
	}
	c.drawAxes(&b)
	for i, line := range c.Lines {
		c.drawLine(&b, line)
		c.drawLegend(&b, i, line)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c Lines) drawAxes(b *strings.Builder) {
	for _, tick := range c.Y.Ticks {
		at := c.Y.place(tick.At)
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" class="rule"/>`+"\n", left, at, c.Width-right)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" font-size="11" class="ink">%s</text>`+"\n", left-6, at+4, html.EscapeString(tick.Label))
	}
	for _, tick := range c.X.Ticks {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11" class="ink">%s</text>`+"\n",
			c.X.place(tick.At), c.Height-bottom+18, html.EscapeString(tick.Label))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" class="ink">%s</text>`+"\n",
		(left+c.Width-right)/2, c.Height-14, html.EscapeString(c.X.Name))
}

func (c Lines) drawLine(b *strings.Builder, line Line) {
	var path strings.Builder
	command := "M"
	for _, p := range line.Points {
		if math.IsNaN(p.Y) {
			command = "M"
			continue
		}
		x, y := c.X.place(p.X), c.Y.place(p.Y)
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x, y)
		command = "L"
		if p.Least != 0 || p.Greatest != 0 {
			fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" class="bar"/>`+"\n", x, c.Y.place(p.Least), c.Y.place(p.Greatest))
		}
		if line.Marked {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x, y, line.Colour)
		}
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" %s/>`+"\n", &path, line.stroke())
}

// drawLegend names a line above the axes, each in a part of the width.
func (c Lines) drawLegend(b *strings.Builder, i int, line Line) {
	x := left + i*(c.Width-left-right)/max(len(c.Lines), 3)
	fmt.Fprintf(b, `<path d="M%d 48h24" %s/>`+"\n", x, line.stroke())
	fmt.Fprintf(b, `<text x="%d" y="53" class="ink">%s</text>`+"\n", x+30, html.EscapeString(line.Name))
}

// stroke returns how a line looks.
func (l Line) stroke() string {
	dashes := ""
	if l.Dashed {
		dashes = ` stroke-dasharray="6 4"`
	}
	return fmt.Sprintf(`stroke="%s" stroke-width="2"%s`, l.Colour, dashes)
}
