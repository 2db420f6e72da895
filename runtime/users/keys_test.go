package users_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// publicKey returns what has the form of a public key, which is all that matters
// where nobody encrypts or verifies with it. n tells such keys apart.
func publicKey(bits uint, n int64) *rsa.PublicKey {
	modulus := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: modulus.Add(modulus, big.NewInt(2*n+1)), E: 65537}
}

// keyText returns a key as it is in a file of keys, "ssh-rsa AAAA…".
func keyText(t testing.TB, key *rsa.PublicKey) string {
	t.Helper()
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

// A key that ssh-keygen has made.
const foreignKey = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCyZmWk/uT56+X2q2dk2h/KSQFQPC0CYf4fWIWK3xxnwmHeIhFrzyseZmiTQd7aJQ5X5gOG8MtKB++6y4Z0LK+UVagp9+3OWoFhxns5AVv04EQw2GA6ntP72Rxamsimbg0QfqgImI7p9R46+f3EYJCvpY0tsU5IZq0xknY/WvIVKIkzfgiJBvJHRS7ld2TUBJWpjvwa4dobYQC2yj9+Y62VHPBZ6+maMuhxLEweZE1xrcJGtaMqDTLBls7DCEe53o6yzrpsP291YU4k25SNpakT90Gg18M2YLyH4PqyvbUzGyc6yI4T/Lt/Z+RbUFRFP1TI5PqwKJaC3bWsNrAKcXQB ada@laptop"

func TestOpenKeysRefuses(t *testing.T) {
	key := keyText(t, publicKey(2048, 1))
	ed25519 := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFqiYb0bdUuHHDQYl/vFYZu81PkWD749roYtHIl6Cg1P"
	notPositive := ssh.Marshal(struct {
		Name string
		E, N *big.Int
	}{"ssh-rsa", big.NewInt(65537), new(big.Int).Neg(publicKey(2048, 1).N)})
	for _, test := range []struct{ name, text, want string }{
		{"no name", key, ":1: the name is empty; the name is what follows the key"},
		{"bad name", "# keys\n" + key + " a:b", ":2: the name has the character :"},
		{"name like a comment", key + " #ada", ":1: the name begins with #"},
		{"long name", key + " " + strings.Repeat("a", 257), ":1: the name has 257 bytes"},
		{"control character", key + " a\tb", ":1: the name has the control character U+0009"},
		{"carriage return", key + " ada\rother", ":1: the line has a carriage return in it"},
		{"not UTF-8", key + " ad\xe4", ":1: the line is not UTF-8"},
		{"byte order mark", "\ufeff" + key + " ada", ":1: the line begins with a byte order mark"},
		{"no key", "ada", ":1: the line is neither"},
		{"a user", entry("ada", "secret"), ":1: the line is neither"},
		{"bad base64", "ssh-rsa AAAA*** ada", ":1: the line is neither"},
		{"cut off key", key[:40] + " ada", ":1: the line is neither"},
		{"PEM", "-----BEGIN PUBLIC KEY-----\n", ":1: the line is neither"},
		{"another type", ed25519 + " ada", ":1: the key is of the type ssh-ed25519; it must be ssh-rsa"},
		{"another type in front", "ssh-dss" + strings.TrimPrefix(key, "ssh-rsa") + " ada", ":1: the line is neither"},
		{"small key", keyText(t, publicKey(2047, 1)) + " ada", ":1: an RSA key of 2047 bits is too small"},
		{"large key", keyText(t, publicKey(8193, 1)) + " ada", ":1: an RSA key of 8193 bits is too large"},
		{"giant key", keyText(t, publicKey(16385, 1)) + " ada", ":1: the line is neither"},
		{"negative modulus", "ssh-rsa " + base64.StdEncoding.EncodeToString(notPositive) + " ada", ":1: the modulus of an RSA key is positive and odd"},
		{"even exponent", keyText(t, &rsa.PublicKey{N: publicKey(2048, 1).N, E: 4}) + " ada", ":1: the line is neither"},
		{"key twice", key + " ada\n" + keyText(t, publicKey(2048, 2)) + " ada\n" + key + " bob\n", ":3: the key is that of line 1 already"},
		{"unknown option", "no-pty " + key + " ada", ":1: the only option is roles"},
		{"option beside roles", `roles="a",no-pty ` + key + " ada", ":1: the only option is roles"},
		{"roles twice", `roles="a",roles="b" ` + key + " ada", ":1: the only option is roles"},
		{"roles without quotes", `roles=a ` + key + " ada", ":1: the only option is roles"},
		{"roles without a value", `roles ` + key + " ada", ":1: the only option is roles"},
		{"roles in capitals", `ROLES="a" ` + key + " ada", ":1: the only option is roles"},
		{"open quote", `roles="a ` + key + " ada", ":1: the line is neither"},
		{"escaped quote", `roles="a\"b" ` + key + " ada", ":1: the role has the character \\, which it may not have"},
		{"empty role", `roles="a,,b" ` + key + " ada", ":1: a role is empty"},
		{"role twice", `roles="a,b,a" ` + key + " ada", ":1: a role is there twice"},
		{"role with space", `roles="a, b" ` + key + " ada", ":1: the role begins or ends with white space"},
		{"long line", key + " ada\n# " + strings.Repeat("x", 4096), ":2: the line has 4098 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := newFile(t, test.text)
			_, err := users.OpenKeys(path)
			if err == nil || !strings.Contains(err.Error(), path+test.want) {
				t.Errorf("got the error %v, want one with %q", err, test.want)
			}
			if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
				t.Errorf("got the code %v", packetrpc.CodeOf(err))
			}
		})
	}
}

func TestAuthenticateByKey(t *testing.T) {
	everyday, admin, other, unlisted := publicKey(2048, 1), publicKey(3072, 2), publicKey(8192, 3), publicKey(2048, 4)
	foreign, _, _, _, err := ssh.ParseAuthorizedKey([]byte(foreignKey))
	if err != nil {
		t.Fatal(err)
	}
	keys := openKeys(t, newFile(t, "# keys\r\n\n"+
		keyText(t, everyday)+" ada\r\n"+
		"  roles=\"admin,may chat\"   "+keyText(t, admin)+"  ada\n"+
		`roles="" `+keyText(t, other)+" Bob B.\n"+
		foreignKey))
	for _, test := range []struct {
		key  *rsa.PublicKey
		name string
		want *packetrpc.Identity // nil: refused
	}{
		{everyday, "", &packetrpc.Identity{Name: "ada"}},
		{everyday, "ada", &packetrpc.Identity{Name: "ada"}},
		{admin, "ada", &packetrpc.Identity{Name: "ada", Roles: []string{"admin", "may chat"}}},
		{other, "", &packetrpc.Identity{Name: "Bob B."}},
		{foreign.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey), "", &packetrpc.Identity{Name: "ada@laptop"}},
		{everyday, "Bob B.", nil},
		{everyday, "Ada", nil},
		{unlisted, "", nil},
		{unlisted, "ada", nil},
		{&rsa.PublicKey{N: everyday.N, E: 3}, "ada", nil},
		{nil, "", nil},
		{nil, "ada", nil},
	} {
		got, err := keys.Authenticate(t.Context(), session.Credentials{Username: test.name, PublicKey: test.key})
		if test.want == nil {
			if err != session.ErrCredentials || !cmp.Equal(got, packetrpc.Identity{}) {
				t.Errorf("%q: got %v and the error %v, want only ErrCredentials", test.name, got, err)
			}
			continue
		}
		if diff := cmp.Diff(*test.want, got); err != nil || diff != "" {
			t.Errorf("%q: error %v, identity (-want +got):\n%s", test.name, err, diff)
		}
	}
}

func TestAuthorize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	first, second := publicKey(2048, 1), publicKey(3072, 2)
	for _, step := range []struct {
		name  string
		key   *rsa.PublicKey
		roles []string
		code  packetrpc.Code
		text  string
	}{
		{"ada", first, []string{"admin", "may chat"}, 0, ""},
		{"Bob B.", second, nil, 0, ""},
		{"eve", first, nil, packetrpc.CodeAlreadyExists, `is that of "ada"`},
		{"", publicKey(2048, 3), nil, packetrpc.CodeInvalidArgument, "name"},
		{"eve\nroot", publicKey(2048, 3), nil, packetrpc.CodeInvalidArgument, ""},
		{" eve", publicKey(2048, 3), nil, packetrpc.CodeInvalidArgument, ""},
		{"eve", publicKey(2048, 3), []string{`mod",other="`}, packetrpc.CodeInvalidArgument, ""},
		{"eve", publicKey(2048, 3), []string{""}, packetrpc.CodeInvalidArgument, ""},
		{"eve", publicKey(1024, 3), nil, packetrpc.CodeInvalidArgument, "too small"},
		{"eve", nil, nil, packetrpc.CodeInvalidArgument, "no RSA key"},
	} {
		err := users.Authorize(t.Context(), path, step.name, step.key, step.roles...)
		if packetrpc.CodeOf(err) != step.code || err != nil && !strings.Contains(err.Error(), step.text) {
			t.Errorf("%q with %q: %v, want %v with %q", step.name, step.roles, err, step.code, step.text)
		}
	}
	keys := openKeys(t, path)
	for key, want := range map[*rsa.PublicKey]packetrpc.Identity{
		first:  {Name: "ada", Roles: []string{"admin", "may chat"}},
		second: {Name: "Bob B."},
	} {
		got, err := keys.Authenticate(t.Context(), session.Credentials{PublicKey: key})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
		}
	}
}

func TestChangedKeys(t *testing.T) {
	var log bytes.Buffer
	first, second := publicKey(2048, 1), publicKey(2048, 2)
	path := newFile(t, keyText(t, first)+" ada")
	keys := openKeys(t, path, users.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	expect := func(when string, known *rsa.PublicKey, logged int) {
		t.Helper()
		for _, key := range []*rsa.PublicKey{first, second} {
			_, err := keys.Authenticate(t.Context(), session.Credentials{PublicKey: key})
			if (err == nil) != (key == known) {
				t.Errorf("%s: got the error %v", when, err)
			}
		}
		if got := strings.Count(log.String(), "\n"); got != logged {
			t.Errorf("%s: got %d lines in the log, want %d:\n%s", when, got, logged, &log)
		}
	}
	expect("at first", first, 0)
	replace(t, path, keyText(t, second)+" ada")
	expect("replaced", second, 0)
	write(t, path, keyText(t, first))
	expect("malformed", second, 1)
	write(t, path, "")
	expect("empty", nil, 1)
}

func TestModeOfKeys(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are not looked at on Windows")
	}
	path := newFile(t, keyText(t, publicKey(2048, 1))+" ada")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	openKeys(t, path)
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	_, err := users.OpenKeys(path)
	if err == nil || !strings.Contains(err.Error(), "run `chmod 644 "+path+"`") {
		t.Errorf("got the error %v", err)
	}
}

func TestAny(t *testing.T) {
	key := publicKey(2048, 1)
	keys := openKeys(t, newFile(t, `roles="admin" `+keyText(t, key)+" ada"))
	file := open(t, newFile(t, entry("ada", "secret")+entry("bob", "secret")))
	either := users.Any(keys, file)
	for _, test := range []struct {
		credentials session.Credentials
		want        *packetrpc.Identity
	}{
		{session.Credentials{PublicKey: key}, &packetrpc.Identity{Name: "ada", Roles: []string{"admin"}}},
		{session.Credentials{Username: "ada", Password: "wrong", PublicKey: key}, &packetrpc.Identity{Name: "ada", Roles: []string{"admin"}}},
		{session.Credentials{Username: "ada", Password: "secret"}, &packetrpc.Identity{Name: "ada"}},
		{session.Credentials{Username: "bob", Password: "secret", PublicKey: key}, &packetrpc.Identity{Name: "bob"}},
		{session.Credentials{Username: "ada", Password: "wrong"}, nil},
		{session.Credentials{Username: "bob", PublicKey: key}, nil},
		{session.Credentials{PublicKey: publicKey(2048, 2)}, nil},
		{session.Credentials{}, nil},
	} {
		got, err := either.Authenticate(t.Context(), test.credentials)
		if test.want == nil {
			if err != session.ErrCredentials {
				t.Errorf("%q: got %v and the error %v", test.credentials.Username, got, err)
			}
			continue
		}
		if diff := cmp.Diff(*test.want, got); err != nil || diff != "" {
			t.Errorf("%q: error %v, identity (-want +got):\n%s", test.credentials.Username, err, diff)
		}
	}
}

func TestErrorOfAny(t *testing.T) {
	broken, late := errors.New("broken"), errors.New("late")
	fail := func(err error) session.Authenticator {
		return session.AuthenticatorFunc(func(context.Context, session.Credentials) (packetrpc.Identity, error) {
			return packetrpc.Identity{Name: "nobody"}, err
		})
	}
	refuse := fail(session.ErrCredentials)
	for name, test := range map[string]struct {
		asked []session.Authenticator
		want  error
	}{
		"none":                  {nil, session.ErrCredentials},
		"refused":               {[]session.Authenticator{refuse, refuse}, session.ErrCredentials},
		"broken first":          {[]session.Authenticator{fail(broken), refuse}, broken},
		"broken last":           {[]session.Authenticator{refuse, fail(broken)}, broken},
		"broken twice":          {[]session.Authenticator{fail(broken), fail(late)}, broken},
		"broken, then accepted": {[]session.Authenticator{fail(broken), refuse, fail(nil)}, nil},
	} {
		if _, err := users.Any(test.asked...).Authenticate(t.Context(), session.Credentials{}); err != test.want {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func openKeys(t testing.TB, path string, options ...users.Option) *users.Keys {
	t.Helper()
	keys, err := users.OpenKeys(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
