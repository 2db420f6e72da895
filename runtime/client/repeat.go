package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// mayRepeat reports whether a call that has failed over a link is made again: its
// connection was lost or takes no calls, and the call either has not been sent or may
// be repeated by its declaration. The latter costs something of a budget, so that a
// server in trouble is not asked twice for everything.
func (c *Client) mayRepeat(l *link, spec *packetrpc.Spec, err error) bool {
	var coded *packetrpc.Error
	if c.options.noReconnect || !errors.As(err, &coded) || coded.Code != packetrpc.CodeUnavailable || c.life.Err() != nil {
		return false
	}
	if c.current.Load() == l && !l.conn.Leaves() {
		return false // something else is wrong
	}
	if coded.Outcome == packetrpc.OutcomeNotSent {
		return true
	}
	return !coded.Remote() && spec.Idempotency != packetrpc.IdempotencyUnknown && c.budget.take(time.Now())
}

// repeat makes a call over the link that there is, or the next one, as often as it may
// be repeated.
func (c *Client) repeat(ctx context.Context, spec *packetrpc.Spec, call func(*link) error) error {
	waiting, cancel := c.patience(ctx, spec)
	defer cancel()
	for {
		l, err := c.ready(waiting)
		if err != nil {
			return err
		}
		if err := call(l); err == nil || !c.mayRepeat(l, spec, err) {
			return err
		}
	}
}

// patience returns for how long a call waits for a connection.
func (c *Client) patience(ctx context.Context, spec *packetrpc.Spec) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); limited {
		return ctx, func() {}
	}
	limit := c.options.patience
	if spec.Timeout > 0 {
		limit = spec.Timeout
	}
	return context.WithTimeoutCause(ctx, limit, errImpatient)
}

// The budget of repeated calls: so many at once, and so many more each second.
const (
	budgetMost  = 100
	budgetFlows = 20
)

// budget bounds how often calls are repeated that can have run.
type budget struct {
	mu   sync.Mutex
	left float64
	last time.Time
}

func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.IsZero() {
		b.left = budgetMost
	} else {
		b.left = min(budgetMost, b.left+now.Sub(b.last).Seconds()*budgetFlows)
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
