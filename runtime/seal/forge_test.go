package seal_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The keys that the tests of sealed data share.
var (
	sealKey   = onceKey(2048)
	otherKey  = onceKey(2048)
	longerKey = onceKey(3072)
)

func onceKey(bits int) func() *rsa.PrivateKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return key
	})
}

var base64url = base64.RawURLEncoding

// forge makes a JWE with whatever header, without the library.
func forge(header, data string, to *rsa.PublicKey) string {
	key, iv := make([]byte, 32), make([]byte, 12)
	rand.Read(key)
	rand.Read(iv)
	encryptedKey, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, to, key, nil)
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	protected := base64url.EncodeToString([]byte(header))
	out := gcm.Seal(nil, iv, []byte(data), []byte(protected))
	parts := []string{protected}
	for _, part := range [][]byte{encryptedKey, iv, out[:len(data)], out[len(data):]} {
		parts = append(parts, base64url.EncodeToString(part))
	}
	return strings.Join(parts, ".")
}

// change returns a JSON object with other values for some of its keys, given in
// turns with the JSON text of each; "" leaves the key out.
func change(object string, changes ...string) string {
	values := make(map[string]json.RawMessage)
	if err := json.Unmarshal([]byte(object), &values); err != nil {
		panic(err)
	}
	for i := 0; i < len(changes); i += 2 {
		delete(values, changes[i])
		if changes[i+1] != "" {
			values[changes[i]] = json.RawMessage(changes[i+1])
		}
	}
	changed, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return string(changed)
}

// swap returns sealed data with another part in place of one of its five.
func swap(sealed string, part int, with func(string) string) string {
	parts := strings.Split(sealed, ".")
	parts[part] = with(parts[part])
	return strings.Join(parts, ".")
}

// flip changes one bit of base64url.
func flip(part string) string {
	raw, err := base64url.DecodeString(part)
	if err != nil {
		panic(err)
	}
	raw[len(raw)/2] ^= 4
	return base64url.EncodeToString(raw)
}

// respell changes a bit at the end of base64url that stands for nothing.
func respell(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + alphabet[last^1:last^1+1]
}

// headerOf returns the header of sealed data as JSON.
func headerOf(t *testing.T, sealed string) string {
	t.Helper()
	part, _, _ := strings.Cut(sealed, ".")
	header, err := base64url.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(header)
}

// refused fails the test unless err is of a kind and a code and has a text.
func refused(t *testing.T, name string, err error, code packetrpc.Code, kind error, text string) {
	t.Helper()
	if !isRefusal(err, code, kind, text) {
		t.Errorf("%s: %v\nwant %v: %s (%v)", name, err, code, text, kind)
	}
}

func isRefusal(err error, code packetrpc.Code, kind error, text string) bool {
	var coded *packetrpc.Error
	return errors.As(err, &coded) && coded.Code == code && errors.Is(err, kind) && strings.Contains(coded.Message, text)
}
