package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// maxAttempts is how many packets a person who types JSON may send before one
// begins a handshake.
const maxAttempts = 16

// refusalTime is how long telling a client why it is refused may take, and
// lingerBytes how much of what it has sent is read to that end; see linger.
const (
	refusalTime = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// handshake is a connection on its way to becoming a member. One goroutine uses
// it.
type handshake struct {
	server   *Server
	nc       net.Conn
	origin   netip.Prefix
	deadline time.Time
	opening  *conn.Opening
	// last is the last packet received, or nil. Its data may be gone.
	last *packet.Packet
	// challenge is what a sealed handshake must be bound to; "" until one is asked for.
	challenge string
	// opener opens what is sealed to the server; nil without a key.
	opener *seal.Opener
	// told: the client knows already why it is refused.
	told bool
}

// serveHandshake shakes hands with a client and makes it a member.
func (s *Server) serveHandshake(nc net.Conn, origin netip.Prefix) {
	h := &handshake{server: s, nc: nc, origin: origin, deadline: time.Now().Add(s.options.handshakeTimeout)}
	if s.options.key != nil {
		h.opener = seal.NewOpener(s.options.key)
	}
	enter, err := h.run()
	if err != nil {
		h.refuse(err)
		nc.Close()
		s.halfOpen.leave(origin)
		return
	}
	s.halfOpen.leave(origin)
	enter()
}

// run does the handshake, up to the answer. What it returns lets the client in; a new
// one has a reserved place in the registry.
func (h *handshake) run() (enter func(), err error) {
	s := h.server
	h.nc.SetDeadline(h.deadline)
	interrupt := context.AfterFunc(s.life, func() { h.nc.SetReadDeadline(time.Unix(1, 0)) })
	defer interrupt()
	request, err := h.receive()
	if err != nil {
		return nil, err
	}
	if !interrupt() {
		return nil, errShuttingDown
	}
	refused, resumes := "", !request.ResumeToken.IsZero()
	if resumes && h.tokenSuffices() {
		if enter, refused = h.resume(request, nil); enter != nil {
			return enter, nil
		}
		resumes = false
	}
	identity, err := h.authenticate(request.Credentials)
	if err != nil {
		return nil, err
	}
	if resumes {
		if enter, refused = h.resume(request, &identity); enter != nil {
			return enter, nil
		}
	}
	if err := s.registry.reserve(); err != nil {
		return nil, err
	}
	m, err := h.newMember(request, identity, refused)
	if err != nil {
		s.registry.release()
		return nil, err
	}
	return func() { s.admit(m) }, nil
}

// receive waits for the client's handshake. In the JSON form, which people type,
// it asks for one when something else comes.
func (h *handshake) receive() (session.Request, error) {
	opening, err := conn.Accept(h.nc, h.server.encryption, h.server.workers)
	h.opening = opening
	if err != nil {
		h.told = !isTimeout(err)
		return session.Request{}, err
	}
	state, encrypted := opening.TLS()
	if !encrypted && h.server.encryption != nil && !h.server.options.allowPlaintext {
		return session.Request{}, errPlaintext
	}
	for attempt := 1; ; attempt++ {
		if h.last, err = opening.Receive(); err != nil {
			h.last = nil
			return session.Request{}, err
		}
		answer := session.NewRefusal(packet.JSON, h.last, session.ErrNoHandshake)
		switch {
		case session.IsChallengeRequest(h.last) && attempt < maxAttempts:
			if answer, err = h.newChallenge(); err != nil {
				return session.Request{}, err
			}
		case session.IsRequest(h.last) || opening.Form() != packet.JSON || attempt == maxAttempts:
			request, err := h.understand()
			request.Credentials.PublicKey = seal.PeerKey(state)
			return request, err
		}
		if err := opening.Send(answer); err != nil {
			return session.Request{}, err
		}
	}
}

// newChallenge answers a client that is going to seal its handshake.
func (h *handshake) newChallenge() (*packet.Packet, error) {
	if h.opener == nil {
		return nil, session.ErrNoKey
	}
	h.challenge = session.NewChallenge()
	return session.NewChallengeAnswer(h.opening.Form(), h.challenge, h.server.publicKey)
}

// understand opens the client's handshake if it is sealed, and reads it.
func (h *handshake) understand() (session.Request, error) {
	if h.last.Sealed && session.IsRequest(h.last) {
		if err := session.OpenRequest(h.opening.Form(), h.last, h.challenge, h.opener); err != nil {
			return session.Request{}, err
		}
	}
	return session.ParseRequest(h.opening.Form(), h.last, h.nc.RemoteAddr())
}

// errPlaintext is what a client is told that does not encrypt.
var errPlaintext error = &packetrpc.Error{
	Code:    packetrpc.CodeFailedPrecondition,
	Message: "this server takes encrypted connections only (client.WithServerKey)",
}

// authenticate finds out who the client is.
func (h *handshake) authenticate(credentials session.Credentials) (packetrpc.Identity, error) {
	ctx, cancel := context.WithDeadline(h.server.life, h.deadline)
	defer cancel()
	identity, err := h.server.Authenticate(ctx, credentials)
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		err = h.tooLate()
	}
	return identity, err
}

// newMember makes the client's session and hands its connection over, with the answer
// as the first packet to be sent. refused is why another session does not go on.
func (h *handshake) newMember(request session.Request, identity packetrpc.Identity, refused string) (*member, error) {
	s := h.server
	created := s.sessions.Create(identity)
	m := &member{
		server:    s,
		session:   created,
		connected: time.Now(),
		bound:     h.boundTo(request),
		opener:    h.opener,
		ready:     make(chan struct{}),
	}
	terms := h.terms(request)
	terms.ResumeRefused = refused
	answer, err := session.NewAnswer(h.opening.Form(), request, created, terms)
	if err != nil {
		s.sessions.Remove(created)
		return nil, err
	}
	resumable := terms.ResumeWithin > 0
	if resumable || s.options.slow != SlowWait && !request.Plain {
		m.pushes = conn.NewPushes(conn.PushesConfig{Limit: s.options.keptPushes, Resumable: resumable, Slow: s.options.slow, Load: s.load})
	}
	if resumable {
		m.life, m.end = context.WithCancelCause(context.Background())
	}
	m.conn.Store(h.newConn(m, request, answer))
	created.Attach(m.current())
	return m, nil
}

// terms is what the client is told of this side.
func (h *handshake) terms(request session.Request) session.Terms {
	o := &h.server.options
	terms := session.Terms{
		Limits:    o.limits.Proto(),
		Keepalive: h.keepalive(request).Proto(),
		PublicKey: h.server.publicKey,
	}
	if request.Resumable {
		terms.ResumeWithin = o.resumeWithin
	}
	return terms
}

// keepalive is when the client is pinged. Somebody who types JSON is not.
func (h *handshake) keepalive(request session.Request) conn.Keepalive {
	if h.opening.Form() == packet.JSON && !request.Resumable {
		return conn.Keepalive{}
	}
	return h.server.options.keepalive
}

// newConn hands the connection over to carry a member's session.
func (h *handshake) newConn(m *member, request session.Request, answer *packet.Packet) *conn.Conn {
	s := h.server
	return conn.New(h.opening, conn.Config{
		Plain:           request.Plain,
		Token:           m.session.Token().Reveal(),
		Sealing:         conn.Sealing{Opener: m.opener, To: request.SealTo, Encrypted: m.bound.encrypted},
		Local:           s.options.limits,
		Remote:          conn.LimitsFromProto(request.Limits),
		MaxRunningCalls: s.options.runningCalls,
		Handlers:        &s.handlers,
		Interceptor:     s.interceptor,
		Authorize:       m.authorize,
		Refused:         m.refused(),
		Peer:            m,
		Greeting:        answer,
		Ready:           m.ready,
		Workers:         s.workers,
		WriteTimeout:    s.options.writeTimeout,
		Keepalive:       h.keepalive(request),
		Pushes:          m.pushes,
		Load:            s.load,
		Logger:          s.options.logger,
	})
}

// tooLate is what a client is told whose handshake was interrupted.
func (h *handshake) tooLate() error {
	if h.server.life.Err() != nil {
		return errShuttingDown
	}
	return packetrpc.Errorf(packetrpc.CodeDeadlineExceeded,
		"the handshake took more than %v", h.server.options.handshakeTimeout)
}

// refuse tells the client why its handshake failed, as far as it is there to
// listen.
func (h *handshake) refuse(err error) {
	logger := h.server.options.logger
	if isGone(err) {
		logger.Debug("packetrpc: gone before the handshake", "address", h.nc.RemoteAddr(), "error", err)
		return
	}
	h.server.tally.handshakesRefused.Add(1)
	if isTimeout(err) {
		err = h.tooLate()
	}
	logger.Warn("packetrpc: handshake refused", "address", h.nc.RemoteAddr(), "error", err)
	h.nc.SetDeadline(time.Now().Add(refusalTime))
	if !h.told && h.tell(err) != nil {
		return
	}
	h.linger()
}

// tell sends the refusal.
func (h *handshake) tell(err error) error {
	var coded *packetrpc.Error
	if !errors.As(err, &coded) {
		coded = packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	return h.opening.Send(session.NewRefusal(h.opening.Form(), h.last, coded))
}

// linger lets the client read the refusal. Closing a socket that holds unread
// bytes would reset the connection, and the client would lose what it has not
// read yet.
func (h *handshake) linger() {
	if h.server.life.Err() != nil {
		return
	}
	if h.opening.CloseWrite() {
		io.CopyN(io.Discard, h.nc, lingerBytes)
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isGone reports whether an error says that the other side is no longer there.
func isGone(err error) bool {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// admit puts a client that has shaken hands into the registry, and then lets its
// calls be handled. The calling goroutine is counted in s.running.
func (s *Server) admit(m *member) {
	c := m.current()
	err := s.registry.add(m) // first, so that a client that has its answer is in there
	if s.options.connected == nil {
		defer c.Serve() // this goroutine has nothing else to do
	} else {
		c.Start() // the hook may call the client
	}
	if err != nil {
		c.Drain(shuttingDown) // so that the client goes elsewhere
		c.Close(shuttingDown)
	} else {
		s.tally.connected.Add(1)
		s.connected(m)
	}
	close(m.ready)
	s.watch(m, c, err == nil)
}

// watch sees to it that a member leaves when its connection has ended. wasConnected:
// [Server.connected] has been called. The calling goroutine is counted in s.running.
func (s *Server) watch(m *member, c *conn.Conn, wasConnected bool) {
	s.running.Add(1)
	c.AfterEnd(func() {
		defer s.running.Done()
		if !m.goesAway(c) {
			s.left(m, c, wasConnected)
		}
		c.Wait()
	})
}

// connected tells that a client has come.
func (s *Server) connected(m *member) {
	s.options.logger.Debug("packetrpc: connected", "client", m.ID(), "name", m.session.Name(), "address", m.RemoteAddr())
	if hook := s.options.connected; hook != nil {
		s.guarded("the connected hook", func() error {
			hook(m)
			return nil
		})
	}
}

// left takes a client whose session has ended with a connection out of the registry.
func (s *Server) left(m *member, c *conn.Conn, wasConnected bool) {
	s.registry.remove(m)
	if m.session.Detach(c) {
		s.sessions.Remove(m.session)
	}
	reason := context.Cause(c.Context())
	if m.pushes != nil {
		m.pushes.End()
	}
	if m.life != nil {
		m.end(reason)
	}
	if wasConnected {
		s.disconnected(m, reason)
	}
}

// disconnected tells that a client has gone.
func (s *Server) disconnected(m *member, reason error) {
	s.options.logger.Debug("packetrpc: disconnected", "client", m.ID(), "name", m.session.Name(), "reason", reason)
	if hook := s.options.disconnected; hook != nil {
		s.guarded("the disconnected hook", func() error {
			hook(m, reason)
			return nil
		})
	}
}
