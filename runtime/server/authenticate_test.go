package server_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// known lets ada in, is broken for bob, panics for eve and waits for the rest.
func known(ctx context.Context, c session.Credentials) (packetrpc.Identity, error) {
	switch c.Username {
	case "ada":
		if c.Password == "right" {
			return packetrpc.Identity{Name: "ada", Roles: []string{"writer"}}, nil
		}
		return packetrpc.Identity{}, session.ErrCredentials
	case "bob":
		return packetrpc.Identity{}, errors.New("the disk is full")
	case "eve":
		panic("the authenticator has a fault")
	}
	<-ctx.Done()
	return packetrpc.Identity{}, ctx.Err()
}

func TestAuthenticate(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, test := range []struct {
		name     string
		ctx      context.Context
		options  []server.Option
		username string
		password string
		want     packetrpc.Identity
		code     packetrpc.Code
	}{
		{"right", within(t), nil, "ada", "right", packetrpc.Identity{Name: "ada", Roles: []string{"writer", "reader"}}, 0},
		{"wrong", within(t), nil, "ada", "wrong", packetrpc.Identity{}, packetrpc.CodeUnauthenticated},
		{"broken", within(t), nil, "bob", "", packetrpc.Identity{}, packetrpc.CodeUnauthenticated},
		{"panics", within(t), nil, "eve", "", packetrpc.Identity{}, packetrpc.CodeInternal},
		{"too late", ended, nil, "carol", "", packetrpc.Identity{}, packetrpc.CodeCanceled},
		{"no name", within(t), nil, "a\nb", "", packetrpc.Identity{}, packetrpc.CodeInvalidArgument},
		{"without an authenticator", within(t), []server.Option{server.WithAuthenticator(nil)}, "ada", "",
			packetrpc.Identity{Name: "ada", Roles: []string{"reader"}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := []server.Option{server.WithLogger(quiet()), server.WithRoles("ada", "reader"), server.WithAuthenticator(session.AuthenticatorFunc(known))}
			srv := server.New(append(options, test.options...)...)
			got, err := srv.Authenticate(test.ctx, session.Credentials{Username: test.username, Password: test.password})
			if got.Name != test.want.Name || !slices.Equal(got.Roles, test.want.Roles) || packetrpc.CodeOf(err) != test.code {
				t.Errorf("got %+v, %v, want %+v and the code %v", got, err, test.want, test.code)
			}
			if got, want := srv.Authenticates(), test.options == nil; got != want {
				t.Errorf("the server authenticates: %t, want %t", got, want)
			}
		})
	}
}

// Failures beside the port count with those of handshakes.
func TestAuthenticateHoldsBack(t *testing.T) {
	srv := server.New(server.WithAuthenticator(session.AuthenticatorFunc(known)), server.WithFailureDelay(1, time.Hour, time.Hour))
	here := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	attempt := func(address net.Addr, password string) error {
		_, err := srv.Authenticate(within(t), session.Credentials{Username: "ada", Password: password, RemoteAddr: address})
		return err
	}
	if err := attempt(here, "wrong"); packetrpc.CodeOf(err) != packetrpc.CodeUnauthenticated {
		t.Errorf("the first failure: %v", err)
	}
	if err := attempt(here, "right"); packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted || packetrpc.AsError(err).RetryAfter == 0 {
		t.Errorf("the next attempt: %v", err)
	}
	for _, elsewhere := range []net.Addr{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1}, nil} {
		if err := attempt(elsewhere, "right"); err != nil {
			t.Errorf("from %v: %v", elsewhere, err)
		}
	}
}
