package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// demoTime is how long the demonstration may take.
const demoTime = 30 * time.Second

// runDemo starts a server and lets two clients talk over it, in every way that
// there is to call: encrypted, if there is a keyring.
func runDemo(ctx context.Context, keys keyring, out io.Writer) error {
	ctx, stop := context.WithTimeout(ctx, demoTime)
	defer stop()
	d := &demo{out: out, keyring: keys}
	protection, err := d.prepare()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.address = listener.Addr().String()
	serving, closeRoom := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- newServer(protection...).Serve(serving, listener) }()
	err = d.play(ctx)
	closeRoom()
	return errors.Join(err, <-served)
}

// demo is a conversation under way.
type demo struct {
	out     io.Writer
	address string
	keyring keyring // "" for a room open to all
	asAda   []client.Option
	asBob   []client.Option
	ada     *guest
	bob     *guest
}

// prepare returns how the server is protected, and notes what the clients show it.
func (d *demo) prepare() ([]server.Option, error) {
	room, ada, bob := new(protection), new(credentials), new(credentials)
	var err error
	if d.keyring != "" {
		room, ada = d.keyring.protection(), d.keyring.ada()
		if bob, err = d.keyring.bob(); err != nil {
			return nil, err
		}
	}
	if d.asAda, err = ada.options("ada"); err != nil {
		return nil, err
	}
	if d.asBob, err = bob.options("bob"); err != nil {
		return nil, err
	}
	return room.options()
}

// scene is a part of a demonstration.
type scene struct {
	title string
	run   func(context.Context) error
}

// play goes through the scenes.
func (d *demo) play(ctx context.Context) error {
	defer d.close()
	scenes := []scene{
		{"Two clients connect, and the server pushes who has joined.", d.connect},
		{"A unary call: ada sends a line, and the server pushes it to everybody.", d.unary},
		{"A one-way call, which is not answered: bob is typing.", d.oneWay},
		{"A stream to the server: bob imports lines.", d.clientStream},
		{"A stream from the server: ada reads the history.", d.serverStream},
		{"A stream in both directions: ada talks with the robot.", d.bidiStream},
		{"The server calls its clients: ada asks it who is here, and it asks each of them.", d.serverCalls},
		{"An error with a code and a detail: ada says nothing.", d.failure},
	}
	if d.keyring == "" {
		scenes = append(scenes, scene{"The same push as a client in the JSON form receives it, byte for byte.", d.json})
	} else {
		scenes = append(scenes, d.secureScenes()...)
	}
	for _, scene := range scenes {
		fmt.Fprintf(d.out, "# %s\n", scene.title)
		if err := scene.run(ctx); err != nil {
			return fmt.Errorf("%s %w", scene.title, err)
		}
	}
	return nil
}

func (d *demo) close() {
	for _, g := range []*guest{d.ada, d.bob} {
		if g != nil {
			g.conn.Close()
		}
	}
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "  "+format+"\n", args...) }

// everybodyHears waits until both have heard something, and prints it.
func (d *demo) everybodyHears(ctx context.Context, want string) error {
	for _, g := range []*guest{d.ada, d.bob} {
		if err := g.hears(ctx, want); err != nil {
			return err
		}
	}
	d.say("ada and bob hear: %s", want)
	return nil
}

func (d *demo) connect(ctx context.Context) (err error) {
	if d.ada, err = newGuest(ctx, d.address, "writing a demo", d.asAda...); err != nil {
		return err
	}
	if err := d.ada.hears(ctx, "ada has joined"); err != nil {
		return err
	}
	d.say("ada hears: ada has joined")
	if d.bob, err = newGuest(ctx, d.address, "watching one", d.asBob...); err != nil {
		return err
	}
	return d.everybodyHears(ctx, "bob has joined")
}

func (d *demo) unary(ctx context.Context) error {
	reply, err := d.ada.chat.Send(ctx, &chatv1.SendRequest{Text: "hello, bob"})
	if err != nil {
		return err
	}
	d.say("ada is told: this is message %d", reply.GetNumber())
	return d.everybodyHears(ctx, "ada: hello, bob")
}

func (d *demo) oneWay(ctx context.Context) error {
	if err := d.bob.chat.Typing(ctx, &chatv1.TypingRequest{}); err != nil {
		return err
	}
	return d.everybodyHears(ctx, "bob is typing")
}

func (d *demo) clientStream(ctx context.Context) error {
	lines := []string{"hello, ada", "here is a list:", "apples and pears"}
	stream, err := d.bob.chat.Import(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, line := range lines {
		if err := stream.Send(&chatv1.ImportRequest{Text: line}); err != nil {
			break // CloseAndReceive tells why
		}
	}
	reply, err := stream.CloseAndReceive()
	if err != nil {
		return err
	}
	d.say("bob is told: %d lines", reply.GetCount())
	for _, line := range lines {
		if err := d.everybodyHears(ctx, "bob: "+line); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) serverStream(ctx context.Context) error {
	stream, err := d.ada.chat.History(ctx, &chatv1.HistoryRequest{})
	if err != nil {
		return err
	}
	for reply, err := range stream.All() {
		if err != nil {
			return err
		}
		message := reply.GetMessage()
		d.say("%d. %s: %s", message.GetNumber(), message.GetName(), message.GetText())
	}
	return nil
}

func (d *demo) bidiStream(ctx context.Context) error {
	talk, err := d.ada.chat.Talk(ctx)
	if err != nil {
		return err
	}
	defer talk.Close()
	for _, line := range []string{"are you there?", "good"} {
		if err := talk.Send(&chatv1.TalkRequest{Text: line}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		reply, err := talk.Receive()
		if err != nil {
			return err
		}
		d.say("ada: %s  robot: %s", line, reply.GetText())
	}
	return talk.CloseSend()
}

func (d *demo) serverCalls(ctx context.Context) error {
	reply, err := d.ada.chat.Who(ctx, &chatv1.WhoRequest{})
	if err != nil {
		return err
	}
	for _, person := range reply.GetPeople() {
		d.say("%s is %s", person.GetName(), person.GetStatus())
	}
	return nil
}

func (d *demo) failure(ctx context.Context) error {
	_, err := d.ada.chat.Send(ctx, &chatv1.SendRequest{})
	var failed *packetrpc.Error
	if !errors.As(err, &failed) || len(failed.Details) != 1 {
		return fmt.Errorf("got the error %v, want one with a detail", err)
	}
	problem := new(chatv1.TextProblem)
	if err := failed.Details[0].UnmarshalTo(problem); err != nil {
		return err
	}
	d.say("%v", err)
	d.say("the detail says: %d bytes, at most %d", problem.GetLength(), problem.GetMaxLength())
	return nil
}

// json lets carol, who speaks JSON by hand, read what ada sends.
func (d *demo) json(ctx context.Context) error {
	carol, err := dialByHand(ctx, d.address, "carol")
	if err != nil {
		return err
	}
	defer carol.nc.Close()
	if err := d.everybodyHears(ctx, "carol has joined"); err != nil {
		return err
	}
	if _, err := d.ada.chat.Send(ctx, &chatv1.SendRequest{Text: "hello, carol"}); err != nil {
		return err
	}
	packet, err := carol.read(chatv1packetrpc.ChatEventsPostedAction)
	if err != nil {
		return err
	}
	d.say("%s", packet)
	return d.everybodyHears(ctx, "ada: hello, carol")
}
