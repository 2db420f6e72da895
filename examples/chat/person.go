package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
)

// person is the user of a client. It handles the ChatEvents, which the server
// calls, and prints them.
type person struct {
	chatv1packetrpc.UnimplementedChatEventsHandler

	out *screen

	// Set when the client has connected, and used for what is typed only.
	chat chatv1packetrpc.ChatServiceClient

	mu     sync.Mutex
	id     string // of the own session; "" until the client has connected
	status string
}

// Posted prints what somebody else has said. One-way calls are handled one after
// the other, in the order in which they were made.
func (p *person) Posted(_ context.Context, request *chatv1.PostedRequest) error {
	message := request.GetMessage()
	if message.GetSenderId() != p.ownID() {
		p.out.printf("%s: %s\n", message.GetName(), message.GetText())
	}
	return nil
}

func (p *person) Joined(_ context.Context, request *chatv1.JoinedRequest) error {
	p.out.printf("* %s has joined\n", request.GetName())
	return nil
}

func (p *person) Left(_ context.Context, request *chatv1.LeftRequest) error {
	p.out.printf("* %s has left\n", request.GetName())
	return nil
}

func (p *person) Typed(_ context.Context, request *chatv1.TypedRequest) error {
	p.out.printf("* %s is typing\n", request.GetName())
	return nil
}

func (p *person) Whispered(_ context.Context, request *chatv1.WhisperedRequest) error {
	p.out.printf("%s, to you alone: %s\n", request.GetName(), request.GetText())
	return nil
}

// Status answers the server.
func (p *person) Status(context.Context, *chatv1.StatusRequest) (*chatv1.StatusResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &chatv1.StatusResponse{Status: p.status}, nil
}

// connection tells what becomes of the connection. The client takes care of it.
func (p *person) connection(state client.State) {
	switch {
	case state.Phase == client.PhaseReconnecting:
		p.out.printf("* the connection is lost: %v\n", state.Err)
	case state.Phase == client.PhaseReady:
		p.setID(string(state.ID))
		p.out.printf("* connected again\n")
	}
}

func (p *person) setStatus(status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func (p *person) setID(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id = id
}

func (p *person) ownID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// screen is a writer for several goroutines.
type screen struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format, args...)
}
