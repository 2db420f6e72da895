package server

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// ErrServerClosed is what [Server.Serve] returns after [Server.Shutdown].
var ErrServerClosed = errors.New("packetrpc: the server has been shut down")

// errShuttingDown is what clients are told that come too late.
var errShuttingDown error = &packetrpc.Error{
	Code:    packetrpc.CodeUnavailable,
	Message: shuttingDown,
}

const shuttingDown = "the server is shutting down"

// Serve accepts clients from a listener, which it closes in the end. It may be
// called several times, for several listeners.
//
// It serves until ctx ends. Then the whole server shuts down, as by
// [Server.Shutdown] with the time of [WithGracePeriod], and Serve returns nil
// when nothing of the server runs any more. After Shutdown it returns
// [ErrServerClosed] instead, once that has finished. Options that make no sense,
// actions registered twice, and an address that lacks protection (see
// [AllowPlaintext] and [AllowAnonymous]) are reported at once. Any other error is
// the listener's; the server's connections then live on.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return s.serve(ctx, listener, listener.Addr().String())
}

// ServeConn serves a client on a connection that was accepted elsewhere, such as one in
// memory or one out of a tunnel. It returns at once; the connection is the server's from
// then on, and ends when the server shuts down. Errors are those that [Server.Serve]
// returns at once, of the connection's local address; the connection is closed then.
func (s *Server) ServeConn(nc net.Conn) error {
	err := s.prepare()
	if err == nil {
		err = s.checkExposure(nc.LocalAddr(), nc.LocalAddr().String())
	}
	if err == nil && s.life.Err() != nil {
		err = ErrServerClosed
	}
	if err != nil {
		nc.Close()
		return err
	}
	s.welcome(nc)
	return nil
}

// Encrypts reports whether the server takes encrypted connections ([WithKey],
// [WithTLS]), and others only if [AllowPlaintext] is given. It is false as long as the
// options make no sense.
func (s *Server) Encrypts() bool { return s.prepare() == nil && s.encryption != nil }

// serve is Serve of an address that the server's user knows by the given name.
func (s *Server) serve(ctx context.Context, listener net.Listener, name string) error {
	defer listener.Close()
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.checkExposure(listener.Addr(), name); err != nil {
		return err
	}
	if !s.track(listener) {
		if ctx.Err() != nil { // which has ended the server just before this
			<-s.ended
			return nil
		}
		return ErrServerClosed
	}
	defer s.untrack(listener)
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()

	err := s.accept(ctx, listener)
	switch {
	case ctx.Err() != nil:
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.gracePeriod)
		defer cancel()
		_, err := s.shutDown(grace)
		return err
	case s.life.Err() != nil:
		<-s.ended
		return ErrServerClosed
	default:
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "accepting from %s: %w", name, err)
	}
}

func (s *Server) track(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[listener] = struct{}{}
	return true
}

func (s *Server) untrack(listener net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, listener)
}

// The pauses after an accept that failed for want of something that others may
// give back, such as file descriptors.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
)

// accept accepts clients until the listener fails, and starts a goroutine for the
// handshake of each.
func (s *Server) accept(ctx context.Context, listener net.Listener) error {
	pause := firstPause
	for {
		nc, err := listener.Accept()
		switch {
		case err == nil:
			pause = firstPause
			s.welcome(nc)
		case !isTemporary(err):
			return err
		default:
			s.options.logger.Error("packetrpc: accepting failed, trying again", "error", err, "pause", pause)
			if !s.sleep(ctx, pause) {
				return err
			}
			pause = min(2*pause, longestPause)
		}
	}
}

// isTemporary reports whether an error of Accept is not the listener's end. The
// net package keeps its Temporary method for this case.
func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

// sleep waits and reports whether the server still accepts clients.
func (s *Server) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.life.Done():
	}
	return false
}

// welcome begins the handshake with a client, unless there are too many
// handshakes already.
func (s *Server) welcome(nc net.Conn) {
	origin := originOf(nc.RemoteAddr())
	if !s.halfOpen.enter(origin) {
		s.tally.handshakesRefused.Add(1)
		s.options.logger.Warn("packetrpc: too many connections without a handshake", "address", nc.RemoteAddr())
		nc.Close()
		return
	}
	if !s.run() {
		s.halfOpen.leave(origin)
		nc.Close()
		return
	}
	s.workers.Run(func() {
		defer s.running.Done()
		s.serveHandshake(nc, origin)
	})
}

// run counts one more goroutine, unless the server shuts down.
func (s *Server) run() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.running.Add(1)
	return true
}

// Shutdown ends the server: it accepts no more clients, tells those that are
// connected to open no more calls, lets running calls finish, and closes each
// connection when its last call has. When ctx ends first, Shutdown closes the
// connections that are left and returns an error of the code deadline_exceeded
// or canceled. It waits until nothing of the server runs any more; but for
// handlers that go on for a second after their context has ended it does not,
// and returns an error of the code internal. It must not be called by a handler or
// a hook, which it would wait for.
func (s *Server) Shutdown(ctx context.Context) error {
	cut, err := s.shutDown(ctx)
	if err == nil && cut {
		coded := packetrpc.AsError(ctx.Err())
		return packetrpc.Errorf(coded.Code, "the connections with running calls were closed: %w", ctx.Err())
	}
	return err
}

// stragglerTime is how long handlers may go on after their context has ended.
const stragglerTime = time.Second

// shutDown does what Shutdown says. It reports whether ctx ended before the last
// connection did.
func (s *Server) shutDown(ctx context.Context) (cut bool, err error) {
	s.stop()
	select {
	case <-s.ended:
		return false, nil
	case <-ctx.Done():
	}
	for _, m := range s.registry.everybody() {
		m.Disconnect(shuttingDown)
	}
	timer := time.NewTimer(stragglerTime)
	defer timer.Stop()
	select {
	case <-s.ended:
		return true, nil
	case <-timer.C:
		return true, packetrpc.Errorf(packetrpc.CodeInternal,
			"handlers or hooks go on although their connections have been closed")
	}
}

// stop makes the server begin to shut down, once.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return
	}
	s.stopping = true
	s.end()
	for listener := range s.listeners {
		listener.Close()
	}
	for _, m := range s.registry.stop() {
		s.running.Add(1)
		go s.drain(m)
	}
	go s.finish()
}

// drain ends a connection when its running calls have finished.
func (s *Server) drain(m *member) {
	defer s.running.Done()
	c := m.current()
	c.Drain(shuttingDown)
	select {
	case <-c.Idle():
		c.Close(shuttingDown)
	case <-c.Context().Done():
	}
	m.giveUp()
}

// finish tells when nothing runs any more.
func (s *Server) finish() {
	s.running.Wait()
	s.workers.Close()
	close(s.ended)
}
