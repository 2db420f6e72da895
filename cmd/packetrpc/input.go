package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/schema"
)

// input reads messages, which are one JSON object behind the other.
type input struct {
	source  io.Closer
	decoder *json.Decoder
	action  *schema.Action
	types   typeResolver
	count   int // of the messages that have been read, the one that is wrong included
}

// openSource opens what an argument says: JSON, "@" and the name of a file, or "-" for the
// standard input.
func openSource(argument string, stdin io.Reader) (io.ReadCloser, error) {
	name, isFile := strings.CutPrefix(argument, "@")
	switch {
	case argument == "-":
		return io.NopCloser(stdin), nil
	case isFile:
		return os.Open(name)
	}
	return io.NopCloser(strings.NewReader(argument)), nil
}

// openInput opens the source of an action's requests.
func openInput(argument string, stdin io.Reader, action *schema.Action, types typeResolver) (*input, error) {
	source, err := openSource(argument, stdin)
	if err != nil {
		return nil, err
	}
	return &input{source: source, decoder: json.NewDecoder(source), action: action, types: types}, nil
}

func (i *input) close() { i.source.Close() }

// next returns the next message, or io.EOF behind the last one.
func (i *input) next() (proto.Message, error) {
	var text json.RawMessage
	err := i.decoder.Decode(&text)
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	i.count++
	if err != nil {
		return nil, i.refuse(err)
	}
	message := i.action.NewRequest()
	if err := (protojson.UnmarshalOptions{Resolver: i.types}).Unmarshal(text, message); err != nil {
		return nil, i.refuse(err)
	}
	return message, nil
}

// only returns the one message that there must be. It waits for the input until ctx ends;
// then the reading itself goes on until the program does.
func (i *input) only(ctx context.Context) (proto.Message, error) {
	type reading struct {
		message proto.Message
		err     error
	}
	read := make(chan reading, 1)
	go func() {
		message, err := i.single()
		read <- reading{message, err}
	}()
	select {
	case r := <-read:
		return r.message, r.err
	case <-ctx.Done():
		return nil, packetrpc.NewError(packetrpc.CodeOf(ctx.Err()), ctx.Err())
	}
}

func (i *input) single() (proto.Message, error) {
	message, err := i.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, i.refuse(errors.New("it is empty"))
	case err != nil:
		return nil, err
	}
	if i.decoder.More() {
		return nil, usageErrorf("%s takes one request, and the input goes on behind it", i.action.Spec.Action)
	}
	return message, nil
}

// refuse returns the error of an input that is not the message that it should be. Of several
// messages it says which one.
func (i *input) refuse(err error) error {
	which := "the input"
	if i.count > 1 {
		which = fmt.Sprintf("message %d of the input", i.count)
	}
	return refuseRequest(fmt.Errorf("%s is no %s: %w", which, i.action.Spec.Request, err), i.action, i.types)
}

// refuseRequest returns the error of what is no request of an action, and shows what one is
// like.
func refuseRequest(err error, action *schema.Action, types typeResolver) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ") // protojson writes either space, so that nobody compares
	text = strings.Replace(text, "proto: ", "", 1)
	like, problem := template(action.Method.Input(), types)
	if problem != nil {
		return problem
	}
	return usageErrorf("%s\nwanted is %s", text, like)
}
