package packetrpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Error is a failed call. Every error that a generated client returns is or
// wraps one; a handler returns one to choose what its caller sees.
//
// An Error must not be changed once it has been returned.
type Error struct {
	// Code is the kind of the failure.
	Code Code
	// Message says what failed, for people.
	Message string
	// Details say what failed, for programs; see [Error.AddDetail].
	Details []*anypb.Any
	// Outcome tells what the callee can have done. It is set on errors that a
	// client returns.
	Outcome Outcome
	// RetryAfter is how long the other side asks to wait before the call is
	// repeated; 0 is no such wish.
	RetryAfter time.Duration

	cause  error
	remote bool
}

// Outcome tells what the callee of a failed call can have done.
type Outcome uint8

// The outcomes.
const (
	// OutcomeUnknown: the handler may have run, in part or in whole.
	OutcomeUnknown Outcome = iota
	// OutcomeNotSent: no handler has run, so the call is safe to repeat.
	OutcomeNotSent
	// OutcomeAnswered: the callee answered with this error.
	OutcomeAnswered
)

// String returns "outcome unknown", "not sent" or "answered".
func (o Outcome) String() string {
	switch o {
	case OutcomeNotSent:
		return "not sent"
	case OutcomeAnswered:
		return "answered"
	default:
		return "outcome unknown"
	}
}

// NewError returns an error with a code and the text of cause, which errors.Is
// and errors.As see through to. A nil cause gives an error without a message.
func NewError(code Code, cause error) *Error {
	e := &Error{Code: code, cause: cause}
	if cause != nil {
		e.Message = cause.Error()
	}
	return e
}

// Errorf returns an error with a code and a text made as by fmt.Errorf, %w
// included.
func Errorf(code Code, format string, args ...any) *Error {
	return NewError(code, fmt.Errorf(format, args...))
}

// NewRemoteError returns the error that the other side of a connection
// answered with. It is what a connection makes of an error packet; handlers
// use [NewError].
func NewRemoteError(code Code, message string, details []*anypb.Any) *Error {
	return &Error{Code: code, Message: message, Details: details, Outcome: OutcomeAnswered, remote: true}
}

// Error returns the code and the message: "not_found: no such room".
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// Unwrap returns the cause on this side of the connection, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, context.Canceled) and errors.Is(err,
// context.DeadlineExceeded) hold for the codes of the same meaning.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == CodeCanceled
	case context.DeadlineExceeded:
		return e.Code == CodeDeadlineExceeded
	}
	return false
}

// Remote reports whether the error came from the other side of the connection
// rather than from this one.
func (e *Error) Remote() bool { return e.remote }

// AddDetail appends a message to the error's details. It fails when the message
// cannot be marshalled.
func (e *Error) AddDetail(detail proto.Message) error {
	wrapped, err := anypb.New(detail)
	if err != nil {
		return err
	}
	e.Details = append(e.Details, wrapped)
	return nil
}

// CodeOf returns the code of err: that of the first [*Error] in its chain,
// [CodeCanceled] and [CodeDeadlineExceeded] for the context's errors, and
// [CodeUnknown] for all else. It returns 0 for nil.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	return AsError(err).Code
}

// AsError returns the first [*Error] in err's chain, or a new one around err
// with the code that [CodeOf] tells. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var coded *Error
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.Is(err, context.Canceled):
		return NewError(CodeCanceled, err)
	case errors.Is(err, context.DeadlineExceeded):
		return NewError(CodeDeadlineExceeded, err)
	default:
		return NewError(CodeUnknown, err)
	}
}
