package seal_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

func accept(string, *rsa.PublicKey) error { return nil }

func never(t *testing.T) func(string, *rsa.PublicKey) error {
	return func(address string, _ *rsa.PublicKey) error {
		t.Errorf("asked about %s", address)
		return errors.New("no")
	}
}

// content returns what a file holds.
func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestKnownHosts(t *testing.T) {
	key, impostor := sshOf(&serverKey().PublicKey), sshOf(&impostorKey().PublicKey)
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	other := sshOf(edwards)
	const (
		known = iota
		unknown
		changed
		revoked
		refused
	)
	for _, test := range []struct {
		name, lines, address string
		want                 int
	}{
		{"no lines", "", address, unknown},
		{"comments", "# a comment\n\n   \n", address, unknown},
		{"host and port", "[chat.example]:25565 " + key, address, known},
		{"comment behind it", "[chat.example]:25565 " + strings.TrimSpace(key) + " made today\n", address, known},
		{"CRLF", "[chat.example]:25565 " + strings.TrimSpace(key) + "\r\n", address, known},
		{"no line feed", "[chat.example]:25565 " + strings.TrimSpace(key), address, known},
		{"upper case dialled", "[chat.example]:25565 " + key, "Chat.Example:25565", known},
		{"several hosts", "a,[chat.example]:25565,b " + key, address, known},
		{"second of two keys", "[chat.example]:25565 " + impostor + "[chat.example]:25565 " + key, address, known},
		{"pattern", "[*.example]:25565 " + key, address, known},
		{"excepted from a pattern", "[*.example]:25565,![chat.example]:25565 " + key, address, unknown},
		{"other port", "[chat.example]:25566 " + key, address, unknown},
		{"port 22 is meant", "chat.example " + key, address, unknown},
		{"port 22", "chat.example " + key, "chat.example:22", known},
		{"other host", "[chess.example]:25565 " + key, address, unknown},
		{"hashed", knownhosts.HashHostname("[chat.example]:25565") + " " + key, address, known},
		{"hashed, another", knownhosts.HashHostname("[chess.example]:25565") + " " + key, address, unknown},
		{"hashed, changed", knownhosts.HashHostname("[chat.example]:25565") + " " + impostor, address, changed},
		{"IPv6", "[::1]:25565 " + key, "[::1]:25565", known},
		{"IPv4", "[127.0.0.1]:25565 " + key, "127.0.0.1:25565", known},
		{"no host", "[]:25565 " + key, ":25565", known},
		{"Unix socket", "[unix]:/run/chat.sock " + key, "unix:/run/chat.sock", known},
		{"Unix socket as it is dialled", "unix:/run/chat.sock " + key, "unix:/run/chat.sock", known},
		{"Unix socket, hashed", knownhosts.HashHostname("[unix]:/run/chat.sock") + " " + key, "unix:/run/chat.sock", known},
		{"Unix socket of upper case", "[unix]:/run/Chat.sock " + key, "unix:/run/Chat.sock", known},
		{"other Unix socket", "[unix]:/run/chat.sock " + key, "unix:/run/chess.sock", unknown},
		{"abstract Unix socket", "[unix]:@chat " + key, "unix:@chat", known},
		{"changed", "[chat.example]:25565 " + impostor, address, changed},
		{"changed in a pattern", "[*]:25565 " + impostor, address, changed},
		{"revoked", "@revoked * " + key, address, revoked},
		{"revoked and known", "[chat.example]:25565 " + key + "@revoked * " + key, address, revoked},
		{"another revoked", "@revoked * " + impostor + "[chat.example]:25565 " + key, address, known},
		{"key of another kind", "[chat.example]:25565 " + other, address, unknown},
		{"key of another kind too", "[chat.example]:25565 " + other + "[chat.example]:25565 " + key, address, known},
		{"authority", "@cert-authority * " + key, address, unknown},
		{"authority for the address", " @cert-authority\t[chat.example]:25565 " + key, address, unknown},
		{"authority and another key", "@cert-authority [chat.example]:25565 " + key + "[chat.example]:25565 " + impostor, address, changed},
		{"authority and known", "@cert-authority [chat.example]:25565 " + impostor + "[chat.example]:25565 " + key, address, known},
		{"prose", "hello\n", address, refused},
		{"two words", "hello you\n", address, refused},
		{"bad base64", "[chat.example]:25565 ssh-rsa AAAA!\n", address, refused},
		{"cut off", "[chat.example]:25565 " + key[:200] + "\n", address, refused},
		{"other type said", "[chat.example]:25565 ssh-ed25519" + strings.TrimPrefix(key, "ssh-rsa"), address, refused},
		{"unknown type", "[chat.example]:25565 ssh-new AAAAB3NzaC1uZXc=\n", address, refused},
		{"unknown marker", "@trusted * " + key, address, refused},
		{"two markers", "@cert-authority @revoked * " + key, address, refused},
		{"bad hash", "|1|AAAA|!| " + key, address, refused},
		{"hash of another kind", "|2|AAAA|AAAA| " + key, address, refused},
		{"bad revocation", "[chat.example]:25565 " + key + "@revoked * ssh-rsa AAAA\n", address, refused},
		{"long line", strings.Repeat("a,", 40000) + " " + key, address, refused},
		{"very large modulus", "* " + sshOf(publicKey(20000, 3)), address, refused},
		{"NUL bytes", "\x00\x00\x00\n", address, refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.lines)
			got, fingerprint := &serverKey().PublicKey, seal.Fingerprint(&serverKey().PublicKey)
			err := seal.PinKnownHosts(path, nil).Verify(test.address, got)
			switch test.want {
			case known:
				check(t, err, 0)
				check(t, seal.PinKnownHosts(path, never(t)).Verify(test.address, publicKey(2048, 65537)), packetrpc.CodeUnauthenticated, "IS NOT THE KNOWN ONE")
			case unknown:
				check(t, err, packetrpc.CodeUnauthenticated, "is not known", fingerprint, "add to "+path+": ",
					knownhosts.Normalize(test.address)+" "+strings.TrimSpace(key))
			case changed:
				check(t, err, packetrpc.CodeUnauthenticated, "THE KEY OF THE SERVER AT "+test.address, "a man in the middle",
					fingerprint, seal.Fingerprint(&impostorKey().PublicKey), path+":")
			case revoked:
				check(t, err, packetrpc.CodeUnauthenticated, fingerprint, path+":", "revokes")
			case refused:
				check(t, err, packetrpc.CodeFailedPrecondition, path)
			}
			if test.want > unknown {
				err := seal.PinKnownHosts(path, never(t)).Verify(test.address, got)
				if err == nil {
					t.Error("accepted")
				}
			}
			if content(t, path) != test.lines {
				t.Error("the file has changed")
			}
		})
	}
}

func TestKnownHostsSaysWhichLine(t *testing.T) {
	path := write(t, "# mine\n[chat.example]:25565 "+sshOf(&impostorKey().PublicKey))
	err := seal.PinKnownHosts(path, accept).Verify(address, &serverKey().PublicKey)
	check(t, err, packetrpc.CodeUnauthenticated, path+":2 says "+seal.Fingerprint(&impostorKey().PublicKey))
}

func TestKnownHostsLearns(t *testing.T) {
	key := &serverKey().PublicKey
	for name, before := range map[string]string{
		"nothing":      "",
		"a line":       "[chess.example]:25565 " + sshOf(&impostorKey().PublicKey),
		"no line feed": "# mine",
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, before)
			asked := 0
			pin := seal.PinKnownHosts(path, func(about string, shown *rsa.PublicKey) error {
				if asked++; about != address || !seal.SameKey(shown, key) {
					t.Errorf("asked about %s and another key", about)
				}
				return nil
			})
			check(t, pin.Verify("CHAT.example:25565", key), 0)
			check(t, pin.Verify(address, key), 0)
			if asked != 1 {
				t.Errorf("asked %d times, want once", asked)
			}
			if before != "" && !strings.HasSuffix(before, "\n") {
				before += "\n"
			}
			if got, want := content(t, path), before+"[chat.example]:25565 "+sshOf(key); got != want {
				t.Errorf("the file holds\n%s\nwant\n%s", got, want)
			}
			check(t, pin.Verify(address, &impostorKey().PublicKey), packetrpc.CodeUnauthenticated, "IS NOT THE KNOWN ONE")
		})
	}
}

func TestKnownHostsMakesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	check(t, seal.PinKnownHosts(path, nil).Verify(address, &serverKey().PublicKey), packetrpc.CodeUnauthenticated, "nobody is asked")
	if _, err := os.Stat(path); err == nil {
		t.Error("made the file for nothing")
	}
	check(t, seal.PinKnownHosts(path, accept).Verify("unix:/run/Chat.sock", &serverKey().PublicKey), 0)
	check(t, seal.PinKnownHosts(path, never(t)).Verify("unix:/run/Chat.sock", &serverKey().PublicKey), 0)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the file has the mode %v", info.Mode())
	}
	nowhere := filepath.Join(path, "..", "no", "known_hosts")
	check(t, seal.PinKnownHosts(nowhere, accept).Verify(address, &serverKey().PublicKey), packetrpc.CodeFailedPrecondition, "accepted but cannot be kept", nowhere)
}

func TestKnownHostsRefusedByTheCaller(t *testing.T) {
	path := write(t, "")
	refusal := errors.New("the person said no")
	err := seal.PinKnownHosts(path, func(string, *rsa.PublicKey) error { return refusal }).Verify(address, &serverKey().PublicKey)
	check(t, err, packetrpc.CodeUnauthenticated, "is not accepted: the person said no", "add to "+path)
	if !errors.Is(err, refusal) || content(t, path) != "" {
		t.Errorf("%v does not wrap the refusal, or the file has changed", err)
	}
}

// An address that would write another line than its own is refused before
// anybody is asked.
func TestHostileAddresses(t *testing.T) {
	path := write(t, "")
	for _, hostile := range []string{
		"", "chat.example", "::1:80", "*:80", "chat.*:80", "ch?t:80", "a,b:80", "a b:80", "a\n* ssh-rsa AAAA:80", "a\t:80", "a\x00:80",
		"!a:80", "|1|a:22", "@revoked:22", "#a:22", "a\u00a0b:80", "unix:/a b", "unix:/a,b", "unix:/a*", "unix:/a:b", "unix:/[a]", "unix:/a\nb",
	} {
		err := seal.PinKnownHosts(path, never(t)).Verify(hostile, &serverKey().PublicKey)
		check(t, err, packetrpc.CodeInvalidArgument, "cannot stand in a known_hosts file")
	}
	// Nor may a key that package ssh would not read back.
	err := seal.PinKnownHosts(path, never(t)).Verify(address, publicKey(2048, 1<<30+1))
	check(t, err, packetrpc.CodeInvalidArgument, "cannot stand in a known_hosts file", "exponent too large")
	if got := content(t, path); got != "" {
		t.Errorf("wrote %q", got)
	}
}

func TestHostileKnownHostsFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	makePipe(t, pipe)
	if err := os.WriteFile(large, make([]byte, 4<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(path string) error {
		return seal.PinKnownHosts(path, never(t)).Verify(address, &serverKey().PublicKey)
	}
	check(t, verify(dir), packetrpc.CodeFailedPrecondition, dir)
	check(t, verify(large), packetrpc.CodeFailedPrecondition, "it may have 4194304")
	if runtime.GOOS != "windows" {
		check(t, verify(pipe), packetrpc.CodeFailedPrecondition, "is no regular file")
	}
}

// Of connections that begin at the same time one asks, and all agree.
func TestKnownHostsConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	var asked, accepted atomic.Int32
	pin := seal.PinKnownHosts(path, func(string, *rsa.PublicKey) error {
		asked.Add(1)
		return nil
	})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			// Half of the connections reach somebody who pretends to be the server.
			key := serverKey()
			if i%2 == 1 {
				key = impostorKey()
			}
			if pin.Verify(address, &key.PublicKey) == nil {
				accepted.Add(1)
			}
			if err := pin.Verify(fmt.Sprintf("host%d.example:80", i), &key.PublicKey); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked.Load() != 17 || accepted.Load() != 8 {
		t.Errorf("asked %d times and accepted %d connections to one server, want 17 and 8", asked.Load(), accepted.Load())
	}
	if lines := strings.Count(content(t, path), "\n"); lines != 17 {
		t.Errorf("the file has %d lines, want 17", lines)
	}
}

func FuzzKnownHosts(f *testing.F) {
	listed, absent := must(seal.ParsePublicKey([]byte(sshKeyLine))), publicKey(2048, 65537)
	for _, seed := range []string{
		"[chat.example]:25565 " + sshKeyLine + "\n", "* " + sshKeyLine, "@revoked * " + sshKeyLine, "@cert-authority * " + sshKeyLine,
		knownhosts.HashHostname("[chat.example]:25565") + " " + sshKeyLine, "[*]:25565,![chess]:25565 " + sshKeyLine,
		"unix:/run/chat.sock " + sshKeyLine + "\r\n# more\n", "|1|||", "!", "@", "",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "known_hosts")
	pin := seal.PinKnownHosts(path, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, where := range []string{address, "unix:/run/chat.sock", "[::1]:22"} {
			if pin.Verify(where, absent) == nil {
				t.Errorf("%s: accepted a key that is not in the file", where)
			}
			if pin.Verify(where, listed) == nil && !strings.Contains(string(data), "ssh-rsa") {
				t.Errorf("%s: accepted a key of a file without one", where)
			}
		}
	})
}
