package report_test

import (
	"bytes"
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
	results := new(suite.Results)
	for name, rates := range map[string][]float64{
		"packetrpc":     {900_000, 700_000, 800_000},
		"grpc-go":       {100_000, 90_000, 110_000},
		"a <fast> peer": {200_000, 300_000},
	} {
		add(results, plan.Cells[0].Name, name, measure.CallsPerSecond, rates...)
	}
	add(results, plan.Cells[0].Name, "packetrpc", measure.ServerAllocs, 5)
	results.Failures = []string{"a cell, a contender: it fell over\nin two lines"}
	return report.Report{
		Plan:    plan,
		Results: results,
		Machine: report.Machine{CPU: "a CPU", Cores: 2, Revision: "abc", Versions: map[string]string{"example.com/grpc": "v1.2.3"}},
		Command: "cd bench && go run .",
	}
}

// add adds the figures of all rounds.
func add(results *suite.Results, cell, contender string, metric measure.Metric, values ...float64) {
	for i, value := range values {
		results.Add(suite.Sample{Cell: cell, Contender: contender, Metric: metric, Round: i + 1, Value: value})
	}
}

// written writes a report into a folder, and returns it.
func written(t *testing.T, r report.Report, folder string) string {
	t.Helper()
	if err := r.Write(folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, report.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReport(t *testing.T) {
	text := written(t, sample(), filepath.Join(t.TempDir(), "new"))
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
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, unwanted := range []string{"## nobody took part", "| absent | 0", "NaN"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("the report has %q", unwanted)
		}
	}
	if t.Failed() {
		t.Logf("the report is:\n%s", text)
	}
}

// What a run has saved yields the same report and the same plots.
func TestRender(t *testing.T) {
	for name, r := range map[string]report.Report{"sample": sample()} {
		first, again := t.TempDir(), t.TempDir()
		if err := r.Save(first); err != nil {
			t.Fatal(err)
		}
		want := written(t, r, first)
		saved, err := report.Read(first)
		if err != nil {
			t.Fatal(err)
		}
		if got := written(t, saved, again); got != want {
			t.Errorf("%s: got another report:\n%s\nwant:\n%s", name, got, want)
		}
		plots, err := filepath.Glob(filepath.Join(first, "*.svg"))
		if err != nil || len(plots) == 0 {
			t.Fatalf("got plots %q, error %v", plots, err)
		}
		for _, plot := range plots {
			want, wantErr := os.ReadFile(plot)
			got, gotErr := os.ReadFile(filepath.Join(again, filepath.Base(plot)))
			if err := errors.Join(wantErr, gotErr); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s differs, error %v", name, filepath.Base(plot), err)
			}
		}
	}
}

func TestReadRefusesBrokenSamples(t *testing.T) {
	for _, samples := range []string{"", "a,b\n", "h,h,h,h,h\ncell,contender,metric,one,1\n", "h,h,h,h,h\ncell,contender,metric,1,much\n"} {
		folder := t.TempDir()
		if err := sample().Save(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "samples.csv"), []byte(samples), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := report.Read(folder); err == nil {
			t.Errorf("got no error for the samples %q", samples)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	folder := t.TempDir()
	written(t, sample(), folder)
	plots, err := filepath.Glob(filepath.Join(folder, "*.svg"))
	if err != nil || len(plots) != 1 {
		t.Fatalf("got plots %q, want one; error %v", plots, err)
	}
	if bars := count(t, plots[0], "line"); bars != 3 {
		t.Errorf("got %d bars, want 3", bars)
	}
}

// count returns how many elements of a name an XML file has.
func count(t *testing.T, path, name string) int {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := 0
	for decoder := xml.NewDecoder(file); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == name {
			found++
		}
	}
}
