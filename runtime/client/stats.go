package client

import (
	"iter"

	"github.com/packetrpc/packetrpc/runtime/conn"
)

// Stats is what a client has counted since it was dialled.
type Stats struct {
	// Connected is how many sessions have begun: one when the client was dialled, and
	// one for each time that it has connected again and its session could not go on.
	// Resumed is how often the session has gone on over another connection.
	Connected, Resumed uint64
	// Received and Sent are bytes, encryption aside.
	Received, Sent uint64
}

func (s *Stats) count(state State) {
	if state.Resumed {
		s.Resumed++
	} else {
		s.Connected++
	}
}

// Stats returns what the client has counted so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Received, stats.Sent = c.load.Traffic(c.connections())
	return stats
}

// connections yields those that may live. c.mu is held.
func (c *Client) connections() iter.Seq[*conn.Conn] {
	return func(yield func(*conn.Conn) bool) {
		if l := c.current.Load(); l != nil && !yield(l.conn) {
			return
		}
		for _, l := range c.leaving {
			if !yield(l.conn) {
				return
			}
		}
	}
}
