package backcompat_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func pushScenarios() []scenario {
	return []scenario{
		{
			name: "server-calls", about: "The server calls its client: unary calls, one-way calls, streams of all kinds, one that fails, and one that it cancels.",
			serve: serveCallBack, call: callBack,
		},
		{
			name: "broadcast", about: "A broadcast to a group of two clients, and one to all.",
			serve: serveBroadcast, call: callBroadcast,
		},
		{
			name: "resume", about: "A connection is lost, and its session goes on over another one: pushes that were not handled, and one made meanwhile, come again and are acknowledged.",
			serve: servePushes, call: callResume,
		},
		{
			name: "resume-refused", about: "A connection is lost, and its session is gone when the client comes back.",
			options: []server.Option{server.WithResume(500*time.Millisecond, 1<<20)},
			serve:   serveNotes, call: callResumeRefused,
		},
	}
}

func withHandlers(handlers *packetrpc.Handlers) client.Option { return client.WithHandlers(handlers) }

func serveCallBack(s *stage) {
	handleText(s, callBackSpec, func(ctx context.Context, _ string) (string, error) {
		peer := packetrpc.PeerFrom(ctx)
		return "called back", inTurn(
			part{"unary", func() error { return unary(ctx, peer, "first", 2) }},
			part{"again", func() error { return unary(ctx, peer, "second", 2) }},
			part{"one-way", func() error { return push(ctx, peer, "one", "two") }},
			part{"requests", func() error { return sendStream(ctx, peer, "abc", "de") }},
			part{"replies", func() error { return receiveStream(ctx, peer, 3, 5) }},
			part{"both", func() error { return talk(ctx, peer, "one", "two") }},
			part{"a failure", func() error { return failingStream(ctx, peer) }},
			part{"a cancel", func() error { return cancelStream(ctx, peer) }},
			part{"at last", func() error { return unary(ctx, peer, "third", 2) }},
		)
	})
}

// cancelStream cancels a stream after its first reply.
func cancelStream(ctx context.Context, caller packetrpc.Caller) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := interopv1packetrpc.NewInteropServiceClient(caller).BidiStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.Send(&interopv1.BidiStreamRequest{ResponseSizes: []uint32{1}}); err != nil {
		return err
	}
	if _, err := stream.Receive(); err != nil {
		return err
	}
	cancel()
	_, err = stream.Receive()
	rest()
	return wantCode(err, packetrpc.CodeCanceled)
}

func callBack(ctx context.Context, p *program) error {
	heard := newNotes()
	var handlers packetrpc.Handlers
	heard.serve(&handlers)
	serveInterop(&handlers)
	conn, err := p.connect(ctx, withHandlers(&handlers))
	if err != nil {
		return err
	}
	if err := wantText(ctx, conn, callBackSpec, "", "called back"); err != nil {
		return err
	}
	if err := heard.want("one", "two"); err != nil {
		return err
	}
	rest()
	return nil
}

func serveBroadcast(s *stage) {
	handleText(s, enterSpec, func(ctx context.Context, group string) (string, error) {
		return "", packetrpc.PeerFrom(ctx).Join(group)
	})
	handleText(s, shoutSpec, func(ctx context.Context, group string) (string, error) {
		audience := s.All()
		if group != "" {
			audience = s.Group(group)
		}
		delivery, err := audience.Broadcast(ctx, noteSpec, &message{Text: "to " + group})
		return fmt.Sprint(delivery.Queued), err
	})
}

func callBroadcast(ctx context.Context, p *program) error {
	var conns []*client.Client
	var heard []notes
	for range 2 {
		notes := newNotes()
		var handlers packetrpc.Handlers
		notes.serve(&handlers)
		conn, err := p.connect(ctx, withHandlers(&handlers))
		if err != nil {
			return err
		}
		if err := wantText(ctx, conn, enterSpec, "lobby", ""); err != nil {
			return err
		}
		conns, heard = append(conns, conn), append(heard, notes)
	}
	for _, group := range []string{"lobby", "nobody", ""} {
		queued := "2"
		if group == "nobody" {
			queued = "0"
		}
		if err := wantText(ctx, conns[0], shoutSpec, group, queued); err != nil {
			return err
		}
		rest()
	}
	for _, notes := range heard {
		if err := notes.want("to lobby", "to "); err != nil {
			return err
		}
	}
	return nil
}

// servePushes serves, beside Publish, a stream that pushes a note at its
// beginning, and one more once its connection is lost.
func servePushes(s *stage) {
	serveInterop(s)
	handleText(s, publishSpec, func(ctx context.Context, _ string) (string, error) {
		return "", push(ctx, packetrpc.PeerFrom(ctx), "two", "three")
	})
	packetrpc.HandleServerStream(s, waitSpec,
		func(ctx context.Context, in *message, replies packetrpc.Sender[message]) error {
			peer := packetrpc.PeerFrom(ctx)
			if err := push(ctx, peer, "one"); err != nil {
				return err
			}
			if err := replies.Send(in); err != nil {
				return err
			}
			<-ctx.Done()
			rest() // the server has noticed, too
			return push(context.WithoutCancel(ctx), peer, "four")
		})
}

func callResume(ctx context.Context, p *program) error {
	heard := newNotes()
	var once sync.Once
	var handlers packetrpc.Handlers
	packetrpc.HandleOneWay(&handlers, noteSpec, func(ctx context.Context, in *message) error {
		heard <- in.GetText()
		if in.GetText() == "two" { // what comes after it waits, and is lost with the connection
			once.Do(func() { <-ctx.Done() })
		}
		return nil
	})
	conn, err := p.connect(ctx, withHandlers(&handlers))
	if err != nil {
		return err
	}
	id := conn.ID()
	stream, err := packetrpc.CallServerStream[message](ctx, conn, waitSpec, &message{Text: "waiting"})
	if err != nil {
		return err
	}
	defer stream.Close()
	if _, err := stream.Receive(); err != nil {
		return err
	}
	rest()
	if err := wantText(ctx, conn, publishSpec, "", ""); err != nil {
		return err
	}
	if err := heard.want("one", "two"); err != nil {
		return err
	}
	p.cut()
	if _, err := stream.Receive(); packetrpc.CodeOf(err) != packetrpc.CodeUnavailable {
		return fmt.Errorf("the stream ended with %w", err)
	}
	if err := heard.want("three", "four"); err != nil {
		return err
	}
	rest()
	if err := unary(ctx, conn, "back", 1); err != nil {
		return err
	}
	if !conn.State().Resumed {
		return fmt.Errorf("the session does not go on: %w", conn.State().Err)
	}
	return want("the public id", conn.ID(), id)
}

func callResumeRefused(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	id := conn.ID()
	rest()
	p.cut()
	rest()
	if err := conn.WaitReady(ctx); err != nil {
		return err
	}
	if conn.State().Resumed || conn.State().Err == nil || conn.ID() == id {
		return fmt.Errorf("the session goes on: %+v", conn.State())
	}
	rest()
	return nil
}
