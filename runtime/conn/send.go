package conn

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// fragmentSize is how much of a message one packet carries in the binary form,
// and what one call may put before another's packets. The last fragment may be a
// quarter larger, so that messages of a round size and their few bytes of
// envelope stay in one packet.
const (
	fragmentSize    = 64 << 10
	lastFragmentMax = fragmentSize + fragmentSize/4
)

// send queues a message of a call, with p as its envelope and sealed as the call
// is; a spec gives the packet the action's name or number. It waits for credit and room. Nothing has
// been sent when the error's outcome says so. Somebody must flush afterwards.
func (c *Conn) send(ctx context.Context, window *sendWindow, p *packet.Packet, spec *packetrpc.Spec, message proto.Message, with *callSeal) *packetrpc.Error {
	if err := metadataFits(p.Metadata); err != nil {
		return err
	}
	if with.seals() && message != nil {
		return c.sendSealed(ctx, window, p, spec, message, with)
	}
	if c.numbers(p) {
		return c.sendPush(ctx, p, spec, message)
	}
	size := packet.Size(message) // in the JSON form about as much
	if c.form == packet.Binary {
		if err := c.fits(size); err != nil {
			return err
		}
		if size <= lastFragmentMax {
			waits := c.waits(p, size)
			c.account.sends(waits)
			defer c.account.sent(waits)
			if err := c.out.lock(ctx, window, false); err != nil {
				return notSent(err)
			}
			return c.encode(window, p, spec, message, size) // unlocks
		}
	}
	waits := c.waits(p, 2*size) // the sender has the message besides
	c.account.sends(waits)
	defer c.account.sent(waits)
	encoded := c.cfg.Workers.borrow(size)
	defer c.cfg.Workers.giveBack(encoded)
	var err error
	encoded.bytes, err = packet.AppendMessage(c.form, encoded.bytes[:0], message)
	if err != nil {
		return marshalError(err)
	}
	if err := c.fits(len(encoded.bytes)); err != nil {
		return err
	}
	return c.sendEncoded(ctx, window, p, spec, weighed(c.form, encoded.bytes))
}

// waits returns how much of a message counts as waiting to be sent: all if it is in reply
// to the other side. What this side asks for itself is its own program's to bound, and
// must not keep it from handling calls, which the other side may make before it takes more.
func (c *Conn) waits(p *packet.Packet, size int) waiting {
	switch {
	case p.Kind == packet.KindResponse:
		return waiting{size: size, reply: true}
	case p.Kind == packet.KindMessage && !c.isMine(p.CallID):
		return waiting{size: size}
	}
	return waiting{}
}

// encode appends a packet and its message right into the queue. The writer is
// locked, and is unlocked.
func (c *Conn) encode(window *sendWindow, p *packet.Packet, spec *packetrpc.Spec, message proto.Message, size int) *packetrpc.Error {
	w := &c.out
	defer w.unlock(window) // a message that is changed meanwhile may panic
	if spec != nil {
		w.actions.name(p, spec)
	}
	bytes := packet.AppendBinaryHeader(w.bytes(), p, size)
	start := len(bytes)
	bytes, err := packet.AppendSized(bytes, message, size)
	if err == nil && len(bytes)-start != size {
		err = packetrpc.Errorf(packetrpc.CodeInternal, "the message was changed while it was sent")
	}
	if err != nil {
		w.actions.forget(p, spec)
		return marshalError(err)
	}
	w.put(bytes)
	c.charge(window, p.Kind, size)
	return nil
}

// sendEncoded queues an encoded message, in fragments if it is large.
func (c *Conn) sendEncoded(ctx context.Context, window *sendWindow, p *packet.Packet, spec *packetrpc.Spec, data []byte) *packetrpc.Error {
	return c.sendFragments(ctx, window, p, spec, data, c.numbers(p))
}

// sendFragments is sendEncoded. A new push is recorded, one that was kept is not.
func (c *Conn) sendFragments(ctx context.Context, window *sendWindow, p *packet.Packet, spec *packetrpc.Spec, data []byte, record bool) *packetrpc.Error {
	for first := true; ; first = false {
		if err := c.out.lock(ctx, window, !first); err != nil {
			if first {
				return notSent(err)
			}
			return c.abandonFragments(window, err)
		}
		p.Data, p.More = data, false
		if first && record {
			if now, kept := c.cfg.Pushes.record(c, spec, p); !now {
				c.out.unlock(window)
				if !kept {
					return c.cfg.Pushes.noRoom(p)
				}
				return nil
			}
		}
		if c.form == packet.Binary && len(data) > lastFragmentMax {
			p.Data, p.More = data[:fragmentSize], true
			if first {
				p.MessageSize = uint64(len(data))
			}
		}
		data = data[len(p.Data):]
		if first && spec != nil {
			c.out.actions.name(p, spec)
		}
		c.out.put(packet.Append(c.form, c.out.bytes(), p))
		at := c.out.queued
		c.charge(window, p.Kind, len(p.Data))
		window.busy = p.More
		c.out.unlock(window)
		if !p.More {
			return nil
		}
		c.out.flush()
		if err := c.out.await(ctx, at); err != nil {
			return c.abandonFragments(window, err)
		}
		*p = packet.Packet{Kind: p.Kind, CallID: p.CallID}
	}
}

// numbers reports whether a packet is a push that has no sequence yet.
func (c *Conn) numbers(p *packet.Packet) bool {
	return c.cfg.Pushes != nil && p.Kind == packet.KindOneWay && p.Sequence == 0
}

// abandonFragments lets other senders on after a message that was sent in part.
// The call must be cancelled or ended.
func (c *Conn) abandonFragments(window *sendWindow, reason error) *packetrpc.Error {
	c.out.mu.Lock()
	window.busy = false
	c.out.unlock(window)
	return packetrpc.AsError(reason)
}

// charge takes a packet's cost from its windows. The writer is locked.
func (c *Conn) charge(window *sendWindow, kind packet.Kind, size int) {
	if !costs(kind, size) {
		return
	}
	window.take(cost(size))
	c.out.window.take(cost(size))
}

// costs reports whether a packet takes credit: those that make the other side
// keep something do.
func costs(kind packet.Kind, size int) bool {
	switch kind {
	case packet.KindMessage, packet.KindOneWay:
		return true
	case packet.KindRequest, packet.KindResponse:
		return size > 0
	default:
		return false
	}
}

// packetCost returns what a packet that has arrived took from its sender's
// windows.
func packetCost(p *packet.Packet) int {
	if !costs(p.Kind, len(p.Data)) {
		return 0
	}
	return cost(len(p.Data))
}

// weighed returns data as the windows count it: both sides take an empty JSON
// object, which JSON packets carry for want of data, for none.
func weighed(form packet.Form, data []byte) []byte {
	if form == packet.JSON && string(data) == "{}" {
		return nil
	}
	return data
}

// fits refuses a message that the other side would refuse.
func (c *Conn) fits(size int) *packetrpc.Error {
	if limit := c.cfg.Remote.MaxMessageSize; size > limit {
		err := packetrpc.Errorf(packetrpc.CodeResourceExhausted,
			"message of %d bytes exceeds the peer's limit of %d (WithMaxMessageSize there)", size, limit)
		err.Outcome = packetrpc.OutcomeNotSent
		return err
	}
	return nil
}

// maxMetadata is how many bytes of metadata a packet carries.
const maxMetadata = 32 << 10

func metadataFits(metadata packetrpc.Metadata) *packetrpc.Error {
	if metadata.Len() == 0 {
		return nil
	}
	size := 0
	for key, value := range metadata.All() {
		size += len(key) + len(value)
	}
	if size <= maxMetadata {
		return nil
	}
	err := packetrpc.Errorf(packetrpc.CodeResourceExhausted, "metadata of %d bytes exceeds the limit of %d", size, maxMetadata)
	err.Outcome = packetrpc.OutcomeNotSent
	return err
}

func marshalError(err error) *packetrpc.Error {
	coded := packetrpc.Errorf(packetrpc.CodeInternal, "the message cannot be encoded: %w", err)
	coded.Outcome = packetrpc.OutcomeNotSent
	return coded
}

// notSent returns a copy of an error that says that nothing was sent.
func notSent(err error) *packetrpc.Error {
	coded := *packetrpc.AsError(err)
	coded.Outcome = packetrpc.OutcomeNotSent
	return &coded
}
