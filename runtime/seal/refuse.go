package seal

import (
	"fmt"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// refusal is why sealed data is not opened: a text of its own, and a kind.
type refusal struct {
	kind error
	text error
}

func (r *refusal) Error() string   { return r.text.Error() }
func (r *refusal) Unwrap() []error { return []error{r.kind, r.text} }

func refuse(code packetrpc.Code, kind error, format string, args ...any) *packetrpc.Error {
	return packetrpc.NewError(code, &refusal{kind, fmt.Errorf(format, args...)})
}

func malformed(format string, args ...any) error {
	return refuse(packetrpc.CodeInvalidArgument, ErrMalformed, format, args...)
}

func notForThisKey(format string, args ...any) error {
	return refuse(packetrpc.CodeInvalidArgument, ErrNotForThisKey, format, args...)
}

func moved(format string, args ...any) error {
	return refuse(packetrpc.CodeFailedPrecondition, ErrMoved, format, args...)
}

func stale(format string, args ...any) error {
	return refuse(packetrpc.CodeFailedPrecondition, ErrStale, format, args...)
}

func replayed() error {
	return refuse(packetrpc.CodeFailedPrecondition, ErrReplayed, "the sealed data has been opened before; a call is sealed afresh when it is repeated")
}
