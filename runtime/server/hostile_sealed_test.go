//go:build linux

package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/packetrpc/packetrpc/runtime/seal"
)

// sealedRows are attacks upon sealed actions.
func sealedRows() []hostile {
	k := testKeys()
	const precondition, argument = "failed_precondition", "invalid_argument"
	params := func(change map[jose.HeaderKey]any) func(*sealer) string {
		return func(s *sealer) string { return s.seals(&k.server.PublicKey, change) }
	}
	change := func(name jose.HeaderKey, value any) func(*sealer) string {
		return params(map[jose.HeaderKey]any{name: value})
	}
	part := func(number int, change func(string) string) func(*sealer) string {
		return func(s *sealer) string {
			parts := strings.Split(s.seals(&k.server.PublicKey, nil), ".")
			parts[number] = change(parts[number])
			return strings.Join(parts, ".")
		}
	}
	const header = 0 // the number of that part
	header64 := func(text string) func(string) string {
		return func(string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	}
	rows := []hostile{
		{name: "clear data for a sealed action", attack: sealsAs(`"data":"hello"`), want: said{precondition, `action "bank.Bank/Safe" is sealed, but the packet's data is not`}},
		{name: "sealed data for a clear action", attack: func(a *attacker) said {
			s := a.sealer(true)
			return s.asks(`{"id":3,"action":"bank.Bank/Look","token":TOKEN,"sealed":true,"data":"` + s.seals(&k.server.PublicKey, nil) + `"}`)
		}, want: said{precondition, `action "bank.Bank/Look" is not sealed, but the packet's data is`}},
		{name: "clear data that says to be sealed", attack: sealsAs(`"sealed":true,"data":{"value":"hello"}`), want: said{argument, "sealed data is a JSON string"}},
		{name: "no key for the reply", attack: func(a *attacker) said {
			s := a.sealer(false)
			return s.sends(s.seals(&k.server.PublicKey, nil))
		}, want: said{precondition, `action "bank.Bank/Safe" is sealed: there is no key of the other side to seal its data to`}},
		{name: "no JWE", attack: sendsSealed(func(*sealer) string { return "hello" }), want: said{argument, "the sealed data is no JWE in compact serialization"}},
		{name: "JWE of dots", attack: sendsSealed(func(*sealer) string { return strings.Repeat(".", 100_000) }), want: said{argument, "five parts"}},
		{name: "JWE without encryption", attack: sendsSealed(part(header, header64(`{"alg":"none"}`))), want: said{argument, `the data is sealed with alg "none"; only RSA-OAEP-256 is accepted`}},
		{name: "JWE with RSA1_5", attack: sendsSealed(part(header, header64(`{"alg":"RSA1_5","enc":"A256GCM"}`))), want: said{argument, `the data is sealed with alg "RSA1_5"; only RSA-OAEP-256 is accepted`}},
		{name: "JWE that is zipped", attack: sendsSealed(change("zip", "DEF")), want: said{argument, `has "zip", which is not accepted`}},
		{name: "JWE with a key of its own", attack: sendsSealed(change("jku", "http://127.0.0.1/")), want: said{argument, `has "jku", which is not accepted`}},
		{name: "JWE with a critical header", attack: sendsSealed(change("crit", []string{"exp"})), want: said{argument, `has "crit", which is not accepted`}},
		{name: "JWE with a header of 5 KiB", attack: sendsSealed(change("x", strings.Repeat("x", 5<<10))), want: said{argument, "it may have 4096"}},
		{name: "JWE with another header than was sealed", attack: sendsSealed(part(header, func(h string) string {
			raw, _ := base64.RawURLEncoding.DecodeString(h)
			return base64.RawURLEncoding.EncodeToString(append(raw[:len(raw)-1], `,"x":1}`...))
		})), want: said{argument, "the data is sealed to another key than this one, or was changed since"}},
		{name: "JWE with data that was changed", attack: sendsSealed(part(3, func(d string) string { return "AAAA" + d })), want: said{argument, "the data is sealed to another key than this one, or was changed since"}},
		{name: "JWE with a tag of a byte", attack: sendsSealed(part(4, func(string) string { return "AA" })), want: said{argument, "the authentication tag of the sealed data has 1 bytes, not 16"}},
		{name: "JWE with padding", attack: sendsSealed(part(1, func(k string) string { return k + "==" })), want: said{argument, "not in base64url without padding"}},
		{name: "JWE to another key", attack: sendsSealed(func(s *sealer) string { return s.seals(&k.other.PublicKey, nil) }), want: said{argument, "the data is sealed to another key than this one, or was changed since"}},
		{name: "JWE of another session", attack: sendsSealed(change("ses", "AAAA")), want: said{precondition, "the data was sealed for another session"}},
		{name: "JWE of another action", attack: sendsSealed(change("act", "bank.Bank/Look")), want: said{precondition, `the data was sealed for action "bank.Bank/Look", not "bank.Bank/Safe"`}},
		{name: "JWE of yesterday", attack: sendsSealed(change("iat", time.Now().Add(-24*time.Hour).Unix())), want: said{precondition, "within 2m0s"}},
		{name: "JWE with a time beyond all numbers", attack: sendsSealed(change("iat", 1e300)), want: said{argument, `"iat" in the header of the sealed data is no whole number`}},
		{name: "JWE of a message of another type", attack: sendsSealed(func(s *sealer) string {
			return s.forge(&k.server.PublicKey, secretNumber, nil)
		}), want: said{argument, "the sealed data is no google.protobuf.StringValue"}},
		{name: "JWE that is sent twice", attack: func(a *attacker) said {
			s := a.sealer(true)
			spoilt := s.forge(&k.server.PublicKey, `{"no":"text"}`, nil) // so that no handler runs
			if got := s.sends(spoilt); got.status != argument {
				a.Errorf("the first time: %v", got)
			}
			return s.sends(spoilt)
		}, want: said{precondition, "the sealed data has been opened before"}},
		{name: "flood of JWEs that are to be decrypted in vain", attack: func(a *attacker) (last said) {
			s := a.sealer(true)
			spoilt := s.seals(&k.other.PublicKey, nil)
			for range 200 {
				last = s.sends(spoilt)
			}
			return last
		}, want: said{argument, "the data is sealed to another key than this one, or was changed since"}},
	}
	for i := range rows {
		rows[i].at = sealing
	}
	return append(rows, hostile{name: "sealed data to a server without a key",
		attack: asks(`{"id":3,"action":"bank.Bank/Safe","token":TOKEN,"sealed":true,"data":"x"}`),
		want:   said{precondition, `action "bank.Bank/Safe" is sealed: there is no key of the other side to seal its data to`}})
}

// sealer is somebody who speaks the JSON form and seals.
type sealer struct {
	*speaker
	id int
}

// sealer shakes hands, with a key for replies or without.
func (a *attacker) sealer(withKey bool) *sealer {
	a.Helper()
	nc, key := a.connect(), ""
	if withKey {
		key = base64.StdEncoding.EncodeToString(publicDER(testKeys().client.N, testKeys().client.E))
	}
	nc.write(`{"action":"handShake","data":{"version":1,"publicKey":"` + key + `"}}`)
	return &sealer{&speaker{nc, *nc.read().Token}, 3}
}

// seals returns a message that is sealed for the next call, with another header.
func (s *sealer) seals(to *rsa.PublicKey, change map[jose.HeaderKey]any) string {
	return s.forge(to, `"hello"`, change)
}

func (s *sealer) forge(to *rsa.PublicKey, text string, change map[jose.HeaderKey]any) string {
	header := map[jose.HeaderKey]any{
		"act": safeSpec.Action, "dir": "request", "ses": seal.SessionHash(s.token), "call": s.id,
		"iat": time.Now().Unix(), "jti": newJTI(),
	}
	for name, value := range change {
		header[name] = value
	}
	return forge(s.t, to, text, header)
}

// newJTI returns a random id as sealed data has one.
func newJTI() string { return base64.RawURLEncoding.EncodeToString([]byte(rand.Text()[:16])) }

// sends calls the sealed action.
func (s *sealer) sends(sealed string) said {
	return s.asks(fmt.Sprintf(`{"id":%d,"action":"bank.Bank/Safe","token":TOKEN,"sealed":true,"data":"%s"}`, s.id, sealed))
}

// sendsSealed is an attack by sealed data.
func sendsSealed(make func(*sealer) string) func(*attacker) said {
	return func(a *attacker) said {
		s := a.sealer(true)
		return s.sends(make(s))
	}
}

// sealsAs is an attack by a packet that calls the sealed action.
func sealsAs(rest string) func(*attacker) said {
	return func(a *attacker) said {
		return a.sealer(true).asks(`{"id":3,"action":"bank.Bank/Safe","token":TOKEN,` + rest + `}`)
	}
}
