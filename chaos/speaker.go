package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// tied is a connection that is closed when a context ends.
type tied struct {
	*net.TCPConn
	untie func() bool
}

// dialFrom connects to an address from one of this machine's, 127.0.0.N.
func dialFrom(ctx context.Context, source int, address string) (*tied, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(source))}}
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &tied{nc.(*net.TCPConn), context.AfterFunc(ctx, func() { nc.Close() })}, nil
}

func (t *tied) Close() error {
	t.untie()
	return t.TCPConn.Close()
}

// speaker is somebody who has shaken hands in the binary form, and now writes what it
// likes.
type speaker struct {
	*tied
	in    *bufio.Reader
	token string
	id    uint64 // of its last call
}

// shake connects and shakes hands.
func shake(ctx context.Context, source int, address, name string) (*speaker, error) {
	nc, err := dialFrom(ctx, source, address)
	if err != nil {
		return nil, err
	}
	s := &speaker{tied: nc, in: bufio.NewReader(nc), id: 1}
	if err := s.shakeHands(name); err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

func (s *speaker) shakeHands(name string) error {
	s.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := s.Write(handshakeBytes(name)); err != nil {
		return err
	}
	size, err := binary.ReadUvarint(s.in)
	if err != nil {
		return err
	}
	body := make([]byte, min(size, packet.MaxBeforeHandshake))
	if _, err := io.ReadFull(s.in, body); err != nil {
		return err
	}
	p := new(packet.Packet)
	if err := packet.ParseBinary(p, body); err != nil {
		return err
	}
	answer, err := session.ParseAnswer(packet.Binary, p)
	if err != nil {
		return err
	}
	s.token = answer.Token.Reveal()
	return s.SetDeadline(time.Time{})
}

// handshakeBytes returns the first bytes of a connection, with limits that let the
// server send without end.
func handshakeBytes(name string) []byte {
	request, err := session.NewRequest(packet.Binary, &packetrpcv1.HandshakeRequest{
		Username: name,
		Limits: &packetrpcv1.Limits{
			MaxMessageSize:   math.MaxUint64,
			CallWindow:       math.MaxUint64,
			ConnectionWindow: math.MaxUint64,
			MaxOpenCalls:     math.MaxUint32,
			MaxActionNumbers: math.MaxUint32,
		},
	})
	if err != nil {
		panic(fmt.Sprint("a handshake of constants: ", err))
	}
	return packet.AppendBinary([]byte(packet.Preface), request)
}

// call appends the packet that opens another call.
func (s *speaker) call(dst []byte, p packet.Packet) []byte {
	s.id += 2
	p.CallID = s.id
	return packet.AppendBinary(dst, &p)
}
