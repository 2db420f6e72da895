package server_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Over plaintext, where tokens can be read, a session goes on only for who can prove to
// be its client.
func TestStolenTokens(t *testing.T) {
	ownPassword := server.WithAuthenticator(session.AuthenticatorFunc(
		func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
			if c.Password != "of "+c.Username {
				return packetrpc.Identity{}, session.ErrCredentials
			}
			return packetrpc.Identity{Name: c.Username}, nil
		}))
	address := listen(t, server.New(ownPassword, server.WithFailureDelay(1, 0, 0), server.WithLogger(quiet())))
	shake := func(name, password, token string) reply {
		nc := dialRaw(t, address)
		nc.write(fmt.Sprintf(`{"action":"handShake","data":{"version":1,"username":%q,"password":%q,"resumable":true,"resumeToken":%q}}`,
			name, password, base64.StdEncoding.EncodeToString([]byte(token))))
		return nc.read()
	}
	first := shake("ada", "of ada", "")
	token, id := *first.Token, first.field("id")
	if first.field("resumeWithin") != "60s" || first.field("keepalive") == nil {
		t.Errorf("the server tells %+v", first)
	}
	for _, test := range []struct {
		name, password, token string
		status, refused       string
	}{
		{"", "", token, "unauthenticated", ""},
		{"ada", "a guess", token, "unauthenticated", ""},
		{"eve", "of eve", token, "", "another client's"},
		{"ada", "of ada", token[1:] + "A", "", "no such session"},
		{"ada", "of ada", token, "", "resumed"},
	} {
		p := shake(test.name, test.password, test.token)
		refused, _ := p.field("resumeRefused").(string)
		switch {
		case test.status != "":
			if p.Status != test.status {
				t.Errorf("%s with %q: %+v", test.name, test.password, p)
			}
		case test.refused == "resumed":
			if p.field("resumed") != true || p.field("id") != id || *p.Token != token {
				t.Errorf("the client itself: %+v", p)
			}
		default:
			if !strings.Contains(refused, test.refused) || p.field("id") == id || *p.Token == token {
				t.Errorf("%s: %+v, want it refused since %q", test.name, p, test.refused)
			}
		}
	}
}

// A session stays what it is: in its form, and with its protection.
func TestSessionsDoNotChange(t *testing.T) {
	k := testKeys()
	srv := server.New(server.WithKey(k.server), server.AllowPlaintext(), server.WithLogger(quiet()))
	address := listen(t, srv)
	nc := dialRaw(t, address)
	nc.write(`{"action":"handShake","data":{"version":1,"resumable":true}}`)
	token := base64.StdEncoding.EncodeToString([]byte(*nc.read().Token))
	within := connectOpenSSL(t, address, "-tls1_3")
	p := within.exchange(`{"action":"handShake","data":{"version":1,"resumable":true,"resumeToken":"` + token + `"}}`)
	if refused, _ := p.field("resumeRefused").(string); !strings.Contains(refused, "encrypted") || p.field("resumed") == true {
		t.Errorf("got %+v", p)
	}
	plain := dialRaw(t, address)
	plain.write(`{"action":"handShake","data":{"username":"demo","resumable":true,"resumeToken":"` + token + `"}}`)
	if p := plain.read(); p.field("resumed") == true || *p.Token == token {
		t.Errorf("an old program: %+v", p)
	}
}
