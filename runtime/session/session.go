package session

import (
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// ID is the public id of a session. It says nothing about the token, and others
// may see it.
type ID string

// idLength is the number of characters of an id; each is worth five random bits.
const idLength = 10

// newID returns a random id: lower-case letters and digits.
func newID() ID {
	var random [idLength]byte
	rand.Read(random[:])
	text := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:])
	return ID(strings.ToLower(text[:idLength]))
}

// Connection is what a session knows of the connection that carries it.
type Connection interface {
	// Close ends the connection and tells the other side why. It does not wait.
	Close(reason string)
}

// Session is what belongs to a token. A [Store] makes sessions; their methods may
// be called concurrently.
type Session struct {
	// Set when the session is made and not changed.
	token    Token
	id       ID
	identity packetrpc.Identity
	created  time.Time

	mu         sync.Mutex
	connection Connection // the one that carries the session; nil is none
}

// Token returns the session's token.
func (s *Session) Token() Token { return s.token }

// ID returns the session's public id.
func (s *Session) ID() ID { return s.id }

// Identity returns who the client is. The caller may keep and change it.
func (s *Session) Identity() packetrpc.Identity {
	identity := s.identity
	identity.Roles = slices.Clone(identity.Roles)
	return identity
}

// Name returns the name in the session's identity.
func (s *Session) Name() string { return s.identity.Name }

// HasRole reports whether the session's identity has a role.
func (s *Session) HasRole(role string) bool { return s.identity.HasRole(role) }

// Created returns when the session was made.
func (s *Session) Created() time.Time { return s.created }

// Attach makes connection the one that carries the session, and returns the one
// that did so before, or nil.
func (s *Session) Attach(connection Connection) (before Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.connection = s.connection, connection
	return before
}

// Detach takes the connection away from the session, if it still is the one that
// carries it, and reports whether it was: the late end of an old connection must
// not end a session that goes on over a new one.
func (s *Session) Detach(connection Connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connection != connection {
		return false
	}
	s.connection = nil
	return true
}
