package server

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// registry holds the clients that are connected and the groups they are in.
type registry struct {
	limit int // how many members there may be; 0 is any number

	mu       sync.Mutex
	stopped  bool               // no more members are taken
	reserved int                // places of handshakes that have nearly succeeded
	arrivals uint64             // how many members there have ever been
	members  map[string]*member // by public id
	all      set                // the same members
	groups   map[string]*set    // none of them is empty
}

// set is a set of members. The registry's lock guards it.
type set struct {
	members map[*member]struct{}
	// list holds the members as a slice, made when one is asked for and dropped
	// when the set changes. A list that was handed out never changes, so broadcasts
	// go through it without the lock.
	list []*member
}

func (s *set) add(m *member) {
	if s.members == nil {
		s.members = make(map[*member]struct{})
	}
	s.members[m] = struct{}{}
	s.list = nil
}

func (s *set) remove(m *member) {
	delete(s.members, m)
	s.list = nil
}

func (s *set) snapshot() []*member {
	if s.list == nil && len(s.members) > 0 {
		s.list = slices.AppendSeq(make([]*member, 0, len(s.members)), maps.Keys(s.members))
	}
	return s.list
}

// fullFor is how long a client is asked to wait that finds the server full.
const fullFor = time.Second

// reserve keeps a place for a handshake that is about to succeed; either add or
// release must follow.
func (r *registry) reserve() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return errShuttingDown
	}
	if r.limit > 0 && len(r.members)+r.reserved >= r.limit {
		err := packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"the server has its full number of %d connections (server.WithMaxConnections)", r.limit)
		err.RetryAfter = fullFor
		return err
	}
	r.reserved++
	return nil
}

// release gives a reserved place back.
func (r *registry) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
}

// add puts a member into its reserved place, unless the server shuts down.
func (r *registry) add(m *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
	if r.stopped {
		return errShuttingDown
	}
	if r.members == nil {
		r.members = make(map[string]*member)
	}
	r.arrivals++
	m.arrival = r.arrivals
	r.members[m.ID()] = m
	r.all.add(m)
	return nil
}

// remove takes a member out of the registry and its groups. Another member that
// has the same id by now stays.
func (r *registry) remove(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[m.ID()] == m {
		delete(r.members, m.ID())
	}
	r.all.remove(m)
	for group := range m.groups {
		r.removeFrom(group, m)
	}
	m.groups, m.gone = nil, true
}

// stop takes no more members and returns those that there are.
func (r *registry) stop() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	return r.all.snapshot()
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

func (r *registry) byID(id string) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[id]
}

// everybody returns all members, in no order; the caller must not change it.
func (r *registry) everybody() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.snapshot()
}

// in returns the members of a group likewise.
func (r *registry) in(group string) []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.groups[group]; s != nil {
		return s.snapshot()
	}
	return nil
}

// sorted returns the members of a group, or all for "", the longest connected
// first.
func (r *registry) sorted(group string) []*member {
	members := r.everybody
	if group != "" {
		members = func() []*member { return r.in(group) }
	}
	return slices.SortedFunc(slices.Values(members()), func(a, b *member) int {
		return cmp.Compare(a.arrival, b.arrival)
	})
}

// join puts a member into a group.
func (r *registry) join(m *member, group string) error {
	if group == "" {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a group without a name cannot be joined")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.gone {
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "the client has gone")
	}
	s := r.groups[group]
	if s == nil {
		s = new(set)
		if r.groups == nil {
			r.groups = make(map[string]*set)
		}
		r.groups[group] = s
	}
	s.add(m)
	if m.groups == nil {
		m.groups = make(map[string]struct{})
	}
	m.groups[group] = struct{}{}
	return nil
}

// leave takes a member out of a group; nothing happens when it is not in it.
func (r *registry) leave(m *member, group string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, joined := m.groups[group]; joined {
		delete(m.groups, group)
		r.removeFrom(group, m)
	}
}

// removeFrom takes a member out of a group, which vanishes with its last one.
// r.mu is held.
func (r *registry) removeFrom(group string, m *member) {
	s := r.groups[group]
	s.remove(m)
	if len(s.members) == 0 {
		delete(r.groups, group)
	}
}

// groupsOf returns the groups of a member, sorted.
func (r *registry) groupsOf(m *member) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(m.groups))
}
