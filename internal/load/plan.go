package load

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// The defaults of a [Load].
const (
	DefaultDuration = 10 * time.Second
	// DefaultCallers is how many callers a closed loop has.
	DefaultCallers = 10
	// DefaultInFlight is how many callers an open loop has.
	DefaultInFlight = 256
)

// grace is how long calls that are under way may take when the load has ended.
const grace = time.Second

// Load is what is to be done. Only Action, Requests and Dial must be set.
type Load struct {
	// Action is called, with Requests.
	Action   *schema.Action
	Requests *Requests
	// Dial opens a connection. Several are opened at once.
	Dial func(context.Context) (*client.Client, error)

	// Connections is how many connections there are; 0 is one.
	Connections int
	// Callers is how many calls are under way at once at most, over all connections;
	// 0 is the default, and there is at least one for each connection.
	Callers int
	// Rate is how many calls are due each second; 0 is a closed loop.
	Rate float64
	// Calls is how many calls are made; 0 is any number.
	Calls int64
	// Duration is for how long calls are begun. 0 is the default, or any time if Calls
	// is set.
	Duration time.Duration
	// Warmup is for how long calls are made before any counts.
	Warmup time.Duration
	// Messages is how many messages a stream of requests sends, 0 being one, or after
	// how many replies a stream of replies alone is closed, 0 being never.
	Messages int
	// Timeout bounds each call in place of what the action declares; 0 leaves that.
	Timeout time.Duration
	// Retry repeats calls that were refused with the wish to come again later
	// (RetryAfter of a packetrpc.Error), when that is. Such a call counts once, with
	// all the time that it takes.
	Retry bool
	// Progress is called at the end of each interval, which is a second at most in loads
	// of less than ten minutes, by one goroutine at a time, unless it is nil. It must
	// not block.
	Progress func(Progress)
}

// Progress is how far a load has come.
type Progress struct {
	// Warming: nothing counts yet.
	Warming bool
	// Elapsed is how long calls have counted.
	Elapsed time.Duration
	// Done is the part of the load that is done, from 0 to 1.
	Done float64
	// OK and Failed are calls that have ended.
	OK, Failed int64
	// Last is the latest interval.
	Last Interval
}

// check refuses what makes no sense, and sets defaults.
func (l *Load) check() error {
	for _, number := range []struct {
		name        string
		value, most float64
	}{
		{"number of connections", float64(l.Connections), maxCallers},
		{"number of callers", float64(l.Callers), maxCallers},
		{"rate", l.Rate, maxRate},
		{"number of calls", float64(l.Calls), math.MaxInt64},
		{"duration", float64(l.Duration), math.MaxInt64},
		{"warm-up", float64(l.Warmup), math.MaxInt64},
		{"number of messages", float64(l.Messages), math.MaxInt32},
		{"timeout", float64(l.Timeout), math.MaxInt64},
	} {
		switch {
		case !(number.value >= 0):
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the %s must not be below 0", number.name)
		case number.value > number.most:
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the %s must not be above %.0f", number.name, number.most)
		}
	}
	l.setDefaults()
	return nil
}

const (
	// maxCallers bounds the memory of a load.
	maxCallers = 100_000
	// maxRate keeps the times at which calls are due apart.
	maxRate = 1e9
)

func (l *Load) setDefaults() {
	l.Connections = max(l.Connections, 1)
	if l.Callers == 0 {
		l.Callers = DefaultCallers
		if l.Rate > 0 {
			l.Callers = DefaultInFlight
		}
	}
	l.Callers = max(l.Callers, l.Connections)
	if l.Duration == 0 && l.Calls == 0 {
		l.Duration = DefaultDuration
	}
}

// interval is how long the intervals of the result's series are: a second, unless there
// would be few of them, or very many.
func (l *Load) interval() time.Duration {
	const fewest, most = 10, 600
	switch {
	case l.Duration == 0:
		return time.Second
	case l.Duration < fewest*time.Second:
		return max(l.Duration/fewest, 10*time.Millisecond)
	}
	return max(time.Second, l.Duration/most)
}

// errEnded is why calls are cut off.
var errEnded = errors.New("the load has ended")
