package contender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
	"github.com/packetrpc/packetrpc/bench/gen/echo/v1/echov1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// form is how packetrpc is used.
type form string

const (
	binaryForm form = "packetrpc"
	inlineForm form = "packetrpc non_blocking"
	jsonForm   form = "packetrpc JSON"
)

// packetrpcContender is this project, with generated stubs and all that is on by
// default: tokens, limits, credit, deadlines, keepalive.
type packetrpcContender struct {
	form     form
	security security
}

func (c packetrpcContender) Info() Info {
	about := map[form]string{
		binaryForm: "the default server and client",
		inlineForm: "the same with an rpc that is declared `non_blocking`",
		jsonForm:   "the same with `client.WithJSON()`",
	}
	name, protected := c.security.suffix()
	return Info{
		Name:   string(c.form) + name,
		Kind:   Ours,
		Module: "github.com/packetrpc/packetrpc",
		About:  about[c.form] + protected,
		Secure: c.security != security{},
	}
}

func (c packetrpcContender) Start(listener net.Listener, settings Settings) (Server, error) {
	options, release, err := c.security.serverOptions()
	if err != nil {
		return nil, err
	}
	if settings.MaxMessage > 0 {
		options = append(options, server.WithMaxMessageSize(settings.MaxMessage))
	}
	s := &packetrpcServer{Server: server.New(options...), release: release, served: make(chan error, 1)}
	echov1packetrpc.RegisterEchoServiceHandler(s, packetrpcHandler{})
	if c.security.sealed {
		packetrpc.HandleUnary(s, sealedEcho(), packetrpcHandler{}.Echo)
	}
	for _, action := range packetrpcActions(settings.Actions) {
		packetrpc.HandleUnary(s, action, packetrpcHandler{}.Echo)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.served <- s.Serve(ctx, listener) }()
	return s, nil
}

func (c packetrpcContender) Dial(ctx context.Context, address string, settings Settings) (Conn, error) {
	conn := &packetrpcConn{inline: c.form == inlineForm, actions: packetrpcActions(settings.Actions)}
	handlers := new(packetrpc.Handlers)
	echov1packetrpc.RegisterEchoEventsHandler(handlers, packetrpcEvents{notified: &conn.notified})
	options, err := c.security.clientOptions()
	if err != nil {
		return nil, err
	}
	options = append(options, client.WithHandlers(handlers))
	if c.security.sealed {
		conn.sealed = sealedEcho()
	}
	if c.form == jsonForm {
		options = append(options, client.WithJSON())
	}
	if settings.MaxMessage > 0 {
		options = append(options, client.WithMaxMessageSize(settings.MaxMessage))
	}
	dialled, err := client.Dial(ctx, address, options...)
	if err != nil {
		return nil, err
	}
	conn.client = dialled
	conn.echo = echov1packetrpc.NewEchoServiceClient(dialled)
	return conn, nil
}

// packetrpcServer is a Server and a Pusher.
type packetrpcServer struct {
	*server.Server
	stop    context.CancelFunc
	release func() error
	served  chan error
}

func (s *packetrpcServer) Stop() error {
	s.stop()
	return errors.Join(<-s.served, s.release())
}

func (s *packetrpcServer) Ask(ctx context.Context, data []byte) ([]byte, error) {
	peers := s.Connections()
	if len(peers) == 0 {
		return nil, errors.New("no client is connected")
	}
	reply, err := echov1packetrpc.NewEchoEventsClient(peers[0]).Ask(ctx, &echov1.AskRequest{Data: data})
	return reply.GetData(), err
}

func (s *packetrpcServer) AskAll(ctx context.Context, data []byte) error {
	for _, peer := range s.Connections() {
		request := &echov1.AskRequest{Data: data}
		if _, err := echov1packetrpc.NewEchoEventsClient(peer).Ask(ctx, request); err != nil {
			return err
		}
	}
	return nil
}

func (s *packetrpcServer) NotifyAll(ctx context.Context, data []byte) error {
	for _, peer := range s.Connections() {
		message := &echov1.NotifyRequest{Data: data}
		if err := echov1packetrpc.NewEchoEventsClient(peer).Notify(ctx, message); err != nil {
			return err
		}
	}
	return nil
}

func (s *packetrpcServer) Broadcast(ctx context.Context, data []byte) error {
	delivery, err := echov1packetrpc.NewEchoEventsBroadcast(s.All()).Notify(ctx, &echov1.NotifyRequest{Data: data})
	if err == nil && delivery.Refused > 0 {
		err = fmt.Errorf("%d of %d clients took no more", delivery.Refused, delivery.Refused+delivery.Queued)
	}
	return err
}

type packetrpcHandler struct {
	echov1packetrpc.UnimplementedEchoServiceHandler
}

func (packetrpcHandler) Echo(_ context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Data: request.GetData()}, nil
}

func (packetrpcHandler) EchoInline(_ context.Context, request *echov1.EchoInlineRequest) (*echov1.EchoInlineResponse, error) {
	return &echov1.EchoInlineResponse{Data: request.GetData()}, nil
}

func (packetrpcHandler) Take(_ context.Context, request *echov1.TakeRequest) (*echov1.TakeResponse, error) {
	return &echov1.TakeResponse{Size: uint32(len(request.GetData()))}, nil
}

func (packetrpcHandler) Download(_ context.Context, request *echov1.DownloadRequest, stream packetrpc.Sender[echov1.DownloadResponse]) error {
	data := make([]byte, request.GetSize())
	for range request.GetCount() {
		if err := stream.Send(&echov1.DownloadResponse{Data: data}); err != nil {
			return err
		}
	}
	return nil
}

func (packetrpcHandler) Upload(_ context.Context, stream packetrpc.Receiver[echov1.UploadRequest]) (*echov1.UploadResponse, error) {
	response := new(echov1.UploadResponse)
	for _, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		response.Count++
	}
	return response, nil
}

func (packetrpcHandler) PingPong(_ context.Context, stream packetrpc.BidiStream[echov1.PingPongResponse, echov1.PingPongRequest]) error {
	for request, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(&echov1.PingPongResponse{Data: request.GetData()}); err != nil {
			return err
		}
	}
	return nil
}

// packetrpcEvents is what a client serves.
type packetrpcEvents struct {
	echov1packetrpc.UnimplementedEchoEventsHandler
	notified *atomic.Int64
}

func (packetrpcEvents) Ask(_ context.Context, request *echov1.AskRequest) (*echov1.AskResponse, error) {
	return &echov1.AskResponse{Data: request.GetData()}, nil
}

func (e packetrpcEvents) Notify(context.Context, *echov1.NotifyRequest) error {
	e.notified.Add(1)
	return nil
}

// packetrpcConn is a Conn, a Streamer, a Taker, an ActionCaller and a Listener.
type packetrpcConn struct {
	client   *client.Client
	echo     echov1packetrpc.EchoServiceClient
	inline   bool
	sealed   *packetrpc.Spec // what Echo calls; nil is the action of that name
	actions  []*packetrpc.Spec
	notified atomic.Int64
}

func (c *packetrpcConn) Close() error    { return c.client.Close() }
func (c *packetrpcConn) Notified() int64 { return c.notified.Load() }

func (c *packetrpcConn) Echo(ctx context.Context, data []byte) ([]byte, error) {
	if c.sealed != nil {
		return c.echoBy(ctx, c.sealed, data)
	}
	if c.inline {
		reply, err := c.echo.EchoInline(ctx, &echov1.EchoInlineRequest{Data: data})
		return reply.GetData(), err
	}
	reply, err := c.echo.Echo(ctx, &echov1.EchoRequest{Data: data})
	return reply.GetData(), err
}

func (c *packetrpcConn) EchoBy(ctx context.Context, action int, data []byte) ([]byte, error) {
	return c.echoBy(ctx, c.actions[action], data)
}

func (c *packetrpcConn) echoBy(ctx context.Context, spec *packetrpc.Spec, data []byte) ([]byte, error) {
	reply, err := packetrpc.CallUnary[echov1.EchoResponse](ctx, c.client, spec, &echov1.EchoRequest{Data: data})
	return reply.GetData(), err
}

func (c *packetrpcConn) Take(ctx context.Context, data []byte) (int, error) {
	reply, err := c.echo.Take(ctx, &echov1.TakeRequest{Data: data})
	return int(reply.GetSize()), err
}

func (c *packetrpcConn) Upload(ctx context.Context, data []byte, count int) (int, error) {
	stream, err := c.echo.Upload(ctx)
	if err != nil {
		return 0, err
	}
	for range count {
		// After io.EOF the reply tells why the call has ended.
		if err := stream.Send(&echov1.UploadRequest{Data: data}); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	reply, err := stream.CloseAndReceive()
	return int(reply.GetCount()), err
}

func (c *packetrpcConn) Download(ctx context.Context, size, count int) (int, error) {
	stream, err := c.echo.Download(ctx, &echov1.DownloadRequest{Size: uint32(size), Count: uint32(count)})
	if err != nil {
		return 0, err
	}
	received := 0
	for _, err := range stream.All() {
		if err != nil {
			return received, err
		}
		received++
	}
	return received, nil
}

func (c *packetrpcConn) PingPong(ctx context.Context, data []byte, count int) error {
	stream, err := c.echo.PingPong(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for range count {
		if err := stream.Send(&echov1.PingPongRequest{Data: data}); err != nil {
			return err
		}
		if _, err := stream.Receive(); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}
