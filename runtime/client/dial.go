package client

import (
	"context"
	"crypto/rsa"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Dial connects to a server and shakes hands with it. The address is "host:port",
// or "unix:/path" for a Unix socket.
//
// The context bounds connecting and shaking hands, which may take 10 s when it
// has no deadline; once Dial has returned it no longer matters. Errors are coded:
// unavailable when nobody answers there or what answers is no packetrpc server,
// unauthenticated when the name or the password is wrong, invalid_argument for
// options that make no sense, already_exists for actions registered twice. A server
// with another key than [WithServerKey] knows is refused by the pin's error.
func Dial(ctx context.Context, address string, opts ...Option) (*Client, error) {
	o := newOptions(opts)
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Client{changed: make(chan struct{}), options: o, load: conn.NewLoad(0, 0)}
	c.life, c.end = context.WithCancelCause(context.Background())
	for _, text := range append([]string{address}, o.addresses...) {
		where, err := o.parseAddress(text)
		if err != nil {
			return nil, err
		}
		c.addresses = append(c.addresses, where)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDialTimeout)
		defer cancel()
	}
	l, err := c.connect(ctx, 0, nil)
	if err != nil {
		return nil, err
	}
	c.adopt(l, "", false)
	return c, nil
}

// parseAddress takes an address apart, and prepares how connections to it are
// encrypted.
func (o *options) parseAddress(text string) (a address, err error) {
	a.text = text
	if a.network, a.where, err = setup.ParseAddress(text); err != nil {
		return a, err
	}
	a.encryption, err = o.encryption(text)
	return a, err
}

// establish encrypts a connection if that is wanted, and shakes hands for a link.
// before is the one whose session goes on; nil is none.
func (o *options) establish(ctx context.Context, nc net.Conn, to address, l, before *link) (*conn.Opening, error) {
	opening, err := o.open(nc, to, l.workers)
	if err != nil {
		return nil, encryptionError(ctx, to.text, err)
	}
	request, err := o.request(opening, nc.RemoteAddr(), before)
	if err != nil {
		return nil, err
	}
	var key *rsa.PublicKey
	if o.sealingTo != nil {
		if key, err = o.sealRequest(opening, to.text, request); err != nil {
			return nil, handshakeError(ctx, to.text, err)
		}
	}
	l.answer, err = shakeHands(opening, request)
	if err == nil {
		l.answer.SealTo, err = o.keyToSealTo(opening, l.answer.SealTo, key)
	}
	if err != nil {
		return nil, handshakeError(ctx, to.text, err)
	}
	return opening, nil
}

// request returns the handshake, unless it would show the password to others.
func (o *options) request(opening *conn.Opening, remote net.Addr, before *link) (*packet.Packet, error) {
	_, hidden := opening.TLS()
	hidden = hidden || o.sealingTo != nil || setup.Local(remote)
	if o.password != "" && !o.allowPlaintext && !hidden {
		return nil, packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"the connection is not encrypted and leaves this machine, so the password is not sent "+
				"(client.WithServerKey encrypts it, client.AllowPlaintextPassword sends it)")
	}
	data := &packetrpcv1.HandshakeRequest{
		Username:  o.username,
		Password:  o.password,
		Limits:    o.limits.Proto(),
		Resumable: !o.noReconnect,
	}
	if before != nil {
		data.ResumeToken = []byte(before.answer.Token.Reveal())
		data.LastSequence = before.received.Handled()
	}
	if o.key != nil {
		var err error
		if data.PublicKey, err = seal.MarshalPublicKey(&o.key.PublicKey); err != nil {
			return nil, err
		}
	}
	return session.NewRequest(o.form, data)
}

// shakeHands sends the handshake and waits for the answer.
func shakeHands(opening *conn.Opening, request *packet.Packet) (session.Answer, error) {
	reply, err := exchange(opening, request)
	if err != nil {
		return session.Answer{}, err
	}
	return session.ParseAnswer(opening.Form(), reply)
}

// exchange sends a packet and waits for the next one.
func exchange(opening *conn.Opening, p *packet.Packet) (*packet.Packet, error) {
	if err := opening.Send(p); err != nil {
		return nil, err
	}
	return opening.Receive()
}

// dialError says in words why nobody could be reached.
func dialError(ctx context.Context, address string, err error) error {
	if ended := contextError(ctx, "connecting to "+address); ended != nil {
		return ended
	}
	why := ""
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nobody listens there (connection refused)"
	case errors.Is(err, os.ErrNotExist):
		why = "there is no such socket"
	default:
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s cannot be reached: %w", address, err)
	}
	coded := packetrpc.NewError(packetrpc.CodeUnavailable, err)
	coded.Message = address + " cannot be reached: " + why
	return coded
}

// handshakeError says in words why the handshake failed.
func handshakeError(ctx context.Context, address string, err error) error {
	var coded *packetrpc.Error
	if errors.As(err, &coded) && coded.Remote() {
		return err
	}
	if ended := contextError(ctx, "the handshake with "+address); ended != nil {
		return ended
	}
	var refused *pinError
	switch {
	case errors.As(err, &refused):
		return refused.error
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s closed the connection without answering the handshake: %w", address, err)
	case errors.Is(err, session.ErrNotAnAnswer):
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s is no packetrpc server: %w", address, err)
	case coded != nil && (coded.Code == packetrpc.CodeFailedPrecondition || coded.Code == packetrpc.CodeUnavailable):
		return packetrpc.Errorf(coded.Code, "%s: %s", address, coded.Message)
	default:
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s is no packetrpc server: what it answers is no packet: %w", address, err)
	}
}

// contextError returns the error of a context that has ended, or nil.
func contextError(ctx context.Context, what string) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeOf(err), "%s: %w", what, err)
}
