package seal_test

import (
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// fuzzKeyPEM is a key for this test only: every process of the fuzzer must have the
// same, or it could not open the others' seeds.
//
//go:embed testdata/fuzz-key.pem
var fuzzKeyPEM []byte

func fuzzKey(f *testing.F) *rsa.PrivateKey {
	block, _ := pem.Decode(fuzzKeyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		f.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// Whatever comes is refused with a kind, or is what was sealed.
func FuzzOpenSealed(f *testing.F) {
	key := fuzzKey(f)
	byHand, err := seal.Seal([]byte(secret), &key.PublicKey, map[string]string{"room": "A"})
	if err != nil {
		f.Fatal(err)
	}
	labelled, _, err := label().Seal([]byte(secret), &key.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	for _, genuine := range []string{byHand, string(labelled)} {
		f.Add(genuine)
		f.Add(genuine[:len(genuine)/2])
		f.Add(swap(genuine, 0, flip))
		f.Add(swap(genuine, 1, flip))
		f.Add(swap(genuine, 3, respell))
		f.Add(strings.Replace(genuine, ".", "..", 1))
		f.Add(genuine + "\n")
	}
	f.Add("")
	f.Add("....")
	f.Add(`{"protected":"","recipients":[{}]}`)
	f.Add(forge(`{"alg":"RSA-OAEP-256","enc":"A256GCM","zip":"DEF"}`, secret, &key.PublicKey))
	f.Add(forge(`{"alg":"RSA-OAEP-256","enc":"A256GCM","jwk":{"kty":"RSA"}}`, secret, &key.PublicKey))
	f.Add(forge(`{"alg":"RSA-OAEP-256","enc":"A256GCM","bound":{"room":"A"},"bound":{}}`, secret, &key.PublicKey))
	f.Add(forge(`{"alg":"RSA-OAEP-256","enc":"A256GCM","act":1e999,"iat":-0.0,"jti":null}`, secret, &key.PublicKey))

	f.Fuzz(func(t *testing.T, sealed string) {
		data, err := seal.Open(sealed, key, map[string]string{"room": "A"})
		checkOpened(t, sealed, data, err)
		data, _, err = seal.NewOpener(key).Open([]byte(sealed), label())
		checkOpened(t, sealed, data, err)
	})
}

// checkOpened fails the test unless data is what was sealed, or refused with a kind.
func checkOpened(t *testing.T, sealed string, data []byte, err error) {
	t.Helper()
	if err == nil && string(data) != secret {
		t.Errorf("%q opened as %q", sealed, data)
	}
	if err != nil && (data != nil || !hasKind(err)) {
		t.Errorf("%q: data %q, error %v", sealed, data, err)
	}
}

// hasKind tells whether an error is one of those that the package names.
func hasKind(err error) bool {
	for _, kind := range []error{seal.ErrMalformed, seal.ErrNotForThisKey, seal.ErrMoved, seal.ErrStale, seal.ErrReplayed, seal.ErrFull} {
		if errors.Is(err, kind) {
			return packetrpc.CodeOf(err) != packetrpc.CodeUnknown
		}
	}
	return false
}
