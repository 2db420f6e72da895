package server

import (
	"iter"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// ClientStatus is what the server knows of a connected client, for its operator to see.
type ClientStatus struct {
	// Peer is the client.
	Peer packetrpc.Peer
	// Connected is when its session began.
	Connected time.Time
	// Form is how packets travel: "binary", "json" or "plain".
	Form string
	// Encrypted: the connection is.
	Encrypted bool
	// Away: the connection is lost, and the client may come back.
	Away bool
	// Calls is how many of its calls are under way.
	Calls int
	// Received and Sent are the bytes of the connection that carries the session, or did
	// so last, encryption aside.
	Received, Sent uint64
}

// Clients returns the state of the clients that are connected, the longest connected
// first. It takes a moment for each of them.
func (s *Server) Clients() []ClientStatus {
	members := s.registry.sorted("")
	clients := make([]ClientStatus, len(members))
	for i, m := range members {
		clients[i] = m.status()
	}
	return clients
}

func (m *member) status() ClientStatus {
	c := m.current()
	received, sent := c.Traffic()
	return ClientStatus{
		Peer:      m,
		Connected: m.connected,
		Form:      m.form(),
		Encrypted: m.bound.encrypted,
		Away:      m.isAway(),
		Calls:     c.Calls(),
		Received:  received,
		Sent:      sent,
	}
}

// Methods yields what the server handles, Core actions included, in the order of the
// actions' names. They must not be changed.
func (s *Server) Methods() iter.Seq[*packetrpc.Method] { return s.handlers.All() }
