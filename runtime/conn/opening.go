package conn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Opening is a connection before its handshake has succeeded: one goroutine
// exchanges single packets of at most [packet.MaxBeforeHandshake] bytes on it.
// Deadlines are the caller's to set, on the net.Conn. Its Workers lend what it
// reads into, and so do they when it has become a Conn.
type Opening struct {
	nc      net.Conn
	form    packet.Form
	in      *reader
	preface string // still to be sent
}

// Open begins a connection that this side has dialled. The binary form's preface
// goes out with the first packet.
func Open(nc net.Conn, form packet.Form, workers *Workers) *Opening {
	o := &Opening{nc: nc, form: form, in: newReader(nc, workers, form)}
	if form == packet.Binary {
		o.preface = packet.Preface
	}
	return o
}

// OpenEncrypted begins a connection that this side has dialled with a TLS
// handshake. The error is that of the handshake, which the config may have caused.
func OpenEncrypted(nc net.Conn, config *tls.Config, form packet.Form, workers *Workers) (*Opening, error) {
	e, err := encrypt(nc, config, true, nil, workers)
	if err != nil {
		return nil, err
	}
	o := Open(nc, form, workers)
	o.in.encryption = e
	return o, nil
}

// Accept begins a connection that the other side has dialled. It waits for the
// first bytes, which tell the form (PROTOCOL section 2), and reads the preface. If
// they begin a TLS handshake, it shakes hands with config, unless that is nil.
// When they are nothing that packetrpc speaks, it has told the other side so in a
// line, and returns an [*packetrpc.Error] of [packetrpc.CodeInvalidArgument].
//
// With an error it returns the Opening as far as it has come, by which the other
// side can be told; one whose form is not known yet speaks JSON, which a person can
// read.
func Accept(nc net.Conn, config *tls.Config, workers *Workers) (*Opening, error) {
	o := &Opening{nc: nc, form: packet.JSON, in: newReader(nc, workers, packet.JSON)}
	if err := o.in.fill(); err != nil {
		return o, openingError(err)
	}
	if o.in.unread()[0] == tlsHandshake && config != nil {
		if err := o.acceptTLS(config); err != nil {
			return o, err
		}
	}
	switch first := o.in.unread()[0]; {
	case strings.IndexByte("{ \t\r\n", first) >= 0:
		return o, nil
	case first == packet.Preface[0]:
		return o, o.readPreface()
	case first == tlsHandshake && config == nil:
		return o, o.refuse("this server does not speak TLS; connect in plaintext")
	default:
		return o, o.refuse(fmt.Sprintf("this is a packetrpc server; %q begins neither a JSON packet nor the binary form", first))
	}
}

// tlsHandshake is the first byte of a TLS handshake.
const tlsHandshake = 0x16

// acceptTLS shakes hands by TLS and waits for the first bytes inside.
func (o *Opening) acceptTLS(config *tls.Config) error {
	head := bytes.Clone(o.in.unread())
	o.in.drop()
	e, err := encrypt(o.nc, config, false, head, o.in.lender)
	if err != nil {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the TLS handshake failed: %w", err)
	}
	o.in.encryption = e
	if err := o.in.fill(); err != nil {
		return openingError(err)
	}
	return nil
}

func (o *Opening) readPreface() error {
	for len(o.in.unread()) < len(packet.Preface) {
		if err := o.in.fill(); err != nil {
			return openingError(err)
		}
	}
	preface := string(o.in.unread()[:len(packet.Preface)])
	name, version := preface[:len(preface)-1], preface[len(preface)-1]
	switch {
	case name != packet.Preface[:len(name)]:
		return o.refuse(fmt.Sprintf("this is a packetrpc server; %q is not its preface", preface))
	case version != packet.Version:
		return o.refuse(fmt.Sprintf("version %d of the binary form is not spoken here, but version %d", version, packet.Version))
	}
	o.in.start += len(packet.Preface)
	o.form = packet.Binary
	o.in.splitter = newSplitter(packet.Binary)
	return nil
}

// refuse tells a stranger, who may be a person, why there is no connection.
func (o *Opening) refuse(reason string) error {
	_ = o.write(fmt.Appendf(nil, "packetrpc: %s\n", reason))
	return packetrpc.NewError(packetrpc.CodeInvalidArgument, errors.New(reason))
}

// Form returns how packets are written.
func (o *Opening) Form() packet.Form { return o.form }

// TLS returns what is known of the TLS connection, and whether there is one.
func (o *Opening) TLS() (state tls.ConnectionState, encrypted bool) {
	if o.in.encryption != nil {
		return o.in.encryption.tls.ConnectionState(), true
	}
	if foreign, ok := o.nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return foreign.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

// Receive waits for the next packet, whose slices are valid until the next call.
// The error is an [*packetrpc.Error]: [packetrpc.CodeUnavailable] when the
// connection ended or its deadline passed, [packetrpc.CodeInvalidArgument] when
// what came is no packet, [packetrpc.CodeResourceExhausted] when it is too large.
func (o *Opening) Receive() (*packet.Packet, error) {
	for {
		body, err := o.in.next()
		if err != nil {
			return nil, splitError(err)
		}
		if body != nil {
			p := &o.in.packet
			if err := packet.Parse(o.form, p, body); err != nil {
				return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "malformed packet: %w", err)
			}
			return p, nil
		}
		if err := o.in.fill(); err != nil {
			return nil, openingError(err)
		}
	}
}

// Send sends a packet in one write.
func (o *Opening) Send(p *packet.Packet) error {
	err := o.write(packet.Append(o.form, []byte(o.preface), p))
	o.preface = ""
	if err != nil {
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "writing failed: %w", err)
	}
	return nil
}

func (o *Opening) write(bytes []byte) error {
	if o.in.encryption != nil {
		return o.in.encryption.write(bytes, o.writeRaw)
	}
	return o.writeRaw(bytes)
}

func (o *Opening) writeRaw(bytes []byte) error {
	_, err := o.nc.Write(bytes)
	return err
}

// CloseWrite tells the other side that nothing more comes, and reports whether the
// connection has a way to tell it.
func (o *Opening) CloseWrite() bool {
	if o.in.encryption != nil && o.in.encryption.closeWrite(o.writeRaw) != nil {
		return false
	}
	half, ok := o.nc.(halfCloser)
	return ok && half.CloseWrite() == nil
}

func openingError(err error) error {
	if errors.Is(err, io.EOF) {
		return packetrpc.Errorf(packetrpc.CodeUnavailable, "the other side closed the connection before the handshake was done: %w", err)
	}
	return packetrpc.Errorf(packetrpc.CodeUnavailable, "reading failed: %w", err)
}

func splitError(err error) *packetrpc.Error {
	var oversized *packet.OversizedError
	if errors.As(err, &oversized) {
		return packetrpc.NewError(packetrpc.CodeResourceExhausted, err)
	}
	return packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
}
