package backcompat_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	interopv1 "github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1"
	"github.com/packetrpc/packetrpc/internal/interop/gen/interop/v1/interopv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

func handshakeScenarios() []scenario {
	return []scenario{
		{
			name: "handshake", about: "A handshake with a name, a password and limits, and the close of a client without a call.",
			options: []server.Option{
				server.WithAuthenticator(onePassword{}), server.WithMaxMessageSize(1 << 20), server.WithMaxOpenCalls(10), server.WithWindow(1<<16, 1<<18),
			},
			call: shakeHands,
		},
		{
			name: "refused-password", about: "A handshake with a wrong password.",
			options: []server.Option{server.WithAuthenticator(onePassword{})},
			call: func(ctx context.Context, p *program) error {
				_, err := p.connect(ctx, client.WithPassword("ada", "guess"))
				return wantCode(err, packetrpc.CodeUnauthenticated)
			},
		},
		{
			name: "refused", about: "What a server refuses: another version, a call before the handshake, a challenge that it has no key for, and bytes that are neither form.",
			call: beRefused,
		},
		{
			name: "token", about: "Calls with the token of somebody else, and without one; nothing runs, and the connection goes on.",
			serve: serveNotes, call: callWithWrongTokens,
		},
		{
			name: "plain", about: "A program of the old system: packets without a line feed, an id or a version.",
			forms:   []packet.Form{packet.JSON},
			options: []server.Option{server.WithAuthenticator(onePassword{})},
			serve: func(s *stage) {
				serveErrors(s)
				serveNotes(s)
			},
			call: callPlain,
		},
		{
			name: "without-ids", about: "A program that writes JSON packets of version 1 without ids, and takes a push.",
			forms: []packet.Form{packet.JSON}, serve: servePushes, call: callWithoutIDs,
		},
	}
}

// onePassword knows ada.
type onePassword struct{}

func (onePassword) Authenticate(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
	if c.Username != "ada" || c.Password != "correct horse" {
		return packetrpc.Identity{}, session.ErrCredentials
	}
	return packetrpc.Identity{Name: c.Username}, nil
}

func shakeHands(ctx context.Context, p *program) error {
	conn, err := p.connect(ctx, client.WithPassword("ada", "correct horse"),
		client.WithMaxMessageSize(2<<20), client.WithMaxOpenCalls(20), client.WithWindow(1<<17, 1<<19))
	if err != nil {
		return err
	}
	if conn.ID() == "" {
		return errors.New("the session has no public id")
	}
	return conn.Close()
}

// beRefused opens a connection for each thing that is refused.
func beRefused(ctx context.Context, p *program) error {
	version9 := &packet.Packet{Action: "handShake", Data: []byte("\x08\x09")}
	if p.form == packet.JSON {
		version9.Data = []byte(`{"version":9}`)
	}
	parts := []part{
		{"another version", func() error { return refusedPacket(ctx, p, version9, packetrpc.CodeFailedPrecondition) }},
		{"a challenge", func() error {
			return refusedPacket(ctx, p, &packet.Packet{Action: "CoreChallenge"}, packetrpc.CodeFailedPrecondition)
		}},
		{"neither form", func() error { return refusedText(ctx, p, "GET / HTTP/1.1\r\n\r\n") }},
	}
	if p.form == packet.JSON {
		return inTurn(append(parts, part{"a call", func() error { return earlyCall(ctx, p) }})...)
	}
	return inTurn(append(parts,
		part{"another preface", func() error { return refusedText(ctx, p, "\xf5pkt\x09") }},
		part{"a call", func() error {
			return refusedPacket(ctx, p, &packet.Packet{Action: "CorePing", CallID: 3}, packetrpc.CodeUnauthenticated)
		}})...)
}

// begin opens a connection by hand and sends packets.
func (p *program) begin(ctx context.Context, first ...*packet.Packet) (*wire, error) {
	w, err := p.wire(ctx)
	if err != nil {
		return nil, err
	}
	if p.form == packet.Binary {
		if err := w.write(packet.Preface); err != nil {
			return nil, err
		}
	}
	return w, w.send(first...)
}

// refusedPacket sends a packet in place of a handshake, which ends the connection.
func refusedPacket(ctx context.Context, p *program, first *packet.Packet, code packetrpc.Code) error {
	w, err := p.begin(ctx, first)
	if err != nil {
		return err
	}
	if err := w.wantError(code); err != nil {
		return err
	}
	return w.closed()
}

func (w *wire) wantError(code packetrpc.Code) error {
	got, err := w.receive()
	if err != nil {
		return err
	}
	if got.Kind != packet.KindError || got.Status != code || got.Message == "" {
		return fmt.Errorf("%v came, of the status %v, want an error of %v", got, got.Status, code)
	}
	return nil
}

func refusedText(ctx context.Context, p *program, text string) error {
	w, err := p.wire(ctx)
	if err != nil {
		return err
	}
	if err := w.write(text); err != nil {
		return err
	}
	s, err := w.next()
	if err != nil {
		return err
	}
	if err := want("what came", s.what, someText); err != nil {
		return err
	}
	return w.closed()
}

// earlyCall is refused, as people type JSON, and the connection goes on.
func earlyCall(ctx context.Context, p *program) error {
	w, err := p.begin(ctx, &packet.Packet{Action: "CorePing"})
	if err != nil {
		return err
	}
	if err := w.wantError(packetrpc.CodeUnauthenticated); err != nil {
		return err
	}
	if err := w.shake(&packetrpcv1.HandshakeRequest{Version: 1}); err != nil {
		return err
	}
	return w.nc.Close()
}

// greet opens a connection by hand and shakes hands.
func (p *program) greet(ctx context.Context) (*wire, error) {
	w, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	return w, w.shake(&packetrpcv1.HandshakeRequest{Version: 1, Username: "ada"})
}

func callWithWrongTokens(ctx context.Context, p *program) error {
	w, err := p.greet(ctx)
	if err != nil {
		return err
	}
	for _, call := range []*packet.Packet{
		{Action: "CorePing", CallID: 3, Token: "somebody else's"},
		{Action: "CorePing", CallID: 5},
		{Action: noteSpec.Action, Kind: packet.KindOneWay, CallID: 1},
	} {
		if err := w.send(call); err != nil {
			return err
		}
		if err := w.wantError(packetrpc.CodeUnauthenticated); err != nil {
			return err
		}
	}
	if err := w.send(&packet.Packet{Action: "CorePing", CallID: 7, Token: w.token}); err != nil {
		return err
	}
	if _, err := w.wantPacket(packet.KindResponse, 7); err != nil {
		return err
	}
	return w.nc.Close()
}

// wantPacket returns the next packet, which must have a kind and an id.
func (w *wire) wantPacket(kind packet.Kind, id uint64) (*packet.Packet, error) {
	p, err := w.receive()
	if err == nil && (p.Kind != kind || p.CallID != id) {
		err = fmt.Errorf("%v came, want one of the kind %v for %d", p, kind, id)
	}
	return p, err
}

// shake shakes hands.
func (w *wire) shake(request *packetrpcv1.HandshakeRequest) error {
	data, err := packet.AppendMessage(w.form, nil, request)
	if err != nil {
		return err
	}
	if err := w.send(&packet.Packet{Action: "handShake", Data: data}); err != nil {
		return err
	}
	answer, err := w.receive()
	if err != nil {
		return err
	}
	w.token = answer.Token
	return want("that the handshake succeeds", answer.Kind == packet.KindResponse && answer.Token != "", true)
}

// old is what a program of the old system sends.
func (w *wire) old(action string, data any) error {
	p, err := packet.Create(action, data)
	if err != nil {
		return err
	}
	p.Token = w.token
	return w.write(string(p.Encode()))
}

// ask sends a packet of the old system, and checks the reply.
func (w *wire) ask(action string, data any, reply, text string) error {
	if err := w.old(action, data); err != nil {
		return err
	}
	got, err := w.receive()
	if err != nil {
		return err
	}
	if w.token == "" {
		w.token = got.Token
	}
	if err := want("the reply's action", got.Action, reply); err != nil {
		return err
	}
	if err := want("the reply's token", got.Token, w.token); err != nil {
		return err
	}
	if !strings.Contains(string(got.Data)+got.Message, text) {
		return fmt.Errorf("the reply to %s is %s%s, want one with %s", action, got.Data, got.Message, text)
	}
	return nil
}

func callPlain(ctx context.Context, p *program) error {
	w, err := p.wire(ctx)
	if err != nil {
		return err
	}
	login := map[string]string{"username": "ada", "password": "correct horse"}
	return inTurn(
		part{"handShake", func() error { return w.ask("handShake", login, "handShake", `"status":"success"`) }},
		part{"ping", func() error { return w.ask("CorePing", map[string]string{"text": "hi"}, "CorePing", `"text":"hi"`) }},
		part{"list", func() error { return w.ask("CoreListClients", nil, "ListClients", `"clients":[{`) }},
		part{"one-way", func() error {
			return w.ask(noteSpec.Action, map[string]string{"text": "one"}, noteSpec.Action, "{}")
		}},
		part{"heard", func() error { return w.ask(heardSpec.Action, nil, heardSpec.Action, `"text":"one"`) }},
		part{"failure", func() error {
			return w.ask(failSpec.Action, map[string]string{"text": "too much"}, failSpec.Action, "too much, as asked")
		}},
		part{"stream", func() error {
			action := interopv1packetrpc.InteropServiceServerStreamAction
			return w.ask(action, &interopv1.ServerStreamRequest{}, action, "")
		}},
		part{"unknown", func() error { return w.ask("Nothing", nil, "Nothing", "") }},
		part{"end", func() error { return w.nc.Close() }},
	)
}

func callWithoutIDs(ctx context.Context, p *program) error {
	w, err := p.greet(ctx)
	if err != nil {
		return err
	}
	ping := &packet.Packet{Action: "CorePing", Token: w.token, Data: []byte(`{"text":"hi"}`)}
	publish := &packet.Packet{Action: publishSpec.Action, Token: w.token}
	if err := w.send(ping, publish); err != nil {
		return err
	}
	for _, kind := range []packet.Kind{packet.KindResponse, packet.KindOneWay, packet.KindOneWay, packet.KindResponse} {
		got, err := w.receive()
		if err != nil {
			return err
		}
		if err := want("the kind", got.Kind, kind); err != nil {
			return err
		}
	}
	return w.nc.Close()
}
