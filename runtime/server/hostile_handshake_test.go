//go:build linux

package server_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// beforeHandshake are attacks by those who do not get so far.
func beforeHandshake() []hostile {
	const overlong = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"
	body := strings.Repeat("\x00", packet.MaxBeforeHandshake)
	return []hostile{
		{name: "nothing is sent", attack: sends(), want: said{"deadline_exceeded", "the handshake took more than 2s"}},
		{name: "one byte at a time", attack: dribbles, want: said{"deadline_exceeded", "the handshake took more than 2s"}},
		{name: "half-open sockets of one address", attack: opensHalf(150, 1), want: said{closed, ""}},
		{name: "half-open sockets of many addresses", attack: opensHalf(90, 4), want: said{closed, ""}, shutsOut: true},
		{name: "handshakes that are cut off", attack: cutsOff, want: said{answered, ""}},
		{name: "HTTP", attack: sends("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), want: said{refused, `this is a packetrpc server; 'G' begins neither a JSON packet nor the binary form`}},
		{name: "SSH", attack: sends("SSH-2.0-OpenSSH_9.6\r\n"), want: said{refused, `'S' begins neither a JSON packet nor the binary form`}},
		{name: "NUL bytes", attack: sends(body), want: said{refused, `'\x00' begins neither a JSON packet nor the binary form`}},
		{name: "TLS to a plaintext server", attack: sends("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"), want: said{refused, "this server does not speak TLS; connect in plaintext"}},
		{name: "preface of another version", attack: sends("\xf5pkt\x02"), want: said{refused, "version 2 of the binary form is not spoken here, but version 1"}},
		{name: "preface of something else", attack: sends("\xf5PKT\x01"), want: said{refused, `is not its preface`}},
		{name: "length of 2^53", attack: sends(packet.Preface, "\x80\x80\x80\x80\x80\x80\x80\x10", body), want: said{"resource_exhausted", "packet of 9007199254740992 bytes exceeds the limit of 4096"}},
		{name: "length of 2^63", attack: sends(packet.Preface, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), want: said{"invalid_argument", "the length of a packet is not a number up to 2^53"}},
		{name: "length of ten bytes that overflows", attack: sends(packet.Preface, overlong), want: said{"invalid_argument", "the length of a packet is not a number up to 2^53"}},
		{name: "packet of 4097 bytes", attack: sends(packet.Preface, "\x81\x20", body, "\x00"), want: said{"resource_exhausted", "packet of 4097 bytes exceeds the limit of 4096"}},
		{name: "JSON packet of 4097 bytes", attack: shakesWith(`"` + strings.Repeat("x", 4097-32) + `"`), want: said{"resource_exhausted", "packet exceeds the limit of 4096 bytes"}},
		{name: "binary garbage", attack: sends(packet.Preface, "\x05\xff\xff\xff\xff\xff"), want: said{"invalid_argument", "malformed packet: not protobuf"}},
		{name: "JSON garbage", attack: sends(`{]`), want: said{"invalid_argument", "not JSON: ']' closes what another bracket opened"}},
		{name: "handshake nested 600 deep", attack: shakesWith(strings.Repeat("[", 600)), want: said{"invalid_argument", "nested deeper than 512"}},
		{name: "handshake in parts", attack: sendsBinary(&packet.Packet{Action: "handShake", More: true, Data: []byte{8, 1}}), want: said{"invalid_argument", "a handshake is one packet"}},
		{name: "handshake that is no request", attack: sends(`{"action":"handShake","kind":"one-way"}`), want: said{"invalid_argument", `a handshake is a request, not a packet of kind "one-way"`}},
		{name: "handshake twice", attack: shakesTwice, want: said{"unimplemented", `action "handShake" is not served here`}},
		{name: "sixteen packets and no handshake", attack: neverShakes, want: said{"unauthenticated", "a connection begins with a handshake"}},
		{name: "call before the handshake", attack: sendsBinary(&packet.Packet{CallID: 3, Action: lookSpec.Action}), want: said{"unauthenticated", "a connection begins with a handshake"}},
		{name: "version of the protocol that is not spoken", attack: shakesWith(`{"version":7}`), want: said{"failed_precondition", "this server speaks version 1 of the protocol, not 7"}},
	}
}

// credentialRows are attacks by what a handshake says.
func credentialRows() []hostile {
	k := testKeys()
	der := func(modulus *big.Int, exponent int) string {
		return base64.StdEncoding.EncodeToString(publicDER(modulus, exponent))
	}
	key := func(encoded string) func(*attacker) said {
		return shakesWith(`{"version":1,"publicKey":"` + encoded + `"}`)
	}
	right := publicDER(k.client.N, k.client.E)
	huge := new(big.Int).SetBit(big.NewInt(1), 16383, 1)
	even := new(big.Int).SetBit(k.client.N, 0, 0)
	invalid := func(data []byte) *packet.Packet { return &packet.Packet{Action: "handShake", Data: data} }
	return []hostile{
		{name: "username of 257 bytes", attack: shakesWith(`{"username":"` + strings.Repeat("e", 257) + `"}`), want: said{"invalid_argument", "the username has 257 bytes; it may have 256"}},
		{name: "username with an escape sequence", attack: shakesWith(`{"username":"\u001b[2J"}`), want: said{"invalid_argument", "the username has the control character U+001B"}},
		{name: "username that is not UTF-8", attack: shakesWith("{\"username\":\"\xff\"}"), want: said{"invalid_argument", "malformed packet: not UTF-8"}},
		{name: "binary username that is not UTF-8", attack: sendsBinary(invalid([]byte{8, 1, 18, 1, 0xff})), want: said{"invalid_argument", "invalid UTF-8"}},
		{name: "data of a handshake that is a list", attack: shakesWith(`[1,2]`), want: said{"invalid_argument", "the handshake's data"}},
		{name: "password that is a number", attack: shakesWith(`{"username":"eve","password":` + secretNumber + `}`), want: said{"invalid_argument", `the handshake's data: it is not of the form {"username":"NAME","password":"PASSWORD"}, with strings`}},
		{name: "unknown user", at: guarded, attack: shakesWith(`{"username":"nobody","password":"x"}`), want: said{"unauthenticated", "the name or the password is wrong"}},
		{name: "wrong password", at: guarded, attack: shakesWith(`{"username":"boss","password":"x"}`), want: said{"unauthenticated", "the name or the password is wrong"}},
		{name: "no password", at: guarded, attack: shakesWith(`{"username":"boss"}`), want: said{"unauthenticated", "the name or the password is wrong"}},
		{name: "password of 3 KiB", at: guarded, attack: shakesWith(`{"username":"boss","password":"` + strings.Repeat("x", 3<<10) + `"}`), want: said{"unauthenticated", "the name or the password is wrong"}},
		{name: "roles in the handshake", at: guarded, attack: claimsRoles, want: said{"permission_denied", `action bank.Bank/Transfer needs the role "teller"`}},
		{name: "flood of wrong passwords", at: guarded, attack: guesses, want: said{"resource_exhausted", "too many failed handshakes from this address; try again in"}},
		{name: "public key of 16384 bits", at: sealing, attack: key(der(huge, 65537)), want: said{"invalid_argument", "an RSA key of 16384 bits is too large: it has at most 8192"}},
		{name: "public key with an even modulus", at: sealing, attack: key(der(even, 65537)), want: said{"invalid_argument", "the modulus of an RSA key is positive and odd; this one is not"}},
		{name: "public key with the exponent 1", at: sealing, attack: key(der(k.client.N, 1)), want: said{"invalid_argument", "the exponent of an RSA key is an odd number from 3"}},
		{name: "public key with bytes behind it", at: sealing, attack: key(base64.StdEncoding.EncodeToString(append(right, 0))), want: said{"invalid_argument", "trailing data"}},
		{name: "public key that is none", at: sealing, attack: key("AAAA"), want: said{"invalid_argument", "the handshake's public key"}},
	}
}

// publicDER encodes a key that need not be sound.
func publicDER(modulus *big.Int, exponent int) []byte {
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: modulus, E: exponent})
	if err != nil {
		panic(err)
	}
	return der
}

// dribbles sends a byte now and then, for longer than a handshake may take.
func dribbles(a *attacker) said {
	nc := a.connect()
	ticker := time.NewTicker(handshakeTime / 50)
	defer ticker.Stop()
	heard := make(chan said, 1)
	go func() { heard <- hears(nc) }()
	for {
		select {
		case got := <-heard:
			return got
		case <-ticker.C:
			nc.Write([]byte(" ")) // fails in the end
		}
	}
}

// opensHalf opens sockets from some addresses and sends nothing, and returns what the
// last one hears.
func opensHalf(count, addresses int) func(*attacker) said {
	return func(a *attacker) said {
		var last *raw
		for i := range count * addresses {
			ip := slices.Clone(a.from.To4())
			ip[1] = byte(i % addresses)
			last = a.connectFrom(net.IP(ip))
		}
		return hears(last)
	}
}

// cutsOff begins handshakes and resets the connections.
func cutsOff(a *attacker) said {
	for i := range 300 {
		nc := a.connect()
		nc.Write([]byte(`{"action":"handShake"}`[:i%23])) // fails where there are too many
		nc.Conn.(*net.TCPConn).SetLinger(0)
		nc.Close()
	}
	return said{answered, ""}
}

func shakesTwice(a *attacker) said {
	nc := a.connect()
	token := nc.shake()
	nc.write(`{"action":"handShake","data":{"username":"boss"},"token":"` + token + `"}`)
	return hears(nc)
}

func neverShakes(a *attacker) said {
	nc := a.connect()
	nc.write(strings.Repeat(`{"action":"bank.Bank/Look"}`, 100))
	for range 15 {
		hears(nc)
	}
	last := hears(nc)
	if after := hears(nc); after.status != closed {
		a.Errorf("after the sixteenth: %v", after)
	}
	return last
}

// claimsRoles says in every way that it has a role.
func claimsRoles(a *attacker) said {
	nc := a.connect()
	nc.write(`{"action":"handShake","metadata":{"roles":"teller"},"roles":["teller"],"data":{"username":"eve",
		"password":"eve's secret","version":1,"roles":["teller","admin"],"identity":{"name":"boss"}}}`)
	s := &speaker{nc, *nc.read().Token}
	return s.asks(`{"id":3,"action":"bank.Bank/Transfer","metadata":{"roles":"teller"},"token":TOKEN}`)
}

// guesses tries passwords, many at once, and in the end knows the right one.
func guesses(a *attacker) said {
	var tries []*raw
	for i := range 30 {
		nc := a.connect()
		nc.write(fmt.Sprintf(`{"action":"handShake","data":{"username":"boss","password":"guess %d"}}`, i))
		tries = append(tries, nc)
	}
	for _, nc := range tries {
		if got := hears(nc); got.status != "unauthenticated" && got.status != "resource_exhausted" {
			a.Errorf("a guess is answered by %v", got)
		}
	}
	return shakesWith(`{"username":"boss","password":"boss's secret"}`)(a)
}

// sealedHandshakes are attacks by sealed handshakes.
func sealedHandshakes() []hostile {
	k := testKeys()
	const precondition, argument = "failed_precondition", "invalid_argument"
	// with sends a sealed handshake that is made for a challenge.
	with := func(make func(a *attacker, challenge string) string) func(*attacker) said {
		return func(a *attacker) said {
			nc := a.connect()
			return shakesSealed(nc, make(a, asksChallenge(nc)))
		}
	}
	return []hostile{
		{name: "sealed handshake without a challenge", at: sealing, want: said{precondition, "a sealed handshake is bound to a challenge, which CoreChallenge returns for one handshake"},
			attack: func(a *attacker) said { return shakesSealed(a.connect(), sealHandshake(a.T, &k.server.PublicKey, "x")) }},
		{name: "sealed handshake with an older challenge", at: sealing, want: said{precondition, "another challenge"},
			attack: func(a *attacker) said {
				nc := a.connect()
				older := asksChallenge(nc)
				asksChallenge(nc)
				return shakesSealed(nc, sealHandshake(a.T, &k.server.PublicKey, older))
			}},
		{name: "sealed handshake with another's challenge", at: sealing, want: said{precondition, "another challenge"},
			attack: with(func(a *attacker, _ string) string {
				return sealHandshake(a.T, &k.server.PublicKey, asksChallenge(a.connect()))
			})},
		{name: "sealed handshake that is replayed", at: sealing, want: said{precondition, "another challenge"},
			attack: with(func(a *attacker, _ string) string {
				nc := a.connect()
				good := sealHandshake(a.T, &k.server.PublicKey, asksChallenge(nc))
				if got := shakesSealed(nc, good); got.status != answered {
					a.Errorf("the first time: %v", got)
				}
				return good
			})},
		{name: "sealed handshake to another key", at: sealing, want: said{argument, "the data is sealed to another key than this one, or was changed since"},
			attack: with(func(a *attacker, challenge string) string {
				return sealHandshake(a.T, &k.other.PublicKey, challenge)
			})},
		{name: "sealed handshake that is cut off", at: sealing, want: said{argument, "five parts"},
			attack: with(func(a *attacker, challenge string) string {
				return sealHandshake(a.T, &k.server.PublicKey, challenge)[:500]
			})},
		{name: "sealed handshake that is an object", at: sealing, want: said{argument, "sealed data is a JSON string"},
			attack: func(a *attacker) said {
				nc := a.connect()
				asksChallenge(nc)
				nc.write(`{"action":"handShake","sealed":true,"data":{"password":"secret"}}`)
				return hears(nc)
			}},
		{name: "sealed handshake to a server without a key", want: said{precondition, "this server has no key to seal to (server.WithKey)"},
			attack: func(a *attacker) said { return shakesSealed(a.connect(), sealHandshake(a.T, &k.server.PublicKey, "x")) }},
		{name: "challenge of a server without a key", want: said{precondition, "this server has no key to seal to (server.WithKey)"},
			attack: sends(`{"action":"CoreChallenge"}`)},
		{name: "challenges without end", at: sealing, want: said{"unauthenticated", "a connection begins with a handshake"},
			attack: func(a *attacker) said {
				nc := a.connect()
				for range 15 {
					asksChallenge(nc)
				}
				nc.write(`{"action":"CoreChallenge"}`)
				return hears(nc)
			}},
	}
}

// asksChallenge returns what a sealed handshake is to be bound to.
func asksChallenge(nc *raw) string {
	nc.t.Helper()
	nc.write(`{"action":"CoreChallenge"}`)
	p := nc.read()
	challenge, _ := p.field("challenge").(string)
	if challenge == "" {
		nc.t.Fatalf("no challenge but %+v", p)
	}
	return challenge
}

func shakesSealed(nc *raw, sealed string) said {
	nc.write(`{"action":"handShake","sealed":true,"data":"` + sealed + `"}`)
	return hears(nc)
}

func sealHandshake(t *testing.T, to *rsa.PublicKey, challenge string) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{"version": 1, "username": "eve"})
	if err != nil {
		t.Fatal(err)
	}
	return forge(t, to, string(data), map[jose.HeaderKey]any{
		"act": "handShake", "dir": string(seal.Request), "chl": challenge, "iat": time.Now().Unix(), "jti": newJTI(),
	})
}
