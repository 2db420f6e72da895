package seal_test

import (
	"crypto/rsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

const address = "chat.example:25565"

func TestPins(t *testing.T) {
	key, impostor := &serverKey().PublicKey, &impostorKey().PublicKey
	file := write(t, spkiOf(key))
	for name, pin := range map[string]seal.Pin{
		"fingerprint": seal.PinFingerprint(seal.Fingerprint(key)),
		"key":         seal.PinKey(key),
		"file":        seal.PinKeyFile(file),
	} {
		t.Run(name, func(t *testing.T) {
			if err := pin.Verify(address, key); err != nil {
				t.Error(err)
			}
			check(t, pin.Verify(address, impostor), packetrpc.CodeUnauthenticated,
				address, seal.Fingerprint(impostor)+", not the pinned "+seal.Fingerprint(key), "somebody stands between")
			check(t, pin.Verify(address, nil), packetrpc.CodeInvalidArgument, "there is no RSA key")
			check(t, pin.Verify(address, publicKey(1024, 3)), packetrpc.CodeInvalidArgument, "1024 bits is too small")
		})
	}
}

func TestHostileFingerprints(t *testing.T) {
	good := seal.Fingerprint(&serverKey().PublicKey)
	for name, fingerprint := range map[string]string{
		"nothing":             "",
		"no hash":             "SHA256:",
		"no name":             strings.TrimPrefix(good, "SHA256:"),
		"lower case":          strings.ToLower(good[:6]) + good[6:],
		"MD5":                 "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
		"SHA512":              "SHA512:" + strings.TrimPrefix(good, "SHA256:"),
		"short":               good[:len(good)-1],
		"long":                good + "A",
		"padded":              good + "=",
		"white space":         good + "\n",
		"line feed inside":    good[:20] + "\n" + good[20:],
		"spare bits set":      good[:len(good)-1] + "B",
		"line of ssh-keygen":  "2048 " + good + " me (RSA)",
		"alphabet of URLs":    "SHA256:" + strings.Repeat("_", 42) + "A",
		"a whole public key":  sshKeyLine,
		"more than one":       good + "," + good,
		"hash of other bytes": "SHA256:" + strings.Repeat("A", 44),
	} {
		t.Run(name, func(t *testing.T) {
			err := seal.PinFingerprint(fingerprint).Verify(address, &serverKey().PublicKey)
			check(t, err, packetrpc.CodeInvalidArgument, "is no fingerprint: that is SHA256: and 43 characters", "packetrpc keygen")
		})
	}
}

func TestPinKeyRefusesUnsoundKeys(t *testing.T) {
	key := &serverKey().PublicKey
	check(t, seal.PinKey(nil).Verify(address, key), packetrpc.CodeInvalidArgument, "there is no RSA key")
	small := &smallKey().PublicKey
	check(t, seal.PinKey(small).Verify(address, small), packetrpc.CodeInvalidArgument, "too small")
}

func TestPinKeyFileIsReadEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.pub")
	pin := seal.PinKeyFile(path)
	verify := func(key *rsa.PrivateKey) error { return pin.Verify(address, &key.PublicKey) }
	check(t, verify(serverKey()), packetrpc.CodeNotFound, path)
	os.WriteFile(path, []byte(spkiOf(&serverKey().PublicKey)), 0o644)
	check(t, verify(serverKey()), 0)
	os.WriteFile(path, []byte(sshOf(&impostorKey().PublicKey)), 0o644)
	check(t, verify(impostorKey()), 0)
	check(t, verify(serverKey()), packetrpc.CodeUnauthenticated, path)
	os.WriteFile(path, []byte("hello"), 0o644)
	check(t, verify(serverKey()), packetrpc.CodeInvalidArgument, path, "something else")
}
