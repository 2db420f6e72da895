package seal_test

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

func mustSealByHand(t *testing.T, binding map[string]string) string {
	t.Helper()
	sealed, err := seal.Seal([]byte(secret), &sealKey().PublicKey, binding)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestRoundTrips(t *testing.T) {
	for _, key := range []*rsa.PrivateKey{sealKey(), longerKey()} {
		for _, size := range []int{0, 1, 1 << 20} {
			data := bytes.Repeat([]byte{0xa5}, size)
			name := fmt.Sprintf("%d bits, %d bytes", key.N.BitLen(), size)

			sealed, err := seal.Seal(data, &key.PublicKey, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if opened, err := seal.Open(sealed, key, nil); err != nil || !bytes.Equal(opened, data) {
				t.Errorf("%s, by hand: opened %d bytes, %v", name, len(opened), err)
			}

			labelled, _, err := label().Seal(data, &key.PublicKey)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if opened, _, err := seal.NewOpener(key).Open(labelled, label()); err != nil || !bytes.Equal(opened, data) {
				t.Errorf("%s, with a label: opened %d bytes, %v", name, len(opened), err)
			}
		}
	}
}

func TestSealedIsASCII(t *testing.T) {
	sealed := mustSealByHand(t, map[string]string{"room": "Küche"})
	if other := strings.Trim(sealed, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."); other != "" {
		t.Errorf("%s", sealed)
	}
	if got, want := headerOf(t, sealed), `{"alg":"RSA-OAEP-256","bound":{"room":"Küche"},"enc":"A256GCM"}`; got != want {
		t.Errorf("the header is %s\nwant %s", got, want)
	}
}

func TestBinding(t *testing.T) {
	type binding = map[string]string
	labelled, _ := mustSeal(t, label())
	with := func(bound string) string {
		return forge(`{"alg":"RSA-OAEP-256","enc":"A256GCM","bound":`+bound+`}`, secret, &sealKey().PublicKey)
	}
	for _, test := range []struct {
		name   string
		sealed string
		want   binding
		kind   error // nil: it is opened
		text   string
	}{
		{"none", mustSealByHand(t, nil), nil, nil, ""},
		{"empty is none", mustSealByHand(t, binding{}), nil, nil, ""},
		{"none is empty", with(`{}`), nil, nil, ""},
		{"null is none", with(`null`), binding{}, nil, ""},
		{"two", mustSealByHand(t, binding{"a": "1", "b": "2"}), binding{"b": "2", "a": "1"}, nil, ""},
		{"empty value", mustSealByHand(t, binding{"a": ""}), binding{"a": ""}, nil, ""},
		{"name of a parameter", mustSealByHand(t, binding{"alg": "none", "zip": "DEF"}), binding{"alg": "none", "zip": "DEF"}, nil, ""},
		{"another value", mustSealByHand(t, binding{"room": "A"}), binding{"room": "B"}, seal.ErrMoved, `bound to "room" "A", not "B"`},
		{"capitals", mustSealByHand(t, binding{"room": "A"}), binding{"Room": "A"}, seal.ErrMoved, `not bound to any "Room"`},
		{"dropped", mustSealByHand(t, binding{"a": "1"}), binding{"a": "1", "b": ""}, seal.ErrMoved, `not bound to any "b"`},
		{"added", mustSealByHand(t, binding{"a": "1", "b": ""}), binding{"a": "1"}, seal.ErrMoved, `bound to a "b", and none is expected`},
		{"not expected at all", mustSealByHand(t, binding{"a": "1"}), nil, seal.ErrMoved, `bound to a "a", and none is expected`},
		{"sealed for a call", labelled, nil, seal.ErrMoved, `sealed for action "chat.Room/Say", not by hand`},
		{"a list", with(`["a"]`), nil, seal.ErrMalformed, `"bound" in the header of the sealed data is no object of strings`},
		{"a number within", with(`{"a":1}`), binding{"a": "1"}, seal.ErrMalformed, "no object of strings"},
		{"a name twice", with(`{"a":"1","a":"2"}`), binding{"a": "2"}, seal.ErrMalformed, "each key once"},
	} {
		data, err := seal.Open(test.sealed, sealKey(), test.want)
		if test.kind == nil {
			if err != nil || string(data) != secret {
				t.Errorf("%s: opened %q, %v", test.name, data, err)
			}
			continue
		}
		code := packetrpc.CodeInvalidArgument
		if test.kind == seal.ErrMoved {
			code = packetrpc.CodeFailedPrecondition
		}
		refused(t, test.name, err, code, test.kind, test.text)
	}
	if data, err := seal.Open(mustSealByHand(t, nil), otherKey(), nil); data != nil {
		t.Errorf("opened %q with another key", data)
	} else {
		refused(t, "another key", err, packetrpc.CodeInvalidArgument, seal.ErrNotForThisKey, "another key than this one")
	}
}

func TestWhatCannotBeSealed(t *testing.T) {
	for name, test := range map[string]struct {
		to      *rsa.PublicKey
		binding map[string]string
		text    string
	}{
		"no key":           {nil, nil, "no RSA key"},
		"empty key":        {new(rsa.PublicKey), nil, "no RSA key"},
		"name not UTF-8":   {&sealKey().PublicKey, map[string]string{"\xff": ""}, "is not UTF-8"},
		"value not UTF-8":  {&sealKey().PublicKey, map[string]string{"a": "\xff"}, `binding "a" of sealed data is not UTF-8`},
		"binding too long": {&sealKey().PublicKey, map[string]string{"a": strings.Repeat("x", 4096)}, "bytes; it may have 4096"},
	} {
		sealed, err := seal.Seal([]byte(secret), test.to, test.binding)
		if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %q, %v, want invalid_argument with %q", name, sealed, err, test.text)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	forSizes(b, func(b *testing.B, key *rsa.PrivateKey, data []byte) {
		for b.Loop() {
			if _, _, err := label().Seal(data, &key.PublicKey); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	forSizes(b, func(b *testing.B, key *rsa.PrivateKey, data []byte) {
		sealed, err := seal.Seal(data, &key.PublicKey, nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := seal.Open(sealed, key, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func forSizes(b *testing.B, run func(b *testing.B, key *rsa.PrivateKey, data []byte)) {
	for _, key := range []*rsa.PrivateKey{sealKey(), longerKey()} {
		for _, size := range []int{256, 64 << 10} {
			b.Run(fmt.Sprintf("bits=%d/bytes=%d", key.N.BitLen(), size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, key, make([]byte, size))
			})
		}
	}
}
