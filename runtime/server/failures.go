package server

import (
	"net/netip"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// failuresForgotten is how long after its last failure an address has a clean
	// record again.
	failuresForgotten = 15 * time.Minute
	// maxOrigins is how many addresses are remembered.
	maxOrigins = 1 << 16
	// failuresPatience is how long a handshake is held back. One that would have to
	// wait for longer is refused at once, as it would only take up a place.
	failuresPatience = 2 * time.Second
)

// failures holds handshakes from an address back where names or passwords have been
// wrong, for a time that doubles with each failure. Whoever tries many at once gets
// one turn after the other.
type failures struct {
	free           int           // how many failures cost nothing
	first, longest time.Duration // 0 for longest holds nobody back

	mu       sync.Mutex
	byOrigin map[netip.Prefix]*record
}

// record is what is remembered of an address.
type record struct {
	failures int
	last     time.Time // the last failure
	turn     time.Time // when the next attempt may be made
}

// admit returns how long an attempt from an address has to wait, or refuses it.
// Addresses of no origin, as of Unix sockets, never wait.
func (f *failures) admit(origin netip.Prefix, now time.Time) (wait time.Duration, err error) {
	if !origin.IsValid() || f.longest == 0 {
		return 0, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.byOrigin[origin]
	if r == nil || now.Sub(r.last) > failuresForgotten {
		return 0, nil
	}
	if wait = max(0, r.turn.Sub(now)); wait > failuresPatience {
		refused := packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"too many failed handshakes from this address; try again in %v (server.WithFailureDelay)", wait.Round(time.Second))
		refused.RetryAfter = wait
		return 0, refused
	}
	r.turn = now.Add(wait + f.delay(r.failures))
	return wait, nil
}

// delay is how far apart attempts are after so many failures.
func (f *failures) delay(failures int) time.Duration {
	delay := f.first
	for range failures - f.free {
		if delay *= 2; delay >= f.longest {
			return f.longest
		}
	}
	if failures < f.free {
		return 0
	}
	return min(delay, f.longest)
}

// note remembers that an attempt from an address has failed.
func (f *failures) note(origin netip.Prefix, now time.Time) {
	if !origin.IsValid() || f.longest == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.byOrigin[origin]
	if r == nil || now.Sub(r.last) > failuresForgotten {
		f.makeRoom(now)
		r = new(record)
		f.byOrigin[origin] = r
	}
	r.failures++
	r.last = now
	if turn := now.Add(f.delay(r.failures)); turn.After(r.turn) {
		r.turn = turn
	}
}

// makeRoom forgets addresses when there are too many: those with a clean record, or
// else any.
func (f *failures) makeRoom(now time.Time) {
	if f.byOrigin == nil {
		f.byOrigin = make(map[netip.Prefix]*record)
	}
	if len(f.byOrigin) < maxOrigins {
		return
	}
	for origin, r := range f.byOrigin {
		if now.Sub(r.last) > failuresForgotten {
			delete(f.byOrigin, origin)
		}
	}
	for origin := range f.byOrigin {
		if len(f.byOrigin) < maxOrigins {
			return
		}
		delete(f.byOrigin, origin)
	}
}
