package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

const help = `Type a line to say it, or:
  /history [N]   what has been said, the last N messages
  /who           who is here, and how they are
  /status TEXT   how you are, for those who ask /who
  /robot TEXT    tell the robot something
  /to NAME TEXT  say it to NAME alone, sealed
  /quit          leave
`

// runClient connects to a room and carries out what is typed, until the input,
// the connection or the context ends.
func runClient(ctx context.Context, address, name string, shown *credentials, in io.Reader, out io.Writer) error {
	if name == "" {
		return usageError("who are you? Add --name NAME")
	}
	options, err := shown.options(name)
	if err != nil {
		return err
	}
	p := &person{out: &screen{out: out}, status: "here"}
	handlers := new(packetrpc.Handlers)
	chatv1packetrpc.RegisterChatEventsHandler(handlers, p)
	options = append(options, client.WithHandlers(handlers), client.WithStateHook(p.connection))
	conn, err := client.Dial(ctx, address, options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p.setID(conn.ID())
	p.chat = chatv1packetrpc.NewChatServiceClient(conn)
	p.out.printf("You are %s in the room at %s. %s", name, address, help)

	lines := readLines(ctx, in)
	for {
		select {
		case line, ok := <-lines:
			if !ok || line == "/quit" {
				return nil
			}
			if err := p.do(ctx, line); err != nil {
				p.out.printf("! %v\n", err)
			}
		case <-conn.Done():
			return conn.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// readLines returns a channel of the lines of in, which is closed at its end.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case lines <- strings.TrimSpace(scanner.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// do carries out one line that the user has typed.
func (p *person) do(ctx context.Context, line string) error {
	command, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "":
		return nil
	case command == "/history":
		return p.history(ctx, rest)
	case command == "/who":
		return p.who(ctx)
	case command == "/status":
		p.setStatus(rest)
		return nil
	case command == "/robot":
		return p.robot(ctx, rest)
	case command == "/to":
		to, text, _ := strings.Cut(rest, " ")
		_, err := p.chat.Whisper(ctx, &chatv1.WhisperRequest{To: to, Text: text})
		return err
	case strings.HasPrefix(command, "/"):
		p.out.printf("%s", help)
		return nil
	default:
		_, err := p.chat.Send(ctx, &chatv1.SendRequest{Text: line})
		return err
	}
}

func (p *person) history(ctx context.Context, limit string) error {
	request := new(chatv1.HistoryRequest)
	if limit != "" {
		if _, err := fmt.Sscan(limit, &request.Limit); err != nil {
			return fmt.Errorf("%q is no number of messages", limit)
		}
	}
	stream, err := p.chat.History(ctx, request)
	if err != nil {
		return err
	}
	for reply, err := range stream.All() {
		if err != nil {
			return err
		}
		message := reply.GetMessage()
		p.out.printf("%4d %s: %s\n", message.GetNumber(), message.GetName(), message.GetText())
	}
	return nil
}

func (p *person) who(ctx context.Context) error {
	reply, err := p.chat.Who(ctx, &chatv1.WhoRequest{})
	if err != nil {
		return err
	}
	for _, person := range reply.GetPeople() {
		p.out.printf("     %s: %s\n", person.GetName(), person.GetStatus())
	}
	return nil
}

func (p *person) robot(ctx context.Context, text string) error {
	talk, err := p.chat.Talk(ctx)
	if err != nil {
		return err
	}
	defer talk.Close()
	if err := talk.Send(&chatv1.TalkRequest{Text: text}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	reply, err := talk.Receive()
	if err != nil {
		return err
	}
	p.out.printf("robot: %s\n", reply.GetText())
	return nil
}
