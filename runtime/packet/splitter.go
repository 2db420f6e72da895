package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Splitter finds the packets in the bytes of one direction of a connection; see
// "2. Forms" of docs/PROTOCOL.md. It keeps no bytes itself. The zero value is for
// the binary form before the handshake.
type Splitter struct {
	form Form
	max  int
	drop uint64 // how much of an oversized packet is still to come, binary form
	json jsonSplitter
}

// NewSplitter returns a Splitter for packets of at most maxPacket bytes, without
// what stands between packets. A limit that is not positive is
// [MaxBeforeHandshake].
func NewSplitter(form Form, maxPacket int) *Splitter {
	return &Splitter{form: form, max: maxPacket}
}

// SetMaxPacket changes the limit, which holds for packets not yet found.
func (s *Splitter) SetMaxPacket(n int) { s.max = n }

func (s *Splitter) limit() int {
	if s.max <= 0 {
		return MaxBeforeHandshake
	}
	return s.max
}

// OversizedError is a packet larger than the limit. It ends the call that the
// packet belongs to, not the connection.
type OversizedError struct {
	// Size is the packet's size, 0 when it is not known, as in the JSON form.
	Size uint64
	// Limit is what a packet may have.
	Limit int
	// Packet has what could be read of the packet's beginning: its CallID, Kind,
	// More, Action and ActionNumber.
	Packet Packet
}

// Error returns the size, if it is known, and the limit.
func (e *OversizedError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("packet exceeds the limit of %d bytes", e.Limit)
	}
	return fmt.Sprintf("packet of %d bytes exceeds the limit of %d", e.Size, e.Limit)
}

// beginning returns an OversizedError about a packet that begins with the given
// bytes.
func beginning(form Form, begin []byte, size uint64, limit int) *OversizedError {
	var p Packet
	// The end is missing, so there is an error, and what comes before it counts.
	_ = Parse(form, &p, begin)
	return &OversizedError{Size: size, Limit: limit, Packet: Packet{
		CallID:       p.CallID,
		Kind:         p.Kind,
		More:         p.More,
		Action:       p.Action,
		ActionNumber: p.ActionNumber,
	}}
}

// Next looks at the unread bytes. It returns the body of the next packet, which is
// part of unread, and how many bytes to consume, which it does not return again.
//
//   - A body: a packet of n bytes, what stands around its body included.
//   - No body, n > 0: n bytes to drop, white space or the rest of an oversized
//     packet.
//   - No body, n == 0, no error: more bytes are needed. Next is to be called again
//     with the same bytes and more; it does not look at the same ones twice.
//   - An [*OversizedError]: a packet larger than the limit, of which n bytes are to
//     be consumed. Later calls drop its rest.
//   - Any other error ends the connection, as there is no telling where the next
//     packet begins.
//
// The caller must be able to hold a packet as large as the limit, and in the
// binary form at least [MaxBeforeHandshake] bytes, with ten more for the length.
func (s *Splitter) Next(unread []byte) (body []byte, n int, err error) {
	if s.form == JSON {
		return s.json.next(unread, s.limit())
	}
	return s.nextBinary(unread)
}

// maxLength is the largest length that a packet can claim.
const maxLength = 1 << 53

var errLength = errors.New("the length of a packet is not a number up to 2^53")

func (s *Splitter) nextBinary(unread []byte) (body []byte, n int, err error) {
	if s.drop > 0 {
		n = int(min(s.drop, uint64(len(unread))))
		s.drop -= uint64(n)
		return nil, n, nil
	}
	length, n := binary.Uvarint(unread)
	switch {
	case n < 0 || length > maxLength || n == 0 && len(unread) >= binary.MaxVarintLen64:
		return nil, 0, errLength
	case n == 0:
		return nil, 0, nil
	}
	there := unread[n:]
	if length > uint64(s.limit()) {
		return s.oversized(there, n, length)
	}
	if uint64(len(there)) < length {
		return nil, 0, nil
	}
	return there[:length:length], n + int(length), nil
}

// oversized reports a packet that is too large once enough of it is there to tell
// whose it is.
func (s *Splitter) oversized(there []byte, prefix int, length uint64) (body []byte, n int, err error) {
	begin := int(min(length, MaxBeforeHandshake))
	if len(there) < begin {
		return nil, 0, nil
	}
	s.drop = length - uint64(begin)
	return nil, prefix + begin, beginning(Binary, there[:begin], length, s.limit())
}
