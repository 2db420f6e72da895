package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

const pushHelp = "ACTION is a one-way action that clients handle, or the end of its name; `packetrpc list --pushes`\n" +
	"lists them. The message is JSON, a file of it, or with - the standard input; otherwise it is empty.\n" +
	"The server demands the role admin."

// newSendCommand returns the command that pushes to one client.
func newSendCommand() *cli.Command {
	return &cli.Command{
		Name:          "send",
		Usage:         "push a one-way action to the client with the public id ID",
		Description:   connectHelp + "\n\n" + pushHelp,
		ArgsUsage:     "[ADDR] ID ACTION [JSON|@FILE|-]",
		Flags:         append(connectFlags(), schemaFlags()...),
		Action:        connected(2, 3, send),
		ShellComplete: complete(completeClients, completePushes),
	}
}

// newBroadcastCommand returns the command that pushes to many clients.
func newBroadcastCommand() *cli.Command {
	return &cli.Command{
		Name:          "broadcast",
		Usage:         "push a one-way action to all clients, or to a group of them",
		Description:   connectHelp + "\n\n" + pushHelp + " The client that this command is itself counts with the others.",
		ArgsUsage:     "[ADDR] ACTION [JSON|@FILE|-]",
		Flags:         slices.Concat([]cli.Flag{&cli.StringFlag{Name: "group", Usage: "push only to the members of `GROUP`"}}, connectFlags(), schemaFlags()),
		Action:        connected(1, 2, broadcast),
		ShellComplete: complete(completePushes),
	}
}

// newDisconnectCommand returns the command that ends a client's connection.
func newDisconnectCommand() *cli.Command {
	return &cli.Command{
		Name:          "disconnect",
		Usage:         "end the connection of the client with the public id ID",
		Description:   connectHelp + "\n\nThe client is told the reason. The server demands the role admin.",
		ArgsUsage:     "[ADDR] ID [REASON]",
		Flags:         connectFlags(),
		Action:        shortly(1, 2, disconnect),
		ShellComplete: complete(completeClients),
	}
}

func send(ctx context.Context, r *remote, args []string) error {
	push, err := newPush(ctx, r, args[1:])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	_, err = r.core.Send(ctx, &packetrpcv1.SendRequest{Id: args[0], Push: push})
	return callError(err, nil)
}

func broadcast(ctx context.Context, r *remote, args []string) error {
	push, err := newPush(ctx, r, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	answer, err := r.core.Broadcast(ctx, &packetrpcv1.BroadcastRequest{Group: r.flags.String("group"), Push: push})
	switch {
	case err != nil:
		return callError(err, nil)
	case r.out.JSON:
		return r.out.Object(map[string]uint32{"queued": answer.GetQueued(), "refused": answer.GetRefused()})
	}
	_, err = fmt.Fprintf(r.out, "queued for %d, refused by %d\n", answer.GetQueued(), answer.GetRefused())
	return err
}

func disconnect(ctx context.Context, r *remote, args []string) error {
	request := &packetrpcv1.DisconnectRequest{Id: args[0]}
	if len(args) > 1 {
		request.Reason = args[1]
	}
	_, err := r.core.Disconnect(ctx, request)
	return callError(err, nil)
}

// newPush returns the push of an action and a message.
func newPush(ctx context.Context, r *remote, args []string) (*packetrpcv1.Push, error) {
	name, argument, stdin := args[0], "{}", r.flags.Root().Reader
	if len(args) > 1 {
		argument = args[1]
	}
	switch known, err := r.schema(ctx, r.client); {
	case isNotTold(err):
		return newUncheckedPush(name, argument, stdin)
	case err != nil:
		return nil, err
	default:
		return newCheckedPush(ctx, known, name, argument, stdin)
	}
}

func newCheckedPush(ctx context.Context, known *schema.Schema, name, argument string, stdin io.Reader) (*packetrpcv1.Push, error) {
	action, err := findAction(known, name)
	if err != nil {
		return nil, err
	}
	if action.Spec.Type != packetrpc.OneWay {
		return nil, usageErrorf("%s is %s, and only one-way actions can be pushed", action.Spec.Action, action.Spec.Type)
	}
	input, err := openInput(argument, stdin, action, known.Types())
	if err != nil {
		return nil, err
	}
	defer input.close()
	message, err := input.only(ctx)
	if err != nil {
		return nil, err
	}
	encoded, err := proto.Marshal(message)
	return &packetrpcv1.Push{Action: action.Spec.Action, Payload: &packetrpcv1.Push_Message{Message: encoded}}, err
}

// newUncheckedPush returns a push that the server, which does not tell what there is, has to
// make sense of itself.
func newUncheckedPush(action, argument string, stdin io.Reader) (*packetrpcv1.Push, error) {
	source, err := openSource(argument, stdin)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	text, err := io.ReadAll(source)
	if err != nil {
		return nil, err
	}
	data := new(structpb.Struct)
	if err := protojson.Unmarshal(text, data); err != nil {
		return nil, usageErrorf("the message is no JSON object: %w", err)
	}
	return &packetrpcv1.Push{Action: action, Payload: &packetrpcv1.Push_Data{Data: data}}, nil
}
