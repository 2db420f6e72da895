package seal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// protocol is the name (ALPN) by which a client tells that it takes a delegated key.
const protocol = "packetrpc"

// ServerTLS returns the configuration of a server that is known by its key: TLS
// 1.3 with a certificate that is made from the key, and without session tickets.
// Clients that name the protocol "packetrpc" (ALPN), as those of [ClientTLS] do, are
// shown a key that is faster to sign with, and that the server's key vouches for.
// Clients are asked for a certificate and may have none. TLS makes sure that a client
// has the private key of the one that it shows; who it is, is left to the caller, who
// finds the key with [PeerKey]. One that has no RSA key, or one that [CheckKey]
// refuses, fails the handshake.
//
// It returns an error with [packetrpc.CodeInvalidArgument] for an unsound key. The
// configuration may be used by several servers.
func ServerTLS(key *rsa.PrivateKey) (*tls.Config, error) {
	certificate, err := Certificate(key)
	if err != nil {
		return nil, err
	}
	quick, err := delegate(key, certificate)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Certificates would come first for clients that send no server's name.
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if slices.Contains(hello.SupportedProtos, protocol) {
				return &quick, nil
			}
			return &certificate, nil
		},
		NextProtos:                  []string{protocol},
		ClientAuth:                  tls.RequestClientCert,
		VerifyConnection:            checkClient,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}, nil
}

// checkClient refuses a client that shows an unsound key.
func checkClient(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	key := PeerKey(state)
	if key == nil {
		return packetrpc.Errorf(packetrpc.CodeUnauthenticated, "the client's certificate has no RSA key")
	}
	if err := badKey(key); err != nil {
		return packetrpc.Errorf(packetrpc.CodeUnauthenticated, "the client's key is not taken: %w", err)
	}
	return nil
}

// ClientTLS returns the configuration for connections to the server at address,
// which pin knows: TLS 1.3 that resumes no session and sends no server's name. The
// server's certificate may be anybody's, as its RSA key alone decides. When pin
// refuses it the handshake fails with pin's error, before anything but the TLS
// hello is sent. A client with a key, which may be nil, then shows a certificate
// that is made from it, if the server asks.
//
// It returns an error with [packetrpc.CodeInvalidArgument] when there is no pin, or
// for an unsound key. The configuration may be used for several connections to the
// same address.
func ClientTLS(pin Pin, address string, key *rsa.PrivateKey) (*tls.Config, error) {
	if pin == nil {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "there is no pin to know the server at %s by", address)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// No authority has signed the certificate; VerifyConnection decides instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyServer(pin, address, PeerKey(state))
		},
		NextProtos:                  []string{protocol},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
	if key != nil {
		certificate, err := Certificate(key)
		if err != nil {
			return nil, err
		}
		quick, err := delegate(key, certificate)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{quick}
	}
	return config, nil
}

func verifyServer(pin Pin, address string, key *rsa.PublicKey) error {
	if key == nil {
		return packetrpc.Errorf(packetrpc.CodeUnauthenticated, "the certificate of the server at %s has no RSA key", address)
	}
	if err := badKey(key); err != nil {
		return packetrpc.Errorf(packetrpc.CodeUnauthenticated, "the key of the server at %s is not taken: %w", address, err)
	}
	return pin.Verify(address, key)
}

// PeerKey returns the RSA key in the certificate of the other side, or the one that
// vouches for the key there, or nil. That the other side has the private half is
// certain once the handshake has succeeded, not yet in a hook like VerifyConnection.
func PeerKey(state tls.ConnectionState) *rsa.PublicKey {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	shown := state.PeerCertificates[0]
	if key, isRSA := shown.PublicKey.(*rsa.PublicKey); isRSA {
		return key
	}
	if len(state.PeerCertificates) < 2 || !isDelegated(shown) {
		return nil
	}
	owner := state.PeerCertificates[1]
	key, isRSA := owner.PublicKey.(*rsa.PublicKey)
	if !isRSA || badKey(key) != nil || owner.CheckSignature(shown.SignatureAlgorithm, shown.RawTBSCertificate, shown.Signature) != nil {
		return nil
	}
	return key
}

// delegation marks a certificate whose key a key of this package vouches for. It keeps
// the certificates that an authority has signed from being taken for such.
var delegation = asn1.ObjectIdentifier{2, 25, 1370410117}

func isDelegated(certificate *x509.Certificate) bool {
	return slices.ContainsFunc(certificate.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(delegation) })
}

// delegate makes a new key of a kind that is faster to sign with, and lets key vouch
// for it. It is as good as key itself until that is not trusted any more, and lives in
// memory only.
func delegate(key *rsa.PrivateKey, own tls.Certificate) (tls.Certificate, error) {
	quick, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, packetrpc.Errorf(packetrpc.CodeInternal, "a key cannot be made: %w", err)
	}
	owner, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return tls.Certificate{}, packetrpc.Errorf(packetrpc.CodeInternal, "a certificate cannot be read: %w", err)
	}
	template := template(owner.Subject)
	template.ExtraExtensions = []pkix.Extension{{Id: delegation, Value: asn1.NullBytes}}
	template.SignatureAlgorithm = x509.SHA256WithRSAPSS
	der, err := x509.CreateCertificate(rand.Reader, template, owner, quick.Public(), key)
	if err != nil {
		return tls.Certificate{}, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "no certificate can be made from a key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, own.Certificate[0]}, PrivateKey: quick}, nil
}

// Certificate returns a certificate that says nothing but the key, for those who make
// a TLS configuration of their own. It returns an error with
// [packetrpc.CodeInvalidArgument] for an unsound key.
func Certificate(key *rsa.PrivateKey) (tls.Certificate, error) {
	if err := badPrivateKey(key); err != nil {
		return tls.Certificate{}, invalid(err)
	}
	template := template(pkix.Name{CommonName: Fingerprint(&key.PublicKey)})
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "no certificate can be made from a key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// template returns what the certificates of this package say.
func template(subject pkix.Name) *x509.Certificate {
	return &x509.Certificate{
		Subject: subject,
		// The key is trusted until its pin goes, so that no date may end a connection:
		// it begins early enough for clocks that are behind, and the end is the one
		// that stands for none (RFC 5280, 4.1.2.5).
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
}
