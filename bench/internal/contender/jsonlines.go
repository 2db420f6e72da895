package contender

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
)

// jsonLines is what one writes by hand with encoding/json: a line for each
// request and each reply, matched by their ids, on one connection. It is the
// floor of the JSON form.
type jsonLines struct{}

func (jsonLines) Info() Info {
	return Info{Name: "floor: JSON lines", Kind: Floor, About: "a line protocol written by hand with `encoding/json`, calls matched by ids on one connection"}
}

// jsonMessage is a request or a reply.
type jsonMessage struct {
	ID     uint64 `json:"id"`
	Action string `json:"action,omitempty"`
	Data   []byte `json:"data"`
}

const jsonAction = "echo"

// jsonPipe is either end of a connection.
type jsonPipe struct {
	conn    net.Conn
	decoder *json.Decoder

	mu      sync.Mutex // of the encoder
	encoder *json.Encoder
}

func newJSONPipe(conn net.Conn) *jsonPipe {
	return &jsonPipe{conn: conn, decoder: json.NewDecoder(bufio.NewReader(conn)), encoder: json.NewEncoder(conn)}
}

// send writes a line at once.
func (p *jsonPipe) send(message *jsonMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.encoder.Encode(message)
}

// Start handles each request in a goroutine of its own.
func (jsonLines) Start(listener net.Listener, _ Settings) (Server, error) {
	return serveConns(listener, func(conn net.Conn) {
		pipe := newJSONPipe(conn)
		var handlers sync.WaitGroup
		defer handlers.Wait()
		for {
			var request jsonMessage
			if err := pipe.decoder.Decode(&request); err != nil {
				return
			}
			handlers.Go(func() {
				if request.Action != jsonAction {
					return
				}
				// Where the caller is gone nobody waits for the reply.
				_ = pipe.send(&jsonMessage{ID: request.ID, Data: request.Data})
			})
		}
	}), nil
}

func (jsonLines) Dial(ctx context.Context, address string, _ Settings) (Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &jsonConn{jsonPipe: newJSONPipe(raw), waiting: make(map[uint64]chan []byte), done: make(chan struct{})}
	go c.receive()
	return c, nil
}

// jsonConn is a Conn.
type jsonConn struct {
	*jsonPipe
	done chan struct{} // closed when nothing is received any more

	waitingMu sync.Mutex
	lastID    uint64
	waiting   map[uint64]chan []byte // the calls that wait, by their ids
}

func (c *jsonConn) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

func (c *jsonConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	id, reply := c.begin()
	if err := c.send(&jsonMessage{ID: id, Action: jsonAction, Data: data}); err != nil {
		return nil, err
	}
	select {
	case got := <-reply:
		return got, nil
	case <-c.done:
		return nil, errors.New("the connection has ended")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin makes an id, and where the reply to it will come.
func (c *jsonConn) begin() (uint64, chan []byte) {
	reply := make(chan []byte, 1)
	c.waitingMu.Lock()
	defer c.waitingMu.Unlock()
	c.lastID++
	c.waiting[c.lastID] = reply
	return c.lastID, reply
}

// end returns where the reply goes, or nil.
func (c *jsonConn) end(id uint64) chan []byte {
	c.waitingMu.Lock()
	defer c.waitingMu.Unlock()
	reply := c.waiting[id]
	delete(c.waiting, id)
	return reply
}

// receive hands the replies out.
func (c *jsonConn) receive() {
	defer close(c.done)
	for {
		var message jsonMessage
		if err := c.decoder.Decode(&message); err != nil {
			return
		}
		if reply := c.end(message.ID); reply != nil {
			reply <- message.Data
		}
	}
}
