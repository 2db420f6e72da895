package conn

import (
	"sync"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// SlowPolicy is what becomes of pushes that the other side does not take as fast as
// they come.
type SlowPolicy uint8

// The policies.
const (
	// SlowWait: a push waits for room as long as its context allows. Broadcasts leave
	// the other side out.
	SlowWait SlowPolicy = iota
	// SlowDropOldest: pushes are kept, and the oldest ones dropped for want of room.
	SlowDropOldest
	// SlowDisconnect: pushes are kept, and for want of room the session ends.
	SlowDisconnect
)

// PushesConfig is what a session's pushes are made of.
type PushesConfig struct {
	// Limit is about how many bytes are kept.
	Limit int
	// Resumable: the session can go on over another connection. Otherwise pushes are
	// kept only until they are sent.
	Resumable bool
	// Slow is what becomes of pushes that wait to be sent. It must be another policy
	// than [SlowWait] when the session is not resumable.
	Slow SlowPolicy
	// Load is what all sessions of the server hold together; nil when there are none.
	Load *Load
}

// Pushes numbers the one-way packets that a session is sent, and keeps them until
// they are acknowledged, so that a connection that resumes the session can send again
// what the one before has lost (PROTOCOL section 20). It also keeps those that the
// other side is too slow for, if its policy says so. The session's connections share
// it, one after the other. Its methods may be called concurrently.
type Pushes struct {
	config PushesConfig

	mu       sync.Mutex
	kept     []keptPush // the oldest first; all have other sequences
	bytes    int        // of what is kept
	portion  portion    // of what the Load holds
	sequence uint64     // of the last push
	unsent   int        // how many of kept, at the end, the owner has not been given
	owner    *Conn      // the connection that sends pushes
	live     bool       // it has caught up, and sends them as they come
	over     bool       // the session has ended, or is about to
}

// keptPush is a push as it is sent, and perhaps sent again.
type keptPush struct {
	sequence uint64
	spec     *packetrpc.Spec
	packet   packet.Packet // without the call id and the action
}

// keptOverhead is about what a kept push takes besides its data.
const keptOverhead = 256

func (k *keptPush) size() int { return len(k.packet.Data) + keptOverhead }

// NewPushes returns the pushes of a new session.
func NewPushes(config PushesConfig) *Pushes {
	if config.Load == nil {
		config.Load = NewLoad(0, 0)
	}
	return &Pushes{config: config, portion: portion{load: config.Load}}
}

// resumable reports whether pushes outlive their connection.
func (s *Pushes) resumable() bool { return s != nil && s.config.Resumable }

// buffers reports whether pushes are kept that cannot be sent at once.
func (s *Pushes) buffers() bool { return s != nil && s.config.Slow != SlowWait }

// postpone keeps a push for the connection that comes next, or for the one that is
// still sending what was kept. It reports whether that is what happens to pushes now,
// and whether there was room.
func (s *Pushes) postpone(c *Conn, spec *packetrpc.Spec, p packet.Packet) (postponed, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.live && s.owner == c {
		return false, false
	}
	return true, s.append(spec, p)
}

// postponeNow is postpone for a push that the connection cannot take now.
func (s *Pushes) postponeNow(spec *packetrpc.Spec, p packet.Packet) (kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.over && s.append(spec, p)
}

// append keeps one more push that no connection has been given, if there is room or
// the policy makes some. s.mu is held.
func (s *Pushes) append(spec *packetrpc.Spec, p packet.Packet) bool {
	push := keptPush{s.sequence + 1, spec, p}
	if !s.makeRoom(push.size()) {
		s.config.Load.pushesRefused.Add(1)
		return false
	}
	s.keep(push)
	s.unsent++
	if s.live { // nobody would send it
		s.live = false
		s.owner.cfg.Workers.Run(s.owner.fallBehind)
	}
	return true
}

// makeRoom reports whether so many more bytes may be kept, for which it may drop older
// pushes. s.mu is held.
func (s *Pushes) makeRoom(size int) bool {
	limit := s.limit()
	if size > limit {
		return false
	}
	if s.owner != nil && s.buffers() {
		// The other side is likely to have had what was sent, and just not to have said
		// so yet. That does not make it slow.
		for s.bytes+size > limit && len(s.kept) > s.unsent {
			s.forget(1)
		}
	}
	switch {
	case s.bytes+size <= limit:
		return true
	case s.config.Slow == SlowDropOldest:
		for s.bytes+size > limit {
			if s.unsent == len(s.kept) {
				s.config.Load.pushesDropped.Add(1)
			}
			s.forget(1)
		}
		return true
	case s.config.Slow == SlowDisconnect && s.owner != nil:
		s.config.Load.slowCut.Add(1)
		s.over = true
		s.owner.cfg.Workers.Run(s.owner.sever)
	}
	return false
}

// limit returns how many bytes may be kept now.
func (s *Pushes) limit() int {
	if s.config.Load.full() {
		return min(s.config.Limit, ownBytes)
	}
	return s.config.Limit
}

// noRoom is what becomes of a push that is not kept: one that could never be, or one to a
// client that is away, or catches up, beyond what is kept for it.
func (s *Pushes) noRoom(p *packet.Packet) *packetrpc.Error {
	push := keptPush{packet: *p}
	if size := push.size(); size > s.config.Limit {
		err := packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"the push takes %d bytes, and %d are kept for a client that is away, or whose pushes never wait (server.WithResume)", size, s.config.Limit)
		err.Outcome = packetrpc.OutcomeNotSent
		return err
	}
	err := packetrpc.Errorf(packetrpc.CodeResourceExhausted, "the client is away or slow, and no more pushes are kept for it (server.WithResume)")
	err.Outcome = packetrpc.OutcomeNotSent
	err.RetryAfter = retryAfter()
	return err
}

// keep keeps a push. s.mu is held.
func (s *Pushes) keep(push keptPush) {
	s.sequence = push.sequence
	s.kept = append(s.kept, push)
	s.bytes += push.size()
	s.portion.tell(int64(s.bytes))
}

// record numbers a push that is about to be queued, and keeps it if the session is
// resumable. It reports whether it is to be queued now; otherwise it is sent later,
// unless there is no room for it. The writer's lock is held, so that sequences leave in
// order. What is too much is not kept: a connection that resumes the session then
// begins with a gap.
func (s *Pushes) record(c *Conn, spec *packetrpc.Spec, p *packet.Packet) (now, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return true, true
	}
	if !s.live || s.owner != c {
		return false, s.append(spec, *p)
	}
	if !s.config.Resumable {
		return true, true
	}
	p.Sequence = s.sequence + 1
	s.keep(keptPush{p.Sequence, spec, *p})
	for limit := s.limit(); s.bytes > limit; {
		s.forget(1)
	}
	return true, true
}

// forget drops the oldest pushes. s.mu is held.
func (s *Pushes) forget(n int) {
	for i := range s.kept[:n] {
		s.bytes -= s.kept[i].size()
		s.kept[i] = keptPush{}
	}
	if s.kept = s.kept[n:]; len(s.kept) == 0 {
		s.kept = nil
	}
	s.unsent = min(s.unsent, len(s.kept))
	s.portion.tell(int64(s.bytes))
}

// acknowledge drops the pushes up to a sequence.
func (s *Pushes) acknowledge(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(sequence)
}

func (s *Pushes) drop(sequence uint64) {
	n := 0
	for n < len(s.kept) && s.kept[n].sequence <= sequence {
		n++
	}
	s.forget(n)
}

// suspend lets pushes be kept once their connection has ended. The late end of an
// earlier one changes nothing.
func (s *Pushes) suspend(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == c {
		s.owner, s.live = nil, false
	}
}

// Resume prepares the pushes for a new connection, whose other side has had those up
// to a sequence. What an earlier one is still sending is kept from now on. It reports
// false when the session has ended, or is about to ([SlowDisconnect]).
func (s *Pushes) Resume(had uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.owner, s.live = nil, false
	s.drop(had)
	s.unsent = len(s.kept)
	return true
}

// ended reports whether the session has ended, or is about to.
func (s *Pushes) ended() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// Kept returns how many pushes wait to be acknowledged.
func (s *Pushes) Kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// End forgets everything: the session is over.
func (s *Pushes) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.bytes, s.unsent, s.over = nil, 0, 0, true
	s.portion.close()
}

// next returns the next push that the connection has not been given. When there is
// none pushes are live from then on.
func (s *Pushes) next(c *Conn) (push keptPush, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.owner != c {
		return keptPush{}, false
	}
	if s.unsent == 0 {
		s.live = true
		return keptPush{}, false
	}
	push = s.kept[len(s.kept)-s.unsent]
	s.unsent--
	if !s.config.Resumable {
		s.forget(1) // it is the oldest one
		push.sequence = 0
	}
	return push, true
}

// own makes a connection the one that sends pushes. It reports whether there are some
// to catch up with.
func (s *Pushes) own(c *Conn) (behind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.live = c, s.unsent == 0
	return !s.live
}
