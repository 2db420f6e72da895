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
func (t *takenCall) Done() <-chan struct{} { return t.standardContext().Done() }

// Err implements [context.Context].
func (t *takenCall) Err() error {
	if standard := t.standard.Load(); standard != nil {
		return standard.Err()
	}
	switch {
	case t.ended.Load() != nil:
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
	if standard := t.standard.Load(); standard != nil {
		return standard.Value(key)
	}
	return t.conn.ctx.Value(key)
}

// standardContext returns the standard context that this one has become, now that
// somebody waits for its end.
func (t *takenCall) standardContext() context.Context {
	if standard := t.standard.Load(); standard != nil {
		return standard
	}
	made := new(standardContext)
	if t.deadline.IsZero() {
		made.Context, made.cancel = context.WithCancel(t.conn.ctx)
	} else {
		made.Context, made.cancel = context.WithDeadline(t.conn.ctx, t.deadline)
	}
	if !t.standard.CompareAndSwap(nil, made) {
		made.cancel()
		return t.standard.Load()
	}
	if t.ended.Load() != nil { // and end may have come too early to see the context
		made.cancel()
	}
	return made
}

// end cancels the context; only the first reason counts.
func (t *takenCall) end(reason *packetrpc.Error) {
	t.ended.CompareAndSwap(nil, reason)
	if standard := t.standard.Load(); standard != nil {
		standard.cancel()
	}
}

// over returns why nobody waits for the call's answer any more, or nil.
func (t *takenCall) over() *packetrpc.Error { return t.ended.Load() }

// errReturned is why a call has ended whose handler has returned. Most calls end
// so, which therefore share it.
var errReturned = packetrpc.NewError(packetrpc.CodeCanceled, errors.New("the handler has returned"))

// Peer implements [packetrpc.HandlerCall].
func (t *takenCall) Peer() packetrpc.Peer { return t.conn.cfg.Peer }

// Spec implements [packetrpc.HandlerCall].
func (t *takenCall) Spec() *packetrpc.Spec { return t.method.Spec }

// Metadata implements [packetrpc.HandlerCall].
func (t *takenCall) Metadata() packetrpc.Metadata { return t.metadata }

// SetMetadata implements [packetrpc.HandlerCall].
func (t *takenCall) SetMetadata(key, value string) {
	for {
		before := t.extra.Load()
		after := new(packetrpc.Metadata)
		if before != nil {
			*after = before.Clone()
		}
		after.Add(key, value)
		if t.extra.CompareAndSwap(before, after) {
			return
		}
	}
}

// takeMetadata returns what the call's next packet carries.
func (t *takenCall) takeMetadata() packetrpc.Metadata {
	if t.extra.Load() == nil {
		return packetrpc.Metadata{}
	}
	if extra := t.extra.Swap(nil); extra != nil {
		return *extra
	}
	return packetrpc.Metadata{} // another packet has just taken it
}
