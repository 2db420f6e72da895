package contender

import (
	"context"
	"errors"
	"net"

	"github.com/containerd/ttrpc"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
)

// ttrpcContender is github.com/containerd/ttrpc. It has no Take, as it refuses
// messages beyond 4 MiB.
type ttrpcContender struct{}

func (ttrpcContender) Info() Info {
	return Info{Name: "ttrpc", Kind: Peer, Module: "github.com/containerd/ttrpc", About: "`ttrpc.NewServer()` and `ttrpc.NewClient()`"}
}

func (ttrpcContender) Start(listener net.Listener, _ Settings) (Server, error) {
	server, err := ttrpc.NewServer()
	if err != nil {
		return nil, err
	}
	echov1.RegisterTTRPCEchoServiceService(server, ttrpcHandler{})
	s := &ttrpcServer{server: server, served: make(chan error, 1)}
	go func() { s.served <- server.Serve(context.Background(), listener) }()
	return s, nil
}

func (ttrpcContender) Dial(ctx context.Context, address string, _ Settings) (Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	client := ttrpc.NewClient(raw)
	return &ttrpcConn{Client: client, echo: echov1.NewTTRPCEchoServiceClient(client)}, nil
}

type ttrpcServer struct {
	server *ttrpc.Server
	served chan error
}

func (s *ttrpcServer) Stop() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, ttrpc.ErrServerClosed) {
		return served
	}
	return err
}

type ttrpcHandler struct{}

func (ttrpcHandler) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Data: request.GetData()}, nil
}

func (ttrpcHandler) EchoInline(_ context.Context, request *echov1.EchoInlineRequest) (*echov1.EchoInlineResponse, error) {
	return &echov1.EchoInlineResponse{Data: request.GetData()}, nil
}

func (ttrpcHandler) Take(_ context.Context, request *echov1.TakeRequest) (*echov1.TakeResponse, error) {
	return &echov1.TakeResponse{Size: uint32(len(request.GetData()))}, nil
}

func (ttrpcHandler) Download(_ context.Context, request *echov1.DownloadRequest, stream echov1.TTRPCEchoService_DownloadServer) error {
	return sendAll(request, stream.Send)
}

func (ttrpcHandler) Upload(_ context.Context, stream echov1.TTRPCEchoService_UploadServer) (*echov1.UploadResponse, error) {
	count, err := receiveAll(stream.Recv)
	return &echov1.UploadResponse{Count: uint32(count)}, err
}

func (ttrpcHandler) PingPong(_ context.Context, stream echov1.TTRPCEchoService_PingPongServer) error {
	return answerAll(stream.Recv, stream.Send)
}

// ttrpcConn is a Conn and a Streamer.
type ttrpcConn struct {
	*ttrpc.Client
	echo echov1.TTRPCEchoServiceClient
}

func (c *ttrpcConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	reply, err := c.echo.Echo(ctx, &echov1.EchoRequest{Data: data})
	return reply.GetData(), err
}

func (c *ttrpcConn) Upload(ctx context.Context, data []byte, count int) (int, error) {
	stream, err := c.echo.Upload(ctx)
	if err != nil {
		return 0, err
	}
	if err := uploadAll(data, count, stream.Send); err != nil {
		return 0, err
	}
	reply, err := stream.CloseAndRecv()
	return int(reply.GetCount()), err
}

func (c *ttrpcConn) Download(ctx context.Context, size, count int) (int, error) {
	stream, err := c.echo.Download(ctx, &echov1.DownloadRequest{Size: uint32(size), Count: uint32(count)})
	if err != nil {
		return 0, err
	}
	return receiveAll(stream.Recv)
}

func (c *ttrpcConn) PingPong(ctx context.Context, data []byte, count int) error {
	stream, err := c.echo.PingPong(ctx)
	if err != nil {
		return err
	}
	if err := pingPongAll(data, count, stream.Send, stream.Recv); err != nil {
		return err
	}
	return stream.CloseSend()
}
