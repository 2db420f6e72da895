package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// ready is what health prints of a server without services of its own.
const ready = "packetrpc.v1.CoreService  ready\n"

// keys are files of keys and users, for a server that knows both.
type keys struct {
	folder      string
	server, ada *rsa.PrivateKey
}

func newKeys(t *testing.T) *keys {
	t.Helper()
	k := &keys{folder: t.TempDir()}
	k.server, k.ada = k.add(t, "server"), k.add(t, "ada")
	if got := run(t, "secret\n", "users", "add", k.at("users"), "bob"); got.status != 0 {
		t.Fatal(got.diagnostics)
	}
	if got := run(t, "", "users", "authorize", k.at("authorized"), "ada", k.at("ada.pub"), "--role", "admin"); got.status != 0 {
		t.Fatal(got.diagnostics)
	}
	k.write(t, "password", "secret\nand more\n")
	k.write(t, "wrong", "wrong")
	return k
}

func (k *keys) at(name string) string { return filepath.Join(k.folder, name) }

func (k *keys) add(t *testing.T, name string) *rsa.PrivateKey {
	t.Helper()
	key, err := seal.GenerateKey(seal.MinBits)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.WriteKeyPair(k.at(name), key); err != nil {
		t.Fatal(err)
	}
	return key
}

func (k *keys) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(k.at(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// authenticator knows bob by a password and ada by a key.
func (k *keys) authenticator(t *testing.T) session.Authenticator {
	t.Helper()
	authorized, err := users.OpenKeys(k.at("authorized"))
	if err != nil {
		t.Fatal(err)
	}
	people, err := users.Open(k.at("users"))
	if err != nil {
		t.Fatal(err)
	}
	return users.Any(authorized, people)
}

func TestConnect(t *testing.T) {
	k := newKeys(t)
	encrypted := listen(t, server.New(server.WithKey(k.server), server.WithAuthenticator(k.authenticator(t))), "tcp", "127.0.0.1:0")
	fingerprint := seal.Fingerprint(&k.server.PublicKey)
	if err := os.WriteFile(k.at("known"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	health := func(flags ...string) []string { return append([]string{"health"}, flags...) }
	check(t, encrypted, []step{
		{"a password", health("--server-key", fingerprint, "--user", "bob", "--password-file", k.at("password")), "", 0, ready, ""},
		{"a key", health("--server-key", k.at("server.pub"), "--key", k.at("ada")), "", 0, ready, ""},
		{"JSON packets", health("--json-form", "--server-key", k.at("server.pub"), "--key", k.at("ada")), "", 0, ready, ""},
		{"a wrong password", health("--server-key", fingerprint, "--user", "bob", "--password-file", k.at("wrong")), "", 3, "", "packetrpc: unauthenticated: "},
		{"nobody", health("--server-key", fingerprint), "", 3, "", "packetrpc: unauthenticated: the name or the password is wrong (--user, with a password, or --key says who connects)\n"},
		{"no password", health("--server-key", fingerprint, "--user", "bob"), "", 3, "", "packetrpc: unauthenticated: the name or the password is wrong\n"},
		{"nobody's password", health("--server-key", fingerprint, "--password-file", k.at("password")), "", 2, "", "--user says who"},
		{"no password file", health("--user", "bob", "--password-file", k.at("none")), "", 1, "", "no such file"},
		{"another key", health("--server-key", k.at("ada.pub")), "", 3, "", "packetrpc: unauthenticated: "},
		{"no key file", health("--server-key", k.at("none.pub")), "", 3, "", "none.pub"},
		{"no private key", health("--server-key", fingerprint, "--key", k.at("none")), "", 1, "", "none"},
		{"a key for nothing", health("--key", k.at("ada")), "", 2, "", "--key is of no use without --server-key, --tls or --seal-to"},
		{"an unknown host", health("--known-hosts", k.at("known")), "", 3, "", fingerprint},
		{"in clear", health(), "", 3, "", "packetrpc: failed_precondition: this server takes encrypted connections only (--server-key)\n"},
		{"two ways", health("--tls", "--server-key", fingerprint), "", 2, "", "give one of them"},
		{"no terminal to ask at", health("--password-prompt"), "", 2, "", "needs a terminal"},
		{"no certificate", health("--tls-ca", k.at("password")), "", 1, "", "holds no certificate"},
		{"errors as JSON", health("--json", "--server-key", k.at("ada.pub")), "", 3, "", `{"code":"unauthenticated","message":`},
	})
}

// Everything about a connection may also come from the environment.
func TestConnectByTheEnvironment(t *testing.T) {
	k := newKeys(t)
	encrypted := listen(t, server.New(server.WithKey(k.server), server.WithAuthenticator(k.authenticator(t))), "tcp", "127.0.0.1:0")
	variables := []string{"PACKETRPC_ADDRESS=" + encrypted, "PACKETRPC_USER=bob", "PACKETRPC_PASSWORD=secret", "PACKETRPC_SERVER_KEY=" + k.at("server.pub")}
	if got := runWith(t, variables, nil, "health"); got.status != 0 || got.out != ready {
		t.Errorf("got %+v", got)
	}
	if got := runWith(t, append(variables, "PACKETRPC_TIMEOUT=soon"), nil, "health"); got.status == 0 || !strings.Contains(got.diagnostics, "PACKETRPC_TIMEOUT") {
		t.Errorf("a wrong variable: got %+v", got)
	}
}

func TestConnectSealed(t *testing.T) {
	k := newKeys(t)
	srv := server.New(server.WithKey(k.server), server.AllowPlaintext(), server.WithAuthenticator(k.authenticator(t)))
	check(t, listen(t, srv, "tcp", "127.0.0.1:0"), []step{
		{"sealed", []string{"health", "--seal-to", k.at("server.pub"), "--user", "bob", "--password-file", k.at("password")}, "", 0, ready, ""},
	})
}

func TestConnectByCertificate(t *testing.T) {
	k := newKeys(t)
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &k.server.PublicKey, k.server)
	if err != nil {
		t.Fatal(err)
	}
	k.write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.server}
	address := listen(t, server.New(server.WithTLS(&tls.Config{Certificates: []tls.Certificate{certificate}})), "tcp", "127.0.0.1:0")
	check(t, address, []step{
		{"of the CA", []string{"health", "--tls-ca", k.at("ca.pem")}, "", 0, ready, ""},
		{"of an unknown CA", []string{"health", "--tls"}, "", 3, "", "x509: "},
	})
	_, port, _ := net.SplitHostPort(address)
	check(t, "localhost:"+port, []step{
		{"of another name", []string{"health", "--tls-ca", k.at("ca.pem")}, "", 3, "", "x509: "},
	})
}

// What is said about an unknown host makes it known.
func TestConnectToAKnownHost(t *testing.T) {
	k := newKeys(t)
	address := listen(t, server.New(server.WithKey(k.server)), "tcp", "127.0.0.1:0")
	got := run(t, "", "health", address, "--known-hosts", k.at("known"))
	line := regexp.MustCompile(`\[127\.0\.0\.1\]:\d+ ssh-rsa [A-Za-z0-9+/=]+`).FindString(got.diagnostics)
	if got.status != 3 || line == "" {
		t.Fatalf("got %+v", got)
	}
	k.write(t, "known", line+"\n")
	check(t, address, []step{{"known", []string{"health", "--known-hosts", k.at("known")}, "", 0, ready, ""}})
}

func TestConnectAsksForThePassword(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script is not installed, which makes a terminal")
	}
	k := newKeys(t)
	address := listen(t, server.New(server.WithAuthenticator(k.authenticator(t))), "tcp", "127.0.0.1:0")
	for password, want := range map[string]string{"secret": "ready", "wrong": "unauthenticated"} {
		command := exec.CommandContext(t.Context(), script, "-qec", fmt.Sprintf("'%s' health %s --user bob --password-prompt", program, address), os.DevNull)
		command.Stdin = strings.NewReader(password + "\n")
		output, _ := command.CombinedOutput()
		if text := string(output); !strings.Contains(text, "Password: ") || !strings.Contains(text, want) {
			t.Errorf("with %q: got %q, want %q", password, text, want)
		}
	}
}

func TestConnectByUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, server.New(), "unix", path)
	check(t, "unix:"+path, []step{{"a socket", []string{"health"}, "", 0, ready, ""}})
}

func TestConnectToNobody(t *testing.T) {
	check(t, "127.0.0.1:1", []step{
		{"nobody", []string{"health"}, "", 3, "", "packetrpc: unavailable: 127.0.0.1:1 cannot be reached: nobody listens there (connection refused)\n"},
		{"nobody, as JSON", []string{"health", "--json"}, "", 3, "", `{"code":"unavailable","message":"127.0.0.1:1 cannot be reached: nobody listens there (connection refused)"}` + "\n"},
	})
	check(t, "nobody:", []step{{"no address", []string{"health"}, "", 2, "", `bad address "nobody:"`}})
	for _, host := range []string{"localhost", "192.0.2.1"} {
		want := "packetrpc: " + host + " is a host without a port: an address is host:port, such as " + host + ":25565\n"
		check(t, host, []step{
			{"no port", []string{"health"}, "", 2, "", want},
			{"no port, and more", []string{"call", "Send", "{}"}, "", 2, "", want},
			{"no port, for a tap", []string{"tap"}, "", 2, "", want},
		})
	}
}
