package conn

import (
	"runtime"
	"sync"
	"testing"
)

// Nobody is refused room that is there because others try for more at the same moment.
func TestCallsThatThereIsRoomFor(t *testing.T) {
	const takers = 4
	l := NewLoad(takers, 0)
	var all sync.WaitGroup
	for range takers {
		all.Go(func() {
			for range 100_000 {
				n := l.takeCalls(maxOpened)
				if n != 1 {
					t.Errorf("got room for %d calls, want 1", n)
					return
				}
				l.giveBackCalls(n)
			}
		})
	}
	all.Wait()
	if counts := l.Counts(); counts.Calls != 0 {
		t.Errorf("%d calls are left", counts.Calls)
	}
}

// What is taken at the moment in which the Load is told of it does not stay counted.
func TestWhatIsTakenAtOnce(t *testing.T) {
	const size = 1 << 20
	l := NewLoad(0, 0)
	a := account{heldMax: maxHeld, portion: portion{load: l}}
	for round := range 50_000 {
		var taker sync.WaitGroup
		taker.Go(func() {
			for a.held.Load() == 0 {
				runtime.Gosched()
			}
			a.taken(size)
		})
		a.arrived(size, size)
		taker.Wait()
		if bytes := l.Counts().Bytes; bytes != 0 {
			t.Fatalf("after %d rounds %d bytes are counted, and none held", round+1, bytes)
		}
	}
}
