package suite

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
)

// A Sample is a figure of one round.
type Sample struct {
	Cell, Contender string
	Metric          measure.Metric
	Round           int
	Value           float64
}

// Results is what a run found. The zero value is empty and ready to use.
type Results struct {
	// Failures are jobs that failed, in words.
	Failures []string

	all   []Sample
	found map[key][]float64 // the same, to look up
}

// key is what a figure belongs to.
type key struct {
	cell, contender string
	metric          measure.Metric
}

// Add adds a figure.
func (r *Results) Add(sample Sample) {
	if r.found == nil {
		r.found = make(map[key][]float64)
	}
	k := key{sample.Cell, sample.Contender, sample.Metric}
	r.found[k] = append(r.found[k], sample.Value)
	r.all = append(r.all, sample)
}

// Samples returns the figures of all rounds, or nil.
func (r *Results) Samples(cell, contender string, metric measure.Metric) []float64 {
	return r.found[key{cell, contender, metric}]
}

// header is the first line of a file of samples.
var header = []string{"cell", "contender", "metric", "round", "value"}

// WriteCSV writes all figures, with all their digits, in the order in which they
// were taken.
func (r *Results) WriteCSV(w io.Writer) error {
	lines := csv.NewWriter(w)
	if err := lines.Write(header); err != nil {
		return err
	}
	for _, s := range r.all {
		value := strconv.FormatFloat(s.Value, 'g', -1, 64)
		if err := lines.Write([]string{s.Cell, s.Contender, string(s.Metric), strconv.Itoa(s.Round), value}); err != nil {
			return err
		}
	}
	lines.Flush()
	return lines.Error()
}

// ReadCSV adds figures that WriteCSV has written.
func (r *Results) ReadCSV(input io.Reader) error {
	lines := csv.NewReader(input)
	lines.FieldsPerRecord = len(header)
	all, err := lines.ReadAll()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return io.ErrUnexpectedEOF
	}
	for i, line := range all[1:] {
		round, err := strconv.Atoi(line[3])
		if err != nil {
			return fmt.Errorf("sample %d: %w", i+1, err)
		}
		value, err := strconv.ParseFloat(line[4], 64)
		if err != nil {
			return fmt.Errorf("sample %d: %w", i+1, err)
		}
		r.Add(Sample{line[0], line[1], measure.Metric(line[2]), round, value})
	}
	return nil
}
