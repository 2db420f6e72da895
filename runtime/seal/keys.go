package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math"

	"golang.org/x/crypto/ssh"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Sizes of RSA keys in bits.
const (
	// DefaultBits is the size of keys for which no other is asked.
	DefaultBits = 3072
	// MinBits is the size of the smallest keys that are taken.
	MinBits = 2048
	// MaxBits is the size of the largest keys that are taken. It is also what
	// crypto/tls takes at most.
	MaxBits = 8192
)

// maxPublicDER is more bytes than any key of up to MaxBits needs.
const maxPublicDER = 4096

// GenerateKey makes a new key of bits, which is at least [MinBits] and at most
// [MaxBits]; else it returns an error with [packetrpc.CodeInvalidArgument].
func GenerateKey(bits int) (*rsa.PrivateKey, error) {
	if err := badBits(bits); err != nil {
		return nil, invalid(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeInternal, "an RSA key of %d bits cannot be made: %w", bits, err)
	}
	return key, nil
}

// CheckKey refuses keys that are unsafe, costly to compute with, or no RSA keys
// at all: those of less than [MinBits] or more than [MaxBits], those with an even
// modulus, and those whose exponent is even, below 3, or above 2³¹-1. The error
// has [packetrpc.CodeInvalidArgument]. Every key that this package reads has
// passed it.
func CheckKey(key *rsa.PublicKey) error { return invalid(badKey(key)) }

// badKey returns what CheckKey has against a key, or nil.
func badKey(key *rsa.PublicKey) error {
	if key == nil || key.N == nil {
		return errors.New("there is no RSA key")
	}
	if err := badBits(key.N.BitLen()); err != nil {
		return err
	}
	if key.N.Sign() < 0 || key.N.Bit(0) == 0 {
		return errors.New("the modulus of an RSA key is positive and odd; this one is not")
	}
	if key.E < 3 || key.E%2 == 0 || key.E > math.MaxInt32 {
		return fmt.Errorf("the exponent of an RSA key is an odd number from 3 to %d, and usually 65537; it is not %d", math.MaxInt32, key.E)
	}
	return nil
}

func badBits(bits int) error {
	switch {
	case bits < MinBits:
		return fmt.Errorf("an RSA key of %d bits is too small: it has at least %d; packetrpc keygen makes one of %d", bits, MinBits, DefaultBits)
	case bits > MaxBits:
		return fmt.Errorf("an RSA key of %d bits is too large: it has at most %d; packetrpc keygen makes one of %d", bits, MaxBits, DefaultBits)
	}
	return nil
}

func badPrivateKey(key *rsa.PrivateKey) error {
	if key == nil {
		return badKey(nil)
	}
	if err := badKey(&key.PublicKey); err != nil {
		return err
	}
	if err := key.Validate(); err != nil {
		return fmt.Errorf("the private key is wrong in itself: %w", err)
	}
	return nil
}

// invalid gives an error its code, unless it is nil.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
}

// SameKey reports whether two keys are the same. No key is the same as nil.
func SameKey(a, b *rsa.PublicKey) bool {
	return a != nil && b != nil && a.Equal(b)
}

// Fingerprint returns the short name of a key, "SHA256:" and 43 characters, which
// is the one that ssh-keygen -lf prints. The key must not be nil.
func Fingerprint(key *rsa.PublicKey) string {
	return ssh.FingerprintSHA256(sshKey(key))
}

// sshKey returns the key as package ssh has it.
func sshKey(key *rsa.PublicKey) ssh.PublicKey {
	// NewPublicKey takes every RSA key.
	made, _ := ssh.NewPublicKey(key)
	return made
}

// MarshalPublicKey returns the key as a SubjectPublicKeyInfo in DER, which is the
// form in which keys travel.
func MarshalPublicKey(key *rsa.PublicKey) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a public key cannot be encoded: %w", err)
	}
	return der, nil
}

// ParsePublicKeyDER reads what [MarshalPublicKey] returns, and nothing else: a
// key has one such form. It is safe on what a peer has sent. Its errors have
// [packetrpc.CodeInvalidArgument].
func ParsePublicKeyDER(der []byte) (*rsa.PublicKey, error) {
	if len(der) > maxPublicDER {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"a public key of %d bytes is too large: an RSA key of %d bits, the most that is taken, needs fewer than %d", len(der), MaxBits, maxPublicDER)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a public key cannot be read: %w", err)
	}
	key, isRSA := parsed.(*rsa.PublicKey)
	if !isRSA {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a public key is an %s, not an RSA key", kindOf(parsed))
	}
	canonical, err := MarshalPublicKey(key)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(canonical, der) {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a public key is not in the one form that DER gives it")
	}
	return key, nil
}
