package console

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// maxShown is how many clients, and how many groups, the page is told of at once.
const maxShown = 200

// state is what the page shows and asks for every second.
type state struct {
	Time     time.Time      `json:"time"`
	User     userState      `json:"user"`
	Stats    server.Stats   `json:"stats"`
	Health   []healthState  `json:"health"`
	Clients  []clientState  `json:"clients"` // the first of those that match
	Matching int            `json:"matching"`
	Groups   []groupState   `json:"groups"` // the largest
	InGroups int            `json:"inGroups"`
	Actions  []actionCounts `json:"actions"`
	Failures []failure      `json:"failures"`
}

type userState struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
}

type healthState struct {
	Service string `json:"service"` // "" is the server as a whole
	Problem string `json:"problem"` // "" is none
}

type clientState struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Roles     []string  `json:"roles"`
	Address   string    `json:"address"`
	Form      string    `json:"form"`
	Encrypted bool      `json:"encrypted"`
	Connected time.Time `json:"connected"`
	Groups    []string  `json:"groups"`
	Received  uint64    `json:"received"`
	Sent      uint64    `json:"sent"`
	Calls     int       `json:"calls"`
	Away      bool      `json:"away"`
}

type groupState struct {
	Name    string `json:"name"`
	Members int    `json:"members"`
}

// actionCounts is what is counted of an action. Those that have begun and not ended are
// under way. The buckets are those of /api/actions from First on; the rest is empty.
type actionCounts struct {
	Action   string   `json:"action"`
	Outgoing bool     `json:"outgoing"`
	Begun    uint64   `json:"begun"`
	Failed   uint64   `json:"failed"`
	First    int      `json:"first"`
	Buckets  []uint64 `json:"buckets"`
}

// state answers with how things are now. The parameter "find" picks clients.
func (p *pages) state(w http.ResponseWriter, r *http.Request) {
	u := userOf(r)
	now := state{
		Time:     time.Now(),
		User:     userState{u.identity.Name, orEmpty(u.identity.Roles)},
		Stats:    p.server.Stats(),
		Health:   p.health(),
		Actions:  p.console.counters.counts(),
		Failures: p.console.failures.list(),
	}
	now.fillClients(p.server.Clients(), r.FormValue("find"))
	respond(w, http.StatusOK, now)
}

// health returns what is wrong with the server as a whole and with each service.
func (p *pages) health() []healthState {
	var list []healthState
	for _, service := range p.catalogue().services {
		one := healthState{Service: service}
		if err := p.server.Health(service); err != nil {
			one.Problem = packetrpc.AsError(err).Message
		}
		list = append(list, one)
	}
	return list
}

func (s *state) fillClients(clients []server.ClientStatus, find string) {
	s.Clients = []clientState{}
	members := make(map[string]int)
	for _, client := range clients {
		one := clientOf(client)
		for _, group := range one.Groups {
			members[group]++
		}
		if !one.matches(find) {
			continue
		}
		s.Matching++
		if len(s.Clients) < maxShown {
			s.Clients = append(s.Clients, one)
		}
	}
	s.InGroups = len(members)
	s.Groups = largest(members)
}

func clientOf(c server.ClientStatus) clientState {
	identity := c.Peer.Identity()
	return clientState{
		ID:        c.Peer.ID(),
		Name:      identity.Name,
		Roles:     orEmpty(identity.Roles),
		Address:   c.Peer.RemoteAddr().String(),
		Form:      c.Form,
		Encrypted: c.Encrypted,
		Connected: c.Connected,
		Groups:    orEmpty(c.Peer.Groups()),
		Received:  c.Received,
		Sent:      c.Sent,
		Calls:     c.Calls,
		Away:      c.Away,
	}
}

// matches reports whether a text is in something by which a client is known.
func (c *clientState) matches(find string) bool {
	contains := func(known string) bool { return strings.Contains(known, find) }
	return contains(c.ID) || contains(c.Name) || contains(c.Address) ||
		slices.ContainsFunc(c.Groups, contains) || slices.ContainsFunc(c.Roles, contains)
}

// largest returns the groups with most members, as many as are shown.
func largest(members map[string]int) []groupState {
	names := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		return cmp.Or(cmp.Compare(members[b], members[a]), cmp.Compare(a, b))
	})
	groups := make([]groupState, min(len(names), maxShown))
	for i := range groups {
		groups[i] = groupState{names[i], members[names[i]]}
	}
	return groups
}

// counts returns what has been counted, by action.
func (c *counters) counts() []actionCounts {
	counts := []actionCounts{}
	for _, direction := range []struct {
		set      *seriesSet
		outgoing bool
	}{{&c.incoming, false}, {&c.outgoing, true}} {
		for _, one := range direction.set.all() {
			counts = append(counts, one.counts(direction.outgoing))
		}
	}
	slices.SortFunc(counts, func(a, b actionCounts) int { return cmp.Compare(a.Action, b.Action) })
	return counts
}

func (s *series) counts(outgoing bool) actionCounts {
	counts := actionCounts{Action: s.action, Outgoing: outgoing, Failed: s.failed.Load(), Buckets: []uint64{}}
	for i := range s.buckets {
		n := s.buckets[i].Load()
		switch {
		case n > 0 && len(counts.Buckets) == 0:
			counts.First = i
			counts.Buckets = append(counts.Buckets, n)
		case len(counts.Buckets) > 0:
			counts.Buckets = append(counts.Buckets, n)
		}
	}
	for last := len(counts.Buckets); last > 0 && counts.Buckets[last-1] == 0; last-- {
		counts.Buckets = counts.Buckets[:last-1]
	}
	counts.Begun = s.begun.Load() // last, so that no more have ended than begun
	return counts
}

// orEmpty makes nothing an empty list, which pages can go through.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
