package chart_test

import (
	"flag"
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/internal/chart"
)

var update = flag.Bool("update", false, "write the picture to testdata anew")

// The picture in testdata is to be looked at when it changes.
func TestLines(t *testing.T) {
	c := chart.Lines{
		Title: "growth of <things>", Width: 480, Height: 300,
		X: chart.Axis{Name: "callers", Log: true, Low: 1, High: 100, Ticks: []chart.Tick{{At: 0, Label: "0"}, {At: 1, Label: "1"}, {At: 10, Label: "10"}, {At: 100, Label: "100"}}},
		Y: chart.Linear("", 42, chart.Round),
		Lines: []chart.Line{
			{Name: "first", Colour: chart.Blue, Marked: true, Points: []chart.Point{{X: 0, Y: 5}, {X: 1, Y: 10, Least: 8, Greatest: 15}, {X: 100, Y: 40}}},
			{Name: "interrupted", Colour: chart.Orange, Dashed: true, Points: []chart.Point{{X: 1, Y: 20}, {X: 10, Y: 20}, {X: 20, Y: math.NaN()}, {X: 50, Y: 30}, {X: 100, Y: 30}}},
		},
	}
	got := c.SVG()
	if *update {
		if err := os.WriteFile("testdata/lines.svg", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/lines.svg")
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(string(want), got); difference != "" {
		t.Errorf("-want +got:\n%s", difference)
	}
}

func TestAxes(t *testing.T) {
	for _, test := range []struct {
		name   string
		axis   chart.Axis
		labels []string
	}{
		{"a decade", chart.Decades("", 12, 80, chart.Round), []string{"10", "20", "50", "100"}},
		{"one number", chart.Decades("", 10, 10, chart.Round), []string{"10", "20", "50", "100"}},
		{"many decades", chart.Decades("", 12, 3e6, chart.RoundDuration), []string{"10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"}},
		{"below 1", chart.Decades("", 0.2, 0.9, chart.RoundDuration), []string{"100 ns", "200 ns", "500 ns", "1 µs"}},
		{"from 0", chart.Linear("", 42, chart.Round), []string{"0", "10", "20", "30", "40", "50"}},
		{"fractions", chart.Linear("", 1, chart.Round), []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
		{"thousands", chart.Linear("", 23456, chart.Round), []string{"0", "5,000", "10,000", "15,000", "20,000", "25,000"}},
		{"nothing", chart.Linear("", 0, chart.Round), []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
	} {
		var labels []string
		for _, tick := range test.axis.Ticks {
			labels = append(labels, tick.Label)
		}
		if difference := cmp.Diff(test.labels, labels); difference != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, difference)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{chart.Figure(0.004), "0"},
		{chart.Figure(9.876), "9.88"},
		{chart.Figure(98.76), "98.8"},
		{chart.Figure(-1234567), "-1,234,567"},
		{chart.Figure(math.NaN()), "–"},
		{chart.Count(1234), "1,234"},
		{chart.Count(-12), "-12"},
		{chart.Duration(0), "0"},
		{chart.Duration(999), "999 ns"},
		{chart.Duration(1234), "1.23 µs"},
		{chart.Duration(999_600 * time.Nanosecond), "1.00 ms"},
		{chart.Duration(12_345 * time.Microsecond), "12.3 ms"},
		{chart.Duration(90 * time.Second), "90.0 s"},
		{chart.Bytes(0), "0 B"},
		{chart.Bytes(1536), "1.50 KiB"},
		{chart.Bytes(3 << 30), "3.00 GiB"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
