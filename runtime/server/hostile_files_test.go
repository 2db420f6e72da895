//go:build linux

package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/users"
)

// keyFileRows are files that are put where a server's private key belongs.
func keyFileRows() []hostile {
	const argument, precondition = "invalid_argument", "failed_precondition"
	k := testKeys()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k.other)
	if err != nil {
		panic(err)
	}
	good := pemOf("PRIVATE KEY", pkcs8)
	// with puts a file with the content, of mode 0600, and reads it.
	with := func(content string) func(*attacker) said {
		return readsKey(func(a *attacker, path string) { write(a.T, path, 0o600, content) })
	}
	return []hostile{
		{name: "key file of garbage", attack: with("garbage"), want: said{argument, "it holds something else where a private key in PEM belongs"}},
		{name: "empty key file", attack: with(""), want: said{argument, "it holds nothing where a private key in PEM belongs"}},
		{name: "key file of DER", attack: with(string(pkcs8)), want: said{argument, "openssl pkey -inform DER makes PEM of"}},
		{name: "key file that is cut off", attack: with(good[:len(good)/2]), want: said{argument, "a damaged PEM block, which may have been cut off"}},
		{name: "key file with a damaged key", attack: with(pemOf("PRIVATE KEY", pkcs8[:500])), want: said{argument, "its private key cannot be read"}},
		{name: "key file with the public key", attack: with(pemOf("PUBLIC KEY", publicDER(k.other.N, k.other.E))), want: said{argument, `it holds "PUBLIC KEY" where a private key in PEM belongs`}},
		{name: "key file with an EC key", attack: with(ecPEM()), want: said{argument, "it holds an EC key, and only RSA keys are taken: packetrpc keygen makes one"}},
		{name: "key file with a passphrase", attack: with(protectedPEM(k.other)), want: said{argument, "it is protected by a passphrase, which nobody is there to type: remove it with ssh-keygen -p -N '' -f"}},
		{name: "key file of 1024 bits", attack: with(pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(makeShortKey()))), want: said{argument, "an RSA key of 1024 bits is too small: it has at least 2048"}},
		{name: "key file of 16384 bits", attack: with(pemOf("RSA PRIVATE KEY", hugeKey())), want: said{argument, "16384 bits is too large"}},
		{name: "key file that does not fit together", attack: with(pemOf("RSA PRIVATE KEY", mixedKey(k.other, k.client))), want: said{argument, "private key"}},
		{name: "key file of 64 KiB and a byte", attack: with(strings.Repeat("#", 64<<10+1)), want: said{precondition, "has 65537 bytes; it may have 65536"}},
		{name: "key file that others may read", attack: readsKey(func(a *attacker, path string) { write(a.T, path, 0o644, good) }), want: said{precondition, "is 0644, which lets others use it: run `chmod 600"}},
		{name: "key file that is a link to what others may read", attack: readsKey(func(a *attacker, path string) {
			write(a.T, path+".real", 0o640, good)
			a.try(os.Symlink(path+".real", path))
		}), want: said{precondition, "is 0640, which lets others use it: run `chmod 600"}},
		{name: "key file that is a link to itself", attack: readsKey(func(a *attacker, path string) { a.try(os.Symlink(path, path)) }), want: said{precondition, "too many levels of symbolic links"}},
		{name: "key file that is a link to nowhere", attack: readsKey(func(a *attacker, path string) { a.try(os.Symlink(path+".gone", path)) }), want: said{"not_found", "no such file"}},
		{name: "key file that is a folder", attack: readsKey(func(a *attacker, path string) { a.try(os.Mkdir(path, 0o700)) }), want: said{precondition, "is no regular file but has the mode d"}},
		{name: "key file that is a pipe", attack: readsKey(func(a *attacker, path string) { a.try(syscall.Mkfifo(path, 0o600)) }), want: said{precondition, "is no regular file but has the mode p"}},
		{name: "key file that is a device", attack: readsKey(func(a *attacker, path string) { a.try(os.Symlink("/dev/zero", path)) }), want: said{precondition, "is no regular file but has the mode D"}},
	}
}

// otherFileRows are files that are put where those of users, keys and hosts belong.
func otherFileRows() []hostile {
	const argument, precondition = "invalid_argument", "failed_precondition"
	k := testKeys()
	line := func(key *rsa.PublicKey) string {
		made, err := ssh.NewPublicKey(key)
		if err != nil {
			panic(err)
		}
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(made)))
	}
	mine := line(&k.client.PublicKey)
	usersOf := func(mode os.FileMode, content string) func(*attacker) said {
		return func(a *attacker) said {
			path := filepath.Join(a.TempDir(), "users")
			write(a.T, path, mode, content)
			_, err := users.Open(path)
			return a.fileSaid(path, err)
		}
	}
	keysOf := func(mode os.FileMode, content string) func(*attacker) said {
		return func(a *attacker) said {
			path := filepath.Join(a.TempDir(), "keys")
			write(a.T, path, mode, content)
			_, err := users.OpenKeys(path)
			return a.fileSaid(path, err)
		}
	}
	hosts := func(content func(host string) string) func(*attacker) said {
		return func(a *attacker) said {
			path := filepath.Join(a.TempDir(), "known_hosts")
			host, port, _ := strings.Cut(a.address, ":")
			write(a.T, path, 0o600, content("["+host+"]:"+port))
			c, err := client.Dial(within(a.T), a.address, client.WithServerKey(seal.PinKnownHosts(path, nil)))
			if err == nil {
				c.Close()
			}
			return a.fileSaid(path, err)
		}
	}
	const hash = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"
	return []hostile{
		{name: "users file that others may read", attack: usersOf(0o640, "ada:"+hash), want: said{precondition, "is 0640, which lets others use it: run `chmod 600 "}},
		{name: "users file with a password", attack: usersOf(0o600, "ada:secret"), want: said{argument, "the hash does not begin with $argon2id$v=19$"}},
		{name: "users file with a hash of 4 TiB", attack: usersOf(0o600, "ada:"+strings.Replace(hash, "m=8", "m=4294967295", 1)), want: said{argument, "the parameter m of the hash is 4294967295; it may be 8 to 262144"}},
		{name: "users file with a line of 1 MB", attack: usersOf(0o600, "ada:"+strings.Repeat("x", 1_000_000)), want: said{argument, "the line has 1000004 bytes; it may have 4096"}},
		{name: "users file with a user twice", attack: usersOf(0o600, "ada:"+hash+"\nada:"+hash+":admin"), want: said{argument, ":2: the name is that of line 1 already"}},
		{name: "users file with a role of control characters", attack: usersOf(0o600, "ada:"+hash+":ad\x1bmin"), want: said{argument, "the role has the control character U+001B"}},
		{name: "users file that becomes malformed", at: guarded, attack: spoilsUsers(func(a *attacker, path string) { write(a.T, path, 0o600, "ada:secret") }), want: said{logged, "what it said before holds"}},
		{name: "users file that becomes readable", at: guarded, attack: spoilsUsers(func(a *attacker, path string) { a.try(os.Chmod(path, 0o644)) }), want: said{logged, "lets others use it"}},
		{name: "users file that is removed", at: guarded, attack: spoilsUsers(func(a *attacker, path string) { a.try(os.Remove(path)) }), want: said{logged, "no such file"}},
		{name: "keys file that others may write", attack: keysOf(0o622, mine+" ada"), want: said{precondition, "is 0622, which lets others use it: run `chmod 600 "}},
		{name: "keys file with an option of SSH", attack: keysOf(0o600, `command="/bin/sh" `+mine+" ada"), want: said{argument, `the only option is roles="ROLE,ROLE", once`}},
		{name: "keys file with roles twice", attack: keysOf(0o600, `roles="a",roles="admin" `+mine+" ada"), want: said{argument, `the only option is roles="ROLE,ROLE", once`}},
		{name: "keys file with a key of 1024 bits", attack: keysOf(0o600, line(&makeShortKey().PublicKey)+" ada"), want: said{argument, "an RSA key of 1024 bits is too small"}},
		{name: "keys file with a key twice", attack: keysOf(0o600, mine+" ada\n"+`roles="admin" `+mine+" eve"), want: said{argument, ":2: the key is that of line 1 already"}},
		{name: "known_hosts of garbage", at: encrypted, attack: hosts(func(string) string { return "garbage" }), want: said{precondition, "is no known_hosts file that can be understood"}},
		{name: "known_hosts with another key", at: encrypted, attack: hosts(func(host string) string { return host + " " + line(&k.other.PublicKey) }), want: said{"unauthenticated", "IS NOT THE KNOWN ONE"}},
		{name: "known_hosts that revokes the key", at: encrypted, attack: hosts(func(host string) string {
			return host + " " + line(&k.server.PublicKey) + "\n@revoked * " + line(&k.server.PublicKey)
		}), want: said{"unauthenticated", "revokes"}},
		{name: "known_hosts without the server", at: encrypted, attack: hosts(func(string) string { return "" }), want: said{"unauthenticated", "is not known, and its key"}},
	}
}

// readsKey is an attack by what lies where a private key belongs.
func readsKey(put func(a *attacker, path string)) func(*attacker) said {
	return func(a *attacker) said {
		path := filepath.Join(a.TempDir(), "key")
		put(a, path)
		_, err := seal.ReadPrivateKey(path)
		return a.fileSaid(path, err)
	}
}

// fileSaid returns what an error says about a file, which it must name.
func (a *attacker) fileSaid(path string, err error) said {
	a.Helper()
	if !strings.Contains(fmt.Sprint(err), path) {
		a.Errorf("%v does not name the file", err)
	}
	if strings.Contains(fmt.Sprint(err), "secret") {
		a.Errorf("%v shows what is in the file", err)
	}
	return errorSaid(err)
}

// spoilsUsers does something to the file of users while it is in use. What is logged
// about it is returned; those who were users are served.
func spoilsUsers(spoil func(a *attacker, path string)) func(*attacker) said {
	return func(a *attacker) said {
		content, err := os.ReadFile(a.users)
		a.try(err)
		a.Cleanup(func() { write(a.T, a.users, 0o600, string(content)) })
		spoil(a, a.users)
		if got := shakesWith(`{"username":"boss","password":"secret"}`)(a); got.status != "unauthenticated" {
			a.Errorf("a wrong password is answered by %v", got)
		}
		return hasLogged(a.T, a.fileLog, a.users)
	}
}

func (a *attacker) try(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func ecPEM() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pemOf("PRIVATE KEY", der)
}

func protectedPEM(key *rsa.PrivateKey) string {
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("secret"))
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(block))
}

// hugeKey is a private key in PKCS#1 of numbers that take minutes to compute with.
func hugeKey() []byte {
	number := func(bits uint) *big.Int { return new(big.Int).SetBit(big.NewInt(1), int(bits-1), 1) }
	return pkcs1(number(16384), number(16380), number(8192), number(8190))
}

// mixedKey is a private key of two halves that do not belong together.
func mixedKey(public, private *rsa.PrivateKey) []byte {
	return pkcs1(public.N, private.D, private.Primes[0], private.Primes[1])
}

func pkcs1(n, d, p, q *big.Int) []byte {
	one := big.NewInt(1)
	dp := new(big.Int).Mod(d, new(big.Int).Sub(p, one))
	dq := new(big.Int).Mod(d, new(big.Int).Sub(q, one))
	der, err := asn1.Marshal(struct {
		Version                  int
		N                        *big.Int
		E                        int
		D, P, Q, Dp, Dq, Inverse *big.Int
	}{0, n, 65537, d, p, q, dp, dq, one})
	if err != nil {
		panic(err)
	}
	return der
}
