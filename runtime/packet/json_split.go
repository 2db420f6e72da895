package packet

import "fmt"

// jsonSplitter finds where JSON objects end. It follows strings, brackets and
// nesting only: what is wrong inside an object whose end is certain is for
// [ParseJSON] to find and does not end the connection.
type jsonSplitter struct {
	pos      int // how many of the unread bytes have been looked at
	depth    int // how many objects and arrays are open
	inString bool
	escaped  bool // the last byte was a backslash in a string
	dropping bool // the packet is oversized
	arrays   [maxDepth / 64]uint64
}

// next is [Splitter.Next] for the JSON form.
func (s *jsonSplitter) next(unread []byte, limit int) (body []byte, n int, err error) {
	if s.depth == 0 {
		if n := spaces(unread); n > 0 || len(unread) == 0 {
			return nil, n, nil
		}
		if unread[0] != '{' {
			return nil, 0, fmt.Errorf("a JSON packet begins with '{', not with %s", quoteByte(unread[0]))
		}
	}
	if s.dropping {
		return s.skip(unread)
	}
	window := unread[:min(len(unread), max(limit, s.pos))]
	end, err := s.scan(window)
	switch {
	case err != nil:
		return nil, 0, err
	case end > 0:
		s.pos = 0
		return unread[:end:end], end + spaces(unread[end:]), nil
	case len(unread) >= limit:
		// So many bytes without an end are too many.
		s.pos, s.dropping = 0, true
		return nil, len(window), beginning(JSON, window, 0, limit)
	default:
		return nil, 0, nil
	}
}

// skip drops an oversized packet up to its end.
func (s *jsonSplitter) skip(unread []byte) (body []byte, n int, err error) {
	end, err := s.scan(unread)
	if err != nil {
		return nil, 0, err
	}
	s.pos = 0
	if end == 0 {
		return nil, len(unread), nil
	}
	s.dropping = false
	return nil, end + spaces(unread[end:]), nil
}

// spaces returns the size of the white space that b begins with.
func spaces(b []byte) int {
	n := 0
	for n < len(b) && isSpace(b[n]) {
		n++
	}
	return n
}

// scan looks at the bytes not yet looked at and returns where the object ends, 0
// when it does not.
func (s *jsonSplitter) scan(window []byte) (end int, err error) {
	for s.pos < len(window) {
		if s.inString {
			err = s.scanString(window)
		} else {
			err = s.scanValue(window)
		}
		if err != nil {
			return 0, err
		}
		if s.depth == 0 {
			return s.pos, nil
		}
	}
	return 0, nil
}

// scanString looks at the bytes of a string up to its end.
func (s *jsonSplitter) scanString(window []byte) error {
	for s.pos < len(window) {
		if !s.escaped {
			s.pos += plainRun(window[s.pos:])
			if s.pos == len(window) {
				return nil
			}
		}
		c := window[s.pos]
		if c < ' ' {
			return fmt.Errorf("not JSON: the control character %s in a string", quoteByte(c))
		}
		s.pos++
		if c == '"' && !s.escaped {
			s.inString = false
			return nil
		}
		s.escaped = c == '\\' && !s.escaped
	}
	return nil
}

// scanValue looks at the bytes outside of strings up to the next string or the
// end of the object.
func (s *jsonSplitter) scanValue(window []byte) error {
	for i, c := range window[s.pos:] {
		var err error
		switch c {
		case '"':
			s.inString = true
		case '{', '[':
			err = s.open(c == '[')
		case '}', ']':
			err = s.close(c)
		default:
			if c < ' ' && !isSpace(c) || c >= 0x7f {
				err = fmt.Errorf("not JSON: %s outside of a string", quoteByte(c))
			}
		}
		if err != nil {
			return err
		}
		if s.inString || s.depth == 0 {
			s.pos += i + 1
			return nil
		}
	}
	s.pos = len(window)
	return nil
}

func (s *jsonSplitter) open(array bool) error {
	if s.depth == maxDepth {
		return fmt.Errorf("not a JSON packet: nested deeper than %d", maxDepth)
	}
	word, bit := s.depth/64, uint64(1)<<(s.depth%64)
	if array {
		s.arrays[word] |= bit
	} else {
		s.arrays[word] &^= bit
	}
	s.depth++
	return nil
}

func (s *jsonSplitter) close(bracket byte) error {
	level := s.depth - 1
	array := s.arrays[level/64]&(1<<(level%64)) != 0
	if array != (bracket == ']') {
		return fmt.Errorf("not JSON: %s closes what another bracket opened", quoteByte(bracket))
	}
	s.depth--
	return nil
}
