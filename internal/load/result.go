package load

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// resultVersion is that of the form in which results are saved.
const resultVersion = 1

// Result is what came of a load. What was done during the warm-up is in none of the
// numbers. Of the calls that were due each is either OK, Failed, Unfinished or Unsent.
type Result struct {
	// Version is that of the saved form.
	Version int `json:"version"`
	// Address and Command say where the load went and how it can be repeated. The
	// engine leaves them empty.
	Address string `json:"address,omitempty"`
	Command string `json:"command,omitempty"`

	Action string    `json:"action"`
	Type   string    `json:"type"` // of calls, as in "server-stream"
	Began  time.Time `json:"began"`
	// Connections, Callers, Rate and Messages are those of the [Load].
	Connections int     `json:"connections"`
	Callers     int     `json:"callers"`
	Rate        float64 `json:"rate,omitempty"`
	Messages    int     `json:"messages,omitempty"`
	// Warmup and Elapsed are in seconds. Elapsed ends with the last call that counts.
	Warmup  float64 `json:"warmup_seconds,omitempty"`
	Elapsed float64 `json:"elapsed_seconds"`
	// Ended tells why no more calls were begun: one of the Ended constants.
	Ended string `json:"ended"`

	// OK calls have succeeded, and Failed ones have not: Errors says why. Unfinished
	// ones were under way when the load ended, and were cut off a second later.
	OK         int64 `json:"ok"`
	Failed     int64 `json:"failed"`
	Unfinished int64 `json:"unfinished"`
	// Late is how many calls of an open loop were due while all callers were busy, and
	// begun afterwards. Starved is how many were begun late although callers were free,
	// because this machine was busy. Unsent is how many were due and never begun.
	Late    int64 `json:"late"`
	Starved int64 `json:"starved"`
	Unsent  int64 `json:"unsent"`
	// Retries is how often calls were repeated because of Retry.
	Retries int64 `json:"retries"`

	// PerSecond is how many calls succeeded each second.
	PerSecond float64 `json:"ok_per_second"`
	Sent      Traffic `json:"sent"`
	Received  Traffic `json:"received"`

	// Latency is that of the calls that succeeded. It counts from when they were begun,
	// and of late and starved ones from when they were due. Service counts from when they
	// were begun; it is nil in a closed loop, where it would be the same.
	Latency *Latencies `json:"latency_us"`
	Service *Latencies `json:"service_us,omitempty"`
	// Series is how the load went over time.
	Series []Interval `json:"series"`
	Errors []Failure  `json:"errors,omitempty"`
}

// Why a load has ended.
const (
	EndedTime        = "the time was up"
	EndedCalls       = "all calls were made"
	EndedInterrupted = "it was interrupted"
	EndedConnections = "all connections had ended"
)

// Traffic counts messages and their bytes as protobuf encodes them.
type Traffic struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

func (t *Traffic) add(other Traffic) {
	t.Messages += other.Messages
	t.Bytes += other.Bytes
}

func (t *Traffic) count(bytes int64) { t.add(Traffic{1, bytes}) }

// Interval is a part of the time. Calls are counted where they have ended.
type Interval struct {
	// At is where it begins and Span how long it is, in seconds.
	At   float64 `json:"at_seconds"`
	Span float64 `json:"span_seconds"`
	// OK and Failed are calls that ended in it.
	OK     int64 `json:"ok"`
	Failed int64 `json:"failed"`
	// The latencies are in microseconds; 0 where no call succeeded.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`
}

// PerSecond returns how many calls succeeded each second.
func (i Interval) PerSecond() float64 { return perSecond(i.OK, i.Span) }

// Failure is what went wrong with a number of calls.
type Failure struct {
	Code    string   `json:"code"`
	Count   int64    `json:"count"`
	Samples []string `json:"samples"` // some of the messages
}

// Calls returns how many calls have ended.
func (r *Result) Calls() int64 { return r.OK + r.Failed }

// ParseResult reads a result that was saved as JSON.
func ParseResult(text []byte) (*Result, error) {
	r := new(Result)
	err := json.Unmarshal(text, r)
	switch {
	case err != nil:
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "no result of a load: %w", err)
	case r.Version == 0 || r.Latency == nil || r.Rate > 0 && r.Service == nil:
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "no result of a load: there is no version, or there are no latencies")
	case r.Version != resultVersion:
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the result has version %d; this program reads version %d", r.Version, resultVersion)
	}
	return r, nil
}

// Description says in words how the load was made.
func (r *Result) Description() string {
	text := fmt.Sprintf("closed loop, %s", plural(r.Callers, "caller"))
	if r.Rate > 0 {
		text = fmt.Sprintf("open loop, %g calls/s due, at most %d in flight", r.Rate, r.Callers)
	}
	text += ", " + plural(r.Connections, "connection")
	if r.Messages > 0 {
		text += fmt.Sprintf(", %s a call", plural(r.Messages, "message"))
	}
	if r.Warmup > 0 {
		text += fmt.Sprintf(", %g s of warm-up", r.Warmup)
	}
	return text
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func perSecond(count int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(count) / seconds
}
