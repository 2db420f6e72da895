package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/internal/chart"
)

const (
	oursEncrypted      = "packetrpc tls"
	referenceEncrypted = "grpc-go tls"
)

// beside is a contender and the one that it is but for its protection.
type beside struct{ of, base string }

// protections are what the cost of protection is told by.
func protections() []beside {
	return []beside{
		{oursEncrypted, ours},
		{referenceEncrypted, reference},
		{"packetrpc sealed", ours},
		{"packetrpc tls sealed", oursEncrypted},
		{"packetrpc tls password", oursEncrypted},
	}
}

// ratios returns, for each round, how many times as much a figure is for one
// contender as for another in the same cell.
func (r Report) ratios(cell string, metric measure.Metric, of, base string) []float64 {
	values, bases := r.Results.Samples(cell, of, metric), r.Results.Samples(cell, base, metric)
	found := make([]float64, min(len(values), len(bases)))
	for i := range found {
		found[i] = values[i] / bases[i]
	}
	return found
}

// leads returns, for each round, how many times as good packetrpc is as grpc-go.
func (r Report) leads(cell string, metric measure.Metric, our, their string) []float64 {
	if metric.Higher() {
		return r.ratios(cell, metric, our, their)
	}
	return r.ratios(cell, metric, their, our)
}

// rateAndCPU are the metrics by which protection is judged.
func rateAndCPU(cell measure.Cell) []measure.Metric {
	return []measure.Metric{cell.Kind.Columns()[0], measure.CPU}
}

// writeSecurity writes what protection costs, and whether we keep our lead with it.
func (r Report) writeSecurity(b *strings.Builder) {
	r.writeLead(b)
	r.writeCosts(b)
}

func (r Report) writeLead(b *strings.Builder) {
	b.WriteString("## The lead over gRPC\n\n")
	b.WriteString("How many times as many calls, messages or connects a second packetrpc does as grpc-go, " +
		"and how many times as much processor time grpc-go takes for one. The lead is kept where it is as large with TLS at both as without: " +
		"“yes” by the median of the rounds, “within the spread” by the best of them only.\n\n")
	row(b, "cell", "metric", "lead without TLS", "lead with TLS", "one to the other", "keeps the lead")
	row(b, "---", "---", "--:", "--:", "--:", "---")
	for _, cell := range r.Plan.Cells {
		for _, metric := range rateAndCPU(cell) {
			plain := r.leads(cell.Name, metric, ours, reference)
			encrypted := r.leads(cell.Name, metric, oursEncrypted, referenceEncrypted)
			kept := make([]float64, min(len(plain), len(encrypted)))
			for i := range kept {
				kept[i] = encrypted[i] / plain[i]
			}
			if len(kept) > 0 {
				row(b, cell.Name, string(metric), times(plain), times(encrypted), times(kept), verdict(kept))
			}
		}
	}
	b.WriteString("\n")
}

// verdict says whether a lead is kept, which in each round is so many times what it
// was.
func verdict(kept []float64) string {
	switch {
	case median(kept) >= 1:
		return "yes"
	case slices.Max(kept) >= 1:
		return "within the spread"
	}
	return "no"
}

func (r Report) writeCosts(b *strings.Builder) {
	b.WriteString("## What protection costs\n\n")
	b.WriteString("Each figure as a multiple of that of the contender beside it, which is the same without the protection: " +
		"the time for each call, message or connect, which is one over their rate, and the processor time. Less is better.\n\n")
	row(b, "contender", "beside", "cell", "time", string(measure.CPU), string(measure.ServerCPU))
	row(b, "---", "---", "---", "--:", "--:", "--:")
	for _, p := range protections() {
		for _, cell := range r.Plan.Cells {
			slower := r.ratios(cell.Name, cell.Kind.Columns()[0], p.base, p.of)
			if len(slower) > 0 {
				row(b, p.of, p.base, cell.Name, times(slower),
					times(r.ratios(cell.Name, measure.CPU, p.of, p.base)),
					times(r.ratios(cell.Name, measure.ServerCPU, p.of, p.base)))
			}
		}
	}
	b.WriteString("\n")
}

// times writes the median of ratios with the least and the most.
func times(ratios []float64) string {
	if len(ratios) == 0 || math.IsNaN(median(ratios)) {
		return "–"
	}
	if len(ratios) == 1 {
		return fmt.Sprintf("%s ×", chart.Figure(ratios[0]))
	}
	of := intervalOf(ratios)
	return fmt.Sprintf("%s × (%s–%s)", chart.Figure(of.value), chart.Figure(of.least), chart.Figure(of.greatest))
}
