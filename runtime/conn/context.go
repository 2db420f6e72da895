package conn

import (
	"context"
	"errors"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// takenCall is the context of its handler.
var (
	_ context.Context       = (*takenCall)(nil)
	_ packetrpc.HandlerCall = (*takenCall)(nil)
)

// Deadline implements [context.Context].
func (t *takenCall) Deadline() (deadline time.Time, ok bool) { return t.deadline, !t.deadline.IsZero() }

// Done implements [context.Context].
func (t *takenCall) Done() <-chan struct{} { return t.standard().Done() }

// Err implements [context.Context].
func (t *takenCall) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ctx != nil:
		return t.ctx.Err()
	case t.ended != nil:
		return context.Canceled
	case !t.deadline.IsZero() && !time.Now().Before(t.deadline):
		return context.DeadlineExceeded
	}
	return t.conn.ctx.Err()
}

// Value implements [context.Context].
func (t *takenCall) Value(key any) any {
	if key == (packetrpc.HandlerCallKey{}) {
		return t
	}
	// Contexts derived from this one look here for the standard context that
	// cancels them, so that they need no goroutine to watch this one.
	t.mu.Lock()
	ctx := t.ctx
	t.mu.Unlock()
	if ctx == nil {
		ctx = t.conn.ctx
	}
	return ctx.Value(key)
}

// standard returns the standard context that this one has become, now that
// somebody waits for its end.
func (t *takenCall) standard() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		if t.deadline.IsZero() {
			t.ctx, t.cancel = context.WithCancel(t.conn.ctx)
		} else {
			t.ctx, t.cancel = context.WithDeadline(t.conn.ctx, t.deadline)
		}
		if t.ended != nil {
			t.cancel()
		}
	}
	return t.ctx
}

// end cancels the context; only the first reason counts.
func (t *takenCall) end(reason *packetrpc.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == nil {
		t.ended = reason
	}
	if t.cancel != nil {
		t.cancel()
	}
}

// over returns why nobody waits for the call's answer any more, or nil.
func (t *takenCall) over() *packetrpc.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

func errReturned() *packetrpc.Error {
	return packetrpc.NewError(packetrpc.CodeCanceled, errors.New("the handler has returned"))
}

// Peer implements [packetrpc.HandlerCall].
func (t *takenCall) Peer() packetrpc.Peer { return t.conn.cfg.Peer }

// Spec implements [packetrpc.HandlerCall].
func (t *takenCall) Spec() *packetrpc.Spec { return t.method.Spec }

// Metadata implements [packetrpc.HandlerCall].
func (t *takenCall) Metadata() packetrpc.Metadata { return t.metadata }

// SetMetadata implements [packetrpc.HandlerCall].
func (t *takenCall) SetMetadata(key, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.extra.Add(key, value)
}

// takeMetadata returns what the call's next packet carries.
func (t *takenCall) takeMetadata() packetrpc.Metadata {
	t.mu.Lock()
	defer t.mu.Unlock()
	extra := t.extra
	t.extra = packetrpc.Metadata{}
	return extra
}
