package packet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
)

// maxDepth is how deep the objects and arrays of a JSON packet may be nested, the
// packet itself included.
const maxDepth = 512

// scanner walks through JSON text and checks its syntax. It makes nothing of the
// values that it passes.
type scanner struct {
	in  []byte
	pos int
}

// syntaxError is a place where the text stops being JSON.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("not JSON at byte %d: %s", e.at, e.what)
}

// fail returns an error about what stands at the scanner's position.
func (s *scanner) fail(wanted string) error {
	if s.pos >= len(s.in) {
		return &syntaxError{s.pos, wanted + " wanted, the text ends"}
	}
	return &syntaxError{s.pos, wanted + " wanted, found " + quoteByte(s.in[s.pos])}
}

// quoteByte shows a byte: a part of a letter beyond ASCII is none to be shown.
func quoteByte(c byte) string {
	if c < 0x80 {
		return fmt.Sprintf("%q", c)
	}
	return fmt.Sprintf("0x%02x", c)
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// peek passes white space and returns the byte after it, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.in) {
		if c := s.in[s.pos]; !isSpace(c) {
			return c
		}
		s.pos++
	}
	return 0
}

// member passes what stands before an object's next value and returns the key
// with its quotes; nil is the end of the object. The first time it is called the
// scanner stands at the opening brace.
func (s *scanner) member(first bool) ([]byte, error) {
	if first {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '}':
		s.pos++
		return nil, nil
	case first:
	case c == ',':
		s.pos++
		s.peek()
	default:
		return nil, s.fail("',' or '}'")
	}
	key, err := s.text("a key")
	if err != nil {
		return nil, err
	}
	if s.peek() != ':' {
		return nil, s.fail("':'")
	}
	s.pos++
	return key, nil
}

// value passes a value and returns it. Depth is how many objects and arrays it
// stands in.
func (s *scanner) value(depth int) ([]byte, error) {
	c := s.peek()
	start := s.pos
	var err error
	switch {
	case c == '"':
		_, err = s.text("a string")
	case c == '{':
		err = s.object(depth + 1)
	case c == '[':
		err = s.array(depth + 1)
	case c == '-' || isDigit(c):
		err = s.number()
	case c == 't':
		err = s.literal("true")
	case c == 'f':
		err = s.literal("false")
	case c == 'n':
		err = s.literal("null")
	default:
		err = s.fail("a value")
	}
	return s.in[start:s.pos:s.pos], err
}

func (s *scanner) tooDeep() error {
	return &syntaxError{s.pos, fmt.Sprintf("nested deeper than %d", maxDepth)}
}

func (s *scanner) object(depth int) error {
	if depth > maxDepth {
		return s.tooDeep()
	}
	for first := true; ; first = false {
		key, err := s.member(first)
		if key == nil {
			return err
		}
		if _, err := s.value(depth); err != nil {
			return err
		}
	}
}

func (s *scanner) array(depth int) error {
	if depth > maxDepth {
		return s.tooDeep()
	}
	s.pos++
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if _, err := s.value(depth); err != nil {
			return err
		}
		switch s.peek() {
		case ']':
			s.pos++
			return nil
		case ',':
			s.pos++
		default:
			return s.fail("',' or ']'")
		}
	}
}

// text passes a string and returns it with its quotes.
func (s *scanner) text(wanted string) ([]byte, error) {
	if s.pos >= len(s.in) || s.in[s.pos] != '"' {
		return nil, s.fail(wanted)
	}
	start := s.pos
	s.pos++
	for {
		s.pos += plainRun(s.in[s.pos:])
		if s.pos >= len(s.in) {
			return nil, s.fail("'\"'")
		}
		switch s.in[s.pos] {
		case '"':
			s.pos++
			return s.in[start:s.pos], nil
		case '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
			s.pos++
		default:
			return nil, s.fail("a string without control characters")
		}
	}
}

// plainRun returns how many bytes at the beginning of b stand in a string for
// themselves: all but quotes, backslashes and control characters. Most bytes of
// most packets pass through here, so that it looks at eight of them at a time.
func plainRun(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, backslash := x^ones*'"', x^ones*'\\'
		// The high bit of a byte is set where it is below ' ', or 0 after the XOR.
		// What a borrow sets stands above a byte that is set rightly.
		found := (x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash
		if found &= highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// escape passes an escape sequence up to its last byte.
func (s *scanner) escape() error {
	s.pos++
	if s.pos >= len(s.in) {
		return s.fail("an escape")
	}
	switch s.in[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.pos++
			if s.pos >= len(s.in) || !isHex(s.in[s.pos]) {
				return s.fail("a hexadecimal digit")
			}
		}
		return nil
	default:
		return s.fail("an escape")
	}
}

func (s *scanner) number() error {
	if s.in[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.in) && s.in[s.pos] == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.pos < len(s.in) && s.in[s.pos] == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos < len(s.in) && s.in[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.in) && (s.in[s.pos] == '+' || s.in[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

// digits passes one digit or more.
func (s *scanner) digits() error {
	start := s.pos
	for s.pos < len(s.in) && isDigit(s.in[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		return s.fail("a digit")
	}
	return nil
}

func (s *scanner) literal(name string) error {
	for i := range len(name) {
		if s.pos >= len(s.in) || s.in[s.pos] != name[i] {
			return s.fail(name)
		}
		s.pos++
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// unquote returns what a string that has been scanned says. Without escapes that
// is part of it.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	// A string that has been scanned has no error left.
	_ = json.Unmarshal(quoted, &s)
	return []byte(s)
}
