package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
	"github.com/packetrpc/packetrpc/internal/chart"
)

// A plot is a picture in a file of its own.
type plot struct {
	title, file, svg string
}

// plots returns a bar chart for each cell that says much, if it was measured.
func (r Report) plots() []plot {
	var found []plot
	for _, p := range []struct {
		file, cell string
		metric     measure.Metric
	}{
		{"calls-64x16.svg", suite.UnaryName(64, 1, 16), measure.CallsPerSecond},
		{"calls-1024x16.svg", suite.UnaryName(1024, 1, 16), measure.CallsPerSecond},
		{"calls-64x1k.svg", suite.UnaryName(64, 1, 1<<10), measure.CallsPerSecond},
		{"calls-16x64k.svg", suite.UnaryName(16, 1, 64<<10), measure.CallsPerSecond},
		{"cpu-64x16.svg", suite.UnaryName(64, 1, 16), measure.CPU},
		{"latency-1x16.svg", suite.UnaryName(1, 1, 16), measure.P50},
		{"upload-16.svg", suite.StreamName(measure.Upload, 16), measure.MessagesPerSecond},
		{"idle.svg", suite.IdleName, measure.HeapKiB},
		{"connects.svg", suite.ConnectsName, measure.ConnectsPerSecond},
	} {
		if bars := r.bars(p.cell, p.metric); len(bars) > 0 {
			title := fmt.Sprintf("%s: %s", p.cell, p.metric)
			found = append(found, plot{title: title, file: p.file, svg: barChart(title, bars)})
		}
	}
	return found
}

// A bar is the figure of one contender.
type bar struct {
	name string
	kind contender.Kind
	interval
}

// bars returns the bars of all contenders that have the figure, the best first.
// The floor without a call API is left out, as it dwarfs the others.
func (r Report) bars(cell string, metric measure.Metric) []bar {
	var bars []bar
	for _, info := range r.Plan.Contenders {
		samples := r.Results.Samples(cell, info.Name, metric)
		if len(samples) == 0 || info.NoCalls {
			continue
		}
		bars = append(bars, bar{info.Name, info.Kind, intervalOf(samples)})
	}
	slices.SortStableFunc(bars, func(a, b bar) int {
		order := 1
		if metric.Higher() {
			order = -1
		}
		switch {
		case a.value < b.value:
			return -order
		case a.value > b.value:
			return order
		}
		return 0
	})
	return bars
}

// The measures of a chart, in pixels.
const (
	chartWidth = 760
	labelWidth = 190
	valueWidth = 90
	barHeight  = 20
	barGap     = 8
	headHeight = 44
)

// colour returns that of a kind of contender.
func colour(kind contender.Kind) string {
	switch kind {
	case contender.Ours:
		return chart.Blue
	case contender.Floor:
		return "#cbd5e1"
	}
	return "#94a3b8"
}

// barChart draws horizontal bars, with a line from the least to the most.
func barChart(title string, bars []bar) string {
	most := 0.0
	for _, bar := range bars {
		most = math.Max(most, bar.greatest)
	}
	if most <= 0 {
		most = 1
	}
	scale := (chartWidth - labelWidth - valueWidth) / most
	height := headHeight + len(bars)*(barHeight+barGap)
	var b strings.Builder
	chart.Open(&b, title, chartWidth, height)
	for i, bar := range bars {
		drawBar(&b, bar, scale, headHeight+i*(barHeight+barGap))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// drawBar draws a bar with its name and its figure.
func drawBar(b *strings.Builder, bar bar, scale float64, top int) {
	middle := top + barHeight/2
	length := math.Max(bar.value*scale, 0)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" class="ink">%s</text>`+"\n", labelWidth-8, middle+5, html.EscapeString(bar.name))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", labelWidth, top, length, barHeight, colour(bar.kind))
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="bar"/>`+"\n",
		labelWidth+math.Max(bar.least*scale, 0), middle, labelWidth+math.Max(bar.greatest*scale, 0), middle)
	fmt.Fprintf(b, `<text x="%.1f" y="%d" class="ink">%s</text>`+"\n", labelWidth+math.Max(bar.greatest*scale, length)+6, middle+5, chart.Figure(bar.value))
}
