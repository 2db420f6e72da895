package conn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// link is how two ends are connected.
type link int

const (
	overBinary link = iota
	overJSON
	overTLS // the binary form, encrypted
)

// links is all of them.
func links() []link { return []link{overBinary, overJSON, overTLS} }

func (l link) String() string { return [...]string{"binary", "json", "tls"}[l] }

func (l link) form() packet.Form {
	if l == overJSON {
		return packet.JSON
	}
	return packet.Binary
}

// open connects two Openings that have exchanged a first packet.
func (l link) open(t testing.TB) (dialled, accepted *conn.Opening) {
	t.Helper()
	client, server := loopback(t)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		var err error
		if l == overTLS {
			dialled, err = conn.OpenEncrypted(client, &tls.Config{InsecureSkipVerify: true}, l.form(), conn.NewWorkers())
		} else {
			dialled = conn.Open(client, l.form(), conn.NewWorkers())
		}
		if err == nil {
			err = dialled.Send(&packet.Packet{Action: "handShake"})
		}
		if err != nil {
			t.Error(err)
			client.Close()
		}
	})
	accepted, err := conn.Accept(server, certified(), conn.NewWorkers())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := accepted.Receive(); err != nil || p.Action != "handShake" {
		t.Fatal(p, err)
	}
	if _, encrypted := accepted.TLS(); encrypted != (l == overTLS) {
		t.Fatalf("encrypted: %t", encrypted)
	}
	return dialled, accepted
}

// loopback returns both ends of a TCP connection.
func loopback(t testing.TB) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// certified returns what a server needs for TLS.
var certified = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
})
