package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// What the program exits with; exitCodes tells users of it.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitConnect = 3
	exitCall    = 64 // and the code of the error
)

// exitCodes is a part of the help.
const exitCodes = `EXIT CODES:
   0       done
   1       the command failed, or what it looked for is not so
   2       the command line, or the input, is wrong
   3       the server cannot be reached, or has refused the handshake
   64 + N  the call failed with the code N: 65 canceled, 66 unknown, 67 invalid_argument,
           68 deadline_exceeded, 69 not_found, 70 already_exists, 71 permission_denied,
           72 resource_exhausted, 73 failed_precondition, 74 aborted, 75 out_of_range,
           76 unimplemented, 77 internal, 78 unavailable, 79 data_loss, 80 unauthenticated
`

// exitError is an error that says what the program exits with.
type exitError struct {
	error
	status int
	types  typeResolver // of the error's details; nil is what is linked into the program
}

func (e *exitError) Unwrap() error { return e.error }

// typeResolver is what messages in google.protobuf.Any are found by.
type typeResolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// usageErrorf returns an error about the command line or the input.
func usageErrorf(format string, args ...any) error {
	return &exitError{error: fmt.Errorf(format, args...), status: exitUsage}
}

// callError returns the error of a call that has failed. What says already what to exit
// with stays as it is.
func callError(err error, types typeResolver) error {
	if exit := (*exitError)(nil); err == nil || errors.As(err, &exit) {
		return err
	}
	return &exitError{error: err, status: exitCall + int(packetrpc.CodeOf(err)), types: types}
}

// refuseUsage makes wrong flags an error like others, instead of printing all the help.
func refuseUsage(_ context.Context, command *cli.Command, err error, _ bool) error {
	return usageErrorf("%w; see `%s --help`", err, command.FullName())
}

// exitStatus returns what the program exits with after an error.
func exitStatus(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.status
	}
	if _, unknown := err.(cli.ExitCoder); unknown { // the library has refused help for a command that there is not
		return exitUsage
	}
	return exitFailed
}

// output is where a command writes what it has found out: for people, or with --json for
// programs, an object in a line for each thing.
type output struct {
	io.Writer           // for people
	Notes     io.Writer // for what is beside the result
	JSON      bool
}

func newOutput(command *cli.Command) *output {
	root := command.Root()
	return &output{Writer: root.Writer, Notes: root.ErrWriter, JSON: command.Bool("json")}
}

// Object writes an object in a line.
func (o *output) Object(object any) error { return writeObject(o.Writer, object) }

func writeObject(to io.Writer, object any) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}

// Message writes a message: in a line, or if it is for people and alone, in several.
func (o *output) Message(message proto.Message, types typeResolver, alone bool) error {
	text, err := messageJSON(message, types)
	if err != nil {
		return err
	}
	if alone && !o.JSON {
		var lines bytes.Buffer
		if err := json.Indent(&lines, text, "", "  "); err != nil {
			return err
		}
		text = lines.Bytes()
	}
	_, err = o.Write(append(text, '\n'))
	return err
}

// messageJSON returns a message as JSON in a line. It is the same each time, which
// protojson on its own does not promise.
func messageJSON(message proto.Message, types typeResolver) ([]byte, error) {
	text, err := protojson.MarshalOptions{Resolver: types}.Marshal(message)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	err = json.Compact(&line, text)
	return line.Bytes(), err
}

// Error writes why the command has failed.
func (o *output) Error(err error) {
	failure := newFailure(err)
	if o.JSON {
		writeObject(o.Notes, failure)
		return
	}
	fmt.Fprintln(o.Notes, "packetrpc:", failure.text)
	for _, detail := range failure.Details {
		fmt.Fprintf(o.Notes, "  detail: %s\n", detail)
	}
	if failure.RetryAfter > 0 {
		fmt.Fprintf(o.Notes, "  retry after %s\n", time.Duration(failure.RetryAfter*float64(time.Second)))
	}
}

// failure is an error as it is written.
type failure struct {
	Code       string            `json:"code"`
	Message    string            `json:"message"`
	Details    []json.RawMessage `json:"details,omitempty"`
	RetryAfter float64           `json:"retry_after,omitempty"` // seconds

	text string // all of it, for people
}

func newFailure(err error) failure {
	var exit *exitError
	var coded *packetrpc.Error
	written := failure{Code: packetrpc.CodeOf(err).String(), Message: err.Error(), text: err.Error()}
	isExit := errors.As(err, &exit)
	switch {
	case errors.As(err, &coded):
	case isExit && exit.status == exitUsage:
		written.Code = packetrpc.CodeInvalidArgument.String()
		return written
	default:
		return written
	}
	if err.Error() == coded.Error() {
		written.Message = coded.Message
	}
	if !coded.Remote() || isExit && exit.status == exitConnect {
		written.Message, written.text = inFlags(written.Message), inFlags(written.text)
	}
	written.RetryAfter = coded.RetryAfter.Seconds()
	for _, detail := range coded.Details {
		written.Details = append(written.Details, detailJSON(detail, exit))
	}
	return written
}

// inFlags names the flags of the command line where a text names the options of package
// client. Servers name those too when they refuse a handshake.
func inFlags(text string) string {
	return strings.NewReplacer(
		"client.WithServerKey", "--server-key",
		"client.AllowPlaintextPassword", "--plaintext-password",
		"client.WithSealingTo", "--seal-to",
		"client.WithTLS", "--tls",
		"client.WithKey", "--key",
	).Replace(text)
}

// detailJSON returns the detail of an error as JSON. If its type is not known, that is the
// type's name and the bytes.
func detailJSON(detail *anypb.Any, exit *exitError) json.RawMessage {
	var types typeResolver = protoregistry.GlobalTypes
	if exit != nil && exit.types != nil {
		types = exit.types
	}
	if text, err := messageJSON(detail, types); err == nil {
		return text
	}
	text, _ := json.Marshal(map[string]any{"@type": detail.GetTypeUrl(), "value": detail.GetValue()})
	return text
}
