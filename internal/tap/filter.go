package tap

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Filter picks events. Fields that are not set pick all; an event must fit all that are.
// That something was missed always fits.
type Filter struct {
	// Action is a pattern of the action's name, in which "*" stands for any text and "?"
	// for any character.
	Action string
	// Connections are the numbers of connections.
	Connections []int
	// Status is how a call has ended: "ok", "error" for anything else, or the name of a
	// code. It picks only events that end a call.
	Status string
	// Slower is the least duration of a call. It picks only events that end a call.
	Slower time.Duration
	// Kinds are the kinds of events.
	Kinds []string
}

// Compile returns a function that reports whether an event fits. The error has the code
// invalid_argument and names the field as the command's flag.
func (f Filter) Compile() (func(*Event) bool, error) {
	if _, isCode := packetrpc.ParseCode(f.Status); !isCode && !slices.Contains([]string{"", "ok", "error"}, f.Status) {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "--status is ok, error or a code such as not_found, not %q", f.Status)
	}
	for _, kind := range f.Kinds {
		if !slices.Contains(Kinds(), kind) {
			return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "--kind is one of %s, not %q", strings.Join(Kinds(), ", "), kind)
		}
	}
	action, err := compileGlob(f.Action)
	if err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "--action %q is no pattern: %w", f.Action, err)
	}
	return func(e *Event) bool {
		return e.Kind == KindMissed ||
			(action == nil || action.MatchString(e.Action)) &&
				(len(f.Connections) == 0 || slices.Contains(f.Connections, e.Connection)) &&
				(len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind)) &&
				(f.Slower <= 0 || e.Call != nil && time.Duration(e.Call.Duration) >= f.Slower) &&
				f.fitsStatus(e)
	}, nil
}

func (f Filter) fitsStatus(e *Event) bool {
	switch f.Status {
	case "":
		return true
	case "error":
		return e.Status != "" && e.Status != "ok" || e.Kind == KindFailed
	default:
		return e.Status == f.Status
	}
}

// compileGlob returns an expression for a pattern, or nil for none.
func compileGlob(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	return regexp.Compile(`(?s)^` + quoted + `$`)
}
