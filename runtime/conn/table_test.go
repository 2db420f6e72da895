package conn

import (
	"math/rand/v2"
	"testing"
)

// TestCallTable compares the table with a map, for ids that grow as callers'
// do, and for ids that all belong to one place of the ring.
func TestCallTable(t *testing.T) {
	for name, step := range map[string]uint64{"by two": 2, "to one place": 2 * ringMax} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, step))
			var table callTable[int]
			open := make(map[uint64]*int)
			next := uint64(3)
			for range 20_000 {
				if random.IntN(3) > 0 && len(open) < 3*ringMax || len(open) == 0 {
					call := new(int)
					table.put(next, call)
					open[next] = call
					next += step
				} else {
					for id, call := range open {
						if !table.remove(id, call) || table.remove(id, call) {
							t.Fatalf("call %d was not there, or twice", id)
						}
						delete(open, id)
						break
					}
				}
				if table.len() != len(open) {
					t.Fatalf("%d calls, want %d", table.len(), len(open))
				}
			}
			for id := uint64(3); id < next; id += step {
				for _, id := range []uint64{id - 2, id, id + 2} { // one that there was, and its neighbours
					if table.get(id) != open[id] {
						t.Fatalf("call %d is not what was put there", id)
					}
				}
			}
			for id, call := range table.all() {
				if open[id] != call {
					t.Fatalf("call %d is among all and should not be", id)
				}
				delete(open, id)
			}
			if len(open) > 0 {
				t.Fatalf("%d calls are not among all", len(open))
			}
		})
	}
}
