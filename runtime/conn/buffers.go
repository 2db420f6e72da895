package conn

import (
	"math/bits"
	"sync"
)

// buffer is a byte slice that goes round: it has one owner at a time, who gives
// it back when it holds nothing that is needed.
type buffer struct{ bytes []byte }

// buffers keeps buffers for those who need one for a while.
type buffers struct {
	pools  [bufferSizes]sync.Pool // of *buffer, whose sizes are powers of two
	queues sync.Pool              // of *buffer that packets are appended to
}

const (
	leastBuffer = 2 << 10
	bufferSizes = 13
	mostBuffer  = leastBuffer << (bufferSizes - 1)
)

// maxQueueKept is how large a queue may have grown to be used again.
const maxQueueKept = 1 << 20

// borrowQueue returns an empty buffer to append to. It is as large as somebody else
// has made it, which is likely to be enough.
func (b *buffers) borrowQueue() *buffer {
	if lent, ok := b.queues.Get().(*buffer); ok {
		return lent
	}
	return new(buffer)
}

// giveBackQueue takes such a buffer back.
func (b *buffers) giveBackQueue(lent *buffer) {
	if cap(lent.bytes) <= maxQueueKept {
		lent.bytes = lent.bytes[:0]
		b.queues.Put(lent)
	}
}

// borrow returns a buffer of at least so many bytes, whatever they are, to be given
// back with giveBack.
func (b *buffers) borrow(size int) *buffer {
	if size > mostBuffer {
		return &buffer{make([]byte, size)}
	}
	place := bits.Len(uint(max(size, leastBuffer)-1)) - bits.Len(leastBuffer-1)
	if lent, ok := b.pools[place].Get().(*buffer); ok {
		return lent
	}
	return &buffer{make([]byte, leastBuffer<<place)}
}

// giveBack takes a buffer back, which may have been cut, or have grown.
func (b *buffers) giveBack(lent *buffer) {
	size := cap(lent.bytes)
	if size < leastBuffer || size > mostBuffer {
		return
	}
	place := bits.Len(uint(size)) - bits.Len(leastBuffer)
	lent.bytes = lent.bytes[:leastBuffer<<place]
	b.pools[place].Put(lent)
}
