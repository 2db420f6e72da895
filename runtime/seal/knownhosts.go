package seal

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxKnownHosts is the number of bytes that a known_hosts file may have: enough
// for thousands of lines.
const maxKnownHosts = 4 << 20

// PinKnownHosts expects the key that a file in the known_hosts format of SSH has
// for the server's address. The file is read each time. Only keys of the type
// ssh-rsa count; hashed hosts, patterns and @revoked do, and @cert-authority does
// not. A file with a line that cannot be understood is refused as a whole, as the
// line may revoke a key.
//
// "host:port" stands in the file as "[host]:port", or as "host" for port 22.
// "unix:/path" stands there as "[unix]:/path", where the path has no white space,
// comma, colon, "*", "?" or bracket.
//
// When the file has no key for the address, or does not exist, firstUse decides.
// It is called with the address in lower case, for one server at a time, while
// the connection waits; after it has returned nil, the key is added to the file,
// which is made if need be. When it returns an error, or is nil, the key is
// refused: the error, which wraps that of firstUse, shows the fingerprint and the
// line to add. A server proves that it has the key just after Verify, in the same
// TLS handshake.
func PinKnownHosts(path string, firstUse func(address string, key *rsa.PublicKey) error) Pin {
	return pinFunc((&knownHosts{path: path, firstUse: firstUse}).verify)
}

// knownHosts is a file of the servers' keys.
type knownHosts struct {
	path     string
	firstUse func(address string, key *rsa.PublicKey) error

	learning sync.Mutex // held from the look at the file to the new line in it
}

func (k *knownHosts) verify(address string, key *rsa.PublicKey) error {
	address, err := checkHostAddress(address)
	if err != nil {
		return err
	}
	known, err := k.knows(address, key)
	if known || err != nil {
		return err
	}
	k.learning.Lock()
	defer k.learning.Unlock()
	// Another connection may have learned it in the meantime.
	known, err = k.knows(address, key)
	if known || err != nil {
		return err
	}
	return k.learn(address, key)
}

// checkHostAddress returns the address as it is looked for, unless its line in the
// file would mean something else.
func checkHostAddress(address string) (string, error) {
	if !strings.HasPrefix(address, "unix:") {
		address = strings.ToLower(address)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%q cannot stand in a known_hosts file: %w", address, err)
	}
	isBad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(",*?", r) }
	if strings.ContainsFunc(address, isBad) || strings.HasPrefix(host, "!") || strings.HasPrefix(host, "|") ||
		strings.HasPrefix(host, "@") || strings.HasPrefix(host, "#") {
		return "", packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%q cannot stand in a known_hosts file: it has characters with a meaning there", address)
	}
	return address, nil
}

// knows reports whether the file has the key for the address. It returns an error
// when the file has another one, revokes this one, or cannot be read.
func (k *knownHosts) knows(address string, key *rsa.PublicKey) (bool, error) {
	content, _, err := ownfile.Read(k.path, maxKnownHosts, ownfile.Nothing)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	check, err := knownhosts.New(k.path)
	if err != nil {
		return false, packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "%s is no known_hosts file that can be understood: %w", k.path, err)
	}
	// The address counts and where the connection goes does not, but must be one.
	somewhere := &net.TCPAddr{}
	var revoked *knownhosts.RevokedError
	if errors.As(check(address, somewhere, sshKey(key)), &revoked) {
		return false, packetrpc.Errorf(packetrpc.CodeUnauthenticated,
			"the server at %s has the key %s, which %s:%d revokes", address, Fingerprint(key), k.path, revoked.Revoked.Line)
	}
	var forAddress *knownhosts.KeyError
	if err := check(address, somewhere, noKey{}); !errors.As(err, &forAddress) {
		return false, packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "%s cannot be searched: %w", k.path, err)
	}
	var other *knownhosts.KnownKey
	lines := bytes.Split(content, []byte("\n"))
	for _, known := range forAddress.Want {
		switch {
		case known.Key.Type() != ssh.KeyAlgoRSA || isAuthority(lines, known.Line):
		case bytes.Equal(known.Key.Marshal(), sshKey(key).Marshal()):
			return true, nil
		case other == nil:
			other = &known
		}
	}
	if other != nil {
		return false, changedKey(address, key, other)
	}
	return false, nil
}

// noKey differs from every key, so that a check with it tells all that the file has
// for an address. A check with the server's key tells only whether one fits, be it
// that of a certificate authority.
type noKey struct{ ssh.PublicKey }

func (noKey) Marshal() []byte { return nil }

// isAuthority reports whether a line, counted from 1, is about a certificate
// authority, whose key is no server's.
func isAuthority(lines [][]byte, number int) bool {
	// The file may have become longer since the lines were read.
	return number > len(lines) || bytes.HasPrefix(bytes.Trim(lines[number-1], " \t"), []byte("@cert-authority"))
}

func changedKey(address string, got *rsa.PublicKey, known *knownhosts.KnownKey) error {
	return packetrpc.Errorf(packetrpc.CodeUnauthenticated,
		"THE KEY OF THE SERVER AT %s IS NOT THE KNOWN ONE: it is %s, and %s:%d says %s. "+
			"Somebody may stand between and read and change everything (a man in the middle). "+
			"Only if you know why the key is new, remove that line",
		address, Fingerprint(got), known.Filename, known.Line, ssh.FingerprintSHA256(known.Key))
}

// learn adds the key to the file if firstUse accepts it.
func (k *knownHosts) learn(address string, key *rsa.PublicKey) error {
	line := knownhosts.Line([]string{address}, sshKey(key))
	// A line that cannot be read back would make the whole file useless.
	if _, err := ssh.ParsePublicKey(sshKey(key).Marshal()); err != nil {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the key of the server at %s cannot stand in a known_hosts file: %w", address, err)
	}
	err := errors.New("nobody is asked whether to accept it")
	if k.firstUse != nil {
		err = k.firstUse(address, key)
	}
	if err != nil {
		return packetrpc.Errorf(packetrpc.CodeUnauthenticated,
			"the server at %s is not known, and its key %s is not accepted: %w. If that is its fingerprint, add to %s: %s",
			address, Fingerprint(key), err, k.path, line)
	}
	if err := k.add(line); err != nil {
		return packetrpc.Errorf(packetrpc.CodeFailedPrecondition, "the key of the server at %s was accepted but cannot be kept: %w", address, err)
	}
	return nil
}

// add appends a line in one write, so that one of another process stays whole.
func (k *knownHosts) add(line string) error {
	file, err := os.OpenFile(k.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	line += "\n"
	if !endsLine(file) {
		line = "\n" + line
	}
	_, err = file.WriteString(line)
	return errors.Join(err, file.Close())
}

// endsLine reports whether a file is empty or has a line feed at its end.
func endsLine(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err == nil
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] == '\n'
}
