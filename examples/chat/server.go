package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// lobby is the group of those who are in the room.
const lobby = "lobby"

// newServer returns a server with a chat room on it.
func newServer(options ...server.Option) *server.Server {
	r := new(room)
	options = append(options, server.WithConnected(r.enter), server.WithDisconnected(r.leave))
	srv := server.New(options...)
	r.events = chatv1packetrpc.NewChatEventsBroadcast(srv.Group(lobby))
	r.peers = func() []packetrpc.Peer { return srv.Members(lobby) }
	chatv1packetrpc.RegisterChatServiceHandler(srv, r)
	return srv
}

// runServer serves a room until the context ends, and the web console at the address of
// page unless that is "".
func runServer(ctx context.Context, address, page string, protected *protection, out io.Writer) error {
	options, err := protected.options()
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options = append(options, server.WithAddress(address), server.WithLogger(logger))
	if page != "" && protected.open() {
		options = append(options, server.WithRoles("admin", "admin")) // whoever has that name
	}
	if page != "" {
		return runWithConsole(ctx, page, options, out)
	}
	return serveRoom(ctx, newServer(options...), out)
}

// serveRoom serves a room until the context ends.
func serveRoom(ctx context.Context, srv *server.Server, out io.Writer) error {
	listener, err := srv.Listen(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the chat room is open at %s %s; Ctrl+C closes it\n", listener.Addr().Network(), listener.Addr())
	return srv.Serve(ctx, listener)
}

// enter is called when a client has connected, before any of its calls.
func (r *room) enter(peer packetrpc.Peer) {
	if err := peer.Join(lobby); err != nil {
		return // it has gone already
	}
	r.events.Joined(context.Background(), joined(peer))
}

// leave is called when a client's connection has ended.
func (r *room) leave(peer packetrpc.Peer, _ error) {
	r.events.Left(context.Background(), left(peer))
}
