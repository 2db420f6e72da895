package contender

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
)

// grpcGo is google.golang.org/grpc.
type grpcGo struct {
	tls bool
}

func (g grpcGo) Info() Info {
	info := Info{Name: "grpc-go", Kind: Peer, Module: "google.golang.org/grpc", About: "`grpc.NewServer()` and `grpc.NewClient()` without TLS"}
	if g.tls {
		info.Name += " tls"
		info.About = "the same with `credentials.NewTLS`, TLS 1.3, and a certificate made from packetrpc's key, which is the client's only root"
		info.Secure = true
	}
	return info
}

func (g grpcGo) Start(listener net.Listener, settings Settings) (Server, error) {
	var options []grpc.ServerOption
	if g.tls {
		id, err := sharedIdentity()
		if err != nil {
			return nil, err
		}
		config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.certificate}}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	if settings.MaxMessage > 0 {
		options = append(options, grpc.MaxRecvMsgSize(settings.MaxMessage), grpc.MaxSendMsgSize(settings.MaxMessage))
	}
	s := &grpcServer{server: grpc.NewServer(options...), served: make(chan error, 1)}
	echov1.RegisterEchoServiceServer(s.server, grpcHandler{})
	s.server.RegisterService(grpcActions(settings.Actions), grpcHandler{})
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

func (g grpcGo) Dial(_ context.Context, address string, settings Settings) (Conn, error) {
	transport := insecure.NewCredentials()
	if g.tls {
		id, err := sharedIdentity()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: id.roots})
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if settings.MaxMessage > 0 {
		options = append(options, grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(settings.MaxMessage), grpc.MaxCallSendMsgSize(settings.MaxMessage)))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return nil, err
	}
	return &grpcConn{ClientConn: conn, echo: echov1.NewEchoServiceClient(conn), actions: grpcPaths(settings.Actions)}, nil
}

type grpcServer struct {
	server *grpc.Server
	served chan error
}

func (s *grpcServer) Stop() error {
	s.server.Stop()
	if err := <-s.served; !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

type grpcHandler struct {
	echov1.UnimplementedEchoServiceServer
}

func (grpcHandler) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Data: request.GetData()}, nil
}

func (grpcHandler) Take(_ context.Context, request *echov1.TakeRequest) (*echov1.TakeResponse, error) {
	return &echov1.TakeResponse{Size: uint32(len(request.GetData()))}, nil
}

func (grpcHandler) Download(request *echov1.DownloadRequest, stream grpc.ServerStreamingServer[echov1.DownloadResponse]) error {
	return sendAll(request, stream.Send)
}

func (grpcHandler) Upload(stream grpc.ClientStreamingServer[echov1.UploadRequest, echov1.UploadResponse]) error {
	count, err := receiveAll(stream.Recv)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&echov1.UploadResponse{Count: uint32(count)})
}

func (grpcHandler) PingPong(stream grpc.BidiStreamingServer[echov1.PingPongRequest, echov1.PingPongResponse]) error {
	return answerAll(stream.Recv, stream.Send)
}

// grpcConn is a Conn, a Streamer, a Taker and an ActionCaller.
type grpcConn struct {
	*grpc.ClientConn
	echo    echov1.EchoServiceClient
	actions []string
}

func (c *grpcConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	reply, err := c.echo.Echo(ctx, &echov1.EchoRequest{Data: data})
	return reply.GetData(), err
}

func (c *grpcConn) EchoBy(ctx context.Context, action int, data []byte) ([]byte, error) {
	reply := new(echov1.EchoResponse)
	err := c.Invoke(ctx, c.actions[action], &echov1.EchoRequest{Data: data}, reply, grpc.StaticMethod())
	return reply.GetData(), err
}

func (c *grpcConn) Take(ctx context.Context, data []byte) (int, error) {
	reply, err := c.echo.Take(ctx, &echov1.TakeRequest{Data: data})
	return int(reply.GetSize()), err
}

func (c *grpcConn) Upload(ctx context.Context, data []byte, count int) (int, error) {
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

func (c *grpcConn) Download(ctx context.Context, size, count int) (int, error) {
	stream, err := c.echo.Download(ctx, &echov1.DownloadRequest{Size: uint32(size), Count: uint32(count)})
	if err != nil {
		return 0, err
	}
	return receiveAll(stream.Recv)
}

func (c *grpcConn) PingPong(ctx context.Context, data []byte, count int) error {
	stream, err := c.echo.PingPong(ctx)
	if err != nil {
		return err
	}
	if err := pingPongAll(data, count, stream.Send, stream.Recv); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	_, err = receiveAll(stream.Recv)
	return err
}
