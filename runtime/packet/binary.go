package packet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The field numbers of packetrpc.v1.Packet.
const (
	fieldAction       = 1
	fieldData         = 2
	fieldCreated      = 3
	fieldToken        = 4
	fieldKind         = 5
	fieldCallID       = 6
	fieldMore         = 7
	fieldActionNumber = 8
	fieldTimeout      = 9
	fieldMetadata     = 10
	fieldStatus       = 11
	fieldMessage      = 12
	fieldDetails      = 13
	fieldCredit       = 14
	fieldReason       = 15
	fieldSequence     = 16
	fieldAcknowledged = 17
	fieldRetryAfter   = 18
	fieldMayHaveRun   = 19
	fieldSealed       = 20
	fieldMessageSize  = 21
)

// AppendBinary appends p in the binary form, behind its length; see "4. Binary
// form" of docs/PROTOCOL.md. The fields that say which call a packet belongs to
// come first and the data comes last, so that a receiver can tell whose packet
// is too large without having it all.
//
// Text that is not UTF-8 is mended with U+FFFD, as a receiver would refuse it.
func AppendBinary(dst []byte, p *Packet) []byte {
	dst = AppendBinaryHeader(dst, p, len(p.Data))
	return append(dst, p.Data...)
}

// AppendBinaryHeader appends all of a packet, from its length up to and including
// the tag and the length of its data. Exactly dataSize bytes of data must follow:
// none when it is 0. What p.Data holds is ignored.
func AppendBinaryHeader(dst []byte, p *Packet, dataSize int) []byte {
	// The length comes before what it measures. Its own size is guessed, which is
	// cheaper than measuring everything first; a wrong guess moves a few bytes.
	start := len(dst)
	guess := protowire.SizeVarint(uint64(dataSize + len(p.Action) + len(p.Token) + typicalHeader))
	for range guess {
		dst = append(dst, 0)
	}
	dst = appendFields(dst, p)
	if dataSize > 0 {
		dst = protowire.AppendVarint(append(dst, fieldData<<3|byte(protowire.BytesType)), uint64(dataSize))
	}
	size := uint64(len(dst) - start - guess + dataSize)
	if actual := protowire.SizeVarint(size); actual != guess {
		dst = moveHeader(dst, start, guess, actual)
	}
	putVarint(dst[start:], size)
	return dst
}

// typicalHeader is about what the tags and numbers of a packet take.
const typicalHeader = 24

// moveHeader makes the room for the length, from bytes at start, into to bytes.
func moveHeader(dst []byte, start, from, to int) []byte {
	if to < from {
		return slices.Delete(dst, start, start+from-to)
	}
	return slices.Insert(dst, start, make([]byte, to-from)...)
}

// putVarint writes v where there is room for it.
func putVarint(b []byte, v uint64) {
	i := 0
	for ; v >= 0x80; i++ {
		b[i] = byte(v) | 0x80
		v >>= 7
	}
	b[i] = byte(v)
}

// appendFields appends all fields but the data.
func appendFields(dst []byte, p *Packet) []byte {
	if p.Kind > KindRequest {
		dst = appendUint(dst, fieldKind, uint64(p.Kind))
	}
	dst = appendUint(dst, fieldCallID, p.CallID)
	dst = appendBool(dst, fieldMore, p.More)
	dst = appendUint(dst, fieldMessageSize, p.MessageSize)
	dst = appendUint(dst, fieldActionNumber, uint64(p.ActionNumber))
	dst = appendText(dst, fieldAction, p.Action)
	if p.Created > 0 {
		dst = append(dst, fieldCreated<<3|byte(protowire.Fixed64Type))
		dst = protowire.AppendFixed64(dst, uint64(p.Created))
	}
	if p.Token != "" {
		dst = append(dst, fieldToken<<3|byte(protowire.BytesType))
		dst = protowire.AppendString(dst, p.Token)
	}
	dst = appendUint(dst, fieldTimeout, timeoutMicros(p.Timeout))
	dst = appendUint(dst, fieldCredit, p.Credit)
	dst = appendUint(dst, fieldSequence, p.Sequence)
	dst = appendUint(dst, fieldAcknowledged, p.Acknowledged)
	dst = appendBool(dst, fieldSealed, p.Sealed)
	if p.Metadata.Len() > 0 {
		dst = appendMetadata(dst, p.Metadata)
	}
	if p.Status != 0 || p.Message != "" || p.RetryAfter != 0 || p.MayHaveRun || p.Reason != "" || len(p.Details) > 0 {
		dst = appendFailure(dst, p)
	}
	return dst
}

// appendFailure appends the fields that only packets have which tell of a
// failure or of the connection's end.
func appendFailure(dst []byte, p *Packet) []byte {
	// An enum is a signed number to protobuf.
	dst = appendUint(dst, fieldStatus, uint64(int32(p.Status)))
	dst = appendText(dst, fieldMessage, p.Message)
	dst = appendText(dst, fieldReason, p.Reason)
	dst = appendUint(dst, fieldRetryAfter, retryMicros(p.RetryAfter))
	dst = appendBool(dst, fieldMayHaveRun, p.MayHaveRun)
	for _, detail := range p.Details {
		dst = appendPair(dst, fieldDetails, validText(detail.GetTypeUrl()), string(detail.GetValue()))
	}
	return dst
}

func appendMetadata(dst []byte, metadata packetrpc.Metadata) []byte {
	for key, value := range metadata.All() {
		dst = appendPair(dst, fieldMetadata, key, validText(value))
	}
	return dst
}

// appendPair appends a message whose fields 1 and 2 are strings or bytes.
func appendPair(dst []byte, field protowire.Number, first, second string) []byte {
	size := sizeString(first) + sizeString(second)
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendString(dst, 1, first)
	return appendString(dst, 2, second)
}

// sizeString is the size of a string field with a one-byte tag.
func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func appendUint(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendBool(dst []byte, field protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return appendUint(dst, field, 1)
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(dst, field, validText(s))
}

func appendString(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

// ParseBinary parses a packet of the binary form, without its length, into p,
// which it overwrites; see "4. Binary form" of docs/PROTOCOL.md. p.Data is part
// of body. Fields that it does not know are ignored, and of a field that occurs
// twice the last one counts.
//
// It accepts what protobuf accepts, apart from metadata keys that are none and
// times of creation beyond the range of int64.
//
// When it fails, p holds what could be read, so that the failure can be told to
// the call that the packet belongs to.
func ParseBinary(p *Packet, body []byte) error {
	p.reset()
	var first error
	for len(body) > 0 {
		number, typ, n := fieldTag(body)
		if n <= 0 {
			return malformed(first)
		}
		body = body[n:]
		switch typ {
		case protowire.VarintType:
			var v uint64
			if v, n = uvarint(body); n > 0 {
				p.setNumber(number, v)
			}
		case protowire.BytesType:
			var v []byte
			if v, n = lengthDelimited(body); n > 0 {
				first = keepFirst(first, p.setBytes(number, v))
			}
		case protowire.Fixed64Type:
			var v uint64
			if v, n = protowire.ConsumeFixed64(body); n > 0 && number == fieldCreated {
				p.Created = int64(v)
			}
		default:
			n = protowire.ConsumeFieldValue(number, typ, body)
		}
		if n <= 0 {
			return malformed(first)
		}
		body = body[n:]
	}
	if p.Created < 0 {
		first = keepFirst(first, fmt.Errorf("field %d (created): %d microseconds are out of range", fieldCreated, uint64(p.Created)))
		p.Created = 0
	}
	return first
}

var (
	errMalformed = errors.New("not protobuf")
	errNotUTF8   = errors.New("not UTF-8")
)

// malformed returns the error of bytes that end parsing, unless there has been
// one before.
func malformed(first error) error { return keepFirst(first, errMalformed) }

func keepFirst(first, next error) error {
	if first != nil {
		return first
	}
	return next
}

// fieldTag returns the tag at the beginning of b and its size, which is not
// positive when there is none. Unlike protowire.ConsumeTag it knows how large the
// number of a field can be.
func fieldTag(b []byte) (protowire.Number, protowire.Type, int) {
	tag, n := uvarint(b)
	number := tag >> 3
	if number == 0 || number > uint64(protowire.MaxValidNumber) {
		return 0, 0, -1
	}
	return protowire.Number(number), protowire.Type(tag & 7), n
}

// uvarint returns the varint at the beginning of b and its size, which is not
// positive when there is none.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// lengthDelimited returns the bytes behind the length at the beginning of b and
// the size of both, which is not positive when they are not there.
func lengthDelimited(b []byte) ([]byte, int) {
	size, n := uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, -1
	}
	end := n + int(size)
	return b[n:end:end], end
}

func (p *Packet) setNumber(number protowire.Number, v uint64) {
	switch number {
	case fieldKind:
		p.Kind = kindOfNumber(v)
	case fieldCallID:
		p.CallID = v
	case fieldMore:
		p.More = v != 0
	case fieldActionNumber:
		p.ActionNumber = uint32(v)
	case fieldTimeout:
		p.Timeout = microsDuration(v)
	case fieldStatus:
		p.Status = packetrpc.Code(v)
	case fieldCredit:
		p.Credit = v
	case fieldSequence:
		p.Sequence = v
	case fieldAcknowledged:
		p.Acknowledged = v
	case fieldRetryAfter:
		p.RetryAfter = microsDuration(v)
	case fieldMayHaveRun:
		p.MayHaveRun = v != 0
	case fieldSealed:
		p.Sealed = v != 0
	case fieldMessageSize:
		p.MessageSize = v
	}
}

// kindOfNumber returns the kind of an enum's number, of which 32 bits count.
func kindOfNumber(v uint64) Kind {
	switch n := uint32(v); {
	case n == 0:
		return KindRequest
	case n < uint32(KindUnknown):
		return Kind(n)
	default:
		return KindUnknown
	}
}

func (p *Packet) setBytes(number protowire.Number, v []byte) error {
	switch number {
	case fieldData:
		p.Data = v
	case fieldToken:
		p.Token = reuse(p.lastToken, v)
	case fieldAction:
		if !utf8.Valid(v) {
			return notUTF8(fieldAction, "action")
		}
		p.Action = reuse(p.lastAction, v)
	case fieldMessage:
		return setText(&p.Message, v, fieldMessage, "message")
	case fieldReason:
		return setText(&p.Reason, v, fieldReason, "reason")
	case fieldMetadata:
		return p.addMetadata(v)
	case fieldDetails:
		return p.addDetail(v)
	}
	return nil
}

func setText(to *string, v []byte, number int, name string) error {
	if !utf8.Valid(v) {
		return notUTF8(number, name)
	}
	*to = string(v)
	return nil
}

func notUTF8(number int, name string) error {
	return fmt.Errorf("field %d (%s): %w", number, name, errNotUTF8)
}

func (p *Packet) addMetadata(v []byte) error {
	key, value, err := parseMetadata(v)
	if err != nil {
		return fmt.Errorf("field %d (metadata): %w", fieldMetadata, err)
	}
	if !packetrpc.ValidMetadataKey(key) {
		return fmt.Errorf("field %d (metadata): %w", fieldMetadata, notKey(key))
	}
	p.Metadata.Add(key, value)
	return nil
}

func notKey(key string) error {
	return fmt.Errorf("%s is not a key: keys are lower-case letters, digits, '-', '_' and '.'", quoteShort(key))
}

// parseMetadata parses a packetrpc.v1.Metadata. Key and value are parts of one
// string, which saves an allocation.
func parseMetadata(b []byte) (key, value string, err error) {
	whole := string(b)
	for len(b) > 0 {
		number, typ, n := fieldTag(b)
		if n <= 0 {
			return "", "", errMalformed
		}
		b = b[n:]
		if typ == protowire.BytesType && number <= 2 {
			var text []byte
			if text, n = lengthDelimited(b); !utf8.Valid(text) {
				return "", "", errNotUTF8
			}
			end := len(whole) - len(b) + max(n, 0)
			if part := whole[end-len(text) : end]; number == 1 {
				key = part
			} else {
				value = part
			}
		} else {
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return "", "", errMalformed
		}
		b = b[n:]
	}
	return key, value, nil
}

func (p *Packet) addDetail(v []byte) error {
	detail := new(anypb.Any)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(v, detail); err != nil {
		return fmt.Errorf("field %d (details): not the encoding of a google.protobuf.Any", fieldDetails)
	}
	p.Details = append(p.Details, detail)
	return nil
}

// quoteShort quotes text that came from the other side, cut to a size that an
// error may have.
func quoteShort(s string) string {
	const most = 64
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
