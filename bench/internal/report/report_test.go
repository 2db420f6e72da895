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

// swept is a report with all sweeps and made-up figures: beyond the number from
// which growth is judged packetrpc costs thrice as much, and the floors twice.
func swept() report.Report {
	r := sample()
	r.Plan.Cells = nil
	r.Plan.Contenders = []contender.Info{
		{Name: "packetrpc", Kind: contender.Ours},
		{Name: "floor: ping", Kind: contender.Floor},
		{Name: "floor: window", Kind: contender.Floor},
	}
	for _, sweep := range suite.Sweeps() {
		for _, cell := range sweep.Cells() {
			r.Plan.Cells = append(r.Plan.Cells, cell)
			our, floors := 10.0, 1.5
			if cell.X > sweep.From {
				our, floors = 30, 3
			}
			add(r.Results, cell.Name, "packetrpc", measure.CPU, our, 0.9*our, 1.1*our)
			if len(cell.Only) > 2 {
				add(r.Results, cell.Name, sweep.Floor, measure.CPU, floors)
			}
		}
	}
	return r
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

// A sweep has one table, and a row among the figures to reach, which sets the
// floor's growth against ours.
func TestSweeps(t *testing.T) {
	folder := t.TempDir()
	text := written(t, swept(), folder)
	for _, want := range []string{
		"| callers | contender | CPU µs | calls/s | p50 µs | p99 µs |",
		"| 64 | packetrpc | 10.0 (9.00–11.0) | – | – | – |",
		"| 10,000 | floor: ping | 3.00 | – | – | – |",
		"| sweep of callers: 10000 | CPU µs | ≤ 1.20 × sweep of callers: 64 × the growth of floor: ping | 1.50 × | no |",
		"| sweep of message bytes: 4194240 | CPU µs | ≤ 1.20 × sweep of message bytes: 65536 × the growth of floor: window | 1.50 × | no |",
		"| sweep of declared actions: 1000 | CPU µs | ≤ 1.20 × sweep of declared actions: 1 | 3.00 × | no |",
		"](sweep-open-connections.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(text, "## sweep of") {
		t.Error("the report has a table for a single cell of a sweep")
	}
	if t.Failed() {
		t.Logf("the report is:\n%s", text)
	}
	for _, sweep := range suite.Sweeps() {
		file := "sweep-" + strings.ReplaceAll(sweep.Name, " ", "-") + ".svg"
		points := len(sweep.Cells())
		for _, cell := range sweep.Cells() {
			points += len(cell.Only) - 2 // the floor
		}
		if got := count(t, filepath.Join(folder, file), "circle"); got != points {
			t.Errorf("%s: got %d points, want %d", file, got, points)
		}
	}
}

// secured is a report of security with made-up figures: with TLS at both, packetrpc
// keeps its lead in one cell, in one of three rounds of another, and not in a third.
func secured() report.Report {
	cells := []measure.Cell{
		{Name: suite.UnaryName(64, 1, 16), Kind: measure.Unary},
		{Name: "perhaps", Kind: measure.Unary},
		{Name: "lost", Kind: measure.Unary},
	}
	r := report.Report{Plan: suite.Plan{Name: suite.SecurityName, Cells: cells}, Results: new(suite.Results)}
	for _, name := range []string{"packetrpc", "grpc-go", "packetrpc tls", "grpc-go tls"} {
		r.Plan.Contenders = append(r.Plan.Contenders, contender.Info{Name: name})
	}
	for i, encrypted := range [][]float64{{450, 440, 500}, {340, 360, 410}, {200, 210, 190}} {
		for name, rates := range map[string][]float64{
			"packetrpc": {800, 800, 800}, "grpc-go": {200, 200, 200},
			"packetrpc tls": encrypted, "grpc-go tls": {100, 100, 100},
		} {
			add(r.Results, cells[i].Name, name, measure.CallsPerSecond, rates...)
		}
	}
	add(r.Results, cells[0].Name, "packetrpc", measure.CPU, 2)
	add(r.Results, cells[0].Name, "packetrpc tls", measure.CPU, 3)
	add(r.Results, cells[0].Name, "grpc-go", measure.CPU, 20)
	add(r.Results, cells[0].Name, "grpc-go tls", measure.CPU, 24)
	return r
}

func TestSecurity(t *testing.T) {
	text := written(t, secured(), t.TempDir())
	for _, want := range []string{
		"[README.md](../README.md)",
		"| 64 callers, 16 B | calls/s | 4.00 × (4.00–4.00) | 4.50 × (4.40–5.00) | 1.12 × (1.10–1.25) | yes |",
		"| 64 callers, 16 B | CPU µs | 10.0 × | 8.00 × | 0.80 × | no |",
		"| perhaps | calls/s | 4.00 × (4.00–4.00) | 3.60 × (3.40–4.10) | 0.90 × (0.85–1.02) | within the spread |",
		"| lost | calls/s | 4.00 × (4.00–4.00) | 2.00 × (1.90–2.10) | 0.50 × (0.47–0.53) | no |",
		"| packetrpc tls | packetrpc | 64 callers, 16 B | 1.78 × (1.60–1.82) | 1.50 × | – |",
		"| grpc-go tls | grpc-go | lost | 2.00 × (2.00–2.00) | – | – |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, unwanted := range []string{"## The figures to reach", "NaN", "| packetrpc sealed |"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("the report has %q", unwanted)
		}
	}
	if t.Failed() {
		t.Logf("the report is:\n%s", text)
	}
}

// A full run tells every figure to reach.
func TestGoalsAreMeasured(t *testing.T) {
	plan, results := suite.Full(), new(suite.Results)
	for _, cell := range plan.Cells {
		for _, info := range plan.Contenders {
			if !cell.Fits(info) {
				continue
			}
			for _, metric := range cell.Kind.Columns() {
				add(results, cell.Name, info.Name, metric, 1)
			}
		}
	}
	text := written(t, report.Report{Plan: plan, Results: results}, t.TempDir())
	for line := range strings.Lines(text) {
		if strings.Contains(line, "not measured") {
			t.Error(line)
		}
	}
}

// What a run has saved yields the same report and the same plots.
func TestRender(t *testing.T) {
	for name, r := range map[string]report.Report{"sample": sample(), "sweeps": swept(), "security": secured()} {
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
