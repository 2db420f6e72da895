package server

import "sync/atomic"

// Stats is what a server has, and what it has counted since it was made. Each number
// is right, but they are not all of the same moment.
type Stats struct {
	// Connections is how many clients are connected, those included that have lost
	// their connection and may come back.
	Connections int
	// Away is how many of them have lost their connection.
	Away int
	// HalfOpen is how many connections have not shaken hands yet.
	HalfOpen int
	// Calls is how many calls of clients are under way; see [WithMaxCalls].
	Calls int
	// Queued is how many bytes of packets wait for clients to take them.
	Queued int64
	// Memory is about how many bytes are held for all clients; see [WithMaxMemory].
	Memory int64

	// Connected is how many sessions have begun, and Resumed how often one has gone on
	// over another connection.
	Connected, Resumed uint64
	// HandshakesRefused is how many handshakes have failed, or were not begun for want
	// of room ([WithMaxHalfOpen]).
	HandshakesRefused uint64
	// CallsRefused is how many calls were refused for want of room ([WithMaxCalls],
	// [WithMaxOpenCalls], [WithMaxMemory]).
	CallsRefused uint64
	// PushesRefused is how many pushes and parts of broadcasts were refused for want of
	// room, and PushesDropped how many were dropped for later ones ([WithSlowClients]).
	PushesRefused, PushesDropped uint64
	// SlowDisconnected is how many clients were disconnected for being slow.
	SlowDisconnected uint64
	// Received and Sent are bytes, encryption aside.
	Received, Sent uint64
}

// tally is what the server counts that its connections do not.
type tally struct {
	connected, resumed, handshakesRefused atomic.Uint64
	away                                  atomic.Int64
}

// Stats returns what the server has and has counted. It takes a moment for each client
// that is connected.
func (s *Server) Stats() Stats {
	counts := s.load.Counts()
	stats := Stats{
		Away:              int(s.tally.away.Load()),
		HalfOpen:          s.halfOpen.count(),
		Calls:             counts.Calls,
		Memory:            counts.Bytes,
		Connected:         s.tally.connected.Load(),
		Resumed:           s.tally.resumed.Load(),
		HandshakesRefused: s.tally.handshakesRefused.Load(),
		CallsRefused:      counts.CallsRefused,
		PushesRefused:     counts.PushesRefused,
		PushesDropped:     counts.PushesDropped,
		SlowDisconnected:  counts.SlowCut,
	}
	members := s.registry.everybody()
	stats.Connections = len(members)
	stats.Received, stats.Sent = s.load.Traffic(connections(members))
	for c := range connections(members) {
		if c.Context().Err() == nil {
			stats.Queued += int64(c.Queued())
		}
	}
	return stats
}
