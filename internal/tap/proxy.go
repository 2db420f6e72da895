package tap

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

const (
	// defaultQueueSize is how many bytes of packets may wait to be decoded.
	defaultQueueSize = 32 << 20
	// pieceSize is what a packet in the queue takes beside its bytes.
	pieceSize = 200
	// dialTimeout is how long connecting to the server may take.
	dialTimeout = 10 * time.Second
	// tlsTimeout is how long both TLS handshakes of a connection may take, as at a server.
	tlsTimeout = 5 * time.Second
	// acceptPause follows a connection that could not be accepted, for want of files.
	acceptPause = 50 * time.Millisecond
)

// Proxy stands between clients and a server. For each connection that it accepts it opens
// one to the server, copies what both sides send, and makes events of it.
//
// With Key and ServerTLS it ends TLS on both sides, where a client begins with it. What is
// inside is copied unchanged with one exception: where the server's answer to the handshake
// tells a key to seal data to that is not Key, the client does not get to see it, as it
// would take it for an attack. Clients' own keys cannot be passed on: the server sees
// clients without keys.
//
// The fields must not be changed any more while the proxy serves.
type Proxy struct {
	// Server is the address of the server, "host:port" or "unix:/path".
	Server string
	// Key is the key that clients know the proxy by; nil passes TLS on unread.
	Key *rsa.PrivateKey
	// ServerTLS is how TLS to the server begins, as seal.ClientTLS makes it of a pin. Key
	// needs it.
	ServerTLS *tls.Config
	// AllowPlaintext passes on what is not encrypted also to servers beyond this machine,
	// and from clients there.
	AllowPlaintext bool
	// Decoding is how packets are made events of.
	Decoding

	queueSize int // 0 is defaultQueueSize; tests have less
}

// Listen listens at an address, "host:port" or "unix:/path". The error is coded.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network, where := splitAddress(address)
	listener, err := new(net.ListenConfig).Listen(ctx, network, where)
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeUnavailable, "cannot listen at %s: %w", address, err)
	}
	return listener, nil
}

// splitAddress takes an address apart into what package net wants.
func splitAddress(address string) (network, where string) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		return "unix", path
	}
	return "tcp", address
}

// Serve accepts connections until the context ends, or the listener fails. Then it closes
// the listener and all connections, and returns when show has had the last event. It
// returns nil when the context has ended, and a coded error otherwise.
//
// show is called by one goroutine at a time, with the events in the order in which they
// happened. While it takes its time events wait in a queue; those that do not fit are
// counted, and an event of the kind [KindMissed] takes their place. It may keep events.
func (p *Proxy) Serve(ctx context.Context, listener net.Listener, show func(*Event)) error {
	defer listener.Close()
	s, err := p.newService(listener)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var decoding sync.WaitGroup
	decoding.Go(func() { decode(s.pieces, newDecoder(newDescriber(p.Decoding), show)) })
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	err = s.accept(ctx, listener)
	stop()
	if ctx.Err() != nil {
		err = nil
	}
	cancel()
	s.links.Wait()
	s.pieces.close()
	decoding.Wait()
	return err
}

// decode makes events of pieces until there are no more.
func decode(pieces *queue[piece], d *decoder) {
	for batch := pieces.take(); batch != nil; batch = pieces.take() {
		for _, next := range batch {
			if next.lost != nil {
				d.missed(next.lost, time.Now())
			} else {
				d.handle(next.item)
			}
		}
	}
}

// service is a proxy at work.
type service struct {
	*Proxy
	network, address string
	clientTLS        *tls.Config // nil without a key
	pieces           *queue[piece]
	links            sync.WaitGroup
}

func (p *Proxy) newService(listener net.Listener) (*service, error) {
	s := &service{Proxy: p, pieces: newQueue[piece](cmp.Or(p.queueSize, defaultQueueSize))}
	s.network, s.address = splitAddress(p.Server)
	var err error
	switch {
	case p.Key == nil && !p.AllowPlaintext && !local(listener.Addr()):
		err = packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
			"%s is open to other machines, and what passes need not be encrypted: listen on 127.0.0.1, give the tap a key (--key), or say that it is meant so (--allow-plaintext)", listener.Addr())
	case p.Key != nil && p.ServerTLS == nil:
		err = packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a tap with a key must know the server by its key, too (--server-key)")
	case p.Key != nil:
		s.clientTLS, err = seal.ServerTLS(p.Key)
	}
	return s, err
}

// local reports whether an address leads nowhere beyond this machine.
func local(address net.Addr) bool {
	if tcp, isTCP := address.(*net.TCPAddr); isTCP {
		return tcp.IP.IsLoopback()
	}
	return address.Network() != "tcp"
}

// accept accepts connections until that fails.
func (s *service) accept(ctx context.Context, listener net.Listener) error {
	for number := 1; ; number++ {
		near, err := listener.Accept()
		if err == nil {
			s.links.Go(func() { s.forward(ctx, near, number) })
			continue
		}
		number--
		var passing interface{ Temporary() bool }
		if !errors.As(err, &passing) || !passing.Temporary() || ctx.Err() != nil {
			return packetrpc.Errorf(packetrpc.CodeUnavailable, "%s accepts no more connections: %w", listener.Addr(), err)
		}
		select {
		case <-time.After(acceptPause):
		case <-ctx.Done():
		}
	}
}
