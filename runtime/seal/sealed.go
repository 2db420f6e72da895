package seal

import (
	"crypto/rsa"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Seal encrypts data to a key, so that only [Open] with its private half reads it:
// a JWE in compact serialization, which is ASCII text. The binding, nil for none,
// can be read by anybody, cannot be changed, and is what Open demands; its names
// are free. Seal does not prove who has sealed, nor keep anybody from handing the
// same text in twice.
//
// Seal fails with invalid_argument when the key is too small or the binding is
// larger than 4 KiB or not UTF-8. It may be called concurrently.
func Seal(data []byte, to *rsa.PublicKey, binding map[string]string) (string, error) {
	for name, value := range binding {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the binding %q of sealed data is not UTF-8", name)
		}
	}
	var params map[jose.HeaderKey]any
	if len(binding) > 0 {
		params = map[jose.HeaderKey]any{"bound": binding}
	}
	return encrypt(data, to, params)
}

// Open decrypts what [Seal] has sealed to a key with exactly this binding. What
// [Label.Seal] has sealed it refuses: that is for an [Opener].
//
// The errors wrap [ErrMalformed], [ErrNotForThisKey] or [ErrMoved]. Open does not
// limit how long sealed may be. It may be called concurrently.
func Open(sealed string, key *rsa.PrivateKey, binding map[string]string) ([]byte, error) {
	h, err := readHeader(sealed, key)
	if err != nil {
		return nil, err
	}
	bound, action := h.texts("bound"), h.text("act")
	if h.err != nil {
		return nil, h.err
	}
	if action != "" {
		return nil, moved("the data was sealed for action %q, not by hand", action)
	}
	if err := checkBinding(bound, binding); err != nil {
		return nil, err
	}
	return decrypt(sealed, key)
}

// checkBinding refuses a binding that is not the wanted one.
func checkBinding(bound, want map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, isBound := bound[name]; !isBound {
			return moved("the data is not bound to any %q", name)
		} else if value != want[name] {
			return moved("the data is bound to %q %q, not %q", name, value, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bound)) {
		if _, isWanted := want[name]; !isWanted {
			return moved("the data is bound to a %q, and none is expected", name)
		}
	}
	return nil
}
