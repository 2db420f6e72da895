package client

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// checkKeys refuses options about keys that do not go together.
func (o *options) checkKeys() error {
	ways := 0
	for _, given := range []bool{o.pin != nil, o.tls != nil, o.sealingTo != nil} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"client.WithServerKey, client.WithTLS and client.WithSealingTo are ways to know the server: give one of them")
	case ways == 0 && o.key != nil:
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"client.WithKey is of no use without client.WithServerKey, client.WithTLS or client.WithSealingTo")
	case o.key != nil:
		return seal.CheckKey(&o.key.PublicKey)
	}
	return nil
}

// encryption returns how a connection is encrypted; nil is not at all.
func (o *options) encryption(address string) (*tls.Config, error) {
	switch {
	case o.pin != nil:
		return seal.ClientTLS(o.pin, address, o.key)
	case o.tls == nil:
		return nil, nil
	}
	config := setup.TLS(o.tls)
	if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	if o.key != nil {
		certificate, err := seal.Certificate(o.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// open begins the connection, encrypted if that is wanted.
func (o *options) open(nc net.Conn, to address, workers *conn.Workers) (*conn.Opening, error) {
	if to.encryption == nil {
		return conn.Open(nc, o.form, workers), nil
	}
	return conn.OpenEncrypted(nc, to.encryption, o.form, workers)
}

// sealing returns what data is sealed and opened with.
func (o *options) sealing(opening *conn.Opening, answer session.Answer) conn.Sealing {
	sealing := conn.Sealing{Opener: o.opener, To: answer.SealTo}
	_, sealing.Encrypted = opening.TLS()
	return sealing
}

// encryptionError says in words why there is no encrypted connection. A pin says it
// itself.
func encryptionError(ctx context.Context, address string, err error) error {
	var coded *packetrpc.Error
	var noTLS tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case errors.As(err, &coded):
		return coded
	case ctx.Err() != nil:
		return contextError(ctx, "the TLS handshake with "+address)
	case errors.As(err, &noTLS):
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "%s does not encrypt (server.WithKey): %w", address, err)
	case errors.As(err, &alert) && alert.Op == "remote error":
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "%s refused the TLS handshake: %w", address, err)
	}
	return packetrpc.Errorf(packetrpc.CodeUnavailable, "the TLS handshake with %s failed: %w", address, err)
}

// pinError is what a pin says of the server's key, for the client to be told as it is.
type pinError struct{ error }

func (p *pinError) Unwrap() error { return p.error }

// sealRequest seals the handshake to the server's key, which it returns.
func (o *options) sealRequest(opening *conn.Opening, address string, request *packet.Packet) (*rsa.PublicKey, error) {
	reply, err := exchange(opening, session.NewChallengeRequest())
	if err != nil {
		return nil, err
	}
	challenge, key, err := session.ParseChallengeAnswer(o.form, reply)
	if err != nil {
		return nil, err
	}
	if err := o.sealingTo.Verify(address, key); err != nil {
		return nil, &pinError{err}
	}
	return key, session.SealRequest(o.form, request, challenge, key)
}

// keyToSealTo returns the key that the server has told, if it is proven to be the
// server's: known is the one that the client has sealed to.
func (o *options) keyToSealTo(opening *conn.Opening, told, known *rsa.PublicKey) (*rsa.PublicKey, error) {
	state, encrypted := opening.TLS()
	if o.pin != nil {
		known = seal.PeerKey(state)
	}
	switch {
	case !encrypted && known == nil:
		return nil, nil // nobody has proved whose it is
	case known != nil && told != nil && !seal.SameKey(told, known):
		return nil, packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "the server wants data to be sealed to another key than its own")
	}
	return told, nil
}
