package seal

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Pin tells whether a server's key is the one that a client expects.
type Pin interface {
	// Verify returns nil when key is that of the server at address, which is
	// "host:port" or "unix:/path" as it was dialled. The pins of this package
	// refuse another key with [packetrpc.CodeUnauthenticated], and one that
	// [CheckKey] refuses as it does. It may be called concurrently.
	Verify(address string, key *rsa.PublicKey) error
}

// pinFunc is a Pin that looks at sound keys only.
type pinFunc func(address string, key *rsa.PublicKey) error

func (f pinFunc) Verify(address string, key *rsa.PublicKey) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return f(address, key)
}

// PinFingerprint expects the key with a fingerprint, which has the form that
// [Fingerprint] returns. A text of another form fits no key: Verify says so, with
// [packetrpc.CodeInvalidArgument].
func PinFingerprint(fingerprint string) Pin {
	return pinFunc(func(address string, key *rsa.PublicKey) error {
		if !isFingerprint(fingerprint) {
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument,
				"%.80q is no fingerprint: that is SHA256: and 43 characters, as packetrpc keygen and ssh-keygen -lf print it", fingerprint)
		}
		if got := Fingerprint(key); got != fingerprint {
			return otherKey(address, got, fingerprint)
		}
		return nil
	})
}

func isFingerprint(text string) bool {
	hash, found := strings.CutPrefix(text, "SHA256:")
	decoded, err := base64.RawStdEncoding.DecodeString(hash)
	// The decoder overlooks line feeds and spare bits.
	return found && err == nil && len(decoded) == sha256.Size && base64.RawStdEncoding.EncodeToString(decoded) == hash
}

// PinKey expects one key.
func PinKey(expected *rsa.PublicKey) Pin {
	return pinFunc(func(address string, key *rsa.PublicKey) error {
		if err := CheckKey(expected); err != nil {
			return err
		}
		if !SameKey(key, expected) {
			return otherKey(address, Fingerprint(key), Fingerprint(expected))
		}
		return nil
	})
}

// PinKeyFile expects the key in a file that [ReadPublicKey] reads. It is read each
// time, so that a file that is replaced counts at the next connection; while it
// cannot be read, Verify returns the error of ReadPublicKey.
func PinKeyFile(path string) Pin {
	return pinFunc(func(address string, key *rsa.PublicKey) error {
		expected, err := ReadPublicKey(path)
		if err != nil {
			return err
		}
		if !SameKey(key, expected) {
			return otherKey(address, Fingerprint(key), Fingerprint(expected)+" of "+path)
		}
		return nil
	})
}

func otherKey(address, got, want string) error {
	return packetrpc.Errorf(packetrpc.CodeUnauthenticated,
		"the server at %s has the key %s, not the pinned %s: it is another server, it has a new key, or somebody stands between", address, got, want)
}
