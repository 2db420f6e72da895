package contender

import (
	"context"
	"net"
	"net/rpc"
	"sync"
)

// netRPC is net/rpc of the standard library.
type netRPC struct{}

func (netRPC) Info() Info {
	return Info{Name: "net/rpc", Kind: Peer, About: "of the standard library, with gob"}
}

func (netRPC) Start(listener net.Listener, _ Settings) (Server, error) {
	server := rpc.NewServer()
	if err := server.RegisterName("EchoService", NetRPCHandler{}); err != nil {
		return nil, err
	}
	return serveConns(listener, func(conn net.Conn) { server.ServeConn(conn) }), nil
}

func (netRPC) Dial(ctx context.Context, address string, _ Settings) (Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &netRPCConn{Client: rpc.NewClient(raw)}, nil
}

// NetRPCMessage is the request and the reply. It and the handler are exported
// because net/rpc asks for that.
type NetRPCMessage struct {
	Data []byte
}

// NetRPCHandler serves them.
type NetRPCHandler struct{}

// Echo returns the data.
func (NetRPCHandler) Echo(request *NetRPCMessage, reply *NetRPCMessage) error {
	reply.Data = request.Data
	return nil
}

// Take returns the size of the data.
func (NetRPCHandler) Take(request *NetRPCMessage, reply *int) error {
	*reply = len(request.Data)
	return nil
}

// netRPCConn is a Conn and a Taker.
type netRPCConn struct {
	*rpc.Client
}

func (c *netRPCConn) Echo(_ context.Context, data []byte) ([]byte, error) {
	var reply NetRPCMessage
	err := c.Call("EchoService.Echo", &NetRPCMessage{Data: data}, &reply)
	return reply.Data, err
}

func (c *netRPCConn) Take(_ context.Context, data []byte) (int, error) {
	var reply int
	err := c.Call("EchoService.Take", &NetRPCMessage{Data: data}, &reply)
	return reply, err
}

// connServer accepts connections for contenders that do not do so themselves.
type connServer struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]struct{} // those open
	stopped bool
}

// serveConns runs serve for each connection, which is closed afterwards.
func serveConns(listener net.Listener, serve func(net.Conn)) *connServer {
	s := &connServer{listener: listener, conns: make(map[net.Conn]struct{})}
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if !s.add(conn) {
				conn.Close()
				return
			}
			s.running.Go(func() {
				defer s.remove(conn)
				serve(conn)
			})
		}
	})
	return s
}

func (s *connServer) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.conns[conn] = struct{}{}
	}
	return !s.stopped
}

func (s *connServer) remove(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *connServer) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for conn := range s.conns {
		conn.Close()
	}
}

// Stop closes the listener and all connections.
func (s *connServer) Stop() error {
	err := s.listener.Close()
	s.closeAll()
	s.running.Wait()
	return err
}
