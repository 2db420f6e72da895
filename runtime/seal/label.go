package seal

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Direction is which side of a call has sealed.
type Direction string

// The directions.
const (
	// Request: the caller has sealed for the callee.
	Request Direction = "request"
	// Reply: the callee has sealed for the caller.
	Reply Direction = "reply"
)

// Label is what sealed data is bound to, so that nobody can use it for something
// else. It travels in the clear, in the header; fields that are zero are left out.
type Label struct {
	// Action is the action of the call; there always is one.
	Action string
	// Direction is the side of the call that seals; it always is one of the two.
	Direction Direction
	// Session is the [SessionHash] of the session's token; "" in a handshake.
	Session string
	// Call is the id of the call, at most 2^53-1.
	Call uint64
	// Number is the place among the messages of the call and direction, from 0, at
	// most 2^53-1.
	Number uint64
	// InReplyTo is the id of the sealed request that this answers; "" for none.
	InReplyTo string
	// Challenge is, in a handshake, what the server has given out to be used once.
	Challenge string
}

// SessionHash returns what tells which session is meant without telling its token:
// the SHA-256 of the token's text in base64url.
func SessionHash(token string) string {
	hash := sha256.Sum256([]byte(token))
	return base64url.EncodeToString(hash[:])
}

// Seal encrypts data to a key and binds it to the label, to the present second and
// to a random id, which it returns as well: an [Opener] with that key opens it once,
// within two minutes. It fails with invalid_argument when the key is too small or
// the label is not as its fields say. It may be called concurrently.
func (l Label) Seal(data []byte, to *rsa.PublicKey) (sealed []byte, id string, err error) {
	if err := l.check(); err != nil {
		return nil, "", err
	}
	random := newID()
	params := l.params()
	params["iat"] = time.Now().Unix()
	params["jti"] = random.String()
	text, err := encrypt(data, to, params)
	if err != nil {
		return nil, "", err
	}
	return []byte(text), random.String(), nil
}

// check refuses labels that the header could not tell, or not rightly.
func (l Label) check() error {
	if l.Action == "" {
		return badLabel("it names no action")
	}
	if l.Direction != Request && l.Direction != Reply {
		return badLabel("its direction is %q, not %q or %q", l.Direction, Request, Reply)
	}
	if max(l.Call, l.Number) > maxNumber {
		return badLabel("call %d or number %d is more than %d", l.Call, l.Number, uint64(maxNumber))
	}
	for _, text := range []string{l.Action, l.Session, l.InReplyTo, l.Challenge} {
		if !utf8.ValidString(text) {
			return badLabel("%q is not UTF-8", text)
		}
	}
	return nil
}

func badLabel(format string, args ...any) error {
	return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the label of sealed data: "+format, args...)
}

// params returns the header parameters that are not zero.
func (l Label) params() map[jose.HeaderKey]any {
	params := make(map[jose.HeaderKey]any)
	for name, text := range map[jose.HeaderKey]string{
		"act": l.Action, "dir": string(l.Direction), "ses": l.Session, "irt": l.InReplyTo, "chl": l.Challenge,
	} {
		if text != "" {
			params[name] = text
		}
	}
	for name, number := range map[jose.HeaderKey]uint64{"call": l.Call, "num": l.Number} {
		if number != 0 {
			params[name] = number
		}
	}
	return params
}

// label returns the label that a header tells.
func (h *header) label() Label {
	h.need("act", "dir")
	return Label{
		Action:    h.text("act"),
		Direction: Direction(h.text("dir")),
		Session:   h.text("ses"),
		Call:      h.number("call"),
		Number:    h.number("num"),
		InReplyTo: h.text("irt"),
		Challenge: h.text("chl"),
	}
}

// checkAgainst refuses a label that is not the wanted one, by what differs first.
func (l Label) checkAgainst(want Label) error {
	switch {
	case l.Action != want.Action:
		return moved("the data was sealed for action %q, not %q", l.Action, want.Action)
	case l.Direction != want.Direction:
		return moved("the data was sealed as %q, not as %q", l.Direction, want.Direction)
	case l.Session != want.Session:
		return moved("the data was sealed for another session")
	case l.Call != want.Call:
		return moved("the data was sealed for call %d, not %d", l.Call, want.Call)
	case l.Number != want.Number:
		return moved("the data was sealed as message %d of its call and direction, not as %d", l.Number, want.Number)
	case l.InReplyTo != want.InReplyTo:
		return moved("the data was sealed in reply to another request")
	case l.Challenge != want.Challenge:
		return moved("the data was sealed for another challenge")
	}
	return nil
}

// sealedID tells one piece of sealed data from all others.
type sealedID [16]byte

func newID() sealedID {
	var id sealedID
	rand.Read(id[:]) // never fails: the program ends instead
	return id
}

// id returns the id that a header tells.
func (h *header) id() sealedID {
	h.need("jti")
	text := h.text("jti")
	raw, _ := base64url.DecodeString(text)
	var id sealedID
	if copy(id[:], raw); id.String() != text {
		h.refuse(`"jti" in the header of the sealed data is not %d bytes in base64url`, len(id))
	}
	return id
}

// String returns the id as it stands in headers.
func (id sealedID) String() string { return base64url.EncodeToString(id[:]) }

// stamp is when something was sealed, in seconds since 1970, and its id.
type stamp struct {
	at int64
	id sealedID
}

// stamp returns the stamp that a header tells.
func (h *header) stamp() stamp {
	h.need("iat")
	return stamp{int64(h.number("iat")), h.id()}
}
