package users

import (
	"context"
	"errors"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Any returns an authenticator that asks several, in their order, until one knows
// the client. When none does, it returns the first error that is not
// [session.ErrCredentials], or else that one. With a [*Keys] before a [*File],
// whoever has a listed key needs no password, and all others need one.
func Any(authenticators ...session.Authenticator) session.Authenticator {
	return session.AuthenticatorFunc(func(ctx context.Context, credentials session.Credentials) (packetrpc.Identity, error) {
		refusal := session.ErrCredentials
		for _, authenticator := range authenticators {
			identity, err := authenticator.Authenticate(ctx, credentials)
			if err == nil {
				return identity, nil
			}
			if errors.Is(refusal, session.ErrCredentials) {
				refusal = err
			}
		}
		return packetrpc.Identity{}, refusal
	})
}
