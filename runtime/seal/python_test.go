package seal_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/seal"
)

// counterpart runs testdata/jwe.py, which shares no code with the package.
type counterpart struct {
	t                     *testing.T
	python                string
	publicKey, privateKey string // files
}

func newCounterpart(t *testing.T) counterpart {
	python := findJWCrypto(t)
	private, err := x509.MarshalPKCS8PrivateKey(sealKey())
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&sealKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	c := counterpart{t, python, filepath.Join(t.TempDir(), "public.pem"), filepath.Join(t.TempDir(), "private.pem")}
	writePEM(t, c.privateKey, "PRIVATE KEY", private)
	writePEM(t, c.publicKey, "PUBLIC KEY", public)
	return c
}

// findJWCrypto returns a Python that has the library, or skips the test.
func findJWCrypto(t *testing.T) string {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if python, err := exec.LookPath(name); err == nil && exec.Command(python, "-c", "import jwcrypto").Run() == nil {
			return python
		}
	}
	t.Skip("no Python with jwcrypto is installed (Debian: python3-jwcrypto)")
	return ""
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c counterpart) run(input string, args ...string) string {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), c.python, append([]string{"testdata/jwe.py"}, args...)...)
	command.Stdin = strings.NewReader(input)
	var errors bytes.Buffer
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		c.t.Fatalf("jwe.py %s: %v\n%s", args[0], err, errors.String())
	}
	return string(output)
}

func (c counterpart) seal(data, header string) string {
	return c.run(data, "seal", c.publicKey, header)
}

func (c counterpart) open(sealed string) (header, data string) {
	header, data, _ = strings.Cut(c.run(sealed, "open", c.privateKey), "\n")
	return header, data
}

// awkward has every byte that could be mistaken for something else.
const awkward = "a\x00b\r\n\xff{}\n"

func TestCounterpartOpens(t *testing.T) {
	c := newCounterpart(t)
	labelled, id, err := label().Seal([]byte(awkward), &sealKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	byHand, err := seal.Seal([]byte(awkward), &sealKey().PublicKey, map[string]string{"room": "lobby"})
	if err != nil {
		t.Fatal(err)
	}
	for sealed, want := range map[string]string{
		string(labelled): fmt.Sprintf(`{"act":"chat.Room/Say","alg":"RSA-OAEP-256","call":7,"dir":"request","enc":"A256GCM","jti":%q,"num":2,"ses":%q}`,
			id, label().Session),
		byHand: `{"alg":"RSA-OAEP-256","bound":{"room": "lobby"},"enc":"A256GCM"}`,
	} {
		header, data := c.open(sealed)
		if got := change(header, "iat", ""); got != change(want) || data != awkward {
			t.Errorf("opened %q with the header %s\nwant %q with %s", data, got, awkward, want)
		}
	}
}

func TestCounterpartSeals(t *testing.T) {
	c := newCounterpart(t)
	const jti = "AAECAwQFBgcICQoLDA0ODw"
	labelled := c.seal(awkward, fmt.Sprintf(`{"act": "chat.Room/Say", "dir": "request", "ses": %q, "call": 7, "num": 2, "iat": %d, "jti": %q}`,
		label().Session, time.Now().Unix(), jti))
	if data, id, err := seal.NewOpener(sealKey()).Open([]byte(labelled), label()); err != nil || string(data) != awkward || id != jti {
		t.Errorf("opened %q, id %q, %v", data, id, err)
	}
	byHand := c.seal(awkward, `{"bound": {"room": "lobby"}}`)
	if data, err := seal.Open(byHand, sealKey(), map[string]string{"room": "lobby"}); err != nil || string(data) != awkward {
		t.Errorf("by hand: opened %q, %v", data, err)
	}
	if data, err := seal.Open(c.seal("", "{}"), sealKey(), nil); err != nil || len(data) != 0 {
		t.Errorf("nothing: opened %q, %v", data, err)
	}
}
