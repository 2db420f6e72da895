package seal_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// need skips the test on machines without a program.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

// run runs a program in a folder and returns what it prints.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
	return string(output)
}

func TestKeysOfOpenSSL(t *testing.T) {
	need(t, "openssl")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	run(t, dir, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key")
	run(t, dir, "openssl", "rsa", "-in", "key", "-traditional", "-out", "pkcs1")
	run(t, dir, "openssl", "pkey", "-in", "key", "-pubout", "-out", "key.pub")
	run(t, dir, "openssl", "rsa", "-in", "key", "-RSAPublicKey_out", "-out", "pkcs1.pub")
	run(t, dir, "openssl", "req", "-x509", "-key", "key", "-subj", "/CN=chat", "-out", "certificate")
	run(t, dir, "openssl", "pkey", "-in", "key", "-aes256", "-passout", "pass:secret", "-out", "protected")
	for _, name := range []string{"key", "pkcs1", "protected"} {
		if err := os.Chmod(path(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := seal.ReadPrivateKey(path("key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.ReadPrivateKey(path("pkcs1")); err != nil || !got.Equal(key) {
		t.Errorf("PKCS#1 is another key, or fails with %v", err)
	}
	for _, name := range []string{"key.pub", "pkcs1.pub", "certificate"} {
		if got, err := seal.ReadPublicKey(path(name)); !seal.SameKey(got, &key.PublicKey) {
			t.Errorf("%s has another key, or fails with %v", name, err)
		}
	}
	_, err = seal.ReadPrivateKey(path("protected"))
	check(t, err, packetrpc.CodeInvalidArgument, "protected by a passphrase")
}

// The command that an error tells of makes a key readable, whatever made it.
func TestKeysOfSSH(t *testing.T) {
	need(t, "ssh-keygen")
	for name, form := range map[string][]string{
		"PEM": {"-m", "PEM"}, "OpenSSH": nil, "PKCS8": {"-m", "PKCS8"},
	} {
		for _, passphrase := range []string{"", "secret"} {
			t.Run(name+passphrase, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "key")
				run(t, dir, "ssh-keygen", append([]string{"-q", "-t", "rsa", "-b", "2048", "-N", passphrase, "-C", "me", "-f", path}, form...)...)
				if passphrase != "" {
					_, err := seal.ReadPrivateKey(path)
					check(t, err, packetrpc.CodeInvalidArgument, "protected by a passphrase", "ssh-keygen -p -N '' -f "+path)
					run(t, dir, "ssh-keygen", "-p", "-N", "", "-f", path, "-P", passphrase)
				}
				key, err := seal.ReadPrivateKey(path)
				if err != nil {
					t.Fatal(err)
				}
				public, err := seal.ReadPublicKey(path + ".pub")
				if !seal.SameKey(public, &key.PublicKey) {
					t.Fatalf("the public key is another, or fails with %v", err)
				}
				if said := run(t, dir, "ssh-keygen", "-lf", path); !strings.HasPrefix(said, "2048 "+seal.Fingerprint(public)+" me ") {
					t.Errorf("the fingerprint is %s, and ssh-keygen says %s", seal.Fingerprint(public), said)
				}
			})
		}
	}
}

func TestOurKeysElsewhere(t *testing.T) {
	dir := t.TempDir()
	if err := seal.WriteKeyPair(filepath.Join(dir, "key"), serverKey()); err != nil {
		t.Fatal(err)
	}
	t.Run("openssl", func(t *testing.T) {
		need(t, "openssl")
		if said := run(t, dir, "openssl", "pkey", "-in", "key", "-check", "-noout"); !strings.Contains(said, "Key is valid") {
			t.Errorf("openssl says %s", said)
		}
		run(t, dir, "openssl", "pkey", "-pubin", "-in", "key.pub", "-noout")
		if got, want := run(t, dir, "openssl", "pkey", "-in", "key", "-pubout"), spkiOf(&serverKey().PublicKey); got != want {
			t.Errorf("openssl reads the public key\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("ssh-keygen", func(t *testing.T) {
		need(t, "ssh-keygen")
		converted := run(t, dir, "ssh-keygen", "-i", "-m", "PKCS8", "-f", "key.pub")
		if converted != sshOf(&serverKey().PublicKey) {
			t.Errorf("ssh-keygen reads another public key: %s", converted)
		}
		if got := run(t, dir, "ssh-keygen", "-y", "-f", "key"); got != sshOf(&serverKey().PublicKey) {
			t.Errorf("ssh-keygen reads another private key: %s", got)
		}
		line := write(t, converted)
		if said := run(t, dir, "ssh-keygen", "-lf", line); !strings.Contains(said, seal.Fingerprint(&serverKey().PublicKey)) {
			t.Errorf("the fingerprint is %s, and ssh-keygen says %s", seal.Fingerprint(&serverKey().PublicKey), said)
		}
	})
}

func TestKnownHostsOfSSH(t *testing.T) {
	need(t, "ssh-keygen")
	path := filepath.Join(t.TempDir(), "known_hosts")
	pin := seal.PinKnownHosts(path, accept)
	addresses := []string{address, "chat.example:22", "[::1]:25565", "unix:/run/chat.sock"}
	for _, address := range addresses {
		check(t, pin.Verify(address, &serverKey().PublicKey), 0)
	}
	run(t, "", "ssh-keygen", "-H", "-f", path)
	if text := content(t, path); strings.Contains(text, "chat") || strings.Count(text, "|1|") != len(addresses) {
		t.Fatalf("ssh-keygen has not hashed the hosts: %s", text)
	}
	pin = seal.PinKnownHosts(path, never(t))
	for _, address := range addresses {
		check(t, pin.Verify(address, &serverKey().PublicKey), 0)
		check(t, pin.Verify(address, &impostorKey().PublicKey), packetrpc.CodeUnauthenticated, "IS NOT THE KNOWN ONE")
	}
	// What ssh-keygen finds under an address is what we do.
	if said := run(t, "", "ssh-keygen", "-F", "[chat.example]:25565", "-f", path); !strings.Contains(said, "ssh-rsa") {
		t.Errorf("ssh-keygen finds %q", said)
	}
	run(t, "", "ssh-keygen", "-R", "[chat.example]:25565", "-f", path)
	check(t, seal.PinKnownHosts(path, nil).Verify(address, &serverKey().PublicKey), packetrpc.CodeUnauthenticated, "is not known")
}

func TestHandshakeWithOpenSSL(t *testing.T) {
	need(t, "openssl")
	dir := t.TempDir()
	if err := seal.WriteKeyPair(filepath.Join(dir, "client"), clientKey()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "certificate"), []byte(certificateOf(clientKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		client *rsa.PublicKey
		works  bool
	}{
		{"TLS 1.3", []string{"-tls1_3"}, nil, true},
		{"with a client's key", []string{"-tls1_3", "-key", "client", "-cert", "certificate"}, &clientKey().PublicKey, true},
		{"TLS 1.2", []string{"-tls1_2"}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			listener := must(tls.Listen("tcp", "127.0.0.1:0", serverTLS(t, serverKey())))
			defer listener.Close()
			served := make(chan handshake, 1)
			go func() { served <- greet(listener) }()
			args := append([]string{"s_client", "-connect", listener.Addr().String(), "-ign_eof"}, test.args...)
			command := exec.CommandContext(t.Context(), "openssl", args...)
			command.Dir = dir
			output, err := command.CombinedOutput()
			got := <-served
			if !test.works {
				if err == nil || got.serverErr == nil || !strings.Contains(got.serverErr.Error(), "unsupported versions") {
					t.Errorf("openssl: %v, server: %v", err, got.serverErr)
				}
				return
			}
			if got.serverErr != nil || !strings.Contains(string(output), "hello from packetrpc") {
				t.Fatalf("server: %v, openssl: %v\n%s", got.serverErr, err, output)
			}
			if seen := seal.PeerKey(got.server); seen != test.client && !seal.SameKey(seen, test.client) {
				t.Error("the server sees another key than the client's")
			}
			shown := exec.CommandContext(t.Context(), "openssl", "x509", "-pubkey", "-noout")
			shown.Stdin = bytes.NewReader(output)
			if public, err := shown.Output(); err != nil || string(public) != spkiOf(&serverKey().PublicKey) {
				t.Errorf("openssl shows the public key\n%s (%v)\nwant\n%s", public, err, spkiOf(&serverKey().PublicKey))
			}
		})
	}
}

// greet takes one connection and says hello.
func greet(listener net.Listener) (result handshake) {
	accepted, err := listener.Accept()
	if err != nil {
		return handshake{serverErr: err}
	}
	defer accepted.Close()
	connection := accepted.(*tls.Conn)
	if err := connection.Handshake(); err != nil {
		return handshake{serverErr: err}
	}
	_, err = io.WriteString(connection, "hello from packetrpc\n")
	return handshake{server: connection.ConnectionState(), serverErr: err}
}
