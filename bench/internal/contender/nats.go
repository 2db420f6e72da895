package contender

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsRequest is request-reply over NATS. The server process runs the broker and
// a responder, which is connected to it as any client is.
type natsRequest struct{}

const natsSubject = "echo"

func (natsRequest) Info() Info {
	return Info{Name: "NATS", Kind: Peer, Module: "github.com/nats-io/nats-server/v2", About: "request-reply; the broker and the responder share the server process, and calls pass through both"}
}

// Start gives the listener's port to the broker, which only listens itself.
func (natsRequest) Start(listener net.Listener, _ Settings) (Server, error) {
	address := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil {
		return nil, err
	}
	broker, err := server.NewServer(&server.Options{Host: address.IP.String(), Port: address.Port, NoSigs: true, NoLog: true})
	if err != nil {
		return nil, err
	}
	broker.Start()
	s := &natsServer{broker: broker}
	if !broker.ReadyForConnections(10 * time.Second) {
		return nil, errors.Join(errors.New("the broker does not listen"), s.Stop())
	}
	if s.responder, err = respond(broker.ClientURL()); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// respond connects a responder.
func respond(url string) (*nats.Conn, error) {
	responder, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	_, err = responder.Subscribe(natsSubject, func(message *nats.Msg) {
		// Where the caller is gone nobody waits for the reply.
		_ = message.Respond(message.Data)
	})
	if err == nil {
		err = responder.Flush()
	}
	if err != nil {
		responder.Close()
		return nil, err
	}
	return responder, nil
}

func (natsRequest) Dial(_ context.Context, address string, _ Settings) (Conn, error) {
	conn, err := nats.Connect("nats://" + address)
	if err != nil {
		return nil, err
	}
	return &natsConn{conn: conn}, nil
}

type natsServer struct {
	broker    *server.Server
	responder *nats.Conn
}

func (s *natsServer) Stop() error {
	if s.responder != nil {
		s.responder.Close()
	}
	s.broker.Shutdown()
	s.broker.WaitForShutdown()
	return nil
}

type natsConn struct {
	conn *nats.Conn
}

func (c *natsConn) Close() error {
	c.conn.Close()
	return nil
}

func (c *natsConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	// RequestWithContext asks for a context that can end.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reply, err := c.conn.RequestWithContext(ctx, natsSubject, data)
	if err != nil {
		return nil, err
	}
	return reply.Data, nil
}
