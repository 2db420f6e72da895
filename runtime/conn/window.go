package conn

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// packetOverhead is what a packet costs besides its data, so that many small
// ones cannot fill the receiver's memory for free.
const packetOverhead = 32

// cost returns what a packet with so much data takes from the windows of its
// call and of the connection (PROTOCOL section 8).
func cost(data int) int { return data + packetOverhead }

// sendWindow is the credit that the other side has given. The writer's lock
// guards it. A packet may be sent while the credit is above zero, and may take
// it below: so no packet is ever cut to fit.
type sendWindow struct {
	credit    int
	endless   bool
	busy      bool  // a message in fragments is under way, which others must not interrupt
	ended     error // why the call takes nothing more
	line      line  // senders that wait to begin a message
	continues line  // the sender that waits to continue one
}

func newSendWindow(credit int) sendWindow { return sendWindow{credit: credit, endless: credit == 0} }

func (s *sendWindow) credited() bool { return s.credit > 0 || s.endless }

func (s *sendWindow) open() bool { return s.credited() && !s.busy }

func (s *sendWindow) take(n int) {
	if !s.endless {
		s.credit -= n
	}
}

func (s *sendWindow) add(credit uint64) {
	s.credit = min(s.credit+bounded(credit), maxWindow)
}

// account is the receiving side's view of the connection as a whole: which
// credit is owed, how much is held for handlers and receivers that have not
// taken it, and which messages have not yet arrived whole.
type account struct {
	window    int // the connection's window; 0 is endless credit
	heldMax   int // held bytes above which the connection gets no more credit
	partsMax  int // bytes of incomplete messages above which only the oldest gets credit
	sendGrant func(credit int)
	unstuck   func() // called without locks when it is not stuck any more

	owed atomic.Int64 // credit to give back
	held atomic.Int64 // bytes that handlers and receivers have not taken
	part atomic.Int64 // bytes of all incomplete messages
	told atomic.Int64 // portion.told, for who does not hold mu

	sending atomic.Int64 // bytes of messages that wait to be sent
	replies atomic.Int64 // those of them that are single replies

	mu      sync.Mutex
	portion portion
	parts   []*inbox // incomplete messages, the oldest first
	total   int      // their bytes
}

// inAll returns the bytes that are held for any reason.
func (a *account) inAll() int64 { return a.held.Load() + a.part.Load() + a.sending.Load() }

// weigh tells the Load what is held, if that has changed much.
func (a *account) weigh() {
	if !due(a.told.Load(), a.inAll()) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// What changes meanwhile may be found not to be due by who changes it, before told is
	// stored. So this looks once more after that.
	for !a.portion.closed && due(a.told.Load(), a.inAll()) {
		a.portion.tell(a.inAll())
		a.told.Store(a.portion.told)
	}
}

const (
	// smallSend is up to how many bytes of a reply that waits to be sent count for
	// nothing, so that most calls need not count.
	smallSend = 4 << 10
	// maxReplies is how much of single replies may wait to be sent before no more calls
	// are handled: the other side does not take the replies to those that were. Streams
	// do not count, which whoever reads them may leave alone for as long as it likes.
	maxReplies = 16 << 20
)

// waiting is a message that waits to be sent, as it counts.
type waiting struct {
	size  int
	reply bool // the only one to its call
}

// sends notes a message that is about to be sent.
func (a *account) sends(w waiting) {
	if w.size <= smallSend {
		return
	}
	if w.reply {
		a.replies.Add(int64(w.size))
	}
	a.sending.Add(int64(w.size))
	a.weigh()
}

// sent undoes sends.
func (a *account) sent(w waiting) {
	if w.size <= smallSend {
		return
	}
	a.sending.Add(int64(-w.size))
	a.weigh()
	if !w.reply {
		return
	}
	if now := a.replies.Add(int64(-w.size)); now <= maxReplies && now+int64(w.size) > maxReplies {
		a.unstuck()
	}
}

// stuck reports whether so much of replies waits to be sent that no more calls are handled.
func (a *account) stuck() bool { return a.replies.Load() > maxReplies }

// close tells the Load that nothing is held any more.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.portion.close()
}

// roomFor refuses so many bytes when all connections together hold too much, and this
// one more than its own part.
func (a *account) roomFor(size int) *packetrpc.Error {
	if a.inAll()+int64(size) <= ownBytes {
		return nil
	}
	return a.portion.load.lacksMemory()
}

// roomToSend refuses a call likewise whose reply would wait behind others that the other
// side does not take.
func (a *account) roomToSend() *packetrpc.Error {
	if a.sending.Load() <= ownBytes {
		return nil
	}
	return a.portion.load.lacksMemory()
}

// arrived notes a packet's cost, and how much of it is now held.
func (a *account) arrived(cost, held int) {
	if held > 0 {
		a.held.Add(int64(held))
		a.weigh()
	}
	a.owed.Add(int64(cost))
	a.settle()
}

// taken notes that held bytes are no longer held.
func (a *account) taken(held int) {
	now := a.held.Add(int64(-held))
	if before := now + int64(held); before > int64(a.heldMax) {
		a.settle() // arrived did not, while too much was held
	}
	a.weigh()
}

// overdrawn reports whether the other side has used all its credit up. It never
// has more than owed leaves of the window, and it is owed more than half of that
// only while too much is held.
func (a *account) overdrawn() bool { return a.window > 0 && a.owed.Load() >= int64(a.window) }

// settle gives credit back once half a window is owed, unless too much is held.
func (a *account) settle() {
	owed := a.owed.Load()
	if a.window == 0 || owed < int64(a.window/2) || a.held.Load() > int64(a.heldMax) {
		return
	}
	if a.owed.CompareAndSwap(owed, 0) {
		a.sendGrant(int(owed))
	}
}

// incomplete notes the size of a message that has not arrived whole and reports
// whether it gets credit now.
func (a *account) incomplete(box *inbox, size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !box.listed {
		box.listed = true
		a.parts = append(a.parts, box)
	}
	a.total += size - box.listSize
	box.listSize = size
	return a.total <= a.partsMax || a.parts[0] == box
}

// addPart notes a part of a message that has not arrived whole. It refuses one that
// would be too much: credit alone does not bound what many calls hold that are never
// completed, since each may begin. The oldest message goes on, so that there is always
// one that can be completed.
func (a *account) addPart(box *inbox, size int) *packetrpc.Error {
	if a.part.Add(int64(size)) <= maxParts || a.isOldest(box) {
		a.weigh()
		return nil
	}
	a.dropParts(size)
	return packetrpc.Errorf(packetrpc.CodeResourceExhausted,
		"the messages of this connection that have not arrived whole may have %d bytes together", maxParts)
}

// dropParts notes that parts of a message are gone, or have become a message.
func (a *account) dropParts(size int) {
	if size > 0 {
		a.part.Add(int64(-size))
		a.weigh()
	}
}

func (a *account) isOldest(box *inbox) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.parts) > 0 && a.parts[0] == box
}

// complete notes that a message is no longer incomplete, whether it arrived
// whole or was given up, and gives those credit that were refused it.
func (a *account) complete(box *inbox) {
	for _, other := range a.remove(box) {
		other.release()
	}
}

func (a *account) remove(box *inbox) (served []*inbox) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !box.listed {
		return nil
	}
	a.total -= box.listSize
	box.listed, box.listSize = false, 0
	a.parts = slices.DeleteFunc(a.parts, func(other *inbox) bool { return other == box })
	switch {
	case len(a.parts) == 0:
		return nil
	case a.total <= a.partsMax:
		return slices.Clone(a.parts)
	default:
		return a.parts[:1:1]
	}
}
