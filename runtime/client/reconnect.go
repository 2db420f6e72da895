package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Phase tells what a client is about.
type Phase int

// The phases.
const (
	// PhaseReady: the client is connected.
	PhaseReady Phase = iota
	// PhaseReconnecting: the client has lost its connection and makes another one.
	PhaseReconnecting
	// PhaseEnded: the client has ended, and stays so.
	PhaseEnded
)

// String returns "ready", "reconnecting" or "ended".
func (p Phase) String() string { return [...]string{"ready", "reconnecting", "ended"}[p] }

// State is what a client tells of its connection.
type State struct {
	// Phase is what the client is about.
	Phase Phase
	// ID is the public id of the session, or of the last one.
	ID session.ID
	// Resumed: the session is the one of the connection before. When it is not,
	// although there was one, Err says why: pushes may have been lost, and groups that
	// the server had put the client in are left.
	Resumed bool
	// Err is why there is no connection, or why the session did not go on.
	Err error
}

// State returns what the client is about now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// WaitReady waits until the client is connected. It returns the context's error, or
// why the client has ended.
func (c *Client) WaitReady(ctx context.Context) error {
	_, err := c.ready(ctx)
	return err
}

// ready returns the link, or waits for one.
func (c *Client) ready(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, changed, failure := c.current.Load(), c.changed, c.failure
		c.mu.Unlock()
		if l != nil && !l.conn.Leaves() {
			return l, nil
		}
		select {
		case <-changed:
		case <-c.life.Done():
			return nil, notSent(c.Err())
		case <-ctx.Done():
			return nil, notSent(stillAway(ctx, failure))
		}
	}
}

// stillAway is the error of who has waited for a connection in vain.
func stillAway(ctx context.Context, failure error) error {
	coded := packetrpc.AsError(ctx.Err())
	if failure == nil {
		failure = ctx.Err()
	}
	if context.Cause(ctx) == errImpatient {
		coded = packetrpc.NewError(packetrpc.CodeUnavailable, failure)
	}
	return packetrpc.Errorf(coded.Code, "the connection is lost and there is no other yet: %w", failure)
}

func notSent(err error) error {
	coded := *packetrpc.AsError(err)
	coded.Outcome = packetrpc.OutcomeNotSent
	return &coded
}

// adopt makes a link the current one, and lets it work.
func (c *Client) adopt(l *link, resumeRefused string, hadSession bool) {
	state := State{Phase: PhaseReady, ID: l.answer.ID, Resumed: l.answer.Resumed}
	if hadSession && !state.Resumed {
		if resumeRefused == "" {
			resumeRefused = "the server does not say why"
		}
		state.Err = packetrpc.Errorf(packetrpc.CodeAborted, "the session does not go on: %s", resumeRefused)
	}
	c.mu.Lock()
	closing := c.closing
	if !closing {
		c.failure = nil
		c.replace(l, state)
		c.stats.count(state)
		c.tending.Add(1) // until linkEnded has returned
	}
	if !hadSession {
		c.untold = nil // Dial's return says as much
	}
	c.mu.Unlock()
	l.conn.Start()
	if closing {
		l.conn.CloseAndWait("")
		l.workers.Close()
		return
	}
	c.options.logger.Debug("packetrpc: connected", "client", state.ID, "address", l.conn.RemoteAddr(), "resumed", state.Resumed)
	l.conn.AfterEnd(func() { c.linkEnded(l) })
	c.tell()
}

// replace makes a link the current one; nil is none. The caller sees to it that tell is
// called. c.mu is held.
func (c *Client) replace(l *link, state State) {
	c.current.Store(l)
	c.state = state
	if c.options.stateHook != nil {
		c.untold = append(c.untold, state)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// tell calls the state hook with what it has not been told, in order.
func (c *Client) tell() {
	c.telling.Lock()
	defer c.telling.Unlock()
	for {
		c.mu.Lock()
		untold := c.untold
		c.untold = nil
		c.mu.Unlock()
		if untold == nil {
			return
		}
		for _, state := range untold {
			c.options.stateHook(state)
		}
	}
}

// linkEnded is called when a link's connection has ended. It must not wait.
func (c *Client) linkEnded(l *link) {
	defer c.tending.Done()
	reason := context.Cause(l.conn.Context())
	c.options.logger.Debug("packetrpc: disconnected", "client", l.answer.ID, "address", l.conn.RemoteAddr(), "reason", reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.Load() != l {
		c.retire(l) // Close waits for it, too: it has closed it
		return
	}
	if c.closing || c.options.noReconnect || !l.conn.Lost() {
		c.retire(l)
		c.finish(reason)
		return
	}
	state := State{Phase: PhaseReconnecting, ID: l.answer.ID, Err: reason}
	c.failure = reason
	c.replace(nil, state)
	c.tending.Go(func() {
		c.tell()
		l.conn.Wait() // what its handlers have done counts as received
		l.workers.Close()
		c.reconnect(l.at, l)
	})
}

// retire waits for what is left of a link. c.mu is held.
func (c *Client) retire(l *link) {
	c.leaving = slices.DeleteFunc(c.leaving, func(other *link) bool { return other == l })
	c.tending.Go(func() {
		l.conn.Wait()
		l.workers.Close()
	})
}

// finish ends the client. c.mu is held.
func (c *Client) finish(reason error) {
	if c.life.Err() != nil {
		return
	}
	state := State{Phase: PhaseEnded, ID: c.state.ID, Err: reason}
	c.replace(nil, state)
	if c.options.stateHook != nil {
		c.tending.Go(c.tell)
	}
	c.end(reason)
}

// moveOn makes another link while the current one, whose server takes no new calls,
// finishes what it has. It is called by the link's reading goroutine and does not wait.
func (c *Client) moveOn(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.Load() != l || c.closing || c.options.noReconnect {
		return
	}
	reason := packetrpc.Errorf(packetrpc.CodeUnavailable, "the server takes no new calls")
	state := State{Phase: PhaseReconnecting, ID: l.answer.ID, Err: reason}
	c.failure = reason
	c.leaving = append(c.leaving, l)
	c.replace(nil, state)
	c.tending.Go(func() {
		c.tell()
		c.reconnect(l.at+1, nil)
	})
}

// longestAsked is for how long at most a client stays away because the server asks it to.
const longestAsked = time.Minute

// reconnect makes another link, however often it has to try. before is the one whose
// session goes on; nil is none.
func (c *Client) reconnect(first int, before *link) {
	if before != nil && before.received == nil {
		before = nil
	}
	if before != nil {
		before.received.Restart()
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = c.options.firstPause, c.options.longestPause
	for {
		ctx, cancel := context.WithTimeout(c.life, defaultDialTimeout)
		l, err := c.connect(ctx, first, before)
		cancel()
		if err == nil {
			c.adopt(l, l.answer.ResumeRefused, true)
			return
		}
		if !c.tryAgain(err) {
			return
		}
		pause := min(packetrpc.AsError(err).RetryAfter, longestAsked) + pauses.NextBackOff()
		c.options.logger.Warn("packetrpc: connecting failed, trying again", "error", err, "pause", pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.life.Done():
			timer.Stop()
			return
		}
	}
}

// tryAgain reports whether another attempt may go better, and ends the client if not.
func (c *Client) tryAgain(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
	if c.closing || isFinal(err) {
		c.finish(err)
		return false
	}
	return true
}

// isFinal reports whether an attempt to connect would fail the next time as well.
func isFinal(err error) bool {
	switch packetrpc.CodeOf(err) {
	case packetrpc.CodeUnauthenticated, packetrpc.CodePermissionDenied, packetrpc.CodeInvalidArgument, packetrpc.CodeFailedPrecondition, packetrpc.CodeNotFound:
		return true
	}
	return false
}

var errImpatient = errors.New("no connection in time")
