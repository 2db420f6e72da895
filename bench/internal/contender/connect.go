package contender

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"connectrpc.com/connect"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
	"github.com/packetrpc/packetrpc/bench/gen/echo/v1/echov1connect"
)

// connectGo is connectrpc.com/connect with its own protocol.
type connectGo struct{}

func (connectGo) Info() Info {
	return Info{
		Name:   "connect-go",
		Kind:   Peer,
		Module: "connectrpc.com/connect",
		About:  "the Connect protocol over HTTP/2 without TLS, so that calls share one connection; replies are not compressed, which is its default otherwise",
	}
}

// unencryptedHTTP2 lets calls share a connection.
func unencryptedHTTP2() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

func (connectGo) Start(listener net.Listener, _ Settings) (Server, error) {
	mux := http.NewServeMux()
	mux.Handle(echov1connect.NewEchoServiceHandler(connectHandler{}))
	s := &connectServer{
		server: &http.Server{Handler: mux, Protocols: unencryptedHTTP2()},
		served: make(chan error, 1),
	}
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

func (connectGo) Dial(_ context.Context, address string, _ Settings) (Conn, error) {
	transport := &http.Transport{Protocols: unencryptedHTTP2()}
	echo := echov1connect.NewEchoServiceClient(&http.Client{Transport: transport}, "http://"+address,
		connect.WithAcceptCompression("gzip", nil, nil))
	return &connectConn{transport: transport, echo: echo}, nil
}

type connectServer struct {
	server *http.Server
	served chan error
}

func (s *connectServer) Stop() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}

type connectHandler struct {
	echov1connect.UnimplementedEchoServiceHandler
}

func (connectHandler) Echo(_ context.Context, request *connect.Request[echov1.EchoRequest]) (*connect.Response[echov1.EchoResponse], error) {
	return connect.NewResponse(&echov1.EchoResponse{Data: request.Msg.GetData()}), nil
}

func (connectHandler) Take(_ context.Context, request *connect.Request[echov1.TakeRequest]) (*connect.Response[echov1.TakeResponse], error) {
	return connect.NewResponse(&echov1.TakeResponse{Size: uint32(len(request.Msg.GetData()))}), nil
}

func (connectHandler) Download(_ context.Context, request *connect.Request[echov1.DownloadRequest], stream *connect.ServerStream[echov1.DownloadResponse]) error {
	return sendAll(request.Msg, stream.Send)
}

func (connectHandler) Upload(_ context.Context, stream *connect.ClientStream[echov1.UploadRequest]) (*connect.Response[echov1.UploadResponse], error) {
	response := new(echov1.UploadResponse)
	for stream.Receive() {
		response.Count++
	}
	return connect.NewResponse(response), stream.Err()
}

func (connectHandler) PingPong(_ context.Context, stream *connect.BidiStream[echov1.PingPongRequest, echov1.PingPongResponse]) error {
	return answerAll(stream.Receive, stream.Send)
}

// connectConn is a Conn, a Streamer and a Taker.
type connectConn struct {
	transport *http.Transport
	echo      echov1connect.EchoServiceClient
}

func (c *connectConn) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

func (c *connectConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	reply, err := c.echo.Echo(ctx, connect.NewRequest(&echov1.EchoRequest{Data: data}))
	if err != nil {
		return nil, err
	}
	return reply.Msg.GetData(), nil
}

func (c *connectConn) Take(ctx context.Context, data []byte) (int, error) {
	reply, err := c.echo.Take(ctx, connect.NewRequest(&echov1.TakeRequest{Data: data}))
	if err != nil {
		return 0, err
	}
	return int(reply.Msg.GetSize()), nil
}

func (c *connectConn) Upload(ctx context.Context, data []byte, count int) (int, error) {
	stream := c.echo.Upload(ctx)
	if err := uploadAll(data, count, stream.Send); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	reply, err := stream.CloseAndReceive()
	if err != nil {
		return 0, err
	}
	return int(reply.Msg.GetCount()), nil
}

func (c *connectConn) Download(ctx context.Context, size, count int) (int, error) {
	stream, err := c.echo.Download(ctx, connect.NewRequest(&echov1.DownloadRequest{Size: uint32(size), Count: uint32(count)}))
	if err != nil {
		return 0, err
	}
	received := 0
	for stream.Receive() {
		received++
	}
	return received, errors.Join(stream.Err(), stream.Close())
}

func (c *connectConn) PingPong(ctx context.Context, data []byte, count int) error {
	stream := c.echo.PingPong(ctx)
	if err := pingPongAll(data, count, stream.Send, stream.Receive); err != nil {
		return err
	}
	return errors.Join(stream.CloseRequest(), stream.CloseResponse())
}
