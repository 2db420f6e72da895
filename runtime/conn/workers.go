package conn

import (
	"sync"
	"sync/atomic"
)

// maxIdleWorkers is how many goroutines wait for work; more than a burst of
// handlers needs would only hold stacks.
const maxIdleWorkers = 64

// Workers is a set of warm goroutines that the connections of one server or
// client share: a goroutine that has run a handler before has a stack of the
// right size, and waking it costs half of starting one. The number that run is
// bounded by the connections' own limits.
type Workers struct {
	buffers
	calls sync.Pool   // of *madeCall, which are unary and have been answered
	polls atomic.Bool // a connection polls; see Conn.awaitMore

	mu     sync.Mutex
	idle   []chan func() // the latest first, whose stack is the warmest
	closed bool
	all    sync.WaitGroup
}

// NewWorkers returns a set without goroutines; they come with the work.
func NewWorkers() *Workers { return new(Workers) }

// Run lets a warm goroutine call work, or a new one. It never waits.
func (w *Workers) Run(work func()) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		warm := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		warm <- work
		return
	}
	w.all.Add(1)
	w.mu.Unlock()
	go w.live(work)
}

// live is a worker's life: work, wait, work. A worker whose task ended its
// goroutine is not missed: the next run starts another.
func (w *Workers) live(work func()) {
	defer w.all.Done()
	next := make(chan func(), 1)
	for work != nil {
		work()
		if !w.rest(next) {
			return
		}
		work = <-next
	}
}

// rest puts a worker among the idle ones and reports whether it may wait there.
func (w *Workers) rest(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) == maxIdleWorkers {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// Close lets the idle goroutines end and waits for the others, so the
// connections that use them must have been closed before.
func (w *Workers) Close() {
	w.dismiss()
	w.all.Wait()
}

// dismiss lets the idle goroutines end, and the others when they become idle.
func (w *Workers) dismiss() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, warm := range w.idle {
		warm <- nil
	}
	w.idle = nil
}

// call returns an empty call, to be given back with recycle if nobody else knows
// it any more.
func (w *Workers) call() *madeCall {
	if call, ok := w.calls.Get().(*madeCall); ok {
		return call
	}
	return &madeCall{done: make(chan struct{}, 1)}
}

func (w *Workers) recycle(call *madeCall) {
	*call = madeCall{done: call.done}
	w.calls.Put(call)
}
