package conn

import (
	"context"
	"crypto/rsa"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// Sealing is what the data of sealed actions is sealed and opened with (PROTOCOL
// section 17). Data is sealed to the side that receives it if that has a key. If it
// has none, data travels as it is on an encrypted connection, and not at all on
// others.
type Sealing struct {
	// Opener opens what the other side seals; nil when this side has no key.
	Opener *seal.Opener
	// To is the other side's key; nil when it has none.
	To *rsa.PublicKey
	// Encrypted says that nobody can read what is not sealed.
	Encrypted bool
}

// receives refuses sealed actions whose data this side could not be sent.
func (s *Sealing) receives() *packetrpc.Error {
	if s.Opener != nil || s.Encrypted {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
		"the other side could not seal its data, as this one has given no key (WithKey)")
}

// sends refuses sealed actions whose data this side could not send.
func (s *Sealing) sends() *packetrpc.Error {
	if s.To != nil || s.Encrypted {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
		"there is no key of the other side to seal its data to (server.WithKey, client.WithKey, client.WithSealingTo)")
}

// allows refuses calls of sealed actions that would show their data.
func (s *Sealing) allows(spec *packetrpc.Spec, made bool) *packetrpc.Error {
	if !spec.Sealed {
		return nil
	}
	var err *packetrpc.Error
	if made || spec.Type != packetrpc.OneWay {
		err = s.sends()
	}
	if err == nil && (!made || spec.Type != packetrpc.OneWay) {
		err = s.receives()
	}
	if err == nil {
		return nil
	}
	return packetrpc.Errorf(err.Code, "action %q is sealed: %s", spec.Action, err.Message)
}

// takes refuses a packet that opens a call and is not sealed as its action is.
func (s *Sealing) takes(spec *packetrpc.Spec, p *packet.Packet) *packetrpc.Error {
	if err := s.allows(spec, false); err != nil {
		return err
	}
	switch {
	case !spec.Sealed && p.Sealed:
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "action %q is not sealed, but the packet's data is", spec.Action)
	case spec.Sealed && p.Sealed && s.Opener == nil:
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "action %q: there is no key here to open sealed data with (WithKey)", spec.Action)
	case spec.Sealed && !p.Sealed && s.Opener != nil && !spec.Type.StreamsRequests():
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "action %q is sealed, but the packet's data is not", spec.Action)
	}
	return nil
}

// callSeal seals the messages of one call and opens those of the other side. A nil
// one, of a call that is not sealed, leaves them as they are. Opening is for one
// goroutine at a time.
type callSeal struct {
	sealing *Sealing
	streams bool       // the request is a stream, so that replies are in reply to no one message
	in      seal.Label // of the next message that arrives

	mu  sync.Mutex
	out seal.Label // of the next message that leaves
}

// newSeal returns what a call is sealed with.
func (c *Conn) newSeal(spec *packetrpc.Spec, id uint64, made bool) *callSeal {
	if !spec.Sealed {
		return nil
	}
	request := seal.Label{Action: spec.Action, Session: seal.SessionHash(c.cfg.Token), Call: id, Direction: seal.Request}
	reply := request
	reply.Direction = seal.Reply
	s := &callSeal{sealing: &c.cfg.Sealing, streams: spec.Type.StreamsRequests(), out: reply, in: request}
	if made {
		s.out, s.in = request, reply
	}
	return s
}

// seals reports whether messages that leave are sealed.
func (s *callSeal) seals() bool { return s != nil && s.sealing.To != nil }

// open returns the message in data that has arrived.
func (s *callSeal) open(form packet.Form, data []byte) ([]byte, error) {
	if s == nil || s.sealing.Opener == nil {
		return data, nil
	}
	text, err := packet.ParseSealed(form, data)
	if err != nil {
		return nil, packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	message, id, err := s.sealing.Opener.Open(text, s.in)
	if err != nil {
		return nil, err
	}
	s.in.Number++
	if s.in.Direction == seal.Request && !s.streams {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out.InReplyTo = id
	}
	return message, nil
}

// seal returns a message as the data of the next packet. s.mu is held.
func (s *callSeal) seal(form packet.Form, message proto.Message) ([]byte, error) {
	clear, err := packet.AppendMessage(form, nil, message)
	if err != nil {
		return nil, marshalError(err)
	}
	sealed, id, err := s.out.Seal(clear, s.sealing.To)
	if err != nil {
		return nil, err
	}
	if s.out.Direction == seal.Request && !s.streams {
		s.in.InReplyTo = id // before there can be a reply
	}
	return packet.AppendSealed(form, nil, sealed), nil
}

// sendSealed is send for a call that is sealed. Messages leave in the order of their
// numbers.
func (c *Conn) sendSealed(ctx context.Context, window *sendWindow, p *packet.Packet, spec *packetrpc.Spec, message proto.Message, with *callSeal) *packetrpc.Error {
	with.mu.Lock()
	defer with.mu.Unlock()
	sealed, err := with.seal(c.form, message)
	if err != nil {
		return notSent(err)
	}
	if err := c.fits(len(sealed)); err != nil {
		return err
	}
	p.Sealed = true
	if c.numbers(p) {
		return c.sendPushEncoded(ctx, p, spec, sealed)
	}
	waits := c.waits(p, 2*len(sealed)) // the sender has the message besides
	c.account.sends(waits)
	defer c.account.sent(waits)
	if err := c.sendEncoded(ctx, window, p, spec, sealed); err != nil {
		return err
	}
	with.out.Number++
	return nil
}
