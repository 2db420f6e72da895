package contender

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
)

// These floors are no frameworks: they echo frames, a length of four bytes and
// the data, and do nothing else. They show what the machine and Go's net package
// allow.

const frameHeader = 4

// appendFrame appends the data as a frame.
func appendFrame(buffer, data []byte) []byte {
	buffer = binary.BigEndian.AppendUint32(buffer, uint32(len(data)))
	return append(buffer, data...)
}

// readFrame reads a frame into buffer, which it grows, and returns its data.
func readFrame(reader io.Reader, buffer []byte) ([]byte, error) {
	if cap(buffer) < frameHeader {
		buffer = make([]byte, frameHeader)
	}
	if _, err := io.ReadFull(reader, buffer[:frameHeader]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(buffer[:frameHeader]))
	if cap(buffer) < size {
		buffer = make([]byte, size)
	}
	_, err := io.ReadFull(reader, buffer[:size])
	return buffer[:size], err
}

// echoFrames answers each frame, and flushes when no other is there yet.
func echoFrames(conn net.Conn, bufferSize int) {
	reader := bufio.NewReaderSize(conn, bufferSize)
	writer := bufio.NewWriterSize(conn, bufferSize)
	var data, frame []byte
	for {
		var err error
		if data, err = readFrame(reader, data); err != nil {
			return
		}
		frame = appendFrame(frame[:0], data)
		if _, err := writer.Write(frame); err != nil {
			return
		}
		if reader.Buffered() > 0 {
			continue
		}
		if err := writer.Flush(); err != nil {
			return
		}
	}
}

// ping is the floor of latency: each caller has a connection and writes one frame
// at a time.
type ping struct{}

// pingBuffer is the read buffer and the write buffer of a connection.
const pingBuffer = 2 << 10

func (ping) Info() Info {
	return Info{Name: "floor: ping", Kind: Floor, PerCaller: true, About: "framed echo, one connection for each caller"}
}

func (ping) Start(listener net.Listener, _ Settings) (Server, error) {
	return serveConns(listener, func(conn net.Conn) { echoFrames(conn, pingBuffer) }), nil
}

func (ping) Dial(ctx context.Context, address string, _ Settings) (Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &pingConn{Conn: raw, reader: bufio.NewReaderSize(raw, pingBuffer)}, nil
}

type pingConn struct {
	net.Conn
	reader *bufio.Reader
	frame  []byte
	data   []byte
}

// Echo returns data that the next call overwrites.
func (c *pingConn) Echo(_ context.Context, data []byte) ([]byte, error) {
	c.frame = appendFrame(c.frame[:0], data)
	if _, err := c.Write(c.frame); err != nil {
		return nil, err
	}
	var err error
	c.data, err = readFrame(c.reader, c.data)
	return c.data, err
}

// window is the floor of throughput: one goroutine at each end and batches on one
// connection.
type window struct{}

// windowBuffer is the read buffer and the write buffer of a connection.
const windowBuffer = 256 << 10

func (window) Info() Info {
	return Info{Name: "floor: window", Kind: Floor, NoCalls: true, About: "framed echo in batches on one connection; no call API, so callers stands for frames on their way"}
}

func (window) Start(listener net.Listener, _ Settings) (Server, error) {
	return serveConns(listener, func(conn net.Conn) { echoFrames(conn, windowBuffer) }), nil
}

func (window) Dial(ctx context.Context, address string, _ Settings) (Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &windowConn{pingConn{Conn: raw, reader: bufio.NewReaderSize(raw, windowBuffer)}}, nil
}

// windowConn is a Conn and a Windower.
type windowConn struct {
	pingConn
}

// Window reads while another goroutine writes, since what is on its way may be
// more than the kernel's buffers hold.
func (c *windowConn) Window(data []byte, inFlight int, done func() bool, count func(int)) error {
	// A grant is a number of frames to write.
	grants := make(chan int, inFlight)
	written := make(chan error, 1)
	go func() { written <- c.writeWindow(data, inFlight, grants) }()
	err := c.readWindow(inFlight, done, count, grants)
	close(grants)
	if err != nil {
		c.Close() // the writer must not wait for a server that does not read
		<-written
		return err
	}
	return <-written
}

// writeWindow writes as many frames as it is granted, all that are granted at
// once in one write.
func (c *windowConn) writeWindow(data []byte, inFlight int, grants <-chan int) error {
	frame := appendFrame(nil, data)
	var batch []byte
	for range inFlight {
		batch = append(batch, frame...)
	}
	for grant := range grants {
		for len(grants) > 0 {
			grant += <-grants
		}
		if _, err := c.Write(batch[:grant*len(frame)]); err != nil {
			return err
		}
	}
	return nil
}

// readWindow grants anew what has come back, until done; then it reads the rest.
func (c *windowConn) readWindow(inFlight int, done func() bool, count func(int), grants chan<- int) error {
	grants <- inFlight
	outstanding := inFlight
	for outstanding > 0 {
		batch := 0
		for batch == 0 || c.reader.Buffered() > 0 && batch < outstanding {
			var err error
			if c.data, err = readFrame(c.reader, c.data); err != nil {
				return err
			}
			batch++
		}
		count(batch)
		if done() {
			outstanding -= batch
		} else {
			grants <- batch
		}
	}
	return nil
}
