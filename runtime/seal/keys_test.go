package seal_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

// The keys of a server, and of one who pretends to be it.
var (
	serverKey   = sync.OnceValue(makeKey)
	impostorKey = sync.OnceValue(makeKey)
	// smallKey has fewer bits than are taken.
	smallKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func makeKey() *rsa.PrivateKey { return must(seal.GenerateKey(seal.MinBits)) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// check wants an error with a code, and with all of texts in what it says.
func check(t *testing.T, err error, code packetrpc.Code, texts ...string) {
	t.Helper()
	if packetrpc.CodeOf(err) != code {
		t.Errorf("got %v, want the code %v", err, code)
	}
	if err == nil {
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("got %q, want %q in it", err, text)
		}
	}
	if got := packetrpc.AsError(err).Message; strings.Contains(got, code.String()+":") {
		t.Errorf("the code is in the text too: %s", got)
	}
}

// publicKey returns a public key that need not have a private one.
func publicKey(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: exponent}
}

func TestCheckKey(t *testing.T) {
	even, negative := publicKey(2048, 65537), publicKey(2048, 65537)
	even.N.SetBit(even.N, 0, 0)
	negative.N.Neg(negative.N)
	for _, test := range []struct {
		name string
		key  *rsa.PublicKey
		want string // "" is a key that is taken
	}{
		{"made", &serverKey().PublicKey, ""},
		{"smallest", publicKey(2048, 3), ""},
		{"largest", publicKey(8192, math.MaxInt32), ""},
		{"nil", nil, "there is no RSA key"},
		{"empty", &rsa.PublicKey{}, "there is no RSA key"},
		{"no modulus", &rsa.PublicKey{N: new(big.Int), E: 3}, "0 bits is too small"},
		{"too small", publicKey(2047, 65537), "2047 bits is too small: it has at least 2048; packetrpc keygen"},
		{"too large", publicKey(8193, 65537), "8193 bits is too large: it has at most 8192"},
		{"even modulus", even, "positive and odd"},
		{"negative modulus", negative, "positive and odd"},
		{"exponent 0", publicKey(2048, 0), "odd number from 3 to 2147483647"},
		{"exponent 1", publicKey(2048, 1), "it is not 1"},
		{"exponent 2", publicKey(2048, 2), "it is not 2"},
		{"exponent -3", publicKey(2048, -3), "it is not -3"},
		{"even exponent", publicKey(2048, 65536), "it is not 65536"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code := packetrpc.CodeInvalidArgument
			if test.want == "" {
				code = 0
			}
			check(t, seal.CheckKey(test.key), code, test.want)
		})
	}
}

func TestGenerateKey(t *testing.T) {
	for _, bits := range []int{math.MinInt, -1, 0, 1024, 2047} {
		_, err := seal.GenerateKey(bits)
		check(t, err, packetrpc.CodeInvalidArgument, "too small")
	}
	for _, bits := range []int{8193, 16384, math.MaxInt} {
		_, err := seal.GenerateKey(bits)
		check(t, err, packetrpc.CodeInvalidArgument, "too large")
	}
	if got := serverKey().N.BitLen(); got != seal.MinBits {
		t.Errorf("a key of %d bits, want %d", got, seal.MinBits)
	}
}

func TestSameKey(t *testing.T) {
	one, again := &serverKey().PublicKey, serverKey().PublicKey
	other := serverKey().PublicKey
	other.E = 3
	if !seal.SameKey(one, &again) {
		t.Error("a key differs from its copy")
	}
	for _, different := range []*rsa.PublicKey{&impostorKey().PublicKey, &other, nil} {
		if seal.SameKey(one, different) || seal.SameKey(different, one) {
			t.Errorf("different keys are the same")
		}
	}
	if seal.SameKey(nil, nil) {
		t.Error("no key is the same as no key")
	}
}

// A key that ssh-keygen made, and what ssh-keygen -lf says of it.
const (
	sshKeyLine        = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCvZGghYRD4CkN2tkKTNtuGGztohwgtPOXvaCp4qtL5WF1CSKitSoG/yQg+5BMb01fOyxH+xWfp8lVuxB9c9bGGq3djpMGzl/U5Zelr0+zaRNL/d5N083ansYu/R0JbMuj3sdFM9c8PH7fHxZZdckUXGxp+1339f41kr8xZvJPUSIe4/8wiT5b/Dfq6FJ02zd/UM/iVTzEBWoEDiBp/JOitblWeSPgNr7ilVDJ7mdJ+q7mWiTB23nP0oJIC8rK6P52iMxr7l3nmht+CEmofREsM1jEtP6CcaKeBDaDr64pEycKFEiqVqRAw+OvAW9zIiHrtbWXp0kfJiZnp34Z9MzOl"
	sshKeyFingerprint = "SHA256:pHC55nw6l4H3vTqnl2dVSe/AyNhGOe5vn+a7p3iWhtM"
)

func TestFingerprint(t *testing.T) {
	key := must(seal.ParsePublicKey([]byte(sshKeyLine)))
	if got := seal.Fingerprint(key); got != sshKeyFingerprint {
		t.Errorf("got %s, want %s", got, sshKeyFingerprint)
	}
}

func TestPublicKeyDER(t *testing.T) {
	key := &serverKey().PublicKey
	der := must(seal.MarshalPublicKey(key))
	if got, err := seal.ParsePublicKeyDER(der); !seal.SameKey(got, key) {
		t.Errorf("a key comes back as another, or with the error %v", err)
	}
	if _, err := seal.MarshalPublicKey(publicKey(1024, 65537)); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
		t.Errorf("marshalling a small key: %v", err)
	}
	marshal := func(key any) []byte { return must(x509.MarshalPKIXPublicKey(key)) }
	elliptic256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	for _, test := range []struct {
		name string
		der  []byte
		want string
	}{
		{"nothing", nil, "cannot be read"},
		{"noise", []byte("\x30\x84\xff\xff\xff\xff"), "cannot be read"},
		{"cut off", der[:len(der)-1], "cannot be read"},
		{"something behind it", append(append([]byte{}, der...), 0), "cannot be read"},
		{"PKCS#1", x509.MarshalPKCS1PublicKey(key), "cannot be read"},
		{"PEM", []byte(pemOf("PUBLIC KEY", der)), "cannot be read"},
		{"EC", marshal(&elliptic256.PublicKey), "an EC key, not an RSA key"},
		{"Ed25519", marshal(edwards), "an Ed25519 key, not an RSA key"},
		{"small", marshal(publicKey(1024, 65537)), "1024 bits is too small"},
		{"large", marshal(publicKey(16384, 65537)), "16384 bits is too large"},
		{"very large", marshal(publicKey(1<<20, 65537)), "bytes is too large"},
		{"even exponent", marshal(publicKey(2048, 4)), "it is not 4"},
		{"something behind it, inside", withHiddenByte(der), "one form"},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := seal.ParsePublicKeyDER(test.der)
			check(t, err, packetrpc.CodeInvalidArgument, test.want)
			if key != nil {
				t.Error("returned a key along with the error")
			}
		})
	}
}

// withHiddenByte returns a SubjectPublicKeyInfo whose key is followed by a byte in
// the same bit string, which crypto/x509 does not look at.
func withHiddenByte(der []byte) []byte {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	must(asn1.Unmarshal(der, &info))
	info.Key = asn1.BitString{Bytes: append(info.Key.Bytes, 0), BitLength: info.Key.BitLength + 8}
	return must(asn1.Marshal(info))
}
