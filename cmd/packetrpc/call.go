package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/proto"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// newCallCommand returns the command that calls actions.
func newCallCommand() *cli.Command {
	return &cli.Command{
		Name:  "call",
		Usage: "call an action",
		Description: connectHelp + "\n\nACTION is the name of an action, or the end of it: Send does for chat.v1.ChatService/Send.\n" +
			"The request is JSON, a file of it, or with - the standard input. Where an action takes a stream,\n" +
			"it is one object behind the other; without it, streams are read from the standard input, and\n" +
			"other requests are empty. Replies are written as they come.\n\n" +
			"   packetrpc call Send '{\"text\":\"hello\"}'\n" +
			"   packetrpc call localhost:4000 chat.v1.ChatService/Import @lines.json\n" +
			"   echo '{\"text\":\"hello\"}' | packetrpc call Talk",
		ArgsUsage: "[ADDR] ACTION [JSON|@FILE|-]",
		Flags: slices.Concat([]cli.Flag{
			&cli.GenericFlag{Name: "metadata", Aliases: []string{"m"}, Usage: "send `KEY=VALUE` beside the request, may be repeated", Value: new(metadata)},
			&cli.DurationFlag{Name: "deadline", Usage: "give the call up after `DURATION`; otherwise its .proto file may say when", HideDefault: true},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print the metadata of the reply to the standard error"},
		}, connectFlags(), schemaFlags()),
		Action:        connected(1, 2, callAction),
		ShellComplete: complete(completeActions),
	}
}

func callAction(ctx context.Context, r *remote, args []string) error {
	c, err := newCall(ctx, r, args)
	if err != nil {
		return err
	}
	defer c.input.close()
	ctx, cancel := c.context(ctx)
	defer cancel()
	ctx, info := packetrpc.WithCallInfo(ctx)
	err = c.run(ctx)
	if c.flags.Bool("verbose") {
		c.printMetadata(info)
	}
	return callError(err, c.types)
}

// call is a call that is made at the command line.
type call struct {
	*remote
	action *schema.Action
	types  typeResolver
	input  *input
}

// newCall finds the action and the input.
func newCall(ctx context.Context, r *remote, args []string) (*call, error) {
	known, err := r.schemaFor(ctx, args[0])
	if err != nil {
		return nil, err
	}
	action, err := findAction(known, args[0])
	if err != nil {
		return nil, err
	}
	if err := r.refuseLost(ctx, action); err != nil {
		return nil, err
	}
	c := &call{remote: r, action: action, types: known.Types()}
	argument := "{}"
	switch {
	case len(args) > 1:
		argument = args[1]
	case action.Spec.Type.StreamsRequests():
		argument = "-"
	}
	c.input, err = openInput(argument, r.flags.Root().Reader, action, c.types)
	return c, err
}

// refuseLost refuses one-way calls of an action that the server does not handle: they are
// not answered, so that nobody would be told that they are lost. Of a server that does not
// list what it handles none is refused.
func (r *remote) refuseLost(ctx context.Context, action *schema.Action) error {
	if action.Spec.Type != packetrpc.OneWay {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	told, err := r.core.ListActions(ctx, &packetrpcv1.ListActionsRequest{})
	isIt := func(a *packetrpcv1.Action) bool { return a.GetName() == action.Spec.Action }
	if err != nil || slices.ContainsFunc(told.GetActions(), isIt) {
		return nil
	}
	return callError(packetrpc.Errorf(packetrpc.CodeUnimplemented,
		"%s does not handle %s; `packetrpc send` and `broadcast` push to clients", r.address, action.Spec.Action), nil)
}

// context returns the context of the call.
func (c *call) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = packetrpc.WithMetadata(ctx, *c.flags.Generic("metadata").(*metadata)...)
	if limit := c.flags.Duration("deadline"); limit > 0 {
		return context.WithTimeout(ctx, limit)
	}
	return context.WithCancel(ctx)
}

// run makes the call and prints the replies.
func (c *call) run(ctx context.Context) error {
	spec := c.action.Spec
	if spec.Type.StreamsRequests() {
		return c.stream(ctx, nil)
	}
	request, err := c.input.only(ctx)
	if err != nil {
		return err
	}
	switch spec.Type {
	case packetrpc.OneWay:
		return c.client.CallOneWay(ctx, spec, request)
	case packetrpc.ServerStream:
		return c.stream(ctx, request)
	}
	reply := c.action.NewResponse()
	if err := c.client.CallUnary(ctx, spec, request, reply); err != nil {
		return err
	}
	return c.out.Message(reply, c.types, true)
}

// stream makes a streaming call. An input that is wrong ends it.
func (c *call) stream(ctx context.Context, request proto.Message) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stream, err := c.client.OpenStream(ctx, c.action.Spec, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	shown := newProgress(c.out)
	defer shown.end()
	if c.action.Spec.Type.StreamsRequests() {
		// Nobody waits for this goroutine: reading from a terminal or a pipe cannot be
		// interrupted, so it goes on until there is input or the program ends.
		go func() {
			if err := c.send(stream, shown); err != nil {
				end(err)
			}
		}()
	}
	err = c.receive(stream, shown)
	if wrong := (*exitError)(nil); errors.As(context.Cause(ctx), &wrong) {
		return wrong
	}
	return err
}

// send sends the input. When the call has ended, receive tells why.
func (c *call) send(stream packetrpc.Stream, shown *progress) error {
	for {
		message, err := c.input.next()
		if errors.Is(err, io.EOF) {
			stream.CloseSend()
			return nil
		}
		if err != nil {
			return err
		}
		if stream.Send(message) != nil {
			return nil
		}
		shown.sent.Add(1)
	}
}

// receive prints the replies.
func (c *call) receive(stream packetrpc.Stream, shown *progress) error {
	for {
		reply := c.action.NewResponse()
		if err := stream.Receive(reply); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		shown.received.Add(1)
		if err := c.out.Message(reply, c.types, !c.action.Spec.Type.StreamsReplies()); err != nil {
			return err
		}
	}
}

// printMetadata prints what came beside the replies.
func (c *call) printMetadata(info *packetrpc.CallInfo) {
	if !c.out.JSON {
		for key, value := range info.Metadata.All() {
			fmt.Fprintf(c.out.Notes, "%s: %s\n", key, value)
		}
		return
	}
	values := make(map[string][]string)
	for key, value := range info.Metadata.All() {
		values[key] = append(values[key], value)
	}
	writeObject(c.out.Notes, map[string]any{"metadata": values})
}

// metadata is the value of a flag that may be repeated: keys and values by turns.
type metadata []string

// Set adds KEY=VALUE.
func (m *metadata) Set(text string) error {
	key, value, isPair := strings.Cut(text, "=")
	switch {
	case !isPair:
		return errors.New("it is not KEY=VALUE")
	case !packetrpc.ValidMetadataKey(key):
		return fmt.Errorf(`%q is no key: those have letters, digits, ".", "-" and "_"`, key)
	}
	*m = append(*m, key, value)
	return nil
}

func (m *metadata) String() string { return "" } // there is no default to show

// Get returns the value itself.
func (m *metadata) Get() any { return m }
