package packet

import (
	"encoding/json"
	"errors"
)

// AppendSealed appends sealed data, which is ASCII text, as the data of a packet of
// the given form: a string in the JSON form (PROTOCOL section 17).
func AppendSealed(form Form, dst, sealed []byte) []byte {
	if form == Binary {
		return append(dst, sealed...)
	}
	dst = append(dst, '"')
	dst = append(dst, sealed...) // none of its characters needs to be escaped
	return append(dst, '"')
}

// ParseSealed returns the text of sealed data that a packet of the given form has.
// It may be part of data.
func ParseSealed(form Form, data []byte) ([]byte, error) {
	if form == Binary {
		return data, nil
	}
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		// What it is instead is not shown: it may be what should have been sealed.
		return nil, errors.New("sealed data is a JSON string, and this is not")
	}
	return []byte(*text), nil
}
