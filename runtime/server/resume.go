package server

import (
	"crypto/rsa"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// bound is what all connections of a session have in common.
type bound struct {
	form      packet.Form
	encrypted bool
	key       *rsa.PublicKey // that the client has proven to have; nil is none
}

func (h *handshake) boundTo(request session.Request) bound {
	_, encrypted := h.opening.TLS()
	return bound{h.opening.Form(), encrypted, request.Credentials.PublicKey}
}

// admits tells why a session does not go on over a connection, or returns "".
func (b bound) admits(other bound) string {
	switch {
	case b.form != other.form:
		return "the session's packets are in the other form"
	case b.encrypted != other.encrypted:
		return "the session is an encrypted one, or was not"
	case b.key != nil && !seal.SameKey(b.key, other.key), b.key == nil && other.key != nil:
		return "the session is of another key"
	}
	return ""
}

// absence is whether a member is away: its connection is lost, and it may come back.
type absence struct {
	mu    sync.Mutex
	timer *time.Timer // ends the session; nil unless the member is away
	over  bool        // the session has ended, or ends with its connection
}

// goesAway lets a member whose connection is lost come back in time, and reports
// whether it may. An earlier connection changes nothing by its late end.
func (m *member) goesAway(c *conn.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.current() != c:
		return true // it is back already
	case m.life == nil || m.over || !c.Lost() || !m.server.run():
		m.over = true
		return false
	}
	m.server.options.logger.Debug("packetrpc: away", "client", m.ID(), "name", m.session.Name())
	m.server.tally.away.Add(1)
	m.timer = time.AfterFunc(m.server.options.resumeWithin, m.giveUp)
	return true
}

// isAway reports whether the member's connection is lost and it may come back.
func (m *member) isAway() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.timer != nil && !m.over
}

// giveUp ends the session of a member that is away, and lets that of another one end
// with its connection.
func (m *member) giveUp() {
	m.mu.Lock()
	away := m.timer != nil && !m.over
	m.over = true
	if m.timer != nil {
		m.timer.Stop()
	}
	m.mu.Unlock()
	if away {
		m.server.tally.away.Add(-1)
		m.server.workers.Run(func() { // as a hook must not run in the caller's way
			defer m.server.running.Done()
			m.server.left(m, m.current(), true)
		})
	}
}

// comesBack makes a connection the one that carries the session, of whose pushes the
// client has had those up to a sequence, and returns the one before. It reports false when
// the session has ended.
func (m *member) comesBack(had uint64, make func() *conn.Conn) (before *conn.Conn, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over || !m.pushes.Resume(had) {
		return nil, false
	}
	if m.timer != nil {
		if m.timer.Stop() {
			m.timer = nil
			m.server.tally.away.Add(-1)
			m.server.running.Done()
		} else {
			return nil, false // giveUp is about to end it
		}
	}
	before = m.current()
	c := make()
	m.conn.Store(c)
	m.session.Attach(c)
	return before, true
}

// tokenSuffices reports whether a session goes on for who has its token. On a connection
// that is not encrypted others can read tokens.
func (h *handshake) tokenSuffices() bool {
	_, encrypted := h.opening.TLS()
	return encrypted || h.server.options.authenticator == nil
}

// resume lets a session go on over this connection, or tells why it does not. The
// client is the one that has been authenticated; nil where the token suffices.
func (h *handshake) resume(request session.Request, client *packetrpc.Identity) (enter func(), refused string) {
	s := h.server
	known := s.sessions.ByToken(request.ResumeToken.Reveal())
	if known == nil {
		return nil, "there is no such session any more"
	}
	m := s.registry.byID(string(known.ID()))
	switch {
	case m == nil || m.session != known || m.life == nil || !request.Resumable:
		return nil, "the session cannot be resumed"
	case client != nil && client.Name != known.Name():
		return nil, "the session is another client's"
	case m.bound.admits(h.boundTo(request)) != "":
		return nil, m.bound.admits(h.boundTo(request))
	}
	terms := h.terms(request)
	terms.Resumed = true
	answer, err := session.NewAnswer(h.opening.Form(), request, known, terms)
	if err != nil {
		return nil, packetrpc.AsError(err).Message
	}
	var c *conn.Conn // not m.current(), which yet another handshake may change
	before, ok := m.comesBack(request.LastSequence, func() *conn.Conn {
		c = h.newConn(m, request, answer)
		return c
	})
	if !ok {
		return nil, "the session has just ended"
	}
	// It is not closed: this handshake may be a late one, of an attempt that the client
	// has given up, and the client then has to come back.
	before.Lose("the session goes on over another connection")
	s.tally.resumed.Add(1)
	s.options.logger.Debug("packetrpc: resumed", "client", m.ID(), "name", m.session.Name(), "address", h.nc.RemoteAddr())
	return func() { s.readmit(m, c) }, ""
}

// readmit lets the calls of a client that has come back be handled. The calling
// goroutine is counted in s.running.
func (s *Server) readmit(m *member, c *conn.Conn) {
	defer c.Serve()
	if s.life.Err() != nil {
		c.Drain(shuttingDown) // so that the client goes elsewhere
		c.Close(shuttingDown)
	}
	s.watch(m, c, true)
}
