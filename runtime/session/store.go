package session

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Store holds a server's sessions. Its methods may be called concurrently.
type Store struct {
	mu sync.Mutex
	// The same sessions under both keys. Tokens are hashed, so that how long a
	// look-up takes tells nothing about the tokens there are.
	byToken map[[sha256.Size]byte]*Session
	byID    map[ID]*Session
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		byToken: make(map[[sha256.Size]byte]*Session),
		byID:    make(map[ID]*Session),
	}
}

// Create makes a session with a token and an id of its own.
func (s *Store) Create(identity packetrpc.Identity) *Session {
	identity.Roles = slices.Clone(identity.Roles)
	session := &Session{token: NewToken(), identity: identity, created: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	session.id = s.freeID()
	s.byID[session.id] = session
	s.byToken[tokenKey(session.token.Reveal())] = session
	return session
}

// freeID returns an id that no session has. s.mu is held.
func (s *Store) freeID() ID {
	for {
		id := newID()
		if _, taken := s.byID[id]; !taken {
			return id
		}
	}
}

// ByToken returns the session that a token's text belongs to, or nil.
func (s *Store) ByToken(text string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byToken[tokenKey(text)]
}

// ByID returns the session with a public id, or nil.
func (s *Store) ByID(id ID) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// Remove ends a session and reports whether it was there. It leaves alone
// another session that has the same id by now.
func (s *Store) Remove(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[session.id] != session {
		return false
	}
	delete(s.byID, session.id)
	delete(s.byToken, tokenKey(session.token.Reveal()))
	return true
}

// Len returns the number of sessions.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

func tokenKey(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }
