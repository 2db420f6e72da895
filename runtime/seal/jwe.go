package seal

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The kinds of refusals, for errors.Is. What Open returns also is a
// [*packetrpc.Error] with the code named here, whose text says more.
var (
	// ErrMalformed: it is not sealed data as packetrpc uses it; invalid_argument.
	ErrMalformed = errors.New("the sealed data is malformed")
	// ErrNotForThisKey: it is sealed to another key, or was changed since;
	// invalid_argument.
	ErrNotForThisKey = errors.New("the data is not sealed to this key")
	// ErrMoved: it was sealed for something else, such as another action or
	// session; failed_precondition.
	ErrMoved = errors.New("the data was sealed for something else")
	// ErrStale: it was sealed too long ago, or is from the future;
	// failed_precondition.
	ErrStale = errors.New("the data was not sealed just now")
	// ErrReplayed: it has been opened before; failed_precondition.
	ErrReplayed = errors.New("the sealed data has been opened before")
	// ErrFull: too much has been opened to remember one more; resource_exhausted.
	ErrFull = errors.New("too much sealed data has been opened")
)

// The only JWE that is made and accepted: compact, with these algorithms.
const (
	keyAlgorithm  = jose.RSA_OAEP_256
	dataAlgorithm = jose.A256GCM

	ivSize  = 12
	tagSize = 16
)

// maxHeaderSize is the number of bytes that a header may have as JSON.
const maxHeaderSize = 4096

// base64url has one spelling for any bytes.
var base64url = base64.RawURLEncoding.Strict()

// encrypt returns data as a JWE to a key, with more parameters in its header.
func encrypt(data []byte, to *rsa.PublicKey, params map[jose.HeaderKey]any) (string, error) {
	if err := CheckKey(to); err != nil {
		return "", err
	}
	encrypter, err := jose.NewEncrypter(dataAlgorithm,
		jose.Recipient{Algorithm: keyAlgorithm, Key: to}, &jose.EncrypterOptions{ExtraHeaders: params})
	if err != nil {
		return "", cannotSeal(err)
	}
	object, err := encrypter.Encrypt(data)
	if err != nil {
		return "", cannotSeal(err)
	}
	sealed, err := object.CompactSerialize()
	if err != nil {
		return "", cannotSeal(err)
	}
	if size := base64url.DecodedLen(strings.IndexByte(sealed, '.')); size > maxHeaderSize {
		return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"the header of the sealed data would have %d bytes; it may have %d", size, maxHeaderSize)
	}
	return sealed, nil
}

func cannotSeal(err error) error {
	return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the data cannot be sealed to this key: %w", err)
}

// decrypt opens what readHeader has found to be well-formed.
func decrypt(sealed string, key *rsa.PrivateKey) ([]byte, error) {
	object, err := jose.ParseEncryptedCompact(sealed,
		[]jose.KeyAlgorithm{keyAlgorithm}, []jose.ContentEncryption{dataAlgorithm})
	if err != nil {
		return nil, malformed("the sealed data is no JWE: %w", err)
	}
	data, err := object.Decrypt(key)
	if err != nil {
		// Why it failed is nobody's business: it could help to guess the key's answers.
		return nil, notForThisKey("the data is sealed to another key than this one, or was changed since")
	}
	return data, nil
}

// header is what a JWE says of itself to everybody. Its methods note what they
// find wrong in err, the first of it.
type header struct {
	params map[string]any
	err    error
}

// readHeader returns the header of a JWE that may be worth decrypting with key,
// and looks at no more of it than its shape.
func readHeader(sealed string, key *rsa.PrivateKey) (*header, error) {
	if key == nil {
		return nil, CheckKey(nil)
	}
	parts := strings.SplitN(sealed, ".", 6)
	if len(parts) != 5 {
		return nil, malformed("the sealed data is no JWE in compact serialization: that has five parts with dots between them")
	}
	if size := base64url.DecodedLen(len(parts[0])); size > maxHeaderSize {
		return nil, malformed("the header of the sealed data has %d bytes; it may have %d", size, maxHeaderSize)
	}
	if !plainlySpelled(parts) {
		return nil, malformed("the sealed data is not in base64url without padding")
	}
	if size := base64url.DecodedLen(len(parts[2])); size != ivSize {
		return nil, malformed("the initialization vector of the sealed data has %d bytes, not %d", size, ivSize)
	}
	if size := base64url.DecodedLen(len(parts[4])); size != tagSize {
		return nil, malformed("the authentication tag of the sealed data has %d bytes, not %d", size, tagSize)
	}
	if size, want := base64url.DecodedLen(len(parts[1])), key.Size(); size != want {
		return nil, notForThisKey("the data is sealed to another key: its encrypted key has %d bytes, and this key makes %d", size, want)
	}
	h, err := parseHeader(parts[0])
	if err != nil {
		return nil, err
	}
	return h, h.checkAlgorithms()
}

// plainlySpelled tells whether parts can be base64url in its one spelling: without
// padding, without line breaks, which decoders skip, and without bits left over at
// the end. Other bytes that are wrong are found when a part is decoded.
func plainlySpelled(parts []string) bool {
	for _, part := range parts {
		// strings.ContainsAny would look at each byte in turn, of megabytes.
		if strings.Contains(part, "\r") || strings.Contains(part, "\n") || strings.Contains(part, "=") {
			return false
		}
		end := part[len(part)-len(part)%4:]
		if _, err := base64url.DecodeString(end); err != nil {
			return false
		}
	}
	return true
}

// parseHeader reads the first part of a JWE.
func parseHeader(part string) (*header, error) {
	raw, err := base64url.DecodeString(part)
	if err != nil {
		return nil, malformed("the header of the sealed data is not in base64url: %w", err)
	}
	// This is the parser of the library that decrypts, so that both read the same:
	// it tells letters in upper case from those in lower case and refuses a key that
	// occurs twice.
	h := new(header)
	if err := json.Unmarshal(raw, &h.params); err != nil || h.params == nil || !utf8.Valid(raw) {
		return nil, malformed("the header of the sealed data is no JSON object that has each key once")
	}
	return h, nil
}

// checkAlgorithms refuses what is not encrypted as it must be, and parameters that
// would change how it is decrypted or bring keys along. All others that are not
// known mean nothing.
func (h *header) checkAlgorithms() error {
	if alg := h.text("alg"); alg != string(keyAlgorithm) {
		h.refuse("the data is sealed with alg %q; only %s is accepted", alg, keyAlgorithm)
	}
	if enc := h.text("enc"); enc != string(dataAlgorithm) {
		h.refuse("the data is sealed with enc %q; only %s is accepted", enc, dataAlgorithm)
	}
	for _, name := range []string{"zip", "crit", "jwk", "jku", "x5c", "x5u"} {
		if _, present := h.params[name]; present {
			h.refuse("the header of the sealed data has %q, which is not accepted", name)
		}
	}
	return h.err
}

// need notes which parameters are missing; null is as good as none.
func (h *header) need(names ...string) {
	for _, name := range names {
		if h.params[name] == nil {
			h.refuse("the header of the sealed data has no %q", name)
		}
	}
}

// text returns a parameter that is a string, and "" for one that is absent.
func (h *header) text(name string) string {
	switch value := h.params[name].(type) {
	case nil:
		return ""
	case string:
		return value
	}
	h.refuse("%q in the header of the sealed data is no string", name)
	return ""
}

// number returns a parameter that is a whole number from 0 to maxNumber, and 0 for
// one that is absent.
func (h *header) number(name string) uint64 {
	switch value := h.params[name].(type) {
	case nil:
		return 0
	case float64:
		if whole := uint64(max(0, min(value, maxNumber))); float64(whole) == value {
			return whole
		}
	}
	h.refuse("%q in the header of the sealed data is no whole number from 0 to %d", name, uint64(maxNumber))
	return 0
}

// maxNumber is the largest number that every JSON parser reads rightly.
const maxNumber = 1<<53 - 1

// texts returns a parameter that is an object of strings, and nil for one that is
// absent.
func (h *header) texts(name string) map[string]string {
	if h.params[name] == nil {
		return nil
	}
	object, _ := h.params[name].(map[string]any)
	texts := make(map[string]string, len(object))
	for key, value := range object {
		if text, isText := value.(string); isText {
			texts[key] = text
		}
	}
	if object == nil || len(texts) != len(object) {
		h.refuse("%q in the header of the sealed data is no object of strings", name)
	}
	return texts
}

func (h *header) refuse(format string, args ...any) {
	if h.err == nil {
		h.err = malformed(format, args...)
	}
}
