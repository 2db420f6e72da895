package conn

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// sendPush is send for a push in a session that can be resumed: it is kept, and sent
// later when there is no connection that could send it now.
func (c *Conn) sendPush(ctx context.Context, p *packet.Packet, spec *packetrpc.Spec, message proto.Message) *packetrpc.Error {
	data, err := packet.AppendMessage(c.form, nil, message)
	if err != nil {
		return marshalError(err)
	}
	return c.sendPushEncoded(ctx, p, spec, weighed(c.form, data))
}

func (c *Conn) sendPushEncoded(ctx context.Context, p *packet.Packet, spec *packetrpc.Spec, data []byte) *packetrpc.Error {
	if err := c.fits(len(data)); err != nil {
		return err
	}
	push := *p
	push.Data = data
	if c.cfg.Pushes.buffers() {
		return c.pushBuffered(spec, &push)
	}
	postponed, kept := c.cfg.Pushes.postpone(c, spec, push)
	if !postponed {
		err := c.sendEncoded(ctx, &c.lane, p, spec, data)
		switch {
		case err == nil || !c.losesPushes():
			return err
		case err.Outcome != packetrpc.OutcomeNotSent:
			return nil // it is kept, and is sent again
		}
		if postponed, kept = c.cfg.Pushes.postpone(c, spec, push); !postponed {
			return err
		}
	}
	if !kept {
		return c.cfg.Pushes.noRoom(&push)
	}
	return nil
}

// pushBuffered sends a push if it can leave at once, and keeps it otherwise. It does
// not wait.
func (c *Conn) pushBuffered(spec *packetrpc.Spec, p *packet.Packet) *packetrpc.Error {
	kept := false
	if len(p.Data) <= lastFragmentMax {
		kept = c.enqueuePush(spec, p)
	} else if postponed, room := c.cfg.Pushes.postpone(c, spec, *p); postponed {
		kept = room
	} else {
		kept = c.cfg.Pushes.postponeNow(spec, *p) // its fragments wait for their turns
	}
	if !kept {
		if reason := c.refuses(); reason != nil && !c.cfg.Pushes.resumable() {
			return notSent(reason)
		}
		return c.cfg.Pushes.noRoom(p)
	}
	return nil
}

// enqueuePush queues a push without waiting, or keeps it. It reports whether either
// was possible. Somebody must flush afterwards.
func (c *Conn) enqueuePush(spec *packetrpc.Spec, p *packet.Packet) bool {
	pushes := c.cfg.Pushes
	if pushes != nil {
		if postponed, kept := pushes.postpone(c, spec, *p); postponed {
			return kept
		}
	}
	if !c.out.tryLock(&c.lane) {
		switch {
		case pushes.resumable() && c.losesPushes():
			_, kept := pushes.postpone(c, spec, *p)
			return kept
		case pushes.buffers() && !c.out.stopped():
			return pushes.postponeNow(spec, *p)
		}
		c.cfg.Load.pushesRefused.Add(1)
		return false
	}
	if pushes != nil {
		if now, kept := pushes.record(c, spec, p); !now {
			c.out.unlock(nil)
			return kept
		}
	}
	c.out.actions.name(p, spec)
	c.out.put(packet.Append(c.form, slices.Grow(c.out.bytes(), len(p.Data)+envelopeRoom), p))
	c.charge(&c.lane, p.Kind, len(p.Data))
	c.out.unlock(&c.lane)
	return true
}

// losesPushes reports whether nothing can be sent any more. Then pushes are kept from
// now on, although the connection may not have ended yet.
func (c *Conn) losesPushes() bool {
	if !c.out.stopped() {
		return false
	}
	c.cfg.Pushes.suspend(c)
	return true
}

// startPushes lets a worker send what was kept. Nothing is sent as it comes before that.
func (c *Conn) startPushes() {
	if c.cfg.Pushes == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil || !c.cfg.Pushes.own(c) {
		return // another connection may carry the session by now
	}
	c.todo.working++
	c.cfg.Workers.Run(func() {
		c.catchUp()
		c.mu.Lock()
		c.leave()
	})
}

// fallBehind lets a connection that was live catch up once more.
func (c *Conn) fallBehind() {
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		return // the next connection sends what was kept
	}
	c.todo.working++
	c.mu.Unlock()
	c.catchUp()
	c.mu.Lock()
	c.leave()
}

// catchUp sends what was kept, and then lets pushes be sent as they come.
func (c *Conn) catchUp() {
	for {
		push, more := c.cfg.Pushes.next(c)
		if !more {
			return
		}
		p := push.packet
		p.Kind, p.CallID, p.Sequence = packet.KindOneWay, c.made.laneID, push.sequence
		if err := c.sendFragments(c.ctx, &c.lane, &p, push.spec, p.Data, false); err != nil {
			return // the connection has ended, and the push is kept
		}
		c.out.flushSoon()
	}
}

// sever ends the connection with the session, since pushes are not taken.
func (c *Conn) sever() {
	c.terminate(packetrpc.NewError(packetrpc.CodeUnavailable, errTooSlow))
}

// errTooSlow is why a connection has been severed.
var errTooSlow = errors.New("the client takes its pushes too slowly, and no more are kept for it (server.WithSlowClients)")
