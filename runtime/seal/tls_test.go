package seal_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// clientKey is that of a client which says who it is.
var clientKey = sync.OnceValue(makeKey)

// handshake is what both sides of a handshake came to.
type handshake struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
	sent                 []byte // by the client, encrypted
}

// connect returns the two ends of a connection, which have buffers: a side that
// gives up writes while the other one does.
func connect(t *testing.T) (here, there net.Conn) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	here = must(net.Dial("tcp", listener.Addr().String()))
	return here, must(listener.Accept())
}

// shake holds a handshake and, where it succeeds, lets the server send a
// byte, as only then the client hears what the server thinks of its certificate.
func shake(t *testing.T, server, client *tls.Config) handshake {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	here, there := connect(t)
	defer here.Close()
	defer there.Close()
	recorder := &recorder{Conn: here}
	clientSide, serverSide := tls.Client(recorder, client), tls.Server(there, server)
	var result handshake
	served := make(chan struct{})
	go func() {
		defer close(served)
		if result.serverErr = serverSide.HandshakeContext(ctx); result.serverErr == nil {
			result.server = serverSide.ConnectionState()
			_, result.serverErr = serverSide.Write([]byte("!"))
		}
		there.Close()
	}()
	if result.clientErr = clientSide.HandshakeContext(ctx); result.clientErr == nil {
		_, result.clientErr = io.ReadFull(clientSide, make([]byte, 1))
		result.client = clientSide.ConnectionState()
	}
	here.Close()
	<-served
	result.sent = recorder.written.Bytes()
	return result
}

// recorder keeps what is written.
type recorder struct {
	net.Conn
	written bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.written.Write(p)
	return r.Conn.Write(p)
}

func serverTLS(t *testing.T, key *rsa.PrivateKey) *tls.Config {
	t.Helper()
	config, err := seal.ServerTLS(key)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func clientTLS(t *testing.T, pin seal.Pin, key *rsa.PrivateKey) *tls.Config {
	t.Helper()
	config, err := seal.ClientTLS(pin, address, key)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestHandshake(t *testing.T) {
	pin := seal.PinKey(&serverKey().PublicKey)
	for name, key := range map[string]*rsa.PrivateKey{"client without a key": nil, "client with a key": clientKey()} {
		t.Run(name, func(t *testing.T) {
			got := shake(t, serverTLS(t, serverKey()), clientTLS(t, pin, key))
			if got.clientErr != nil || got.serverErr != nil {
				t.Fatalf("client: %v, server: %v", got.clientErr, got.serverErr)
			}
			if !seal.SameKey(seal.PeerKey(got.client), &serverKey().PublicKey) {
				t.Error("the client sees another key than the server's")
			}
			seen := seal.PeerKey(got.server)
			if key == nil && seen != nil || key != nil && !seal.SameKey(seen, &key.PublicKey) {
				t.Error("the server sees another key than the client's")
			}
			if got.client.Version != tls.VersionTLS13 || got.client.DidResume || got.client.NegotiatedProtocol != "packetrpc" || got.server.ServerName != "" {
				t.Errorf("the connection is %+v", got.client)
			}
		})
	}
}

// Other programs, which do not name the protocol, are shown the key itself, and ours a
// key that it vouches for.
func TestWhichKeyIsShown(t *testing.T) {
	config := clientTLS(t, seal.PinKey(&serverKey().PublicKey), nil)
	ours := shake(t, serverTLS(t, serverKey()), config)
	if len(ours.client.PeerCertificates) != 2 || ours.client.PeerCertificates[0].PublicKeyAlgorithm != x509.ECDSA {
		t.Errorf("ours are shown %d certificates", len(ours.client.PeerCertificates))
	}
	config.NextProtos = nil
	others := shake(t, serverTLS(t, serverKey()), config)
	if others.clientErr != nil || len(others.client.PeerCertificates) != 1 || others.client.PeerCertificates[0].PublicKeyAlgorithm != x509.RSA {
		t.Errorf("others are shown %d certificates, %v", len(others.client.PeerCertificates), others.clientErr)
	}
}

// A key is vouched for by the key that has signed for it, and by none that is merely
// shown beside it. Certificates of authorities vouch for nobody.
func TestForgedDelegation(t *testing.T) {
	genuine, err := serverTLS(t, serverKey()).GetCertificate(&tls.ClientHelloInfo{SupportedProtos: []string{"packetrpc"}})
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := serverTLS(t, clientKey()).GetCertificate(&tls.ClientHelloInfo{SupportedProtos: []string{"packetrpc"}})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := x509.ParseCertificate(genuine.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	quick, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	unmarked, err := x509.CreateCertificate(rand.Reader, template, owner, quick.Public(), serverKey())
	if err != nil {
		t.Fatal(err)
	}
	pin := seal.PinKey(&serverKey().PublicKey)
	for name, shown := range map[string]tls.Certificate{
		"signed by another key":      {Certificate: [][]byte{impostor.Certificate[0], genuine.Certificate[1]}, PrivateKey: impostor.PrivateKey},
		"of another key":             *impostor,
		"not marked":                 {Certificate: [][]byte{unmarked, genuine.Certificate[1]}, PrivateKey: quick},
		"without its owner":          {Certificate: genuine.Certificate[:1], PrivateKey: genuine.PrivateKey},
		"without the delegated key":  {Certificate: genuine.Certificate, PrivateKey: impostor.PrivateKey},
		"owner first, without a key": {Certificate: [][]byte{genuine.Certificate[1], genuine.Certificate[0]}, PrivateKey: clientKey()},
	} {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{shown}, NextProtos: []string{"packetrpc"}}
			if got := shake(t, config, clientTLS(t, pin, nil)); got.clientErr == nil {
				t.Error("the client trusts it")
			}
		})
	}
}

func TestCertificate(t *testing.T) {
	certificates := make(map[string]bool)
	for range 3 {
		made, err := seal.Certificate(serverKey())
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(made.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		certificates[leaf.SerialNumber.String()] = true
		if got := leaf.Subject.CommonName; got != seal.Fingerprint(&serverKey().PublicKey) {
			t.Errorf("it is made out to %q", got)
		}
		if begun := time.Since(leaf.NotBefore); begun < 23*time.Hour || begun > 25*time.Hour || leaf.NotAfter.Year() != 9999 {
			t.Errorf("it is valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
		}
		if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 2 {
			t.Errorf("it may do other things than it should: %+v", leaf)
		}
	}
	if len(certificates) != 3 {
		t.Error("certificates share a serial number")
	}
}

// With a wrong key the client sends nothing after its hello but an alert: neither
// its certificate nor any data.
func TestWrongServerKeyFailsBeforeAnythingIsSent(t *testing.T) {
	file := write(t, spkiOf(&serverKey().PublicKey))
	hosts := write(t, "[chat.example]:25565 "+sshOf(&serverKey().PublicKey))
	refusal := errors.New("the person said no")
	for name, pin := range map[string]seal.Pin{
		"fingerprint": seal.PinFingerprint(seal.Fingerprint(&serverKey().PublicKey)),
		"key":         seal.PinKey(&serverKey().PublicKey),
		"file":        seal.PinKeyFile(file),
		"known_hosts": seal.PinKnownHosts(hosts, accept),
		"first use": seal.PinKnownHosts(filepath.Join(t.TempDir(), "none"), func(string, *rsa.PublicKey) error {
			return refusal
		}),
	} {
		t.Run(name, func(t *testing.T) {
			server := serverTLS(t, impostorKey())
			asked := false
			server.VerifyConnection = func(tls.ConnectionState) error {
				asked = true
				return nil
			}
			server.ClientAuth = tls.RequireAnyClientCert
			got := shake(t, server, clientTLS(t, pin, clientKey()))
			var coded *packetrpc.Error
			if !errors.As(got.clientErr, &coded) || coded.Code != packetrpc.CodeUnauthenticated {
				t.Errorf("the client failed with %v", got.clientErr)
			}
			check(t, got.clientErr, packetrpc.CodeUnauthenticated, address, seal.Fingerprint(&impostorKey().PublicKey))
			if name == "first use" && !errors.Is(got.clientErr, refusal) {
				t.Errorf("%v does not wrap what the caller said", got.clientErr)
			}
			if got.serverErr == nil || !strings.Contains(got.serverErr.Error(), "bad certificate") || asked {
				t.Errorf("the server came to see a certificate, or failed with %v", got.serverErr)
			}
			if sizes := recordSizes(t, got.sent); len(sizes) < 2 || sizes[len(sizes)-1] > 64 || len(sizes) > 3 {
				t.Errorf("the client sent records of %v bytes, want a hello and an alert", sizes)
			}
		})
	}
}

// recordSizes returns the lengths of the TLS records in sent.
func recordSizes(t *testing.T, sent []byte) []int {
	t.Helper()
	var sizes []int
	for len(sent) > 0 {
		if len(sent) < 5 || len(sent) < 5+int(sent[3])<<8+int(sent[4]) {
			t.Fatal("the client sent part of a record")
		}
		size := int(sent[3])<<8 + int(sent[4])
		sizes, sent = append(sizes, size), sent[5+size:]
	}
	return sizes
}

// certified returns a configuration with a certificate of any key.
func certified(t *testing.T, public, private any, change func(*x509.Certificate)) *tls.Config {
	t.Helper()
	template := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		InsecureSkipVerify: true,
	}
}

func TestHostileServers(t *testing.T) {
	elliptic256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	anyPin := anyKey(func(string, *rsa.PublicKey) error { return nil })
	old := serverTLS(t, serverKey())
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	mixedUp := certified(t, &serverKey().PublicKey, serverKey(), nil)
	mixedUp.Certificates[0].PrivateKey = impostorKey()
	for _, test := range []struct {
		name   string
		server *tls.Config
		pin    seal.Pin
		want   string
	}{
		{"EC key", certified(t, &elliptic256.PublicKey, elliptic256, nil), anyPin, "has no RSA key"},
		{"small key", certified(t, &smallKey().PublicKey, smallKey(), nil), anyPin, "1024 bits is too small"},
		{"TLS 1.2", old, anyPin, "protocol version not supported"},
		{"the certificate of another", mixedUp, seal.PinKey(&serverKey().PublicKey), "invalid signature"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := shake(t, test.server, clientTLS(t, test.pin, nil))
			if got.clientErr == nil || !strings.Contains(got.clientErr.Error(), test.want) {
				t.Errorf("the client failed with %v, want %q", got.clientErr, test.want)
			}
		})
	}
}

// anyKey is a pin from elsewhere.
type anyKey func(string, *rsa.PublicKey) error

func (f anyKey) Verify(address string, key *rsa.PublicKey) error { return f(address, key) }

func TestHostileClients(t *testing.T) {
	elliptic256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	old := certified(t, &clientKey().PublicKey, clientKey(), nil)
	old.MaxVersion = tls.VersionTLS12
	mixedUp := certified(t, &clientKey().PublicKey, clientKey(), nil)
	mixedUp.Certificates[0].PrivateKey = impostorKey()
	for _, test := range []struct {
		name   string
		client *tls.Config
		want   string // "" is a client that is let in
	}{
		{"any certificate", certified(t, &clientKey().PublicKey, clientKey(), nil), ""},
		{"expired certificate", certified(t, &clientKey().PublicKey, clientKey(), func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Unix(0, 0), time.Unix(1, 0)
		}), ""},
		{"no certificate", &tls.Config{InsecureSkipVerify: true}, ""},
		{"EC key", certified(t, &elliptic256.PublicKey, elliptic256, nil), "has no RSA key"},
		{"small key", certified(t, &smallKey().PublicKey, smallKey(), nil), "1024 bits is too small"},
		{"TLS 1.2", old, "unsupported versions"},
		{"the certificate of another", mixedUp, "invalid signature"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := shake(t, serverTLS(t, serverKey()), test.client)
			if test.want == "" && (got.serverErr != nil || got.clientErr != nil) {
				t.Errorf("client: %v, server: %v", got.clientErr, got.serverErr)
			}
			if test.want != "" && (got.serverErr == nil || !strings.Contains(got.serverErr.Error(), test.want) || got.clientErr == nil) {
				t.Errorf("client: %v, server: %v, want %q", got.clientErr, got.serverErr, test.want)
			}
		})
	}
}

// A client that remembers sessions is given none to resume.
func TestNoResumption(t *testing.T) {
	server := serverTLS(t, serverKey())
	client := clientTLS(t, seal.PinKey(&serverKey().PublicKey), clientKey())
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	client.SessionTicketsDisabled = false
	client.ServerName = "chat.example"
	for range 3 {
		if got := shake(t, server, client); got.clientErr != nil || got.client.DidResume {
			t.Errorf("resumed: %t, error: %v", got.client.DidResume, got.clientErr)
		}
	}
}

func TestUnsoundIdentities(t *testing.T) {
	pin := seal.PinKey(&serverKey().PublicKey)
	wrong := &rsa.PrivateKey{PublicKey: serverKey().PublicKey, D: impostorKey().D, Primes: serverKey().Primes}
	for want, key := range map[string]*rsa.PrivateKey{"there is no RSA key": {}, "too small": smallKey(), "wrong in itself": wrong} {
		_, err := seal.ServerTLS(key)
		check(t, err, packetrpc.CodeInvalidArgument, want)
		_, err = seal.ClientTLS(pin, address, key)
		check(t, err, packetrpc.CodeInvalidArgument, want)
	}
	_, err := seal.ServerTLS(nil)
	check(t, err, packetrpc.CodeInvalidArgument, "there is no RSA key")
	_, err = seal.ClientTLS(nil, address, nil)
	check(t, err, packetrpc.CodeInvalidArgument, "there is no pin", address)
}

func BenchmarkHandshake(b *testing.B) {
	server := must(seal.ServerTLS(serverKey()))
	for name, key := range map[string]*rsa.PrivateKey{"server's key": nil, "both keys": clientKey()} {
		client := must(seal.ClientTLS(seal.PinKey(&serverKey().PublicKey), address, key))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				here, there := net.Pipe()
				go tls.Server(there, server).Handshake()
				if err := tls.Client(here, client).Handshake(); err != nil {
					b.Fatal(err)
				}
				here.Close()
				there.Close()
			}
		})
	}
}
