package server

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Authenticate returns who somebody is, with the roles of [WithRoles], as a handshake
// with the same credentials would: for what stands beside the server's own port, such as
// a web console. Without an authenticator everybody is who they say they are. Where
// names or passwords from the credentials' address have been wrong, it waits or refuses;
// see [WithFailureDelay]. The error is coded: unauthenticated for a wrong name or
// password, resource_exhausted for who is to come back later, and the context's when
// that ends first.
func (s *Server) Authenticate(ctx context.Context, credentials session.Credentials) (packetrpc.Identity, error) {
	if s.options.authenticator == nil {
		identity, err := session.Authenticate(ctx, nil, credentials)
		return s.options.granted(identity), err
	}
	origin := originOf(credentials.RemoteAddr)
	if err := s.holdBack(ctx, origin); err != nil {
		return packetrpc.Identity{}, err
	}
	var identity packetrpc.Identity
	err := s.guarded("the authenticator", func() (err error) {
		identity, err = session.Authenticate(ctx, s.options.authenticator, credentials)
		return err
	})
	var coded *packetrpc.Error
	switch {
	case err == nil:
		return s.options.granted(identity), nil
	case errors.As(err, &coded):
		if coded.Code == packetrpc.CodeUnauthenticated {
			s.failures.note(origin, time.Now())
		}
		return packetrpc.Identity{}, err
	case ctx.Err() != nil:
		return packetrpc.Identity{}, packetrpc.AsError(ctx.Err())
	default:
		s.options.logger.Error("packetrpc: authenticating failed",
			"name", credentials.Username, "address", credentials.RemoteAddr, "error", err)
		return packetrpc.Identity{}, session.ErrCredentials
	}
}

// Authenticates reports whether the server has an authenticator ([WithAuthenticator]),
// so that a name is more than what somebody says.
func (s *Server) Authenticates() bool { return s.options.authenticator != nil }

// holdBack waits where attempts from an address have failed.
func (s *Server) holdBack(ctx context.Context, origin netip.Prefix) error {
	wait, err := s.failures.admit(origin, time.Now())
	if err != nil || wait == 0 {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return packetrpc.AsError(ctx.Err())
	}
}
