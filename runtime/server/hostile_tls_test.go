//go:build linux

package server_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

const encryptedOnly = "this server takes encrypted connections only (client.WithServerKey)"

// tlsRows are attacks upon the encryption, and attempts to do without.
func tlsRows() []hostile {
	return []hostile{
		{name: "plaintext in JSON", at: encrypted, attack: shakesWith(`{"version":1}`), want: said{"failed_precondition", encryptedOnly}},
		{name: "plaintext of an old program", at: encrypted, attack: shakesWith(`{"username":"eve"}`), want: said{"failed_precondition", encryptedOnly}},
		{name: "plaintext in binary", at: encrypted, attack: sendsBinary(&packet.Packet{Action: "handShake", Data: []byte{8, 1}}), want: said{"failed_precondition", encryptedOnly}},
		{name: "challenge in plaintext", at: encrypted, attack: sends(`{"action":"CoreChallenge"}`), want: said{"failed_precondition", encryptedOnly}},
		{name: "garbage that begins like TLS", at: encrypted, attack: logs("\x16" + strings.Repeat("garbage", 20)), want: said{logged, "does not look like a TLS handshake"}},
		{name: "TLS hello of 16 MiB", at: encrypted, attack: logs("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), want: said{logged, "message of length 16777215 bytes exceeds maximum"}},
		{name: "TLS hello in fragments without end", at: encrypted, attack: fragmentsHello, want: said{logged, "the TLS handshake has more than 32768 bytes"}},
		{name: "half a TLS hello", at: encrypted, attack: sends("\x16\x03\x01\x02\x00\x01"), want: said{"deadline_exceeded", "the handshake took more than 2s"}},
		{name: "TLS and then nothing", at: encrypted, attack: withinTLS(""), want: said{"deadline_exceeded", "the handshake took more than 2s"}},
		{name: "TLS 1.2", at: encrypted, attack: shakesTLS(&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}), want: said{alerted, "protocol version not supported"}},
		{name: "TLS within TLS", at: encrypted, attack: withinTLS("\x16\x03\x01\x02\x00\x01"), want: said{refused, `'\x16' begins neither a JSON packet nor the binary form`}},
		{name: "HTTP within TLS", at: encrypted, attack: withinTLS("GET / HTTP/1.1\r\n\r\n"), want: said{refused, `'G' begins neither a JSON packet nor the binary form`}},
		{name: "TLS client with an EC certificate", at: encrypted, attack: showsKey(ecKey()), want: said{logged, "the client's certificate has no RSA key"}},
		{name: "TLS client with an RSA key of 1024 bits", at: encrypted, attack: showsKey(shortKey()), want: said{logged, "the client's key is not taken: an RSA key of 1024 bits is too small"}},
		{name: "TLS client with certificates of 48 KiB", at: encrypted, attack: showsMuch, want: said{logged, "the TLS handshake has more than 32768 bytes"}},
		{name: "server that answers TLS in plaintext", at: encrypted, attack: stripsTLS, want: said{"failed_precondition", "does not encrypt (server.WithKey)"}},
	}
}

// logs is an attack by bytes that TLS does not answer in a way that can be read.
func logs(bytes string) func(*attacker) said {
	return func(a *attacker) said {
		nc := a.connect()
		nc.write(bytes)
		return hasLogged(a.T, a.log, a.from.String()+":")
	}
}

// fragmentsHello sends a TLS hello of 60 KiB in records that hold little.
func fragmentsHello(a *attacker) said {
	nc := a.connect()
	hello := []byte{1, 0, 0xf0, 0}
	for len(hello) < 40<<10 {
		hello = append(hello, make([]byte, 1<<10)...)
	}
	var records []byte
	for i := 0; i < len(hello); i += 100 {
		part := hello[i:min(i+100, len(hello))]
		records = binary.BigEndian.AppendUint16(append(records, 0x16, 3, 1), uint16(len(part)))
		records = append(records, part...)
	}
	nc.Write(records) // fails when the server has had enough
	return hasLogged(a.T, a.log, a.from.String()+":")
}

// connectTLS shakes hands by TLS.
func (a *attacker) connectTLS(config *tls.Config) (*raw, error) {
	nc := a.connect()
	config = config.Clone()
	config.InsecureSkipVerify = true
	secure := tls.Client(nc.Conn, config)
	err := secure.HandshakeContext(a.Context())
	return &raw{a.T, secure, bufio.NewReader(secure)}, err
}

func shakesTLS(config *tls.Config) func(*attacker) said {
	return func(a *attacker) said {
		_, err := a.connectTLS(config)
		return said{alerted, alertIn(err)}
	}
}

// alertIn returns the alert of the other side that an error is about.
func alertIn(err error) string {
	_, alert, _ := strings.Cut(fmt.Sprint(err), "remote error: tls: ")
	return alert
}

// withinTLS is an attack by the first bytes inside.
func withinTLS(bytes string) func(*attacker) said {
	return func(a *attacker) said {
		nc, err := a.connectTLS(new(tls.Config))
		if err != nil {
			a.Fatal(err)
		}
		nc.write(bytes)
		return hears(nc)
	}
}

// showsKey is an attack by a TLS client with a key that is not taken, which a client
// learns after its side of the handshake.
func showsKey(certificate tls.Certificate) func(*attacker) said {
	return func(a *attacker) said {
		nc, err := a.connectTLS(&tls.Config{Certificates: []tls.Certificate{certificate}})
		if err == nil {
			_, err = nc.Read(make([]byte, 1))
		}
		if alertIn(err) == "" {
			a.Errorf("the client gets %v and no alert", err)
		}
		return hasLogged(a.T, a.log, a.from.String()+":")
	}
}

func showsMuch(a *attacker) said {
	certificate := ecKey()
	for range 3 {
		certificate.Certificate = append(certificate.Certificate, make([]byte, 16<<10))
	}
	if nc, err := a.connectTLS(&tls.Config{Certificates: []tls.Certificate{certificate}}); err == nil {
		nc.Read(make([]byte, 1)) // fails when the server has had enough
	}
	return hasLogged(a.T, a.log, a.from.String()+":")
}

func ecKey() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return certify(key, &key.PublicKey)
}

var makeShortKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
})

func shortKey() tls.Certificate { return certify(makeShortKey(), makeShortKey().Public()) }

// certify makes a certificate of a key that our own functions would not take.
func certify(private, public any) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "eve"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// stripsTLS is a server that wants the client's password and has no key.
func stripsTLS(a *attacker) said {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.Fatal(err)
	}
	defer listener.Close()
	heard := make(chan string, 1)
	go func() {
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		bytes := make([]byte, 4096)
		n, _ := nc.Read(bytes)
		nc.Write([]byte(`{"action":"handShake","kind":"response","data":{"status":"success","uuid":"x","version":1},"token":"x"}`))
		more, _ := nc.Read(bytes[n:])
		heard <- string(bytes[:n+more])
	}()
	pin := seal.PinKey(&testKeys().server.PublicKey)
	c, err := client.Dial(within(a.T), listener.Addr().String(), client.WithServerKey(pin), client.WithPassword("ada-lovelace", "secret"))
	if err == nil {
		c.Close()
	}
	if all := receive(a.T, heard); strings.Contains(all, "secret") || strings.Contains(all, "ada-lovelace") {
		a.Error("credentials have been sent")
	}
	return errorSaid(err)
}
