package conn

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// answer queues a call's answer, waiting for credit and room, unless nobody
// waits for it any more.
func (c *Conn) answer(call *takenCall, response proto.Message, err error) {
	if call.over() != nil {
		return
	}
	if c.cfg.Plain {
		c.answerPlain(call, response, err)
		return
	}
	if err == nil {
		p := c.responsePacket(call)
		if failure := metadataFits(p.Metadata); failure != nil {
			c.out.answer(c.form, c.failurePacket(call, failure))
			return
		}
		if call.method.Spec.Type == packetrpc.OneWay || call.method.Spec.Type.StreamsReplies() {
			c.out.answer(c.form, &p)
			return
		}
		failure := c.send(call, &call.window, &p, nil, response, call.seal)
		if failure == nil || call.over() != nil {
			return
		}
		err = failure
	}
	c.out.answer(c.form, c.failurePacket(call, err))
}

// answerNow is answer for the reading goroutine, which has made sure that a
// small answer can be queued; a large one is a worker's to send.
func (c *Conn) answerNow(call *takenCall, response proto.Message, err error) {
	if err != nil {
		c.out.control(c.form, c.failurePacket(call, err))
		call.end(errReturned)
		return
	}
	size := packet.Size(response)
	if c.form == packet.Binary && size <= lastFragmentMax && c.fits(size) == nil && c.out.tryLock(&call.window) {
		p := c.responsePacket(call)
		if err := c.encode(&call.window, &p, nil, response, size); err != nil {
			c.out.control(c.form, c.failurePacket(call, err))
		}
		call.end(errReturned)
		return
	}
	c.mu.Lock()
	c.todo.working++
	c.mu.Unlock()
	c.cfg.Workers.Run(func() {
		c.answer(call, response, nil)
		call.end(errReturned)
		c.flushQueued()
		c.mu.Lock()
		c.leave()
	})
}

// answerPlain sends an old program its reply in a write of its own, which it
// takes for the reply's bounds.
func (c *Conn) answerPlain(call *takenCall, response proto.Message, err error) {
	p := c.responsePacket(call)
	if err == nil {
		p.Data, p.Sealed, err = c.plainData(call, response)
	}
	if err == nil && call.method.Spec.Type == packetrpc.OneWay {
		p.Data = []byte("{}")
	}
	if err != nil {
		p = *c.failurePacket(call, err)
		p.Data = []byte("{}")
	}
	p.Action = call.method.Spec.Action
	if packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
		p.Token = c.cfg.Token // whoever could not name it is not told it
	}
	if p.Action == "CoreListClients" {
		p.Action = "ListClients" // the name that they know the reply by
	}
	c.out.control(c.form, &p)
	c.out.flush()
}

// plainData returns the data of an old program's reply, and whether it is sealed.
func (c *Conn) plainData(call *takenCall, response proto.Message) (data []byte, sealed bool, err error) {
	if !call.seal.seals() {
		data, err = packet.AppendMessage(c.form, nil, response)
		return data, false, err
	}
	call.seal.mu.Lock()
	defer call.seal.mu.Unlock()
	data, err = call.seal.seal(c.form, response)
	return data, true, err
}

func (c *Conn) responsePacket(call *takenCall) packet.Packet {
	return packet.Packet{Kind: packet.KindResponse, CallID: call.id, Created: time.Now().UnixMicro(), Metadata: call.takeMetadata()}
}

func (c *Conn) failurePacket(call *takenCall, failure error) *packet.Packet {
	p := c.errorPacket(call.id, "", packetrpc.AsError(failure))
	if metadata := call.takeMetadata(); metadataFits(metadata) == nil {
		p.Metadata = metadata
	}
	return p
}

func (c *Conn) errorPacket(id uint64, action string, reason *packetrpc.Error) *packet.Packet {
	p := &packet.Packet{
		Kind:       packet.KindError,
		CallID:     id,
		Created:    time.Now().UnixMicro(),
		Status:     reason.Code,
		Message:    reason.Message,
		Details:    reason.Details,
		RetryAfter: reason.RetryAfter,
	}
	if reason == errDraining {
		p.Reason = drainReason
	}
	shortenError(p)
	if id == 0 && c.form == packet.JSON {
		p.Action = action
	}
	return p
}

// drainReason is the reason on refusals of calls that have crossed with a drain, and the
// data of the ping behind it.
const drainReason = "drain"

const (
	maxErrorMessage = 8 << 10
	maxErrorDetails = 32 << 10
)

// shortenError makes an error fit a packet whatever a handler has put into it.
func shortenError(p *packet.Packet) {
	if len(p.Message) > maxErrorMessage {
		p.Message = strings.ToValidUTF8(p.Message[:maxErrorMessage], "") + "…"
	}
	size := 0
	for i, detail := range p.Details {
		size += len(detail.GetTypeUrl()) + len(detail.GetValue())
		if size > maxErrorDetails {
			p.Details = p.Details[:i]
			return
		}
	}
}
