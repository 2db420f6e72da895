package main

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies counts latencies from a microsecond to a minute, to three digits. Its
// methods may be called concurrently.
type latencies struct {
	mu     sync.Mutex
	counts *hdrhistogram.Histogram
}

func newLatencies() *latencies {
	return &latencies{counts: hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)}
}

// record adds a latency. What is beyond the limits counts as the limit.
func (l *latencies) record(latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.counts.RecordValue(int64(min(max(latency, time.Microsecond), time.Minute)))
}

// percentile returns the latency that so many percent stayed below.
func (l *latencies) percentile(percent float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.counts.ValueAtPercentile(percent))
}

func (l *latencies) count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.TotalCount()
}
