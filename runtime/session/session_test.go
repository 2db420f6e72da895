package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/session"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

func TestTokenShowsNothing(t *testing.T) {
	token := session.NewToken()
	text := token.Reveal()
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(text) {
		t.Fatalf("a token is %q, want 22 characters of base64url", text)
	}
	type holder struct {
		Public  session.Token
		private session.Token
	}
	held := holder{token, token}
	store := session.NewStore()
	made := store.Create(packetrpc.Identity{Name: "ada"})

	var shown []string
	for _, value := range []any{token, &token, held, &held, []session.Token{token}, map[string]session.Token{"a": token}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
		marshalled, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("marshalling: %v", err)
		}
		shown = append(shown, string(marshalled))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "token", token, "held", held)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "token", token, "held", held, "session", made)
	shown = append(shown, log.String(), token.String(), token.GoString(), fmt.Sprint(made), fmt.Sprintf("%+v %#v", made, made))
	for _, s := range shown {
		for _, secret := range []string{text, made.Token().Reveal(), fmt.Sprintf("%x", text)} {
			if strings.Contains(s, secret) {
				t.Errorf("shows the token: %s", s)
			}
		}
	}
}

func TestTokenEqual(t *testing.T) {
	token, other := session.NewToken(), session.NewToken()
	for text, want := range map[string]bool{
		token.Reveal():          true,
		other.Reveal():          false,
		token.Reveal()[1:]:      false,
		token.Reveal() + "A":    false,
		"":                      false,
		token.String():          false,
		"\x00" + token.Reveal(): false,
	} {
		if got := token.Equal(text); got != want {
			t.Errorf("Equal(%d characters) = %t, want %t", len(text), got, want)
		}
	}
	var zero session.Token
	if !zero.IsZero() || zero.Equal("") || zero.Reveal() != "" || !session.ParseToken("").IsZero() {
		t.Error("the zero token is not nothing")
	}
	if !session.ParseToken(token.Reveal()).Equal(token.Reveal()) {
		t.Error("a parsed token differs")
	}
}

func TestStore(t *testing.T) {
	store := session.NewStore()
	roles := []string{"admin"}
	first := store.Create(packetrpc.Identity{Name: "ada", Roles: roles})
	roles[0] = "changed"
	second := store.Create(packetrpc.Identity{Name: "ada"})
	if first.ID() == second.ID() || first.Token().Equal(second.Token().Reveal()) {
		t.Error("two sessions share an id or a token")
	}
	if strings.Contains(first.Token().Reveal(), string(first.ID())) {
		t.Error("the id is part of the token")
	}
	if got := store.ByToken(first.Token().Reveal()); got != first {
		t.Errorf("ByToken returned %v", got)
	}
	if got := store.ByID(second.ID()); got != second {
		t.Errorf("ByID returned %v", got)
	}
	if store.ByToken("") != nil || store.ByToken(string(first.ID())) != nil || store.ByID("nobody") != nil {
		t.Error("found a session by what is none's")
	}
	if !first.HasRole("admin") || first.HasRole("changed") || second.HasRole("admin") || !second.HasRole("") {
		t.Error("the roles are wrong")
	}
	first.Identity().Roles[0] = "changed"
	if !first.HasRole("admin") {
		t.Error("changing a returned identity changed the session")
	}
	if !store.Remove(first) || store.Remove(first) {
		t.Error("a session can be removed once")
	}
	if store.Len() != 1 || store.ByToken(first.Token().Reveal()) != nil || store.ByID(first.ID()) != nil {
		t.Error("a removed session is still there")
	}
}

func TestStoreRemovesOnlyItsOwn(t *testing.T) {
	store, other := session.NewStore(), session.NewStore()
	mine := store.Create(packetrpc.Identity{})
	if other.Remove(mine) || store.Len() != 1 {
		t.Error("removed a session of another store")
	}
}

func TestStoreConcurrently(t *testing.T) {
	store := session.NewStore()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				s := store.Create(packetrpc.Identity{Name: "ada"})
				if store.ByToken(s.Token().Reveal()) != s || store.ByID(s.ID()) != s || !store.Remove(s) {
					t.Error("a session is not found or not removed")
				}
			}
		})
	}
	all.Wait()
	if n := store.Len(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// connection is a stand-in for a conn.Conn.
type connection struct{ reason string }

func (c *connection) Close(reason string) { c.reason = reason }

func TestDetachIsFenced(t *testing.T) {
	s := session.NewStore().Create(packetrpc.Identity{})
	first, second := new(connection), new(connection)
	if before := s.Attach(first); before != nil {
		t.Errorf("a new session has the connection %v", before)
	}
	if before := s.Attach(second); before != first {
		t.Errorf("Attach returned %v, want the first connection", before)
	}
	if s.Detach(first) {
		t.Error("the late end of the first connection took the second one away")
	}
	if !s.Detach(second) || s.Detach(second) {
		t.Error("the second connection can be detached once")
	}
}

func TestAuthenticate(t *testing.T) {
	ada := session.AuthenticatorFunc(func(_ context.Context, c session.Credentials) (packetrpc.Identity, error) {
		if c.Username == "ada" && c.Password == "secret" {
			return packetrpc.Identity{Name: "Ada", Roles: []string{"admin"}}, nil
		}
		return packetrpc.Identity{}, session.ErrCredentials
	})
	for _, test := range []struct {
		name          string
		authenticator session.Authenticator
		credentials   session.Credentials
		want          string
		code          packetrpc.Code
	}{
		{"anonymous", nil, session.Credentials{}, "", 0},
		{"anonymous with a name", nil, session.Credentials{Username: "бета", Password: "x"}, "бета", 0},
		{"right", ada, session.Credentials{Username: "ada", Password: "secret"}, "Ada", 0},
		{"wrong", ada, session.Credentials{Username: "ada", Password: "guess"}, "", packetrpc.CodeUnauthenticated},
		{"control characters", nil, session.Credentials{Username: "a\x1b[31m"}, "", packetrpc.CodeInvalidArgument},
		{"too long", ada, session.Credentials{Username: strings.Repeat("a", 257)}, "", packetrpc.CodeInvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			identity, err := session.Authenticate(t.Context(), test.authenticator, test.credentials)
			if packetrpc.CodeOf(err) != test.code || identity.Name != test.want {
				t.Errorf("got %q and %v, want %q and %v", identity.Name, err, test.want, test.code)
			}
		})
	}
}

func TestHandshakeRoundTrip(t *testing.T) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		t.Run(form.String(), func(t *testing.T) {
			theirs := &packetrpcv1.Limits{MaxMessageSize: 1000}
			first, err := session.NewRequest(form, &packetrpcv1.HandshakeRequest{Username: "ada", Password: "secret", Limits: theirs})
			if err != nil {
				t.Fatal(err)
			}
			request, err := session.ParseRequest(form, travel(t, form, first), nil)
			if err != nil {
				t.Fatal(err)
			}
			if request.Plain || request.Credentials.Username != "ada" || request.Credentials.Password != "secret" ||
				request.Limits.GetMaxMessageSize() != 1000 {
				t.Errorf("the request arrived as %+v", request)
			}
			s := session.NewStore().Create(packetrpc.Identity{Name: "ada"})
			second, err := session.NewAnswer(form, request, s, session.Terms{Limits: &packetrpcv1.Limits{MaxOpenCalls: 7}})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := session.ParseAnswer(form, travel(t, form, second))
			if err != nil {
				t.Fatal(err)
			}
			if !answer.Token.Equal(s.Token().Reveal()) || answer.ID != s.ID() || answer.Limits.GetMaxOpenCalls() != 7 {
				t.Errorf("the answer arrived as %+v", answer)
			}
		})
	}
}

// The old programs say no version and read these keys.
func TestPlainHandshake(t *testing.T) {
	request, err := session.ParseRequest(packet.JSON, parse(t,
		`{"action":"handShake","data":{"username":"demo","password":"test","extra":1},"packet-created":1712345678.9,"token":null,"more-keys":[]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !request.Plain || request.Credentials.Username != "demo" || request.Credentials.Password != "test" {
		t.Errorf("the request was understood as %+v", request)
	}
	s := session.NewStore().Create(packetrpc.Identity{})
	answer, err := session.NewAnswer(packet.JSON, request, s, session.Terms{Limits: &packetrpcv1.Limits{MaxOpenCalls: 7}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Action string
		Token  string
		Data   map[string]any
	}
	if err := json.Unmarshal(packet.AppendJSON(nil, answer), &got); err != nil {
		t.Fatal(err)
	}
	token := s.Token().Reveal()
	if got.Action != "handShake" || got.Token != token || got.Data["status"] != "success" ||
		got.Data["uuid"] != token || got.Data["remoteToken"] != token || got.Data["limits"] != nil {
		t.Errorf("the answer is %+v", got)
	}
}

func TestParseRequestRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		form packet.Form
		json string
		code packetrpc.Code
		text string
	}{
		{"another action", packet.JSON, `{"action":"CorePing"}`, packetrpc.CodeUnauthenticated, "begins with a handshake"},
		{"no action", packet.JSON, `{}`, packetrpc.CodeUnauthenticated, "begins with a handshake"},
		{"one-way", packet.JSON, `{"action":"handShake","kind":"one-way"}`, packetrpc.CodeInvalidArgument, "one-way"},
		{"call id", packet.JSON, `{"action":"handShake","id":3}`, packetrpc.CodeInvalidArgument, "call id"},
		{"later version", packet.JSON, `{"action":"handShake","data":{"version":2}}`, packetrpc.CodeFailedPrecondition, "version 1 of the protocol, not 2"},
		{"data of another kind", packet.JSON, `{"action":"handShake","data":"text"}`, packetrpc.CodeInvalidArgument, "data"},
		{"password that is a number", packet.JSON, `{"action":"handShake","data":{"password":7355608}}`, packetrpc.CodeInvalidArgument, `"password":"PASSWORD"`},
		{"no version in binary", packet.Binary, `{"action":"handShake"}`, packetrpc.CodeFailedPrecondition, "not 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := session.ParseRequest(test.form, parse(t, test.json), nil)
			if packetrpc.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.code, test.text)
			}
			if strings.Contains(fmt.Sprint(err), "7355608") {
				t.Errorf("%v shows the password", err)
			}
		})
	}
}

func TestRefusalRoundTrip(t *testing.T) {
	for _, form := range []packet.Form{packet.Binary, packet.JSON} {
		refusal := session.NewRefusal(form, nil, session.ErrCredentials)
		_, err := session.ParseAnswer(form, travel(t, form, refusal))
		var coded *packetrpc.Error
		if !errors.As(err, &coded) || !coded.Remote() || coded.Code != packetrpc.CodeUnauthenticated ||
			coded.Message != "the name or the password is wrong" {
			t.Errorf("%v: a refusal arrives as %v", form, err)
		}
	}
	asked := parse(t, `{"action":"Other","id":5}`)
	if refusal := session.NewRefusal(packet.JSON, asked, session.ErrNoHandshake); refusal.Action != "Other" || refusal.CallID != 5 {
		t.Errorf("the refusal of another action is for %q and call %d", refusal.Action, refusal.CallID)
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	for _, test := range []struct {
		name, json string
		code       packetrpc.Code
		text       string
	}{
		{"another action", `{"action":"Other","kind":"response"}`, packetrpc.CodeUnavailable, "not one"},
		{"a request", `{"action":"handShake"}`, packetrpc.CodeUnavailable, "not one"},
		{"no data", `{"action":"handShake","kind":"response"}`, packetrpc.CodeUnavailable, "status"},
		{"bad data", `{"action":"handShake","kind":"response","data":[]}`, packetrpc.CodeUnavailable, "not one"},
		{"fail without a code", `{"action":"handShake","kind":"response","data":{"status":"fail"}}`, packetrpc.CodeUnauthenticated, "refused"},
		{"no token", `{"action":"handShake","kind":"response","data":{"status":"success","version":1}}`, packetrpc.CodeUnavailable, "no token"},
		{"no version", `{"action":"handShake","kind":"response","token":"t","data":{"status":"success"}}`, packetrpc.CodeFailedPrecondition, "version 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := session.ParseAnswer(packet.JSON, parse(t, test.json))
			if packetrpc.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.code, test.text)
			}
		})
	}
}

// travel returns what a packet is on the other side.
func travel(t *testing.T, form packet.Form, p *packet.Packet) *packet.Packet {
	t.Helper()
	body, _, err := packet.NewSplitter(form, 0).Next(packet.Append(form, nil, p))
	if err != nil || body == nil {
		t.Fatalf("splitting: %v", err)
	}
	arrived := new(packet.Packet)
	if err := packet.Parse(form, arrived, body); err != nil {
		t.Fatal(err)
	}
	return arrived
}

func parse(t *testing.T, text string) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	if err := packet.ParseJSON(p, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return p
}
