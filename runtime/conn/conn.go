package conn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// DefaultMaxRunningCalls is how many handlers run at once on a connection
	// unless a Config says otherwise.
	DefaultMaxRunningCalls = 256
	// DefaultWriteTimeout is how long the other side may take nothing unless a
	// Config says otherwise.
	DefaultWriteTimeout = 10 * time.Second

	// maxHeld is how much may wait to be taken by handlers and receivers before
	// the connection as a whole gets no more credit.
	maxHeld = 64 << 20
	// minPartsMax is how much of incomplete messages may wait for their rest.
	minPartsMax = 16 << 20
	// maxParts is how much all incomplete messages may have together: more than
	// hundreds of calls send at once before they need credit.
	maxParts = 256 << 20
	// maxEnvelope is what a packet may hold besides its message when it is taken:
	// more than this side's packets ever do.
	maxEnvelope = 128 << 10
	// farewell is how long a closing connection waits for the other side to take
	// its last packet.
	farewell = time.Second
	// lastWords is how long the one-way packets may be handled of a side that has
	// gone.
	lastWords = 5 * time.Second
)

// Config is what a connection is told when it is made.
type Config struct {
	// Dialled: this side opened the connection. Its call ids are odd.
	Dialled bool
	// Plain: the other side is an old program, which shook hands without a
	// version. It is sent replies only (PROTOCOL section 10).
	Plain bool
	// Token goes out with each packet that opens a call when Dialled is set, and
	// is demanded of such packets otherwise.
	Token string
	// Sealing is what the data of sealed actions is sealed and opened with.
	Sealing Sealing
	// Local is what this side takes, Remote what the other side told.
	Local, Remote Limits
	// MaxRunningCalls is how many handlers run at once; further calls wait. 0 is
	// [DefaultMaxRunningCalls].
	MaxRunningCalls int
	// Handlers is what this side serves; nil is nothing.
	Handlers *packetrpc.Handlers
	// Interceptor wraps the calls in both directions; nil is none.
	Interceptor packetrpc.Interceptor
	// Authorize is asked before a call is handled; its error is the call's. Nil
	// allows everything.
	Authorize func(*packetrpc.Spec) error
	// Refused is told of each call of the other side that is refused before an
	// interceptor sees it: the action, which may be no one's or "", and why. It must not
	// block, as the goroutine that reads the connection may call it; nil tells nobody.
	Refused func(action string, reason *packetrpc.Error)
	// Peer is what handlers get from [packetrpc.PeerFrom] and interceptors see. It
	// makes its calls through the connection, which it is told after [New]. It must
	// be set.
	Peer packetrpc.Peer
	// Greeting is sent before everything else: the answer to a handshake. Nil is
	// nothing.
	Greeting *packet.Packet
	// Ready holds calls of the other side back until it is closed; nil holds none.
	// Replies to this side's calls arrive in the meantime.
	Ready <-chan struct{}
	// Workers runs the connection. It must be set, and closed after the
	// connection has ended.
	Workers *Workers
	// OwnWorkers: no other connection uses Workers, whose goroutines then end with
	// this one.
	OwnWorkers bool
	// WriteTimeout ends the connection when the other side takes nothing of what
	// waits for it for so long. 0 is [DefaultWriteTimeout].
	WriteTimeout time.Duration
	// Pushes numbers and keeps the one-way packets that this side sends in a session
	// that can be resumed; nil when it cannot.
	Pushes *Pushes
	// Received is what this side has been sent in such a session; nil when there is
	// none.
	Received *Received
	// Drained is told when the other side takes no new calls any more, by the reading
	// goroutine, before such calls fail. It must not block; nil tells nobody.
	Drained func()
	// Load is what the connection has together with others; nil when there are none.
	Load *Load
	// Keepalive is when the other side is pinged. A plain one never is.
	Keepalive Keepalive
	// Logger is told of what no caller learns: handlers that panic, one-way calls
	// that fail. Nil is [slog.Default].
	Logger *slog.Logger
}

// Conn is one connection after its handshake. Its methods may be called
// concurrently. Calls may be made before Start; their packets leave and their
// replies arrive after it.
type Conn struct {
	cfg    Config
	nc     net.Conn
	form   packet.Form
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	// outgoing and incoming are Config.Interceptor around the call itself; nil
	// without one.
	outgoing packetrpc.Invoke
	incoming packetrpc.Invoke

	out writer
	// flushPromised: a caller is going to flush what others have queued as well.
	flushPromised atomic.Bool
	lane          sendWindow // of this side's one-way packets; the writer's lock guards it
	account       account
	in            *reader // belongs to the goroutine that holds the reading role
	workRef       func()  // c.work, made a func value once

	pulse pulse
	acks  acks // mu guards it

	// mu guards what follows.
	mu    sync.Mutex
	todo  workState
	made  madeCalls
	taken takenCalls

	draining bool
	drained  bool          // the other side knows, and has sent its last call
	idle     chan struct{} // closed when drained and no call is left
	ended    *packetrpc.Error
	epilogue func()           // what AfterEnd was told
	closing  *packetrpc.Error // why this side has said good-bye

	dismissed bool          // the other side has
	gone      chan struct{} // closed when ended and the last worker has left
}

// New makes a connection of an Opening whose handshake has succeeded, with what
// the Opening has read beyond it. The Opening must not be used any more.
func New(o *Opening, cfg Config) *Conn {
	if cfg.MaxRunningCalls == 0 {
		cfg.MaxRunningCalls = DefaultMaxRunningCalls
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = DefaultWriteTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Load == nil {
		cfg.Load = NewLoad(0, 0)
	}
	if cfg.Plain {
		cfg.Local.CallWindow, cfg.Local.ConnectionWindow = 0, 0 // old programs know no credit
	}
	c := &Conn{
		cfg:  cfg,
		nc:   o.nc,
		form: o.form,
		lane: newSendWindow(cfg.Remote.CallWindow),
		in:   o.in,
		idle: make(chan struct{}),
		gone: make(chan struct{}),
	}
	c.nc.SetDeadline(time.Time{})
	c.in.splitter.SetMaxPacket(cfg.Local.MaxMessageSize + maxEnvelope)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.workRef = c.work
	c.made = newMadeCalls(cfg.Dialled)
	c.taken = newTakenCalls(cfg.Local.CallWindow, cfg.Load)
	c.out = writer{
		nc:         c.nc,
		encryption: o.in.encryption,
		timeout:    cfg.WriteTimeout,
		workers:    cfg.Workers,
		failed:     c.terminate,
		window:     newSendWindow(cfg.Remote.ConnectionWindow),
		actions:    actionNumbers{max: cfg.Remote.MaxActionNumbers},
	}
	c.out.resumeRef = c.out.resume
	if c.form == packet.JSON {
		c.out.actions.max = 0
	}
	c.account = account{
		window:    cfg.Local.ConnectionWindow,
		heldMax:   maxHeld,
		partsMax:  max(minPartsMax, cfg.Local.MaxMessageSize),
		portion:   portion{load: cfg.Load},
		sendGrant: func(credit int) { c.sendCredit(0, credit) },
		unstuck:   c.lookAround,
	}
	if cfg.Interceptor != nil {
		c.outgoing = cfg.Interceptor(c.carryOut)
		c.incoming = cfg.Interceptor(c.handle)
	}
	if cfg.Greeting != nil {
		c.out.control(c.form, cfg.Greeting)
		c.cfg.Greeting = nil // it is queued, and not needed as long as the connection
	}
	return c
}

// Start begins to read, and sends what has been queued since New.
func (c *Conn) Start() {
	c.mu.Lock()
	c.summon()
	c.mu.Unlock()
	c.startPulse()
	c.startPushes()
}

// Serve is Start on the calling goroutine, which works for the connection until
// others do all that there is to do. It saves waking another one.
func (c *Conn) Serve() {
	c.mu.Lock()
	c.todo.searching = true
	c.todo.working++
	c.mu.Unlock()
	c.startPulse()
	c.startPushes()
	c.work()
}

// RemoteAddr returns the other side's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Form returns how packets are written on the connection.
func (c *Conn) Form() packet.Form { return c.form }

// Traffic returns how many bytes have been received and sent, encryption aside.
func (c *Conn) Traffic() (received, sent uint64) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.in.received.Load(), c.out.written
}

// Calls returns how many calls of the other side are under way: those that are to be
// answered and whose handler has not returned.
func (c *Conn) Calls() int { return int(c.taken.waiting.Load()) }

// Queued returns how many bytes of packets wait for the other side to take them.
func (c *Conn) Queued() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return int(c.out.queued - c.out.written)
}

// Plain reports whether the other side is an old program.
func (c *Conn) Plain() bool { return c.cfg.Plain }

// Context returns a context that ends with the connection; [context.Cause] then
// tells why, with an [*packetrpc.Error] of [packetrpc.CodeUnavailable].
func (c *Conn) Context() context.Context { return c.ctx }

// AfterEnd lets a worker call f when the connection has ended, at once if it
// has. It is what [context.AfterFunc] does with the connection's context, for
// less, and may be called once. Wait does not wait for f.
func (c *Conn) AfterEnd(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		c.cfg.Workers.Run(f)
		return
	}
	c.epilogue = f
}

// Drain tells the other side to open no new calls here, and refuses those that
// come nevertheless. Calls that run or wait are finished.
func (c *Conn) Drain(reason string) {
	c.mu.Lock()
	first := !c.draining
	c.draining = true
	if c.cfg.Plain {
		c.drained = true // nobody tells it
	}
	c.settled()
	c.mu.Unlock()
	if !first || c.cfg.Plain {
		return
	}
	c.out.control(c.form, &packet.Packet{Kind: packet.KindDrain, Reason: reason})
	c.out.control(c.form, &packet.Packet{Kind: packet.KindPing, Data: drainReasonData(c.form)})
	c.out.flushSoon()
	limit := time.AfterFunc(farewell, c.drainKnown)
	context.AfterFunc(c.ctx, func() { limit.Stop() })
}

// drainKnown notes that the other side has answered the ping behind the drain, so that
// no call of its crosses with the drain any more, or has had the time to.
func (c *Conn) drainKnown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		c.drained = true
		c.settled()
	}
}

// drainReasonData returns drainReason as the data of a packet.
func drainReasonData(form packet.Form) []byte {
	if form == packet.JSON {
		return []byte(`"` + drainReason + `"`)
	}
	return []byte(drainReason)
}

// Idle returns a channel that is closed when Drain has been called, the other side
// knows it, and no call runs or waits any more in either direction.
func (c *Conn) Idle() <-chan struct{} { return c.idle }

// settled closes idle when it is time. c.mu is held.
func (c *Conn) settled() {
	if !c.drained || c.taken.open > 0 || c.made.calls.len() > 0 {
		return
	}
	select {
	case <-c.idle:
	default:
		close(c.idle)
	}
}

// Close ends the connection: running handlers' contexts are cancelled, calls
// fail. Where the other side still reads it is told the reason. Close does not
// wait; a second one does nothing.
func (c *Conn) Close(reason string) { c.shut(reason, closedHere(reason)) }

// CloseAndWait is Close and then Wait, without waking a goroutine for the former.
func (c *Conn) CloseAndWait(reason string) {
	if cause := closedHere(reason); c.sayGoodBye(reason, cause) {
		c.partWith(cause)
	}
	c.Wait()
}

// Lose ends the connection at once as if it were lost: the other side is told nothing,
// and may go on with the session over another one.
func (c *Conn) Lose(reason string) {
	c.terminate(packetrpc.NewError(packetrpc.CodeUnavailable, errors.New(reason)))
}

func closedHere(reason string) *packetrpc.Error {
	text := "closed by this side"
	if reason != "" {
		text += ": " + reason
	}
	return packetrpc.NewError(packetrpc.CodeUnavailable, errors.New(text))
}

// shut says good-bye and lets a worker terminate.
func (c *Conn) shut(reason string, cause *packetrpc.Error) {
	if c.sayGoodBye(reason, cause) {
		c.cfg.Workers.Run(func() { c.partWith(cause) })
	}
}

// sayGoodBye queues the last packet and reports whether that was to be done. If
// so, the caller sees to it that partWith is called.
func (c *Conn) sayGoodBye(reason string, cause *packetrpc.Error) bool {
	c.mu.Lock()
	first := c.closing == nil && c.ended == nil
	if first {
		c.closing = cause
		c.todo.working++
	}
	c.mu.Unlock()
	if !first || c.cfg.Plain {
		return first
	}
	if _, halves := c.nc.(halfCloser); reason != "" || !halves || c.resumable() {
		// Without a reason the end of the bytes says as much as this packet, unless the
		// session outlives its connection.
		c.out.control(c.form, &packet.Packet{Kind: packet.KindClose, Reason: reason})
	}
	return true
}

// resumable reports whether the session can outlive the connection.
func (c *Conn) resumable() bool { return c.cfg.Pushes.resumable() || c.cfg.Received != nil }

// Lost reports whether the connection has ended although neither side has closed it, and
// the session has not ended.
func (c *Conn) Lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended != nil && c.closing == nil && !c.dismissed && !c.cfg.Pushes.ended()
}

// Leaves reports whether calls are refused for good: the connection has ended or is about
// to, or the other side takes no new ones.
func (c *Conn) Leaves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusesCalls() != nil || c.out.stopped()
}

// halfCloser is a net.Conn whose sending direction can be closed by itself.
type halfCloser interface{ CloseWrite() error }

// partWith lets the last packets leave and the other side close first, so that
// closing the socket cannot destroy what it has not read yet.
func (c *Conn) partWith(cause *packetrpc.Error) {
	limit := time.AfterFunc(farewell, func() { c.terminate(cause) })
	defer limit.Stop()
	c.out.mu.Lock()
	last := c.out.queued
	c.out.mu.Unlock()
	c.out.flush()
	_ = c.out.await(c.ctx, last)
	c.out.part(cause)
	if c.out.closeWrite() {
		<-c.ctx.Done()
	}
	c.terminate(cause)
	c.mu.Lock()
	c.leave()
}

// terminate ends everything at once. Only the first reason counts.
func (c *Conn) terminate(reason *packetrpc.Error) {
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		return
	}
	c.ended = reason
	if c.cfg.Pushes != nil {
		c.cfg.Pushes.suspend(c)
	}
	made := c.made.abandon()
	taken := c.taken.abandon()
	epilogue := c.epilogue
	for _, timer := range []*time.Timer{c.pulse.timer, c.acks.timer} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.dropQueued()
	c.settled()
	c.vanish()
	c.mu.Unlock()

	c.out.stop(reason)         // first: who waits for the context's end may want to send something
	c.out.end(&c.lane, reason) // nobody gives its senders credit any more
	c.cancel(reason)
	c.nc.Close()
	c.endAll(made, taken, reason)
	if epilogue != nil {
		c.cfg.Workers.Run(epilogue)
	}
}

// endAll ends the calls that have been taken out of the tables.
func (c *Conn) endAll(made callTable[madeCall], taken callTable[takenCall], reason *packetrpc.Error) {
	for _, call := range made.all() {
		c.endMade(call, reason)
	}
	for _, call := range taken.all() {
		if call.method.Stream == nil && call.collecting() {
			c.taken.leave(call) // no worker will
		}
		c.endTaken(call, reason)
	}
}

// depart ends the connection of a side that has gone. The one-way packets that
// have arrived from it are handled first: who sends one and leaves means it. Calls
// that wait for an answer are not, and nothing more is sent.
func (c *Conn) depart(reason *packetrpc.Error) {
	c.mu.Lock()
	if c.ended != nil || c.taken.departure != nil {
		c.mu.Unlock()
		return
	}
	if c.todo.laneIdle() {
		c.mu.Unlock()
		c.terminate(reason)
		return
	}
	c.taken.departure = reason
	c.made.refused = reason
	if c.cfg.Pushes != nil {
		c.cfg.Pushes.suspend(c)
	}
	made := c.made.abandon()
	taken := c.taken.abandon()
	c.mu.Unlock()

	c.out.stop(reason)
	c.out.end(&c.lane, reason) // nobody gives its senders credit any more
	c.endAll(made, taken, reason)
	limit := time.AfterFunc(lastWords, func() { c.terminate(reason) })
	context.AfterFunc(c.ctx, func() { limit.Stop() })
}

// departed ends the connection, when the other side has gone, once what it has
// left is handled: of an old program, which has only closed its sending side, all
// calls, and otherwise the lane. c.mu is held.
func (c *Conn) departed() {
	reason := c.taken.departure
	if reason == nil || c.ended != nil {
		return
	}
	if c.cfg.Plain && c.taken.open > 0 || !c.todo.laneIdle() {
		return
	}
	c.todo.working++
	c.cfg.Workers.Run(func() {
		c.terminate(reason)
		c.mu.Lock()
		c.leave()
	})
}

// vanish closes gone when the connection has ended and its last worker has left.
// c.mu is held.
func (c *Conn) vanish() {
	if c.ended != nil && c.todo.working == 0 {
		select {
		case <-c.gone:
		default:
			close(c.gone)
			c.account.close()
			received, sent := c.Traffic()
			c.cfg.Load.received.Add(received)
			c.cfg.Load.sent.Add(sent)
			if c.cfg.OwnWorkers {
				c.cfg.Workers.dismiss()
			}
		}
	}
}

// Wait waits until the connection has ended and all its handlers have returned.
func (c *Conn) Wait() { <-c.gone }

// logger returns where to log, with the client where the other side is one.
func (c *Conn) logger() *slog.Logger {
	id := c.cfg.Peer.ID()
	if id == "" {
		return c.cfg.Logger
	}
	return c.cfg.Logger.With("client", id, "name", c.cfg.Peer.Identity().Name)
}

// sendCredit lets the other side send more: on a call, or with id 0 on the
// connection.
func (c *Conn) sendCredit(id uint64, credit int) {
	c.out.control(c.form, &packet.Packet{Kind: packet.KindCredit, CallID: id, Credit: uint64(credit)})
	c.out.flushSoon()
}

// contextError is the error of a call whose context has ended.
func contextError(ctx context.Context) *packetrpc.Error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return packetrpc.NewError(packetrpc.CodeDeadlineExceeded, err)
	}
	return packetrpc.NewError(packetrpc.CodeCanceled, err)
}

func tooLarge(size, limit int) *packetrpc.Error {
	return packetrpc.Errorf(packetrpc.CodeResourceExhausted,
		"message of %d bytes or more exceeds this side's limit of %d (WithMaxMessageSize)", size, limit)
}
