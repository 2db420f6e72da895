package load_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/packetrpc/packetrpc/internal/load"
)

var update = flag.Bool("update", false, "write what is shown to testdata anew")

// read reads the saved result of a real run: 2,000 calls a second were due for a second,
// and the server stalled.
func read(t *testing.T) *load.Result {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "stalled.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := load.ParseResult(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// golden compares what is shown with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(string(want), got); difference != "" {
		t.Errorf("%s: -want +got:\n%s", name, difference)
	}
}

func TestText(t *testing.T) {
	var text bytes.Buffer
	if err := read(t).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "stalled.txt", text.String())
}

// The page is well-formed, needs nothing from elsewhere, and shows what the server says
// as text.
func TestReport(t *testing.T) {
	r := read(t)
	r.Command = `packetrpc bench Echo '{"a":"</pre>"}'`
	r.Errors = []load.Failure{{Code: "aborted", Count: 1234, Samples: []string{"<script>alert(1)</script>"}}}
	page := html(t, r)
	for _, want := range []string{"&lt;script&gt;", "&lt;/pre&gt;", "<td class=\"number\">1,234</td>", "prefers-color-scheme: dark", "width=device-width"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if count := strings.Count(page, "<svg "); count != 3 {
		t.Errorf("there are %d charts, want 3", count)
	}
	for _, reference := range regexp.MustCompile(`(src|href|url\(|<script|@import)`).FindAllString(page, -1) {
		t.Errorf("the page refers to something else, or has scripts: %q", reference)
	}
}

// html returns the page of a result, whose elements all end.
func html(t *testing.T, r *load.Result) string {
	t.Helper()
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	elements := xml.NewDecoder(bytes.NewReader(page.Bytes()))
	elements.Strict, elements.AutoClose, elements.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := elements.Token(); errors.Is(err, io.EOF) {
			return page.String()
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, &page)
		}
	}
}

// Whatever comes of a load can be shown.
func TestReportOfLittle(t *testing.T) {
	for name, change := range map[string]func(*load.Result){
		"no intervals":       func(r *load.Result) { r.Series = nil },
		"no call succeeded":  func(r *load.Result) { r.OK = 0; r.Failed = 1 },
		"nothing in the end": func(r *load.Result) { r.Series[len(r.Series)-1] = load.Interval{At: 0.9, Span: 0.1} },
		"one call": func(r *load.Result) {
			r.OK = 1
			r.Series = r.Series[:1]
		},
	} {
		r := read(t)
		change(r)
		if page := html(t, r); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
			t.Errorf("%s: a number is none:\n%s", name, page)
		}
		if err := r.WriteText(new(bytes.Buffer)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// steady returns a result whose intervals have these rates, and latencies for them.
func steady(rates ...int64) *load.Result {
	r := &load.Result{Action: "a", Connections: 1, Callers: 1}
	for i, rate := range rates {
		r.Series = append(r.Series, load.Interval{At: float64(i), Span: 1, OK: rate, P50: 1e6 / float64(rate), P99: 2e6 / float64(rate)})
	}
	return r
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name     string
		a, b     *load.Result
		ratio    float64 // of ok/s
		verdicts []load.Verdict
	}{
		{"the same", steady(90, 95, 100, 105, 110), steady(90, 95, 100, 105, 110), 1, []load.Verdict{load.WithinNoise, load.WithinNoise, load.WithinNoise, load.WithinNoise}},
		{"a little more", steady(90, 95, 100, 105, 110), steady(94, 99, 104, 109, 114), 1.04, []load.Verdict{load.WithinNoise, load.WithinNoise, load.WithinNoise, load.WithinNoise}},
		{"twice as much", steady(90, 95, 100, 105, 110), steady(190, 195, 200, 205, 210), 2, []load.Verdict{load.Better, load.Better, load.Better, load.WithinNoise}},
		{"half of it", steady(190, 195, 200, 205, 210), steady(90, 95, 100, 105, 110), 0.5, []load.Verdict{load.Worse, load.Worse, load.Worse, load.WithinNoise}},
		{"one bad interval", steady(90, 95, 100, 105, 110), steady(190, 195, 200, 205, 1), 1.95, []load.Verdict{load.Better, load.Better, load.Better, load.WithinNoise}},
		{"too few", steady(100, 100, 100, 100), steady(200, 200, 200, 200, 200), 2, []load.Verdict{load.TooShort, load.TooShort, load.TooShort, load.TooShort}},
		{"nothing", steady(), steady(200, 200, 200, 200, 200), 0, []load.Verdict{load.TooShort, load.TooShort, load.TooShort, load.TooShort}},
	} {
		c := load.Compare(test.a, test.b)
		var verdicts []load.Verdict
		for _, metric := range c.Metrics {
			verdicts = append(verdicts, metric.Verdict)
		}
		if ratio := c.Metrics[0].Ratio; ratio != test.ratio || !slices.Equal(verdicts, test.verdicts) {
			t.Errorf("%s: %v times, %v; want %v, %v", test.name, ratio, verdicts, test.ratio, test.verdicts)
		}
		if c.Differences != nil {
			t.Errorf("%s: differ in %v", test.name, c.Differences)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Failures are compared as well, and what is not comparable is told.
func TestCompareOthers(t *testing.T) {
	a, b := steady(100, 100, 100, 100, 100), steady(100, 100, 100, 100, 100)
	for i := range b.Series {
		b.Series[i].Failed = 10
	}
	b.Callers, b.Rate, b.Sent = 2, 50, load.Traffic{Messages: 3, Bytes: 10}
	c := load.Compare(a, b)
	if failed := c.Metrics[3]; failed.Verdict != load.Worse || failed.B.Median != 10 || failed.Ratio != 0 {
		t.Errorf("got %+v", failed)
	}
	want := []string{"callers: 1 and 2", "rate: 0 and 50", "bytes of the messages sent: 0 and 3"}
	if difference := cmp.Diff(want, c.Differences); difference != "" {
		t.Errorf("-want +got:\n%s", difference)
	}
}

// What a server says neither breaks the table nor reaches the terminal's controls.
func TestTextOfErrors(t *testing.T) {
	r := steady(1)
	r.Latency, r.Service = read(t).Latency, read(t).Service
	r.Errors = []load.Failure{{Code: "unknown", Count: 2, Samples: []string{"a\x1b[31m\nb", strings.Repeat("long", 100)}}}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("unknown  2  a [31m b\n            %s…\n", strings.Repeat("long", 50))
	if !strings.HasSuffix(text.String(), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", text.String(), want)
	}
}
