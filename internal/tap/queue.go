package tap

import "sync"

// queue is a bounded queue whose senders never wait. What it has no room for is counted,
// and the count takes the place of what is lost.
type queue[T any] struct {
	limit int // of all sizes together

	mu     sync.Mutex
	filled sync.Cond
	items  []queued[T]
	size   int
	losing map[int]*loss // by stream
	closed bool
}

// queued is an item, or a loss in the place of items.
type queued[T any] struct {
	item T
	lost *loss
}

// loss is what there was no room for.
type loss struct {
	stream       int
	items, bytes int
}

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: limit, losing: make(map[int]*loss)}
	q.filled.L = &q.mu
	return q
}

// put adds an item of a stream. An item of no size is always taken; another one is lost
// when there is no room for it. Then all that follow in its stream are lost until the
// next take, so that a stream has one gap rather than many.
func (q *queue[T]) put(item T, stream, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := q.losing[stream]
	switch {
	case q.closed:
		return
	case size == 0, lost == nil && q.size+size <= q.limit:
		q.items = append(q.items, queued[T]{item: item})
		q.size += size
	case lost == nil:
		lost = &loss{stream: stream}
		q.losing[stream] = lost
		q.items = append(q.items, queued[T]{lost: lost})
		fallthrough
	default:
		lost.items++
		lost.bytes += size
	}
	q.filled.Signal()
}

// take waits for items and returns all there are; none when the queue is closed and empty.
func (q *queue[T]) take() []queued[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.filled.Wait()
	}
	items := q.items
	q.items, q.size = nil, 0
	clear(q.losing)
	return items
}

// close lets take return what is left, and then nothing.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Signal()
}
