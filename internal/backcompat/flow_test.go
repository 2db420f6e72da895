package backcompat_test

import (
	"context"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func flowScenarios() []scenario {
	return []scenario{
		{
			name: "fragments", about: "A request and a reply in fragments, beyond the windows of their calls.",
			forms:   []packet.Form{packet.Binary},
			options: []server.Option{server.WithWindow(100_000, 300_000)},
			serve:   serveInteropOnly, call: callFragments,
		},
		{
			name: "credit", about: "Streams in both directions, and one-way calls, that need more credit than the windows hold.",
			options: []server.Option{server.WithWindow(200, 600)},
			serve: func(s *stage) {
				serveInterop(s)
				serveNotes(s)
			},
			call: callCredit,
		},
		{
			name: "keepalive", about: "Keepalive terms, and a ping of either side.",
			options: []server.Option{server.WithKeepalive(2*time.Second, time.Second)},
			serve:   serveSilence, call: callKeepalive,
		},
	}
}

func callFragments(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx, client.WithWindow(100_000, 300_000))
	if err != nil {
		return err
	}
	return unary(ctx, conn, strings.Repeat("\x00", 250_000), 250_000)
}

func callCredit(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx, client.WithWindow(200, 600))
	if err != nil {
		return err
	}
	bodies := strings.Split(strings.Repeat("eighty bytes of a request that takes credit, whoever reads it and whenever it is/", 8), "/")
	return inTurn(
		part{"replies", func() error { return receiveStream(ctx, conn, 60, 60, 60, 60, 60, 60, 60, 60) }},
		part{"requests", func() error { return sendStream(ctx, conn, bodies...) }},
		part{"one-way calls", func() error {
			if err := push(ctx, conn, bodies...); err != nil {
				return err
			}
			return wantText(ctx, conn, heardSpec, "", bodies[0])
		}},
	)
}

// serveSilence serves a stream that sends a message after 1.5 seconds, so that its
// client has been silent for longer than its server when a ping is due, and that ends
// when one has been sent.
func serveSilence(s *stage) {
	serveNotes(s)
	packetrpc.HandleServerStream(s, silenceSpec,
		func(_ context.Context, in *message, replies packetrpc.Sender[message]) error {
			time.Sleep(1500 * time.Millisecond)
			if err := replies.Send(in); err != nil {
				return err
			}
			time.Sleep(1700 * time.Millisecond)
			return nil
		})
}

func callKeepalive(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	// The server hears of the client now, and the client has to ping it at 3 s.
	time.Sleep(1500 * time.Millisecond)
	if err := push(ctx, conn, "one"); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	stream, err := packetrpc.CallServerStream[message](ctx, conn, silenceSpec, &message{Text: "quiet"})
	if err != nil {
		return err
	}
	defer stream.Close()
	count := 0
	for reply, err := range stream.All() {
		if err != nil {
			return err
		}
		count += len(reply.GetText())
	}
	return want("the size of the replies", count, len("quiet"))
}
