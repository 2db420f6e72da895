package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/report"
	"github.com/packetrpc/packetrpc/bench/internal/suite"
)

// sample is a report with made-up figures.
func sample() report.Report {
	plan := suite.Plan{
		Cells: []measure.Cell{
			{Name: suite.UnaryName(64, 1, 16), Kind: measure.Unary},
			{Name: "nobody took part", Kind: measure.Unary},
		},
		Contenders: []contender.Info{
			{Name: "packetrpc", Kind: contender.Ours, About: "a|b"},
			{Name: "grpc-go", Kind: contender.Peer, Module: "example.com/grpc"},
			{Name: "a <fast> peer", Kind: contender.Peer, Module: "example.com/none"},
			{Name: "absent", Kind: contender.Peer},
		},
		Rounds: 3, Warm: time.Second, Span: time.Second,
	}
	results := suite.NewResults()
	for name, rates := range map[string][]float64{
		"packetrpc":     {900_000, 700_000, 800_000},
		"grpc-go":       {100_000, 90_000, 110_000},
		"a <fast> peer": {200_000, 300_000},
	} {
		for _, rate := range rates {
			results.Add(plan.Cells[0].Name, name, measure.CallsPerSecond, rate)
		}
	}
	results.Add(plan.Cells[0].Name, "packetrpc", measure.ServerAllocs, 5)
	results.Failures = []string{"a cell, a contender: it fell over\nin two lines"}
	return report.Report{
		Plan:    plan,
		Results: results,
		Machine: report.Machine{CPU: "a CPU", Cores: 2, Revision: "abc", Versions: map[string]string{"example.com/grpc": "v1.2.3"}},
		Command: "cd bench && go run .",
	}
}

func TestReport(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	if err := sample().Write(folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, report.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| a CPU, 2 cores |",
		"| grpc-go | example.com/grpc v1.2.3 |",
		"| a <fast> peer | unknown |",
		"| packetrpc | abc | a\\|b |",
		"| packetrpc | 800,000 (700,000–900,000) | 5.00 | 8.00 × | 3.20 × |",
		"| grpc-go | 100,000 (90,000–110,000) | – | 1.00 × | 0.40 × |",
		"| a <fast> peer | 250,000 (200,000–300,000) | – | 2.50 × | 1.00 × |",
		"| packetrpc | 64 callers, 16 B | calls/s | ≥ 8.00 × grpc-go | 8.00 × | yes |",
		"| packetrpc | 64 callers, 16 B | calls/s | ≥ 3.50 × the best peer | 3.20 × | no |",
		"| packetrpc | 64 callers, 16 B | server allocs | ≤ 4.00 | 5.00 | no |",
		"| packetrpc | 1024 callers, 16 B | calls/s | ≥ 11.0 × grpc-go | – | not measured |",
		"](calls-64x16.svg)",
		"- a cell, a contender: it fell over in two lines",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, unwanted := range []string{"## nobody took part", "| absent | 0", "NaN"} {
		if strings.Contains(string(text), unwanted) {
			t.Errorf("the report has %q", unwanted)
		}
	}
	if t.Failed() {
		t.Logf("the report is:\n%s", text)
	}
}

func TestPlotsAreXML(t *testing.T) {
	folder := t.TempDir()
	if err := sample().Write(folder); err != nil {
		t.Fatal(err)
	}
	plots, err := filepath.Glob(filepath.Join(folder, "*.svg"))
	if err != nil || len(plots) != 1 {
		t.Fatalf("got plots %q, want one; error %v", plots, err)
	}
	file, err := os.Open(plots[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bars := 0
	for decoder := xml.NewDecoder(file); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "line" {
			bars++
		}
	}
	if bars != 3 {
		t.Errorf("got %d bars, want 3", bars)
	}
}
