package packet

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxInteger is the largest number that a JSON packet may have where a whole
// number belongs: beyond it programs that keep numbers as floats lose digits.
const maxInteger = 1<<53 - 1

// ParseJSON parses a packet of the JSON form into p, which it overwrites; see "5.
// JSON form" of docs/PROTOCOL.md. White space around the object is allowed. p.Data
// is part of object.
//
// Keys that it does not know are ignored and null is as good as no value, but a
// key that occurs twice is refused, as are values of a wrong type and text that is
// not UTF-8.
//
// When it fails, p holds what could be read, so that the failure can be told to
// the call that the packet belongs to.
func ParseJSON(p *Packet, object []byte) error {
	p.reset()
	r := reader{scanner: scanner{in: object}, p: p}
	if !utf8.Valid(object) {
		r.first = errNotUTF8
	}
	if r.peek() != '{' {
		return keepFirst(r.first, r.fail("a JSON object"))
	}
	if err := r.members(); err != nil {
		return keepFirst(r.first, err)
	}
	if r.peek(); r.pos < len(object) {
		return keepFirst(r.first, r.fail("the end of the packet"))
	}
	return r.first
}

// reader reads the members of a packet. Its first error that is no error of
// syntax does not end it, so that the call's id is found wherever it stands.
type reader struct {
	scanner
	p     *Packet
	first error
	known uint32
	other keySet
}

// members reads the object that the reader stands at.
func (r *reader) members() error {
	for first := true; ; first = false {
		quoted, err := r.member(first)
		if quoted == nil {
			return err
		}
		raw, err := r.value(1)
		if err != nil {
			return err
		}
		r.first = keepFirst(r.first, r.set(unquote(quoted), raw))
	}
}

// set puts a member's value where it belongs.
func (r *reader) set(key, raw []byte) error {
	field := fieldOfKey(key)
	if field == 0 {
		return r.other.add(key)
	}
	bit := uint32(1) << field
	if r.known&bit != 0 {
		return twice(key)
	}
	r.known |= bit
	if raw[0] == 'n' && field != fieldData {
		return nil
	}
	if err := r.p.setJSON(field, raw); err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	return nil
}

func twice(key []byte) error {
	return fmt.Errorf("key %s: occurs twice", quoteShort(string(key)))
}

// fieldOfKey returns the number of the field with a JSON key, 0 for none.
func fieldOfKey(key []byte) int {
	switch string(key) {
	case "action":
		return fieldAction
	case "data":
		return fieldData
	case "packet-created":
		return fieldCreated
	case "token":
		return fieldToken
	case "kind":
		return fieldKind
	case "id":
		return fieldCallID
	case "more":
		return fieldMore
	case "number":
		return fieldActionNumber
	case "timeout":
		return fieldTimeout
	case "metadata":
		return fieldMetadata
	case "status":
		return fieldStatus
	case "message":
		return fieldMessage
	case "details":
		return fieldDetails
	case "credit":
		return fieldCredit
	case "reason":
		return fieldReason
	case "sequence":
		return fieldSequence
	case "acknowledged":
		return fieldAcknowledged
	case "retry-after":
		return fieldRetryAfter
	case "may-have-run":
		return fieldMayHaveRun
	case "sealed":
		return fieldSealed
	default:
		return 0
	}
}

// The errors of values; the key is put before them.
var (
	errNotString  = errors.New("not a string")
	errNotNumber  = errors.New("not a number")
	errNotInteger = errors.New("not a whole number from 0 to 2^53-1")
	errNegative   = errors.New("negative")
	errOutOfRange = errors.New("out of range")
	errNotBool    = errors.New("neither true nor false")
)

func (p *Packet) setJSON(field int, raw []byte) (err error) {
	switch field {
	case fieldData:
		p.Data = raw
	case fieldAction:
		p.Action, err = jsonText(raw, p.lastAction)
	case fieldToken:
		p.Token, err = jsonText(raw, p.lastToken)
	case fieldMessage:
		p.Message, err = jsonText(raw, "")
	case fieldReason:
		p.Reason, err = jsonText(raw, "")
	case fieldKind:
		p.Kind, err = jsonKind(raw)
	case fieldStatus:
		p.Status, err = jsonCode(raw)
	case fieldCreated:
		p.Created, err = jsonCreated(raw)
	case fieldTimeout:
		p.Timeout, err = jsonDuration(raw)
	case fieldRetryAfter:
		p.RetryAfter, err = jsonDuration(raw)
	case fieldMore:
		err = refuseMore(raw)
	case fieldMayHaveRun:
		p.MayHaveRun, err = jsonBool(raw)
	case fieldSealed:
		p.Sealed, err = jsonBool(raw)
	case fieldMetadata:
		err = p.setJSONMetadata(raw)
	case fieldDetails:
		err = p.setJSONDetails(raw)
	default:
		err = p.setJSONInteger(field, raw)
	}
	return err
}

func (p *Packet) setJSONInteger(field int, raw []byte) error {
	most := uint64(maxInteger)
	if field == fieldActionNumber {
		most = 1<<32 - 1
	}
	v, err := jsonInteger(raw, most)
	if err != nil {
		return err
	}
	switch field {
	case fieldCallID:
		p.CallID = v
	case fieldActionNumber:
		p.ActionNumber = uint32(v)
	case fieldCredit:
		p.Credit = v
	case fieldSequence:
		p.Sequence = v
	case fieldAcknowledged:
		p.Acknowledged = v
	}
	return nil
}

// jsonText returns what a string says: old, when that is the same.
func jsonText(raw []byte, old string) (string, error) {
	if raw[0] != '"' {
		return "", errNotString
	}
	return reuse(old, unquote(raw)), nil
}

func jsonKind(raw []byte) (Kind, error) {
	if raw[0] != '"' {
		return KindRequest, errNotString
	}
	name := unquote(raw)
	for kind := KindRequest; kind.Valid(); kind++ {
		if kindNames[kind] == string(name) {
			return kind, nil
		}
	}
	return KindUnknown, nil
}

func jsonCode(raw []byte) (packetrpc.Code, error) {
	name, err := jsonText(raw, "")
	if err != nil {
		return 0, err
	}
	if code, ok := packetrpc.ParseCode(name); ok {
		return code, nil
	}
	return packetrpc.CodeUnknown, nil
}

func jsonBool(raw []byte) (bool, error) {
	switch raw[0] {
	case 't':
		return true, nil
	case 'f':
		return false, nil
	default:
		return false, errNotBool
	}
}

// refuseMore refuses a part of a message, which must not be taken for all of it.
func refuseMore(raw []byte) error {
	more, err := jsonBool(raw)
	if more {
		return errors.New("messages are not split in the JSON form")
	}
	return err
}

func (p *Packet) setJSONMetadata(raw []byte) error {
	if raw[0] != '{' {
		return errors.New("not an object")
	}
	var keys keySet
	s := scanner{in: raw}
	for first := true; ; first = false {
		quoted, err := s.member(first)
		if quoted == nil {
			return err
		}
		value, err := s.value(0)
		if err != nil {
			return err
		}
		key := unquote(quoted)
		if err := keys.add(key); err != nil {
			return err
		}
		if !packetrpc.ValidMetadataKey(string(key)) {
			return notKey(string(key))
		}
		if err := p.addJSONMetadata(string(key), value); err != nil {
			return fmt.Errorf("key %s: %w", quoteShort(string(key)), err)
		}
	}
}

var errNotStrings = errors.New("neither a string nor an array of strings")

func (p *Packet) addJSONMetadata(key string, raw []byte) error {
	switch raw[0] {
	case '"':
		p.Metadata.Add(key, string(unquote(raw)))
		return nil
	case '[':
		return eachElement(raw, func(element []byte) error {
			if element[0] != '"' {
				return errNotStrings
			}
			p.Metadata.Add(key, string(unquote(element)))
			return nil
		})
	default:
		return errNotStrings
	}
}

// eachElement calls f with each element of an array that has been scanned.
func eachElement(raw []byte, f func(element []byte) error) error {
	s := scanner{in: raw, pos: 1}
	for s.peek() != ']' {
		element, err := s.value(0)
		if err == nil {
			err = f(element)
		}
		if err != nil {
			return err
		}
		if s.peek() == ',' {
			s.pos++
		}
	}
	return nil
}

func (p *Packet) setJSONDetails(raw []byte) error {
	if raw[0] != '[' {
		return errors.New("not an array")
	}
	return eachElement(raw, func(element []byte) error {
		if element[0] != '{' {
			return errors.New("not an array of objects")
		}
		detail, err := jsonDetail(element)
		if err != nil {
			return err
		}
		p.Details = append(p.Details, detail)
		return nil
	})
}

func jsonDetail(raw []byte) (*anypb.Any, error) {
	detail := new(anypb.Any)
	var keys keySet
	s := scanner{in: raw}
	for first := true; ; first = false {
		quoted, err := s.member(first)
		if quoted == nil {
			return detail, err
		}
		value, err := s.value(0)
		if err != nil {
			return nil, err
		}
		key := unquote(quoted)
		if err := keys.add(key); err != nil {
			return nil, err
		}
		if err := setDetail(detail, string(key), value); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
}

func setDetail(detail *anypb.Any, key string, raw []byte) error {
	if key != "type" && key != "value" || raw[0] == 'n' {
		return nil
	}
	text, err := jsonText(raw, "")
	if err != nil {
		return err
	}
	if key == "type" {
		detail.TypeUrl = "type.googleapis.com/" + text
		return nil
	}
	encoding := base64.StdEncoding
	if len(text)%4 != 0 {
		encoding = base64.RawStdEncoding
	}
	if detail.Value, err = encoding.DecodeString(text); err != nil {
		return errors.New("not base64")
	}
	return nil
}

// keySet remembers keys to find those that occur twice. Few keys are compared
// one by one, which costs no map; many would take time that grows with their
// square.
type keySet struct {
	few  [][]byte
	many map[string]struct{}
}

// add adds a key or returns an error when it is there.
func (s *keySet) add(key []byte) error {
	const most = 16
	if s.many == nil && len(s.few) < most {
		if slices.ContainsFunc(s.few, func(k []byte) bool { return bytes.Equal(k, key) }) {
			return twice(key)
		}
		s.few = append(s.few, key)
		return nil
	}
	if s.many == nil {
		s.many = make(map[string]struct{}, 2*most)
		for _, k := range s.few {
			s.many[string(k)] = struct{}{}
		}
	}
	if _, there := s.many[string(key)]; there {
		return twice(key)
	}
	s.many[string(key)] = struct{}{}
	return nil
}

// jsonInteger returns a whole number of at most most. It may be written with a
// fraction or an exponent, as by programs that have no whole numbers.
func jsonInteger(raw []byte, most uint64) (uint64, error) {
	v, err := jsonDecimal(raw, 0)
	switch {
	case errors.Is(err, errNotNumber):
		return 0, err
	case err != nil || v.inexact || v.n > most:
		if most != maxInteger {
			return 0, fmt.Errorf("not a whole number from 0 to %d", most)
		}
		return 0, errNotInteger
	}
	return v.n, nil
}

// jsonCreated returns seconds as microseconds.
func jsonCreated(raw []byte) (int64, error) {
	v, err := jsonDecimal(raw, 6)
	if err == nil && v.n > 1<<63-1 {
		err = errOutOfRange
	}
	if err != nil {
		return 0, err
	}
	return int64(v.n), nil
}

// jsonDuration returns seconds as a duration: the longest one when it is longer
// still, and not 0 when it is too short to be told in microseconds.
func jsonDuration(raw []byte) (time.Duration, error) {
	v, err := jsonDecimal(raw, 6)
	if errors.Is(err, errOutOfRange) {
		return microsDuration(1<<64 - 1), nil
	}
	if err == nil && v.n == 0 && v.inexact {
		v.n = 1
	}
	return microsDuration(v.n), err
}
