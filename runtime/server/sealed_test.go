package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// forge seals text with any header, as a program does that is not ours.
func forge(t *testing.T, to *rsa.PublicKey, text string, header map[jose.HeaderKey]any) string {
	t.Helper()
	options := &jose.EncrypterOptions{ExtraHeaders: header}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to}, options)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encrypter.Encrypt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := sealed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// Single sealed packets that are replayed, moved, spoiled or not sealed run no
// handler; their senders are told what is wrong, and the connection lives.
func TestSealedPackets(t *testing.T) {
	k := testKeys()
	srv := server.New(server.WithKey(k.server), server.AllowPlaintext(), server.WithLogger(quiet()))
	v := registerVault(srv)
	handleEcho(srv, func(_ context.Context, s string) (string, error) { return s, nil })
	address := listen(t, srv)
	shake := func(clientKey *rsa.PrivateKey) (*raw, string) {
		nc := dialRaw(t, address)
		key := ""
		if clientKey != nil {
			der, err := seal.MarshalPublicKey(&clientKey.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			key = base64.StdEncoding.EncodeToString(der)
		}
		nc.write(`{"action":"handShake","data":{"version":1,"publicKey":"` + key + `"}}`)
		return nc, *nc.read().Token
	}
	nc, token := shake(k.client)
	other, otherToken := shake(k.client)
	keyless, keylessToken := shake(nil)

	label := func(id uint64) seal.Label {
		return seal.Label{Action: sealedUnary.Action, Direction: seal.Request, Session: seal.SessionHash(token), Call: id}
	}
	sealed := func(l seal.Label) string {
		data, _, err := l.Seal([]byte(`"hello"`), &k.server.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	header := func(id uint64, change map[jose.HeaderKey]any) map[jose.HeaderKey]any {
		all := map[jose.HeaderKey]any{
			"act": sealedUnary.Action, "dir": "request", "ses": seal.SessionHash(token), "call": id,
			"iat": time.Now().Unix(), "jti": base64.RawURLEncoding.EncodeToString([]byte(rand.Text()[:16])),
		}
		for name, value := range change {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		return all
	}
	send := func(nc *raw, token, action, id, sealed string) reply {
		nc.write(`{"action":"` + action + `","id":` + id + `,"token":"` + token + `","sealed":true,"data":"` + sealed + `"}`)
		return nc.read()
	}

	good := sealed(label(3))
	if p := send(nc, token, sealedUnary.Action, "3", good); p.Status != "" || p.Kind != "response" {
		t.Fatalf("a good one: %+v", p)
	}
	if got := receive(t, v.ran); got != "hello" {
		t.Fatalf("the handler was told %q", got)
	}
	const precondition, argument = "failed_precondition", "invalid_argument"
	ago := func(d time.Duration) map[jose.HeaderKey]any {
		return map[jose.HeaderKey]any{"iat": time.Now().Add(-d).Unix()}
	}
	change := func(name jose.HeaderKey, value any) map[jose.HeaderKey]any {
		return map[jose.HeaderKey]any{name: value}
	}
	forged := func(id uint64, change map[jose.HeaderKey]any) string {
		return forge(t, &k.server.PublicKey, `"hello"`, header(id, change))
	}
	genuine := sealed(label(5))
	for _, test := range []struct {
		name, action, id, data string
		status, text           string
	}{
		{"replayed with its id", sealedUnary.Action, "3", good, precondition, "opened before"},
		{"replayed with another id", sealedUnary.Action, "5", good, precondition, "sealed for call 3, not 5"},
		{"for another action", sealedInline.Action, "7", sealed(label(7)), precondition, "sealed for action"},
		{"a reply", sealedUnary.Action, "9", forged(9, change("dir", "reply")), precondition, `sealed as "reply"`},
		{"of another session", sealedUnary.Action, "11", forged(11, change("ses", seal.SessionHash(otherToken))), precondition, "another session"},
		{"of no session", sealedUnary.Action, "13", forged(13, change("ses", nil)), precondition, "another session"},
		{"a later message", sealedUnary.Action, "15", forged(15, change("num", 1)), precondition, "message 1"},
		{"in reply to something", sealedUnary.Action, "17", forged(17, change("irt", "x")), precondition, "in reply to another"},
		{"stale", sealedUnary.Action, "19", forged(19, ago(3*time.Minute)), precondition, "within 2m0s"},
		{"from the future", sealedUnary.Action, "21", forged(21, ago(-3*time.Minute)), precondition, "within 2m0s"},
		{"undated", sealedUnary.Action, "23", forged(23, change("iat", nil)), argument, "iat"},
		{"without an id of its own", sealedUnary.Action, "25", forged(25, change("jti", nil)), argument, "jti"},
		{"zipped", sealedUnary.Action, "27", forged(27, change("zip", "DEF")), argument, "zip"},
		{"to another key", sealedUnary.Action, "29", forge(t, &k.other.PublicKey, `"hello"`, header(29, nil)), argument, "key"},
		{"truncated", sealedUnary.Action, "31", genuine[:len(genuine)-4], argument, ""},
		{"half", sealedUnary.Action, "33", genuine[:len(genuine)/2], argument, ""},
		{"no JWE", sealedUnary.Action, "35", "hello", argument, ""},
		{"no message inside", sealedUnary.Action, "37", forge(t, &k.server.PublicKey, `{`, header(37, nil)), argument, "no google.protobuf.StringValue"},
		{"an action that is not sealed", "test.Echo/Echo", "39", sealed(label(39)), precondition, "is not sealed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := send(nc, token, test.action, test.id, test.data)
			if p.Status != test.status || !strings.Contains(p.Message, test.text) {
				t.Errorf("got %+v, want %s with %q", p, test.status, test.text)
			}
		})
	}
	t.Run("on another connection", func(t *testing.T) {
		if p := send(other, otherToken, sealedUnary.Action, "5", genuine); p.Status != precondition || !strings.Contains(p.Message, "another session") {
			t.Errorf("got %+v", p)
		}
		if p := send(other, token, sealedUnary.Action, "7", genuine); p.Status != "unauthenticated" {
			t.Errorf("with a stolen token on another connection: %+v", p)
		}
	})
	t.Run("in clear", func(t *testing.T) {
		nc.write(`{"action":"` + sealedUnary.Action + `","id":41,"token":"` + token + `","data":"hello"}`)
		if p := nc.read(); p.Status != precondition || !strings.Contains(p.Message, "is sealed, but the packet's data is not") {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("with no key for the reply", func(t *testing.T) {
		l := label(3)
		l.Session = seal.SessionHash(keylessToken)
		if p := send(keyless, keylessToken, sealedUnary.Action, "3", sealed(l)); p.Status != precondition || !strings.Contains(p.Message, "no key of the other side") {
			t.Errorf("got %+v", p)
		}
	})
	if len(v.ran) > 0 {
		t.Errorf("a handler ran for %q", <-v.ran)
	}
	if p := send(nc, token, sealedUnary.Action, "43", sealed(label(43))); p.Kind != "response" {
		t.Errorf("in the end: %+v", p)
	}
}

// An old program, whose packets bear no ids, can seal as well.
func TestOldProgramSeals(t *testing.T) {
	k := testKeys()
	srv := server.New(server.WithKey(k.server), server.AllowPlaintext(), server.WithLogger(quiet()))
	v := registerVault(srv)
	nc := dialRaw(t, listen(t, srv))
	der, err := seal.MarshalPublicKey(&k.client.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	nc.write(`{"action":"handShake","data":{"username":"demo","password":"test","publicKey":"` + base64.StdEncoding.EncodeToString(der) + `"}}`)
	token := *nc.read().Token
	request := seal.Label{Action: sealedUnary.Action, Direction: seal.Request, Session: seal.SessionHash(token)}
	opener := seal.NewOpener(k.client)
	for range 2 {
		sealed, id, err := request.Seal([]byte(`"hello"`), &k.server.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		nc.write(`{"action":"` + sealedUnary.Action + `","token":"` + token + `","sealed":true,"data":"` + string(sealed) + `"}`)
		p := nc.read()
		text, _ := p.Data.(string)
		reply := request
		reply.Direction, reply.InReplyTo = seal.Reply, id
		data, _, err := opener.Open([]byte(text), reply)
		if err != nil || string(data) != `"reply to hello"` || p.Action != sealedUnary.Action {
			t.Fatalf("%+v opens as %s, %v", p, data, err)
		}
		if got := receive(t, v.ran); got != "hello" {
			t.Errorf("the handler was told %q", got)
		}
	}
	nc.write(`{"action":"` + sealedUnary.Action + `","token":"` + token + `","data":"hello"}`)
	if p := nc.read(); p.Status != "failed_precondition" || !strings.Contains(p.Message, "is sealed, but") {
		t.Errorf("in clear: %+v", p)
	}
}

// What is wrong with a handshake or with sealed data is told without quoting it.
func TestErrorsQuoteNoSecrets(t *testing.T) {
	k := testKeys()
	var log bytes.Buffer
	var mu sync.Mutex
	logger := slog.New(slog.NewTextHandler(locked{&mu, &log}, nil))
	srv := server.New(server.WithKey(k.server), server.AllowPlaintext(), server.WithLogger(logger))
	registerVault(srv)
	address := listen(t, srv)
	secrets := []string{"hunter2", "12345678"}
	check := func(p reply) {
		t.Helper()
		if p.Status == "" {
			t.Errorf("it was taken: %+v", p)
		}
		for _, secret := range secrets {
			if strings.Contains(fmt.Sprintf("%+v", p), secret) {
				t.Errorf("the answer quotes %s: %+v", secret, p)
			}
		}
	}
	for _, handshake := range []string{
		`{"action":"handShake","data":{"username":"ada","password":12345678}}`,
		`{"action":"handShake","data":{"username":"ada","password":["hunter2"]}}`,
		`{"action":"handShake","data":"hunter2"}`,
		`{"action":"handShake","sealed":true,"data":{"password":"hunter2"}}`,
		`{"action":"handShake","sealed":true,"data":"hunter2"}`,
		`{"action":"handShake","data":{"password":"hunter2"},"token":12345678}`,
		`{"action":"handShake","data":{"password":"hunter2","password":"12345678"}}`,
	} {
		nc := dialRaw(t, address)
		nc.write(`{"action":"CoreChallenge"}`)
		nc.read()
		nc.write(handshake)
		check(nc.read())
	}
	nc := dialRaw(t, address)
	der, err := seal.MarshalPublicKey(&k.client.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	nc.write(`{"action":"handShake","data":{"version":1,"publicKey":"` + base64.StdEncoding.EncodeToString(der) + `"}}`)
	token := *nc.read().Token
	for id, inside := range map[uint64]string{3: `12345678`, 5: `{"password":"hunter2"}`, 7: `hunter2`} {
		l := seal.Label{Action: sealedUnary.Action, Direction: seal.Request, Session: seal.SessionHash(token), Call: id}
		data, _, err := l.Seal([]byte(inside), &k.server.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		nc.write(fmt.Sprintf(`{"action":%q,"id":%d,"token":%q,"sealed":true,"data":%q}`, l.Action, id, token, data))
		check(nc.read())
	}
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range append(secrets, token) {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log quotes %s:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "handshake refused") {
		t.Errorf("nothing is logged:\n%s", log.String())
	}
}
