package conn

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Shared is a one-way message for many connections. It is encoded at most once
// for each form, however many receive it; only the envelope is made for each. Its
// methods may be called concurrently.
type Shared struct {
	spec     *packetrpc.Spec
	message  proto.Message
	metadata packetrpc.Metadata
	created  int64
	forms    [2]sharedForm // by packet.Form
}

type sharedForm struct {
	once sync.Once
	data []byte
	err  error
}

// NewShared returns a message to be pushed, which must not be changed from then
// on.
func NewShared(spec *packetrpc.Spec, message proto.Message) *Shared {
	return &Shared{spec: spec, message: message, created: time.Now().UnixMicro()}
}

// Carry lets the message carry metadata, or returns why that is impossible. It must be
// called before the message is pushed.
func (s *Shared) Carry(metadata packetrpc.Metadata) error {
	if err := metadataFits(metadata); err != nil {
		return err
	}
	s.metadata = metadata
	return nil
}

// Encode encodes the message in a form, if that has not happened yet, and
// returns why that is impossible.
func (s *Shared) Encode(form packet.Form) error {
	f := &s.forms[form]
	f.once.Do(func() {
		f.data, f.err = packet.AppendMessage(form, nil, s.message)
	})
	if f.err != nil {
		return marshalError(f.err)
	}
	return nil
}

// Push queues a shared message as a one-way call without waiting. It reports
// whether it did: not when the queue is full, when the other side has given no
// credit, takes no such message or only replies, or when the connection has
// ended.
func (c *Conn) Push(s *Shared) bool {
	if !c.queue(s) {
		return false
	}
	c.out.flushSoon()
	return true
}

// envelopeRoom is about what a push has besides its data.
const envelopeRoom = 64

// queue is Push without the flush.
func (c *Conn) queue(s *Shared) bool {
	if c.cfg.Plain || s.spec.Sealed || s.Encode(c.form) != nil {
		return false
	}
	data := s.data(c.form)
	if c.fits(len(data)) != nil {
		return false
	}
	p := packet.Packet{Kind: packet.KindOneWay, CallID: c.made.laneID, Created: s.created, Token: c.openingToken(), Metadata: s.metadata, Data: data}
	return c.enqueuePush(s.spec, &p)
}

// data returns the encoded message, as it is weighed.
func (s *Shared) data(form packet.Form) []byte { return weighed(form, s.forms[form].data) }
