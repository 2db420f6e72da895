package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const (
	maxText    = 1000 // bytes in a text
	maxHistory = 1000 // messages that the room remembers
)

// room handles the ChatService. It embeds the handler that answers
// "unimplemented", so that it goes on compiling when an rpc is added.
type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler

	// events reaches everybody in the room.
	events chatv1packetrpc.ChatEventsBroadcast
	// peers lists everybody in the room.
	peers func() []packetrpc.Peer

	mu      sync.Mutex
	history []*chatv1.Message // the last ones
	said    uint32            // how many have been said
}

// Send is a unary call.
func (r *room) Send(ctx context.Context, request *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	message, err := r.post(ctx, request.GetText())
	if err != nil {
		return nil, err
	}
	return &chatv1.SendResponse{Number: message.GetNumber()}, nil
}

// Typing is a one-way call.
func (r *room) Typing(ctx context.Context, _ *chatv1.TypingRequest) error {
	_, err := r.events.Typed(ctx, &chatv1.TypedRequest{Name: nameOf(packetrpc.PeerFrom(ctx))})
	return err
}

// History is a stream from the server.
func (r *room) History(_ context.Context, request *chatv1.HistoryRequest, stream packetrpc.Sender[chatv1.HistoryResponse]) error {
	for _, message := range r.last(int(request.GetLimit())) {
		if err := stream.Send(&chatv1.HistoryResponse{Message: message}); err != nil {
			return err
		}
	}
	return nil
}

// Import is a stream to the server.
func (r *room) Import(ctx context.Context, stream packetrpc.Receiver[chatv1.ImportRequest]) (*chatv1.ImportResponse, error) {
	var count uint32
	for line, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		if _, err := r.post(ctx, line.GetText()); err != nil {
			return nil, err
		}
		count++
	}
	return &chatv1.ImportResponse{Count: count}, nil
}

// Talk is a stream in both directions.
func (r *room) Talk(_ context.Context, stream packetrpc.BidiStream[chatv1.TalkResponse, chatv1.TalkRequest]) error {
	for line, err := range stream.All() {
		if err != nil {
			return err
		}
		answer := fmt.Sprintf("words in that: %d", len(strings.Fields(line.GetText())))
		if err := stream.Send(&chatv1.TalkResponse{Text: answer}); err != nil {
			return err
		}
	}
	return nil
}

// Who makes calls to the clients and waits for their replies.
func (r *room) Who(ctx context.Context, _ *chatv1.WhoRequest) (*chatv1.WhoResponse, error) {
	peers := r.peers()
	people := make([]*chatv1.Person, len(peers))
	var asking sync.WaitGroup
	for i, peer := range peers {
		asking.Go(func() {
			people[i] = &chatv1.Person{Name: nameOf(peer), Status: statusOf(ctx, peer)}
		})
	}
	asking.Wait()
	return &chatv1.WhoResponse{People: people}, nil
}

// Whisper makes a sealed call to one client. Who has given no key cannot be whispered
// to, unless the connection is encrypted.
func (r *room) Whisper(ctx context.Context, request *chatv1.WhisperRequest) (*chatv1.WhisperResponse, error) {
	if err := checkText(request.GetText()); err != nil {
		return nil, err
	}
	for _, peer := range r.peers() {
		if nameOf(peer) != request.GetTo() {
			continue
		}
		said := &chatv1.WhisperedRequest{Name: nameOf(packetrpc.PeerFrom(ctx)), Text: request.GetText()}
		if err := chatv1packetrpc.NewChatEventsClient(peer).Whispered(ctx, said); err != nil {
			return nil, err
		}
		return &chatv1.WhisperResponse{}, nil
	}
	return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "there is no %q here", request.GetTo())
}

// statusOf asks a client how its user is.
func statusOf(ctx context.Context, peer packetrpc.Peer) string {
	reply, err := chatv1packetrpc.NewChatEventsClient(peer).Status(ctx, &chatv1.StatusRequest{})
	if err != nil {
		return "did not answer: " + packetrpc.CodeOf(err).String()
	}
	return reply.GetStatus()
}

// post says something in the caller's name.
func (r *room) post(ctx context.Context, text string) (*chatv1.Message, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	peer := packetrpc.PeerFrom(ctx)
	message := &chatv1.Message{Name: nameOf(peer), Text: text, Time: timestamppb.Now(), SenderId: peer.ID()}
	// Broadcasting waits for nobody, so it may happen under the lock: everybody
	// receives the messages in the order of their numbers.
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said++
	message.Number = r.said
	r.history = append(r.history, message)
	if len(r.history) > maxHistory {
		r.history = slices.Delete(r.history, 0, 1)
	}
	_, err := r.events.Posted(ctx, &chatv1.PostedRequest{Message: message})
	return message, err
}

// last returns the last messages; 0 is all.
func (r *room) last(limit int) []*chatv1.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := 0
	if limit > 0 {
		first = max(0, len(r.history)-limit)
	}
	return slices.Clone(r.history[first:])
}

// checkText refuses what cannot be said, with a detail that programs can read.
func checkText(text string) error {
	if text != "" && len(text) <= maxText {
		return nil
	}
	err := packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a text has 1 to %d bytes, not %d", maxText, len(text))
	if problem := err.AddDetail(&chatv1.TextProblem{Length: uint32(len(text)), MaxLength: maxText}); problem != nil {
		return problem
	}
	return err
}

// nameOf returns the name that a client gave in the handshake.
func nameOf(peer packetrpc.Peer) string { return cmp.Or(peer.Identity().Name, "somebody") }

func joined(peer packetrpc.Peer) *chatv1.JoinedRequest {
	return &chatv1.JoinedRequest{Name: nameOf(peer)}
}

func left(peer packetrpc.Peer) *chatv1.LeftRequest {
	return &chatv1.LeftRequest{Name: nameOf(peer)}
}
