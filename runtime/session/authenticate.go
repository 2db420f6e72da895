package session

import (
	"context"
	"crypto/rsa"
	"net"
	"unicode"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// MaxNameSize is the number of bytes that a client's name may have.
const MaxNameSize = 256

// ErrCredentials is what a client is told whose name or password is wrong, and
// what an [Authenticator] returns then.
var ErrCredentials error = &packetrpc.Error{
	Code:    packetrpc.CodeUnauthenticated,
	Message: "the name or the password is wrong",
}

// Credentials is what a client says of itself in the handshake.
type Credentials struct {
	// Username and Password are as the client sent them; either may be empty. A
	// Username is never longer than [MaxNameSize] and holds no control characters.
	Username, Password string
	// RemoteAddr is where the client connects from.
	RemoteAddr net.Addr
	// PublicKey is the RSA key that the client has proven to have, on an encrypted
	// connection; nil is none.
	PublicKey *rsa.PublicKey
}

// Authenticator tells who a client is.
type Authenticator interface {
	// Authenticate returns the identity of a client, or why it is refused. Of an
	// error that is or wraps a [*packetrpc.Error] the client is told the code and
	// the message; of any other one it is told [ErrCredentials], and the server
	// logs the rest. The context ends when the handshake's time has run out or the
	// server shuts down. It is called concurrently.
	Authenticate(ctx context.Context, credentials Credentials) (packetrpc.Identity, error)
}

// AuthenticatorFunc is a function that is an [Authenticator].
type AuthenticatorFunc func(ctx context.Context, credentials Credentials) (packetrpc.Identity, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, credentials Credentials) (packetrpc.Identity, error) {
	return f(ctx, credentials)
}

// Authenticate asks the authenticator who the client is. Without an
// authenticator every client is who it says it is, and has no roles.
func Authenticate(ctx context.Context, authenticator Authenticator, credentials Credentials) (packetrpc.Identity, error) {
	if err := checkName(credentials.Username); err != nil {
		return packetrpc.Identity{}, err
	}
	if authenticator == nil {
		return packetrpc.Identity{Name: credentials.Username}, nil
	}
	return authenticator.Authenticate(ctx, credentials)
}

// checkName refuses names that lists and logs cannot show.
func checkName(name string) error {
	if len(name) > MaxNameSize {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument,
			"the username has %d bytes; it may have %d", len(name), MaxNameSize)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument,
				"the username has the control character %U", r)
		}
	}
	return nil
}
