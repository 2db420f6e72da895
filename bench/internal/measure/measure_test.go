package measure

import (
	"errors"
	"sync/atomic"
	"testing"
)

// All connections have their turn. Where there are enough, no two callers ever
// share one.
func TestConnFor(t *testing.T) {
	for _, sizes := range [][2]int{{1, 1}, {64, 1}, {64, 10}, {64, 64}, {64, 100}, {64, 1000}, {3, 7}} {
		callers, conns := sizes[0], sizes[1]
		owner := make(map[int]int)
		for caller := range callers {
			for before := range 2 * conns {
				conn := connFor(caller, before, callers, conns)
				if conn < 0 || conn >= conns {
					t.Fatalf("%d callers, %d connections: got connection %d", callers, conns, conn)
				}
				other, owned := owner[conn]
				if owned && other != caller && conns >= callers {
					t.Fatalf("%d callers, %d connections: callers %d and %d share connection %d", callers, conns, other, caller, conn)
				}
				owner[conn] = caller
			}
		}
		if len(owner) != conns {
			t.Errorf("%d callers use %d connections of %d", callers, len(owner), conns)
		}
	}
}

func TestEachOf(t *testing.T) {
	var done [1000]atomic.Int64
	err := eachOf(len(done), func(i int) error {
		done[i].Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range done {
		if got := done[i].Load(); got != 1 {
			t.Errorf("index %d was done %d times", i, got)
		}
	}
	broken := errors.New("broken")
	if err := eachOf(10, func(int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}
