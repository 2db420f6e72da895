package conn

import (
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Load is what the connections of a server have together: how many calls are under
// way, how much memory is held for them, and what has been refused for want of either.
// The connections share it. Its methods may be called concurrently.
type Load struct {
	maxCalls, maxBytes int64 // 0 is any number

	calls atomic.Int64
	_     [56]byte // calls change with every call, and what follows does not
	bytes atomic.Int64

	callsRefused  atomic.Uint64
	pushesRefused atomic.Uint64
	pushesDropped atomic.Uint64
	slowCut       atomic.Uint64
	received      atomic.Uint64 // by connections that have ended
	sent          atomic.Uint64

	mu   sync.Mutex
	told traffic // by Traffic
}

// traffic is bytes.
type traffic struct{ received, sent uint64 }

// NewLoad returns the load of a server without connections, of which there may be so
// many calls and so many bytes; 0 is any number.
func NewLoad(maxCalls, maxBytes int) *Load {
	return &Load{maxCalls: int64(maxCalls), maxBytes: int64(maxBytes)}
}

// Counts is what a Load has counted.
type Counts struct {
	// Calls is how many calls are to be answered and have not been.
	Calls int
	// Bytes is about how much is held of what the other sides have sent and nobody has
	// taken, and of pushes that are kept.
	Bytes int64
	// CallsRefused is how many calls were refused for want of calls or bytes.
	CallsRefused uint64
	// PushesRefused is how many pushes there was no room for.
	PushesRefused uint64
	// PushesDropped is how many pushes were dropped for later ones ([SlowDropOldest]).
	PushesDropped uint64
	// SlowCut is how many connections were ended since the other side did not take its
	// pushes ([SlowDisconnect]).
	SlowCut uint64
}

// Counts returns what has been counted so far.
func (l *Load) Counts() Counts {
	return Counts{
		Calls:         int(l.calls.Load()),
		Bytes:         l.bytes.Load(),
		CallsRefused:  l.callsRefused.Load(),
		PushesRefused: l.pushesRefused.Load(),
		PushesDropped: l.pushesDropped.Load(),
		SlowCut:       l.slowCut.Load(),
	}
}

// Traffic returns how many bytes all connections have received and sent, encryption
// aside, those included that have ended. It is told which ones may still live. What it
// returns never becomes less, although a connection that has just ended may be missing
// for a moment.
func (l *Load) Traffic(living iter.Seq[*Conn]) (received, sent uint64) {
	now := traffic{l.received.Load(), l.sent.Load()} // first, so that nothing counts twice
	for c := range living {
		select {
		case <-c.gone:
			continue // it is counted already
		default:
		}
		received, sent := c.Traffic()
		now.received += received
		now.sent += sent
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = traffic{max(l.told.received, now.received), max(l.told.sent, now.sent)}
	return l.told.received, l.told.sent
}

// takeCalls makes room for up to so many more calls, and returns for how many. Near
// the limit it takes one at a time, as others would be refused what is taken and not
// used.
func (l *Load) takeCalls(want int) int {
	if l.maxCalls == 0 {
		l.calls.Add(int64(want))
		return want
	}
	for {
		now, n := l.calls.Load(), int64(want)
		if now+2*n > l.maxCalls {
			n = 1
		}
		if now+n > l.maxCalls {
			return 0
		}
		if l.calls.CompareAndSwap(now, now+n) {
			return int(n)
		}
	}
}

func (l *Load) giveBackCalls(n int) {
	if n != 0 {
		l.calls.Add(int64(-n))
	}
}

// full reports whether more is held than may be.
func (l *Load) full() bool { return l.maxBytes > 0 && l.bytes.Load() >= l.maxBytes }

const (
	// ownBytes is what each connection, and each session's pushes, may hold whatever
	// the others do, so that a few cannot lock out the rest.
	ownBytes = 64 << 10
	// loadGrain is how much a holder's memory changes before the Load is told.
	loadGrain = 16 << 10
)

// portion is what one holder of memory has told a Load. Its user guards it.
type portion struct {
	load   *Load
	told   int64
	closed bool
}

// due reports whether the Load is to be told that so much is held now.
func due(told, now int64) bool {
	return now >= told+loadGrain || now <= told-loadGrain || now == 0 && told > 0
}

// tell tells the Load that so much is held now.
func (p *portion) tell(now int64) {
	if p.load != nil && !p.closed && due(p.told, now) {
		p.load.bytes.Add(now - p.told)
		p.told = now
	}
}

// close tells the Load that nothing is held any more, for good.
func (p *portion) close() {
	p.tell(0)
	p.closed = true
}

// retryAfter is how long a side is asked to wait that is refused something for want of
// room. It varies, so that those who are refused at once do not come back at once.
func retryAfter() time.Duration { return 100*time.Millisecond + rand.N(200*time.Millisecond) }

// lacksMemory returns the error of a call that there is no memory for, or nil.
func (l *Load) lacksMemory() *packetrpc.Error {
	if !l.full() {
		return nil
	}
	return l.refused("the server holds more than %d bytes for calls and pushes (server.WithMaxMemory)", l.maxBytes)
}

// refused counts a call that is refused for want of room, and returns its error.
func (l *Load) refused(format string, args ...any) *packetrpc.Error {
	l.callsRefused.Add(1)
	err := packetrpc.Errorf(packetrpc.CodeResourceExhausted, format, args...)
	err.RetryAfter = retryAfter()
	return err
}
