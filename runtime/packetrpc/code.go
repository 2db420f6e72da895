package packetrpc

import "strconv"

// Code is the kind of a failure. The codes and their numbers are those of gRPC
// and Connect; there is none for success, which is a nil error.
type Code uint32

// The codes.
const (
	// CodeCanceled: the caller cancelled the call.
	CodeCanceled Code = 1
	// CodeUnknown: a failure of no known kind, such as an uncoded error that a
	// handler returned.
	CodeUnknown Code = 2
	// CodeInvalidArgument: the request is wrong, whatever the state of the system.
	CodeInvalidArgument Code = 3
	// CodeDeadlineExceeded: the call's time ran out.
	CodeDeadlineExceeded Code = 4
	// CodeNotFound: what was asked for does not exist.
	CodeNotFound Code = 5
	// CodeAlreadyExists: what was to be made exists.
	CodeAlreadyExists Code = 6
	// CodePermissionDenied: the caller is known and may not do this.
	CodePermissionDenied Code = 7
	// CodeResourceExhausted: a quota, a queue or a limit is used up.
	CodeResourceExhausted Code = 8
	// CodeFailedPrecondition: the system is not in the state that the call needs.
	CodeFailedPrecondition Code = 9
	// CodeAborted: the call was given up, as after a conflict.
	CodeAborted Code = 10
	// CodeOutOfRange: the request goes past a valid range.
	CodeOutOfRange Code = 11
	// CodeUnimplemented: there is no such action here.
	CodeUnimplemented Code = 12
	// CodeInternal: something that must hold does not, such as a handler that
	// panicked or a reply that cannot be decoded.
	CodeInternal Code = 13
	// CodeUnavailable: the other side cannot be reached now.
	CodeUnavailable Code = 14
	// CodeDataLoss: data was lost for good.
	CodeDataLoss Code = 15
	// CodeUnauthenticated: the caller is not known.
	CodeUnauthenticated Code = 16
)

// codeNames is indexed by code.
var codeNames = [...]string{
	CodeCanceled:           "canceled",
	CodeUnknown:            "unknown",
	CodeInvalidArgument:    "invalid_argument",
	CodeDeadlineExceeded:   "deadline_exceeded",
	CodeNotFound:           "not_found",
	CodeAlreadyExists:      "already_exists",
	CodePermissionDenied:   "permission_denied",
	CodeResourceExhausted:  "resource_exhausted",
	CodeFailedPrecondition: "failed_precondition",
	CodeAborted:            "aborted",
	CodeOutOfRange:         "out_of_range",
	CodeUnimplemented:      "unimplemented",
	CodeInternal:           "internal",
	CodeUnavailable:        "unavailable",
	CodeDataLoss:           "data_loss",
	CodeUnauthenticated:    "unauthenticated",
}

// String returns the code's name in lower case, as in "not_found", and
// "code_N" for a number that is none of the codes.
func (c Code) String() string {
	if c >= 1 && int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "code_" + strconv.FormatUint(uint64(c), 10)
}

// ParseCode returns the code of a name that [Code.String] returns.
func ParseCode(name string) (Code, bool) {
	for code, n := range codeNames {
		if n != "" && n == name {
			return Code(code), true
		}
	}
	return 0, false
}
