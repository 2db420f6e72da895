package conn

import (
	"context"
	"slices"
)

// line is a queue of goroutines that wait for something that a lock guards. All
// its methods are called with that lock held, and whoever is let on passes the
// turn on while there is more to have.
type line struct {
	waiting []*turn
}

// turn is a place in a line.
type turn struct {
	ready chan struct{} // receives one value when it is this one's turn
}

func (l *line) empty() bool { return len(l.waiting) == 0 }

// join takes the last place, or the first for those whose turn came when there
// was nothing left.
func (l *line) join(first bool) *turn {
	t := &turn{ready: make(chan struct{}, 1)}
	if first {
		l.waiting = slices.Insert(l.waiting, 0, t)
	} else {
		l.waiting = append(l.waiting, t)
	}
	return t
}

// next lets the first one on, who leaves the line.
func (l *line) next() {
	if len(l.waiting) == 0 {
		return
	}
	l.waiting[0].ready <- struct{}{}
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
}

// all lets everybody on.
func (l *line) all() {
	for !l.empty() {
		l.next()
	}
}

// leave gives a place up. Whoever was let on at the same moment passes the turn
// to the next one.
func (l *line) leave(t *turn) {
	for i, other := range l.waiting {
		if other == t {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
	l.next()
}

// wait waits for the turn without the lock.
func (t *turn) wait(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
