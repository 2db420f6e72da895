package conn

import (
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
