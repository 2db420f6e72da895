package conn

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Keepalive is how a side finds out that the other one is no longer there, although
// nothing says so: its machine has lost power, or the way to it is cut. The accepting
// side decides, and tells it in the handshake (PROTOCOL section 9).
type Keepalive struct {
	// Interval is after how long a silence the other side is pinged; 0 is never. It
	// may take half as long again.
	Interval time.Duration
	// Timeout is how long the answer may take.
	Timeout time.Duration
}

// Proto returns the keepalive as the handshake carries it.
func (k Keepalive) Proto() *packetrpcv1.Keepalive {
	if k.Interval == 0 {
		return nil
	}
	return &packetrpcv1.Keepalive{Interval: durationpb.New(k.Interval), Timeout: durationpb.New(k.Timeout)}
}

// leastKeepalive bounds what the other side may tell this one to do.
const leastKeepalive = 10 * time.Millisecond

// KeepaliveFromProto returns the keepalive that the accepting side told.
func KeepaliveFromProto(told *packetrpcv1.Keepalive) Keepalive {
	if told.GetInterval().AsDuration() <= 0 {
		return Keepalive{}
	}
	return Keepalive{
		Interval: max(told.GetInterval().AsDuration(), leastKeepalive),
		Timeout:  max(told.GetTimeout().AsDuration(), leastKeepalive),
	}
}

// pulse watches whether the other side is there. Only feelPulse uses it, apart from the
// timer, which Conn.mu guards.
type pulse struct {
	timer  *time.Timer
	last   uint32 // what source.heard was when the timer last went off
	silent int    // how often in a row it has been the same then
	pinged bool
}

// startPulse begins to watch.
func (c *Conn) startPulse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.Keepalive.Interval > 0 && !c.cfg.Plain && c.ended == nil {
		c.pulse.timer = time.AfterFunc(c.cfg.Keepalive.Interval/2, c.feelPulse)
	}
}

// feelPulse is called again and again as long as the connection lives. It never
// waits.
func (c *Conn) feelPulse() {
	p, k := &c.pulse, c.cfg.Keepalive
	if now := c.in.heard.Load(); now != p.last {
		p.last, p.silent, p.pinged = now, 0, false
	} else {
		p.silent++
	}
	next := k.Interval / 2
	switch {
	case p.pinged:
		c.depart(packetrpc.Errorf(packetrpc.CodeUnavailable,
			"the other side has not answered a ping for %v after a silence of %v (server.WithKeepalive)", k.Timeout, k.Interval))
		return
	case p.silent >= 2:
		c.out.control(c.form, &packet.Packet{Kind: packet.KindPing})
		c.out.flushSoon()
		p.pinged = true
		next = k.Timeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		p.timer.Reset(next)
	}
}
