package load

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies counts latencies to three digits, from 100 ns to an hour. It may not be used
// concurrently.
type Latencies struct {
	counts *hdrhistogram.Histogram // of nanoseconds
}

// The ends of what is told apart.
const (
	leastLatency = 100 * time.Nanosecond
	mostLatency  = time.Hour
)

func newLatencies() *Latencies {
	return &Latencies{hdrhistogram.New(int64(leastLatency), int64(mostLatency), 3)}
}

func (l *Latencies) record(latency time.Duration) {
	// Within these limits there is no error.
	_ = l.counts.RecordValue(int64(min(max(latency, leastLatency), mostLatency)))
}

func (l *Latencies) merge(other *Latencies) { l.counts.Merge(other.counts) }

// Count returns how many latencies there are.
func (l *Latencies) Count() int64 { return l.counts.TotalCount() }

// Percentile returns the latency that so many percent stayed within; 0 when there are
// none.
func (l *Latencies) Percentile(percent float64) time.Duration {
	return l.end(func() int64 { return l.counts.ValueAtPercentile(percent) })
}

// Mean returns the mean; 0 when there are none.
func (l *Latencies) Mean() time.Duration { return time.Duration(l.counts.Mean()) }

// Min returns the least latency; 0 when there are none.
func (l *Latencies) Min() time.Duration { return l.end(l.counts.Min) }

// Max returns the greatest latency; 0 when there are none.
func (l *Latencies) Max() time.Duration { return l.end(l.counts.Max) }

// end returns one end of the latencies. Of none the histogram makes up some.
func (l *Latencies) end(which func() int64) time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return time.Duration(which())
}

// percentiles are those that reports have, by their JSON keys.
var percentiles = [...]struct {
	name, key string
	percent   float64
}{
	{"p50", "p50", 50},
	{"p75", "p75", 75},
	{"p90", "p90", 90},
	{"p95", "p95", 95},
	{"p99", "p99", 99},
	{"p99.9", "p99_9", 99.9},
	{"p99.99", "p99_99", 99.99},
}

// MarshalJSON returns the figures in microseconds, and the counts in the compressed form
// that HdrHistogram's tools read.
func (l *Latencies) MarshalJSON() ([]byte, error) {
	histogram, err := l.counts.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	figures := map[string]any{
		"mean": micros(l.Mean()), "min": micros(l.Min()), "max": micros(l.Max()),
		"count": l.Count(), "histogram": string(histogram),
	}
	for _, p := range percentiles {
		figures[p.key] = micros(l.Percentile(p.percent))
	}
	return json.Marshal(figures)
}

// UnmarshalJSON reads the counts, from which all figures come.
func (l *Latencies) UnmarshalJSON(text []byte) error {
	var saved struct{ Histogram string }
	if err := json.Unmarshal(text, &saved); err != nil {
		return err
	}
	counts, err := hdrhistogram.Decode([]byte(saved.Histogram))
	if err != nil {
		return fmt.Errorf("the histogram: %w", err)
	}
	l.counts = counts
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
