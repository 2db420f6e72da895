package seal_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8Of(key any) string { return pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))) }

func pkcs1Of(key *rsa.PrivateKey) string {
	return pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

func opensshOf(key any) string {
	return string(pem.EncodeToMemory(must(ssh.MarshalPrivateKey(key, "a comment"))))
}

func spkiOf(key any) string { return pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key))) }

func certificateOf(key *rsa.PrivateKey) string {
	template := new(x509.Certificate)
	return pemOf("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
}

func sshOf(key any) string { return string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(key)))) }

// write makes a file that only its owner may use.
func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadPrivateKey(t *testing.T) {
	key := serverKey()
	for name, content := range map[string]string{
		"PKCS#8":              pkcs8Of(key),
		"PKCS#1":              pkcs1Of(key),
		"OpenSSH":             opensshOf(key),
		"text around":         "a note\n" + pkcs8Of(key) + "another\n",
		"CRLF":                strings.ReplaceAll(pkcs8Of(key), "\n", "\r\n"),
		"certificate first":   certificateOf(key) + pkcs8Of(key),
		"first of two":        pkcs1Of(key) + pkcs8Of(impostorKey()),
		"no line feed at end": strings.TrimSpace(pkcs8Of(key)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, read := range []func() (*rsa.PrivateKey, error){
				func() (*rsa.PrivateKey, error) { return seal.ParsePrivateKey([]byte(content)) },
				func() (*rsa.PrivateKey, error) { return seal.ReadPrivateKey(write(t, content)) },
			} {
				if got, err := read(); err != nil || !got.Equal(key) {
					t.Errorf("read another key, or the error %v", err)
				}
			}
		})
	}
}

func TestReadPublicKey(t *testing.T) {
	key := &serverKey().PublicKey
	for name, content := range map[string]string{
		"SPKI":               spkiOf(key),
		"PKCS#1":             pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key)),
		"certificate":        certificateOf(serverKey()),
		"ssh-rsa":            sshOf(key),
		"ssh-rsa, comment":   strings.TrimSpace(sshOf(key)) + " somebody at home",
		"ssh-rsa, CRLF":      strings.TrimSpace(sshOf(key)) + "\r\n\r\n",
		"private key first":  pkcs8Of(impostorKey()) + spkiOf(key),
		"first of two":       spkiOf(key) + spkiOf(&impostorKey().PublicKey),
		"text around":        "a note\n" + spkiOf(key) + "another\n",
		"parameters are PEM": pemOf("DH PARAMETERS", []byte("x")) + spkiOf(key),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := seal.ParsePublicKey([]byte(content)); !seal.SameKey(got, key) {
				t.Errorf("parsed another key, or the error %v", err)
			}
			if got, err := seal.ReadPublicKey(write(t, content)); !seal.SameKey(got, key) {
				t.Errorf("read another key, or the error %v", err)
			}
		})
	}
}

func TestHostilePrivateKeys(t *testing.T) {
	key := serverKey()
	pkcs8, pkcs1, openssh := pkcs8Of(key), pkcs1Of(key), opensshOf(key)
	elliptic256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))
	der := x509.MarshalPKCS1PrivateKey(key)
	protected := pem.EncodeToMemory(must(ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("secret"))))
	for _, test := range []struct {
		name, content string
		want          []string
	}{
		{"nothing", "", []string{"nothing where a private key in PEM belongs"}},
		{"white space", " \n\t\n", []string{"nothing where"}},
		{"prose", "hello\n", []string{"something else where"}},
		{"DER", string(der), []string{"may be DER, which openssl pkey -inform DER"}},
		{"PuTTY", "PuTTY-User-Key-File-3: ssh-rsa\n", []string{"a key of PuTTY, which puttygen exports"}},
		{"public key", spkiOf(&key.PublicKey), []string{`holds "PUBLIC KEY" where a private key in PEM belongs`}},
		{"public key of SSH", sshKeyLine, []string{"a public key of SSH where a private key"}},
		{"certificate", certificateOf(key), []string{`"CERTIFICATE" where a private key`}},
		{"long block type", pemOf(strings.Repeat("LONG ", 2000), nil), []string{`"LONG LONG LONG LONG LONG LONG LONG LONG " where`}},
		{"cut off", pkcs8[:len(pkcs8)/2], []string{"a damaged PEM block, which may have been cut off"}},
		{"bad base64", strings.Replace(pkcs8, "M", "!", 1), []string{"a damaged PEM block"}},
		{"other end", strings.Replace(pkcs8, "END PRIVATE", "END RSA PRIVATE", 1), []string{"a damaged PEM block"}},
		{"empty block", pemOf("PRIVATE KEY", nil), []string{"its private key cannot be read"}},
		{"cut off inside", pemOf("RSA PRIVATE KEY", der[:len(der)-5]), []string{"its private key cannot be read"}},
		{"something behind it", pemOf("RSA PRIVATE KEY", append(der[:len(der):len(der)], 0)), []string{"its private key cannot be read"}},
		{"noise", pemOf("PRIVATE KEY", []byte("\x30\x84\xff\xff\xff\xff")), []string{"its private key cannot be read"}},
		{"OpenSSH noise", pemOf("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00\xff\xff\xff\xff")), []string{"its private key cannot be read"}},
		{"unknown block type", pemOf("MY PRIVATE KEY", der), []string{"its private key cannot be read", "MY PRIVATE KEY"}},
		{"kind that is not said", strings.ReplaceAll(pkcs1, "RSA PRIVATE", "PRIVATE"), []string{"its private key cannot be read"}},
		{"EC", pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(elliptic256))), []string{"an EC key, and only RSA keys are taken"}},
		{"EC in PKCS#8", pkcs8Of(elliptic256), []string{"an EC key, and only RSA keys are taken"}},
		{"EC of OpenSSH", opensshOf(elliptic256), []string{"an EC key"}},
		{"Ed25519", pkcs8Of(edwards), []string{"an Ed25519 key"}},
		{"Ed25519 of OpenSSH", opensshOf(edwards), []string{"an Ed25519 key"}},
		{"X25519", pkcs8Of(x25519), []string{"an X25519 key"}},
		{"passphrase, OpenSSH", string(protected), []string{"protected by a passphrase", "ssh-keygen -p -N '' -f"}},
		{"passphrase, PKCS#8", pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), []string{"protected by a passphrase", "ssh-keygen -p -N '' -f"}},
		{"passphrase, PKCS#1", strings.Replace(pkcs1, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1), []string{"protected by a passphrase"}},
		{"EC before RSA", pkcs8Of(elliptic256) + pkcs8, []string{"an EC key"}},
		{"small", pkcs8Of(smallKey()), []string{"1024 bits is too small"}},
		{"large", mixed(craft(16384)), []string{"a number of 16384 bits is too large"}},
		{"large in PKCS#8", pemOf("PRIVATE KEY", wrapped(craft(16384))), []string{"a number of 16384 bits is too large"}},
		{"large factor", mixed(key.N, key.D, []*big.Int{oddNumber(300000), key.Primes[1]}), []string{"a number of 300000 bits is too large"}},
		{"modulus of another key", mixed(impostorKey().N, key.D, key.Primes), []string{"its private key cannot be read"}},
		{"exponent of another key", mixed(key.N, impostorKey().D, key.Primes), []string{"its private key cannot be read"}},
		{"factors of another key", mixed(key.N, key.D, impostorKey().Primes), []string{"its private key cannot be read"}},
		{"one factor", mixed(key.N, key.D, []*big.Int{key.N, big.NewInt(1)}), []string{"its private key cannot be read"}},
		{"nothing but zeros", mixed(new(big.Int), new(big.Int), []*big.Int{new(big.Int), new(big.Int)}), []string{"its private key cannot be read"}},
		{"wrong OpenSSH checksum", flipOpenSSH(openssh), []string{"its private key cannot be read"}},
		{"too long", strings.Repeat("#", 64<<10) + pkcs8, []string{"more than 65536"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := seal.ParsePrivateKey([]byte(test.content))
			check(t, err, packetrpc.CodeInvalidArgument, append(test.want, "the private key: ")...)
			if key != nil {
				t.Error("returned a key along with the error")
			}
			if len(test.content) > 64<<10 {
				return // the file is refused in other words
			}
			path := write(t, test.content)
			_, err = seal.ReadPrivateKey(path)
			check(t, err, packetrpc.CodeInvalidArgument, append(test.want, path)...)
			if text := fmt.Sprint(err); len(text) > 400 {
				t.Errorf("a text of %d characters: %s", len(text), text)
			}
		})
	}
}

// craft returns the numbers of a key that fit together, with factors that are not
// prime, so that it is made at once whatever its size.
func craft(bits int) (n, d *big.Int, primes []*big.Int) {
	one := big.NewInt(1)
	for {
		p, q := oddNumber(bits/2), oddNumber(bits/2)
		totient := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(65537), totient)
		if d != nil && new(big.Int).ModInverse(q, p) != nil {
			return new(big.Int).Mul(p, q), d, []*big.Int{p, q}
		}
	}
}

// mixed returns a PKCS#1 key in PEM of numbers that need not fit together.
func mixed(n, d *big.Int, primes []*big.Int) string {
	return pemOf("RSA PRIVATE KEY", derOf(n, d, primes))
}

// derOf writes a PKCS#1 key without the numbers that follow from the others, which
// may be left out and are then computed.
func derOf(n, d *big.Int, primes []*big.Int) []byte {
	return must(asn1.Marshal(struct {
		Version int
		N       *big.Int
		E       int
		D, P, Q *big.Int
	}{0, n, 65537, d, primes[0], primes[1]}))
}

// wrapped writes a PKCS#8 key around that of derOf.
func wrapped(n, d *big.Int, primes []*big.Int) []byte {
	return must(asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: asn1.NullRawValue}, derOf(n, d, primes)}))
}

func oddNumber(bits int) *big.Int {
	number := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits))))
	return number.SetBit(number.SetBit(number.SetBit(number, 0, 1), bits-1, 1), bits-2, 1)
}

// flipOpenSSH changes a bit of the first of the two numbers that tell whether a
// private key was decrypted well.
func flipOpenSSH(text string) string {
	block, _ := pem.Decode([]byte(text))
	kind := strings.LastIndex(string(block.Bytes), "ssh-rsa")
	block.Bytes[kind-4-8] ^= 1
	return string(pem.EncodeToMemory(block))
}

func TestHostilePublicKeys(t *testing.T) {
	key := &serverKey().PublicKey
	spki, line := spkiOf(key), strings.TrimSpace(sshOf(key))
	elliptic256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	negative := &rsa.PublicKey{N: new(big.Int).Neg(key.N), E: key.E}
	for _, test := range []struct{ name, content, want string }{
		{"nothing", "", "nothing where a public key in PEM belongs"},
		{"prose", "hello\n", "something else where"},
		{"private key", pkcs8Of(serverKey()), `holds "PRIVATE KEY" where a public key in PEM belongs`},
		{"private key of OpenSSH", opensshOf(serverKey()), `holds "OPENSSH PRIVATE KEY" where a public key`},
		{"cut off", spki[:len(spki)/2], "a damaged PEM block"},
		{"cut off inside", pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key))[:100]), "its public key cannot be read"},
		{"empty block", pemOf("PUBLIC KEY", nil), "its public key cannot be read"},
		{"empty PKCS#1", pemOf("RSA PUBLIC KEY", nil), "its public key cannot be read"},
		{"empty certificate", pemOf("CERTIFICATE", nil), "its public key cannot be read"},
		{"EC", spkiOf(&elliptic256.PublicKey), "an EC key, and only RSA keys are taken"},
		{"Ed25519", spkiOf(edwards), "an Ed25519 key"},
		{"EC of SSH", sshOf(&elliptic256.PublicKey), "an ecdsa-sha2-nistp256 key"},
		{"Ed25519 of SSH", sshOf(edwards), "an ssh-ed25519 key"},
		{"small", spkiOf(publicKey(1024, 65537)), "1024 bits is too small"},
		{"large", spkiOf(publicKey(16384, 65537)), "16384 bits is too large"},
		{"very large", spkiOf(publicKey(300000, 65537)), "300000 bits is too large"},
		{"small of SSH", sshOf(publicKey(1024, 65537)), "1024 bits is too small"},
		{"large of SSH", sshOf(publicKey(16384, 65537)), "16384 bits is too large"},
		{"very large of SSH", sshOf(publicKey(300000, 65537)), "its public key cannot be read"},
		{"negative of SSH", sshOf(negative), "the modulus of an RSA key is positive"},
		{"even exponent", spkiOf(publicKey(2048, 4)), "it is not 4"},
		{"even exponent of SSH", sshOf(publicKey(2048, 4)), "its public key cannot be read"},
		{"line without a key", "ssh-rsa", "its public key cannot be read"},
		{"line cut off", line[:100], "its public key cannot be read"},
		{"line of two kinds", "ssh-ed25519" + strings.TrimPrefix(line, "ssh-rsa"), "its public key cannot be read"},
		{"two lines", line + "\n" + line + "\n", "several lines"},
		{"line with options", `command="x" ` + line, "something else where"},
		{"known_hosts line", "example.com " + line, "something else where"},
		{"too long", strings.Repeat("#", 64<<10) + spki, "more than 65536"},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := seal.ParsePublicKey([]byte(test.content))
			check(t, err, packetrpc.CodeInvalidArgument, "the public key: ", test.want)
			if key != nil {
				t.Error("returned a key along with the error")
			}
		})
	}
}

// The rights to a file and its kind count as they are when it is read.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]fs.FileMode{"good": 0o600, "others": 0o604, "writable": 0o620, "read only": 0o400} {
		os.WriteFile(at(name), []byte(pkcs8Of(serverKey())), 0o600)
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(at("large"), make([]byte, 64<<10+1), 0o600)
	for _, link := range []string{"good", "others", "link to itself", "nowhere"} {
		if err := os.Symlink(at(link), at("link to "+link)); err != nil {
			t.Skip(err)
		}
	}
	os.Symlink(at("link to itself"), at("link to itself"))
	makePipe(t, at("pipe"))
	const mode = packetrpc.CodeFailedPrecondition
	for _, test := range []struct {
		path string
		code packetrpc.Code
		want string
	}{
		{at("good"), 0, ""},
		{at("read only"), 0, ""},
		{at("link to good"), 0, ""},
		{at("others"), mode, "is 0604, which lets others use it: run `chmod 600 " + at("others")},
		{at("writable"), mode, "is 0620, which lets others use it: run `chmod 600 " + at("writable")},
		{at("link to others"), mode, "is 0604, which lets others use it: run `chmod 600 "},
		{at("large"), mode, "it may have 65536"},
		{at("nothing"), packetrpc.CodeNotFound, "no such file"},
		{at("link to nowhere"), packetrpc.CodeNotFound, "no such file"},
		{at("link to itself"), mode, "link to itself"},
		{dir, mode, "is no regular file but has the mode d"},
		{at("pipe"), mode, "is no regular file but has the mode p"},
		{"/dev/zero", mode, "is no regular file but has the mode D"},
	} {
		t.Run(filepath.Base(test.path), func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("other rights and files")
			}
			key, err := seal.ReadPrivateKey(test.path)
			check(t, err, test.code, test.want)
			if err == nil && !key.Equal(serverKey()) {
				t.Error("read another key")
			}
			if !strings.Contains(test.want, "chmod") && test.code != 0 {
				_, err := seal.ReadPublicKey(test.path)
				check(t, err, test.code, test.want)
			}
		})
	}
	if _, err := seal.ReadPrivateKey(at("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestWriteKeyPair(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if err := seal.WriteKeyPair(name, serverKey()); err != nil {
		t.Fatal(err)
	}
	if got, err := seal.ReadPrivateKey(name); err != nil || !got.Equal(serverKey()) {
		t.Errorf("the private key is another, or fails with %v", err)
	}
	if got, err := seal.ReadPublicKey(name + ".pub"); !seal.SameKey(got, &serverKey().PublicKey) {
		t.Errorf("the public key is another, or fails with %v", err)
	}
	if info := must(os.Stat(name)); runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the private key has the mode %v", info.Mode())
	}
	before := string(must(os.ReadFile(name)))
	check(t, seal.WriteKeyPair(name, impostorKey()), packetrpc.CodeAlreadyExists, name+" exists", "never overwritten")
	if got := string(must(os.ReadFile(name))); got != before {
		t.Error("the private key was overwritten")
	}
}

func TestWriteKeyPairWritesBothOrNone(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "key")
	if err := os.WriteFile(name+".pub", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, seal.WriteKeyPair(name, serverKey()), packetrpc.CodeAlreadyExists, name+".pub exists")
	check(t, seal.WriteKeyPair(filepath.Join(dir, "no", "key"), serverKey()), packetrpc.CodeNotFound, filepath.Join(dir, "no", "key"))
	check(t, seal.WriteKeyPair(filepath.Join(dir, "small"), smallKey()), packetrpc.CodeInvalidArgument, "too small")
	check(t, seal.WriteKeyPair(filepath.Join(dir, "nil"), nil), packetrpc.CodeInvalidArgument, "no RSA key")
	wrong := &rsa.PrivateKey{PublicKey: serverKey().PublicKey, D: impostorKey().D, Primes: serverKey().Primes}
	check(t, seal.WriteKeyPair(filepath.Join(dir, "wrong"), wrong), packetrpc.CodeInvalidArgument, "wrong in itself")
	// Not even a link to a file that does not exist is followed.
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")); err == nil {
		check(t, seal.WriteKeyPair(filepath.Join(dir, "link"), serverKey()), packetrpc.CodeAlreadyExists, "link exists")
		os.Remove(filepath.Join(dir, "link"))
	}
	left := must(os.ReadDir(dir))
	if len(left) != 1 || string(must(os.ReadFile(name+".pub"))) != "mine" {
		t.Errorf("left %v, want only what was there before", left)
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	for _, seed := range []string{
		pkcs8Of(smallKey()), pkcs1Of(smallKey()), opensshOf(smallKey()), pkcs8Of(serverKey()), opensshOf(serverKey()),
		pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), spkiOf(&smallKey().PublicKey), sshKeyLine, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := seal.ParsePrivateKey(data)
		if (key == nil) == (err == nil) {
			t.Fatalf("returned a key and an error, or neither: %v", err)
		}
		if err != nil {
			if code := packetrpc.CodeOf(err); code != packetrpc.CodeInvalidArgument {
				t.Errorf("%v has the code %v", err, code)
			}
			return
		}
		if err := errors.Join(seal.CheckKey(&key.PublicKey), key.Validate()); err != nil {
			t.Errorf("returned an unsound key: %v", err)
		}
		if again, err := seal.ParsePrivateKey([]byte(pkcs8Of(key))); err != nil || !again.Equal(key) {
			t.Errorf("the key does not come back: %v", err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	small := &smallKey().PublicKey
	for _, seed := range []string{
		spkiOf(small), pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(small)), sshOf(small),
		spkiOf(&serverKey().PublicKey), certificateOf(serverKey()), sshKeyLine, pkcs8Of(smallKey()), "",
	} {
		f.Add([]byte(seed))
	}
	f.Add(must(seal.MarshalPublicKey(&serverKey().PublicKey)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*rsa.PublicKey, error){seal.ParsePublicKey, seal.ParsePublicKeyDER} {
			key, err := parse(data)
			if (key == nil) == (err == nil) {
				t.Fatalf("returned a key and an error, or neither: %v", err)
			}
			if err != nil {
				if code := packetrpc.CodeOf(err); code != packetrpc.CodeInvalidArgument {
					t.Errorf("%v has the code %v", err, code)
				}
				continue
			}
			if err := seal.CheckKey(key); err != nil {
				t.Errorf("returned an unsound key: %v", err)
			}
			if again, err := seal.ParsePublicKeyDER(must(seal.MarshalPublicKey(key))); !seal.SameKey(again, key) {
				t.Errorf("the key does not come back: %v", err)
			}
		}
	})
}
