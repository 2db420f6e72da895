package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// guest is a client of the demonstration. It handles the ChatEvents and keeps
// what it hears.
type guest struct {
	chatv1packetrpc.UnimplementedChatEventsHandler

	conn   *client.Client
	chat   chatv1packetrpc.ChatServiceClient
	status string
	heard  chan string
}

// newGuest connects a client.
func newGuest(ctx context.Context, address, status string, options ...client.Option) (*guest, error) {
	g := &guest{status: status, heard: make(chan string, 100)}
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, g)
	conn, err := client.Dial(ctx, address, append(options, client.WithHandlers(handlers))...)
	if err != nil {
		return nil, err
	}
	g.conn, g.chat = conn, chatv1packetrpc.NewChatServiceClient(conn)
	return g, nil
}

// hears waits for the next push and tells when it is another one than wanted.
func (g *guest) hears(ctx context.Context, want string) error {
	select {
	case got := <-g.heard:
		if got != want {
			return fmt.Errorf("heard %q instead of %q", got, want)
		}
		return nil
	case <-g.conn.Done():
		return g.conn.Err()
	case <-ctx.Done():
		return fmt.Errorf("waiting for %q: %w", want, ctx.Err())
	}
}

func (g *guest) Posted(_ context.Context, request *chatv1.PostedRequest) error {
	g.heard <- request.GetMessage().GetName() + ": " + request.GetMessage().GetText()
	return nil
}

func (g *guest) Joined(_ context.Context, request *chatv1.JoinedRequest) error {
	g.heard <- request.GetName() + " has joined"
	return nil
}

func (g *guest) Left(_ context.Context, request *chatv1.LeftRequest) error {
	g.heard <- request.GetName() + " has left"
	return nil
}

func (g *guest) Typed(_ context.Context, request *chatv1.TypedRequest) error {
	g.heard <- request.GetName() + " is typing"
	return nil
}

func (g *guest) Whispered(_ context.Context, request *chatv1.WhisperedRequest) error {
	g.heard <- request.GetName() + " whispers: " + request.GetText()
	return nil
}

func (g *guest) Status(context.Context, *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	return &chatv1.StatusResponse{Status: g.status}, nil
}

// byHand is a connection in the JSON form without a client, as nc has it.
type byHand struct {
	nc    net.Conn
	lines *bufio.Scanner
}

// dialByHand connects and shakes hands.
func dialByHand(ctx context.Context, address, name string) (*byHand, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		nc.SetDeadline(deadline)
	}
	_, err = fmt.Fprintf(nc, `{"action":"handShake","data":{"version":1,"username":%q,"limits":{"maxMessageSize":"4194304"}}}`, name)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &byHand{nc, bufio.NewScanner(nc)}, nil
}

// read returns the next packet of an action as it has come.
func (b *byHand) read(action string) (string, error) {
	for b.lines.Scan() {
		if strings.Contains(b.lines.Text(), `"`+action+`"`) {
			return b.lines.Text(), nil
		}
	}
	if err := b.lines.Err(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}
