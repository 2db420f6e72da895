package backcompat_test

import (
	"context"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func endScenarios() []scenario {
	return []scenario{
		{
			name: "drain", about: "The server shuts down: it drains, lets a running call end, and closes when the client has.",
			serve: serveDrain, call: callDrain,
		},
		{
			name: "drain-crossed", about: "A call that crosses with the drain is refused, and says that it is for that; then the server closes.",
			serve: serveDrain, call: callAcrossDrain,
		},
		{
			name: "disconnect", about: "The server closes a connection and tells why.",
			serve: serveDisconnect, call: callDisconnect,
		},
	}
}

func serveDrain(s *stage) {
	handleText(s, stopSpec, func(context.Context, string) (string, error) {
		s.stop()
		rest()
		return "stopping", nil
	})
	packetrpc.HandleServerStream(s, waitSpec,
		func(ctx context.Context, in *message, replies packetrpc.Sender[message]) error {
			if err := replies.Send(in); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
}

// callDrain has a stream open until it closes: a connection without calls would be closed
// by both sides at once.
func callDrain(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	stream, err := packetrpc.CallServerStream[message](ctx, conn, waitSpec, &message{Text: "waiting"})
	if err != nil {
		return err
	}
	defer stream.Close()
	if _, err := stream.Receive(); err != nil {
		return err
	}
	if err := wantText(ctx, conn, stopSpec, "", "stopping"); err != nil {
		return err
	}
	_, err = callText(ctx, conn, stopSpec, "")
	if err := wantCode(err, packetrpc.CodeUnavailable); err != nil {
		return err
	}
	return conn.Close()
}

// callAcrossDrain makes a call as if it had not read the drain.
func callAcrossDrain(ctx context.Context, p *program) error {
	w, err := p.greet(ctx)
	if err != nil {
		return err
	}
	if err := w.send(&packet.Packet{Action: stopSpec.Action, CallID: 3, Token: w.token}); err != nil {
		return err
	}
	if _, err := w.wantPacket(packet.KindDrain, 0); err != nil {
		return err
	}
	ping, err := w.wantPacket(packet.KindPing, 0)
	if err != nil {
		return err
	}
	crossed := &packet.Packet{Action: stopSpec.Action, CallID: 5, Token: w.token}
	if err := w.send(crossed, &packet.Packet{Kind: packet.KindPong, Data: ping.Data}); err != nil {
		return err
	}
	refused, err := w.wantPacket(packet.KindError, 5)
	if err != nil {
		return err
	}
	if err := want("the refusal", refused.Status, packetrpc.CodeUnavailable); err != nil {
		return err
	}
	if err := want("its reason", refused.Reason, "drain"); err != nil {
		return err
	}
	if _, err := w.wantPacket(packet.KindResponse, 3); err != nil {
		return err
	}
	if _, err := w.wantPacket(packet.KindClose, 0); err != nil {
		return err
	}
	return w.closed()
}

func serveDisconnect(s *stage) {
	handleText(s, leaveSpec, func(ctx context.Context, reason string) (string, error) {
		packetrpc.PeerFrom(ctx).Disconnect(reason)
		<-ctx.Done()
		return "", ctx.Err()
	})
}

func callDisconnect(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	_, err = callText(ctx, conn, leaveSpec, "enough, "+asked)
	if err := wantCode(err, packetrpc.CodeUnavailable); err != nil {
		return err
	}
	select {
	case <-conn.Done():
	case <-time.After(patience):
		return want("the client's state", conn.State().Phase, client.PhaseEnded)
	}
	return want("that the reason is told", strings.Contains(conn.Err().Error(), "enough, "+asked), true)
}
