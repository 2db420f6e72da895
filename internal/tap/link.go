package tap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// readSize is how much is read and passed on at once.
const readSize = 16 << 10

// tlsHandshake is the first byte of a TLS handshake.
const tlsHandshake = 0x16

// link is a connection through the proxy.
type link struct {
	*service
	number  int
	began   time.Time
	opening opening
	near    net.Conn   // to the client
	far     net.Conn   // to the server
	sockets []net.Conn // the same without TLS
	answer  *answer    // what the server's answer to the handshake must not say; nil for none

	ending sync.Once
	by     Side // who has ended the connection first; zero is the tap

	fromClient, fromServer int64
}

// forward joins a connection to one to the server until both have ended.
func (s *service) forward(ctx context.Context, near net.Conn, number int) {
	l := &link{service: s, number: number, began: time.Now(), near: near}
	defer near.Close()
	stop := context.AfterFunc(ctx, func() { near.Close() })
	defer stop()
	if err := l.connect(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("the tap ends")
		}
		l.emit(piece{event: &Event{Kind: KindFailed, Message: failure(err), Notes: l.about()}})
		return
	}
	l.emit(piece{event: &Event{Kind: KindConnected, Notes: l.about()}})
	stopAll := context.AfterFunc(ctx, func() { l.end(0) })
	defer stopAll()
	var copying sync.WaitGroup
	copying.Go(func() { l.copy(Client, l.near, l.far, &l.fromClient) })
	copying.Go(func() { l.copy(Server, l.far, l.near, &l.fromServer) })
	copying.Wait()
	l.end(0)
	l.emit(piece{from: l.by, event: &Event{Kind: KindClosed, Closed: &Closed{
		By: l.by, Duration: secondsOf(time.Since(l.began)), FromClient: l.fromClient, FromServer: l.fromServer,
	}}})
}

// about says whose connection it is.
func (l *link) about() (notes []string) {
	if address := l.near.RemoteAddr(); address.Network() == "tcp" {
		notes = append(notes, "from "+address.String())
	}
	encrypted, isEncrypted := l.near.(*tls.Conn)
	if !isEncrypted {
		return notes
	}
	notes = append(notes, "encrypted")
	if key := seal.PeerKey(encrypted.ConnectionState()); key != nil {
		notes = append(notes, "the client's key "+seal.Fingerprint(key)+" cannot be passed on: the server sees a client without a key")
	}
	return notes
}

// failure returns an error in words, without its code if it has one.
func failure(err error) string {
	var coded *packetrpc.Error
	if errors.As(err, &coded) {
		return coded.Message
	}
	return err.Error()
}

// emit hands a piece to the decoder.
func (l *link) emit(p piece) {
	p.at, p.connection = time.Now(), l.number
	size := 0
	if p.event == nil {
		size = len(p.body) + pieceSize
		p.body = bytes.Clone(p.body)
	}
	l.pieces.put(p, l.number, size)
}

// connect opens the connection to the server, and TLS on both sides if the client begins
// with it.
func (l *link) connect(ctx context.Context) (err error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if l.far, err = new(net.Dialer).DialContext(dialing, l.network, l.address); err != nil {
		return err
	}
	l.sockets = []net.Conn{l.near, l.far}
	encrypted := false
	if l.clientTLS != nil {
		encrypted, err = l.encrypt(ctx)
	}
	if err == nil && !encrypted && !l.AllowPlaintext && !(local(l.far.RemoteAddr()) && local(l.near.LocalAddr())) {
		err = errors.New("what the client sends would leave this machine without encryption: let it encrypt (--key, --server-key), or say that it is meant so (--allow-plaintext)")
	}
	if err != nil {
		l.end(0)
	}
	return err
}

// encrypt looks whether the client begins with TLS, and then ends it on both sides. The
// server comes first, so that a client is not let in when its pin refuses.
func (l *link) encrypt(ctx context.Context) (encrypted bool, err error) {
	deadline := time.Now().Add(tlsTimeout)
	l.near.SetDeadline(deadline)
	l.far.SetDeadline(deadline)
	var first [1]byte
	if _, err := io.ReadFull(l.near, first[:]); err != nil {
		return false, fmt.Errorf("nothing has come from the client: %w", err)
	}
	l.near = &begun{Conn: l.near, head: first[:]}
	if first[0] == tlsHandshake {
		if err := l.handshakes(ctx); err != nil {
			return false, err
		}
	}
	l.near.SetDeadline(time.Time{})
	l.far.SetDeadline(time.Time{})
	return first[0] == tlsHandshake, nil
}

// handshakes shakes hands by TLS with both sides.
func (l *link) handshakes(ctx context.Context) error {
	far := tls.Client(l.far, l.ServerTLS)
	if err := far.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("the TLS handshake with the server failed: %w", err)
	}
	near := tls.Server(l.near, l.clientTLS)
	if err := near.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("the TLS handshake with the client failed: %w; it must know the tap by the key %s", err, seal.Fingerprint(&l.Key.PublicKey))
	}
	l.near, l.far = near, far
	l.answer = &answer{opening: &l.opening, own: &l.Key.PublicKey}
	return nil
}

// begun is a connection of which the beginning has been read.
type begun struct {
	net.Conn
	head []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

// NetConn returns the connection below.
func (b *begun) NetConn() net.Conn { return b.Conn }

// copy passes on what one side sends. Packets are cut before they are passed on, so that
// no answer is decoded before what it answers.
func (l *link) copy(from Side, in, out net.Conn, total *int64) {
	cutter := &cutter{from: from, opening: &l.opening, emit: l.emit}
	buffer := make([]byte, readSize)
	for {
		n, err := in.Read(buffer)
		*total += int64(n)
		cutter.write(buffer[:n])
		pass := buffer[:n]
		if from == Server && l.answer != nil {
			pass = l.answer.pass(pass, err != nil)
		}
		if len(pass) > 0 {
			if _, failed := out.Write(pass); failed != nil {
				l.end(from.other())
				break
			}
		}
		if err == io.EOF {
			l.ending.Do(func() { l.by = from })
			closeWrite(out)
			break
		}
		if err != nil {
			l.end(from)
			break
		}
	}
	cutter.end()
}

// end closes the connections to both sides.
func (l *link) end(by Side) {
	l.ending.Do(func() { l.by = by })
	for _, socket := range l.sockets {
		socket.Close()
	}
}

// closeWrite closes the sending direction, that of TLS and that of the transport.
func closeWrite(nc net.Conn) {
	if half, can := nc.(interface{ CloseWrite() error }); can {
		half.CloseWrite()
	}
	if inside, has := nc.(interface{ NetConn() net.Conn }); has {
		closeWrite(inside.NetConn())
	}
}
