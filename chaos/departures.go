package main

import (
	"cmp"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The names that clients shake hands with, by which the server tells them apart.
const (
	healthyName = "healthy"
	frozenName  = "frozen"
	garbageName = "garbage"
)

// departure is that clients of a name have gone for a reason.
type departure struct {
	Name, Reason string
	Count        int
	// Soonest and Latest are the shortest and the longest time that they were there.
	Soonest, Latest time.Duration
}

// departures counts why clients have gone. Its methods may be called concurrently.
type departures struct {
	mu   sync.Mutex
	came map[string]time.Time // by the public id of who is there
	gone map[[2]string]*departure
}

func newDepartures() *departures {
	return &departures{came: make(map[string]time.Time), gone: make(map[[2]string]*departure)}
}

// come notes that a client is there.
func (d *departures) come(peer packetrpc.Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.came[peer.ID()] = time.Now()
}

// leave notes that it has gone.
func (d *departures) leave(peer packetrpc.Peer, reason error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stayed := time.Since(d.came[peer.ID()])
	delete(d.came, peer.ID())
	key := [2]string{peer.Identity().Name, withoutAddresses(reason.Error())}
	g := d.gone[key]
	if g == nil {
		g = &departure{Name: key[0], Reason: key[1], Soonest: stayed}
		d.gone[key] = g
	}
	g.Count++
	g.Soonest, g.Latest = min(g.Soonest, stayed), max(g.Latest, stayed)
}

// operation is what the system was asked to do between which addresses.
var operation = regexp.MustCompile(` (read|write) tcp [0-9.:]+(->[0-9.:]+)?:`)

// withoutAddresses drops what differs between clients that have gone for the same
// reason.
func withoutAddresses(reason string) string { return operation.ReplaceAllString(reason, "") }

// forget counts anew.
func (d *departures) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.gone)
}

// all returns what has been counted, by name and then by how often.
func (d *departures) all() (all []departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.gone {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b departure) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
