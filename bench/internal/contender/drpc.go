package contender

import (
	"context"
	"errors"
	"io"
	"net"

	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcpool"
	"storj.io/drpc/drpcserver"
	"storj.io/drpc/drpcwire"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
)

// drpcPool is storj.io/drpc. A connection of its carries one call at a time, so
// a pool opens one for each concurrent call.
type drpcPool struct{}

func (drpcPool) Info() Info {
	return Info{Name: "drpc", Kind: Peer, Module: "storj.io/drpc", About: "with `drpcpool`, which opens a connection for each concurrent call"}
}

// managerOptions raises the size of messages where a cell asks for that.
func managerOptions(settings Settings) drpcmanager.Options {
	if settings.MaxMessage == 0 {
		return drpcmanager.Options{}
	}
	return drpcmanager.Options{Reader: drpcwire.ReaderOptions{MaximumBufferSize: settings.MaxMessage}}
}

func (drpcPool) Start(listener net.Listener, settings Settings) (Server, error) {
	mux := drpcmux.New()
	if err := echov1.DRPCRegisterEchoService(mux, new(drpcHandler)); err != nil {
		return nil, err
	}
	server := drpcserver.NewWithOptions(mux, drpcserver.Options{Manager: managerOptions(settings)})
	ctx, stop := context.WithCancel(context.Background())
	s := &drpcServer{stop: stop, served: make(chan error, 1)}
	go func() { s.served <- server.Serve(ctx, listener) }()
	return s, nil
}

func (drpcPool) Dial(ctx context.Context, address string, settings Settings) (Conn, error) {
	pool := drpcpool.New[string, drpcpool.Conn](drpcpool.Options{})
	conn := pool.Get(ctx, address, func(ctx context.Context, address string) (drpcpool.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return drpcconn.NewWithOptions(raw, drpcconn.Options{Manager: managerOptions(settings)}), nil
	})
	return &drpcConn{close: pool.Close, echo: echov1.NewDRPCEchoServiceClient(conn)}, nil
}

type drpcServer struct {
	stop   context.CancelFunc
	served chan error
}

func (s *drpcServer) Stop() error {
	s.stop()
	return <-s.served
}

type drpcHandler struct {
	echov1.DRPCEchoServiceUnimplementedServer
}

func (*drpcHandler) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Data: request.GetData()}, nil
}

func (*drpcHandler) Take(_ context.Context, request *echov1.TakeRequest) (*echov1.TakeResponse, error) {
	return &echov1.TakeResponse{Size: uint32(len(request.GetData()))}, nil
}

func (*drpcHandler) Download(request *echov1.DownloadRequest, stream echov1.DRPCEchoService_DownloadStream) error {
	return sendAll(request, stream.Send)
}

func (*drpcHandler) Upload(stream echov1.DRPCEchoService_UploadStream) error {
	count, err := receiveAll(stream.Recv)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&echov1.UploadResponse{Count: uint32(count)})
}

func (*drpcHandler) PingPong(stream echov1.DRPCEchoService_PingPongStream) error {
	return answerAll(stream.Recv, stream.Send)
}

// drpcConn is a Conn, a Streamer and a Taker.
type drpcConn struct {
	close func() error
	echo  echov1.DRPCEchoServiceClient
}

func (c *drpcConn) Close() error { return c.close() }

func (c *drpcConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	reply, err := c.echo.Echo(ctx, &echov1.EchoRequest{Data: data})
	return reply.GetData(), err
}

func (c *drpcConn) Take(ctx context.Context, data []byte) (int, error) {
	reply, err := c.echo.Take(ctx, &echov1.TakeRequest{Data: data})
	return int(reply.GetSize()), err
}

func (c *drpcConn) Upload(ctx context.Context, data []byte, count int) (int, error) {
	stream, err := c.echo.Upload(ctx)
	if err != nil {
		return 0, err
	}
	if err := uploadAll(data, count, stream.Send); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	reply, err := stream.CloseAndRecv()
	return int(reply.GetCount()), err
}

func (c *drpcConn) Download(ctx context.Context, size, count int) (int, error) {
	stream, err := c.echo.Download(ctx, &echov1.DownloadRequest{Size: uint32(size), Count: uint32(count)})
	if err != nil {
		return 0, err
	}
	return receiveAll(stream.Recv)
}

func (c *drpcConn) PingPong(ctx context.Context, data []byte, count int) error {
	stream, err := c.echo.PingPong(ctx)
	if err != nil {
		return err
	}
	if err := pingPongAll(data, count, stream.Send, stream.Recv); err != nil {
		return err
	}
	return stream.Close()
}
