package conn

import (
	"crypto/tls"
	"net"
	"sync"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	// maxTLSHandshake is how much a TLS handshake may read: more than the certificate
	// chains that are in use.
	maxTLSHandshake = 32 << 10
	// maxRecord is how much of what is written a TLS record holds, and recordOverhead
	// how much a record is larger than that.
	maxRecord      = 16 << 10
	recordOverhead = 64
)

// encryption is TLS between a connection's packets and its socket. It only turns
// bytes into others: the socket is read, waited for and written as it is without
// encryption, so that deadlines, which a TLS connection does not survive, polling and
// waiting without a buffer are the same.
type encryption struct {
	tls  *tls.Conn
	wire *wire

	// writing is held by the one who writes, so that records leave in the order in
	// which they were made.
	writing sync.Mutex
}

// encrypt shakes hands by TLS on a connection, as the dialling side or as the
// accepting one, of which head has been read already.
func encrypt(nc net.Conn, config *tls.Config, dialled bool, head []byte, lender *Workers) (*encryption, error) {
	w := &wire{Conn: nc, head: head, budget: maxTLSHandshake, lender: lender}
	e := &encryption{wire: w}
	if dialled {
		e.tls = tls.Client(w, config)
	} else {
		e.tls = tls.Server(w, config)
	}
	if err := e.tls.Handshake(); err != nil {
		return nil, err
	}
	w.open = true
	w.system = systemSocket(nc) != nil
	return e, nil
}

// write encrypts bytes and passes them to send. What a failing send leaves is lost,
// and so is the connection.
func (e *encryption) write(bytes []byte, send func([]byte) error) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.wire.expect(len(bytes) + (len(bytes)/maxRecord+1)*recordOverhead)
	if _, err := e.tls.Write(bytes); err != nil {
		return err
	}
	return e.wire.drain(send)
}

// closeWrite tells the other side that nothing more comes.
func (e *encryption) closeWrite(send func([]byte) error) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if err := e.tls.CloseWrite(); err != nil {
		return err
	}
	return e.wire.drain(send)
}

// read waits for bytes.
func (e *encryption) read(buf []byte) (int, error) { return e.tls.Read(buf) }

// tryRead decrypts what a socket has, or reports that it has nothing yet. It fills
// buf as far as it can, as a record is less than a socket may hold.
func (e *encryption) tryRead(fd uintptr, buf []byte) (n int, waits bool, err error) {
	e.wire.fd = fd
	for n < len(buf) {
		var more int
		more, err = e.tls.Read(buf[n:])
		n += more
		if err != nil {
			break
		}
	}
	switch {
	case n > 0:
		return n, false, nil // an error is there for the next time as well
	case err == errNothingYet:
		return 0, true, nil
	}
	return 0, false, err
}

// wire is what TLS takes for the network. During the handshake it is the network;
// afterwards it collects what TLS writes, and has of what TLS reads only what is there
// at once if the network is a socket of the system.
type wire struct {
	net.Conn
	head   []byte // read before it was known that TLS begins
	budget int    // how much more may be read before it is open
	open   bool   // the handshake is over
	system bool
	fd     uintptr // of the socket, while somebody reads
	lender *Workers

	// mu guards out: who reads may have to answer, too.
	mu  sync.Mutex
	out *buffer // nil for nothing
}

// Read is called by the goroutine that has the reading role.
func (w *wire) Read(b []byte) (n int, err error) {
	switch {
	case len(w.head) > 0:
		n = copy(b, w.head)
		w.head = w.head[n:]
	case w.open && w.system:
		var waits bool
		if n, waits, err = readSocket(w.fd, b); waits {
			err = errNothingYet
		}
		return n, err
	case w.open:
		return w.Conn.Read(b)
	case w.budget <= 0:
		return 0, packetrpc.Errorf(packetrpc.CodeResourceExhausted, "the TLS handshake has more than %d bytes", maxTLSHandshake)
	default:
		n, err = w.Conn.Read(b[:min(len(b), w.budget)])
	}
	w.budget -= n
	return n, err
}

// Write is called with TLS's lock on writing held.
func (w *wire) Write(b []byte) (int, error) {
	if !w.open {
		return w.Conn.Write(b)
	}
	w.expect(len(b))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.bytes = append(w.out.bytes, b...)
	return len(b), nil
}

// expect makes room for what is about to be written.
func (w *wire) expect(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		w.out = w.lender.borrow(size)
		w.out.bytes = w.out.bytes[:0]
	}
}

// drain passes what has been collected to send.
func (w *wire) drain(send func([]byte) error) error {
	w.mu.Lock()
	out := w.out
	w.out = nil
	w.mu.Unlock()
	if out == nil {
		return nil
	}
	defer w.lender.giveBack(out)
	return send(out.bytes)
}

// errNothingYet is what TLS gets to read from a socket that has nothing. As it is
// temporary, TLS keeps what it has of a record, and goes on with it next time.
var errNothingYet net.Error = nothingYet{}

type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing has arrived yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }
