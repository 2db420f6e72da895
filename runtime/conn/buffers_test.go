package conn

import "testing"

// TestBuffers: whoever borrows a buffer gets at least what it asked for, also when
// those before it have cut theirs, or made them grow.
func TestBuffers(t *testing.T) {
	var all buffers
	for size := 1; size <= 2*mostBuffer; size = size*5/4 + 1 {
		for _, change := range []func(*buffer){
			func(*buffer) {},
			func(b *buffer) { b.bytes = b.bytes[:0] },
			func(b *buffer) { b.bytes = append(b.bytes, make([]byte, size/3)...) },
			func(b *buffer) { b.bytes = nil },
		} {
			lent := all.borrow(size)
			if len(lent.bytes) < size || size <= mostBuffer && len(lent.bytes) >= 2*max(size, leastBuffer) {
				t.Fatalf("%d bytes were lent for %d", len(lent.bytes), size)
			}
			change(lent)
			all.giveBack(lent)
		}
	}
}
