package contender

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// What follows is for the contenders that encrypt, seal and ask for passwords. All
// have the same RSA key of 3072 bits, servers and clients alike.

// keyPEM is a key for this alone: the processes of a job must have the same.
//
//go:embed key.pem
var keyPEM []byte

// identity is the key with what TLS takes for it.
type identity struct {
	key         *rsa.PrivateKey
	certificate tls.Certificate
	roots       *x509.CertPool // the certificate alone
}

// sharedIdentity returns the identity, which it makes once: whoever connects again
// and again has it at hand.
var sharedIdentity = sync.OnceValues(newIdentity)

func newIdentity() (*identity, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("key.pem is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key := parsed.(*rsa.PrivateKey)
	// Nothing in it is by chance, as each process makes it anew.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &identity{key: key, certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots: roots}, nil
}

// security is how packetrpc protects what it sends.
type security struct {
	// tls encrypts connections.
	tls bool
	// password has clients shake hands with a password, which the server looks up
	// in a file of users.
	password bool
	// sealed makes Echo a sealed action.
	sealed bool
}

// suffix is what it adds to a contender's name, and about to the set-up.
func (s security) suffix() (name, about string) {
	if s.tls {
		name, about = " tls", " with `server.WithKey` and `client.WithServerKey`"
	}
	if s.password {
		name += " password"
		about += ", `server.WithAuthenticator` with `users.Open`, and `client.WithPassword`"
	}
	if !s.sealed {
		return name, about
	}
	if s.tls {
		about += " and `client.WithKey`"
	} else {
		about = " with `server.WithKey`, `server.AllowPlaintext`, `client.WithSealingTo` and `client.WithKey`"
	}
	return name + " sealed", about + "; calls are of a sealed action"
}

// serverOptions returns what the server is told. What they need is there until
// release is called.
func (s security) serverOptions() (options []server.Option, release func() error, err error) {
	release = func() error { return nil }
	if s == (security{}) {
		return nil, release, nil
	}
	id, err := sharedIdentity()
	if err != nil {
		return nil, nil, err
	}
	options = append(options, server.WithKey(id.key))
	if !s.tls {
		options = append(options, server.AllowPlaintext())
	}
	if s.password {
		var file *users.File
		if file, release, err = usersFile(); err != nil {
			return nil, nil, err
		}
		options = append(options, server.WithAuthenticator(file))
	}
	return options, release, nil
}

// clientOptions returns what the client is told.
func (s security) clientOptions() ([]client.Option, error) {
	if s == (security{}) {
		return nil, nil
	}
	id, err := sharedIdentity()
	if err != nil {
		return nil, err
	}
	know := client.WithSealingTo
	if s.tls {
		know = client.WithServerKey
	}
	options := []client.Option{know(seal.PinKey(&id.key.PublicKey))}
	if s.sealed {
		options = append(options, client.WithKey(id.key))
	}
	if s.password {
		options = append(options, client.WithPassword(user, password))
	}
	return options, nil
}

// The one in the file of users.
const (
	user     = "caller"
	password = "correct horse battery staple"
)

// usersFile makes a file of users, which remove removes.
func usersFile() (file *users.File, remove func() error, err error) {
	folder, err := os.MkdirTemp("", "packetrpc-bench-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() error { return os.RemoveAll(folder) }
	path := filepath.Join(folder, "users")
	err = users.Edit(context.Background(), path, func(t *users.Table) error { return t.Add(user, password) })
	if err == nil {
		file, err = users.Open(path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return file, remove, nil
}

// sealedEcho returns the action that does what Echo does, sealed.
func sealedEcho() *packetrpc.Spec {
	return &packetrpc.Spec{
		Action:   "echo.v1.SealedService/Echo",
		Service:  "echo.v1.SealedService",
		Method:   "Echo",
		Request:  "echo.v1.EchoRequest",
		Response: "echo.v1.EchoResponse",
		Sealed:   true,
	}
}
