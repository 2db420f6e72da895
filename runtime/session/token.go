package session

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// tokenSize is the number of random bytes in a token.
const tokenSize = 16

// redacted is what a token shows of itself.
const redacted = "[token]"

// Token proves that a packet belongs to a session. Whatever prints, logs or
// marshals a Token gets "[token]"; only [Token.Reveal] returns its text. The zero
// Token belongs to no session and equals nothing.
type Token struct {
	// text is a pointer so that printing a struct with an unexported Token, where
	// the methods below are not called, shows an address.
	text *string
}

// NewToken returns a token with 128 random bits.
func NewToken() Token {
	var random [tokenSize]byte
	rand.Read(random[:]) // never fails: the program ends instead
	return ParseToken(base64.RawURLEncoding.EncodeToString(random[:]))
}

// ParseToken returns the token that the other side has sent as text. Any text is
// a token; an empty one is the zero Token.
func ParseToken(text string) Token {
	if text == "" {
		return Token{}
	}
	return Token{&text}
}

// Reveal returns the text that travels on the wire. It must not be logged.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Equal reports whether t has the given text, in a time that does not depend on
// how much of it is right.
func (t Token) Equal(text string) bool {
	return t.text != nil && subtle.ConstantTimeCompare([]byte(*t.text), []byte(text)) == 1
}

// IsZero reports whether t is the zero Token.
func (t Token) IsZero() bool { return t.text == nil }

// String returns "[token]".
func (t Token) String() string { return redacted }

// GoString returns "[token]".
func (t Token) GoString() string { return redacted }

// Format writes "[token]", whatever the verb.
func (t Token) Format(state fmt.State, _ rune) { io.WriteString(state, redacted) }

// LogValue returns "[token]".
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[token]" as a JSON string.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[token]".
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
