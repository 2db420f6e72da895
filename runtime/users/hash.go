package users

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What a new hash is made with: the least that OWASP advises for argon2id.
const (
	defaultMemory   = 19 << 10 // KiB
	defaultTime     = 2
	defaultThreads  = 1
	defaultSaltSize = 16
	defaultKeySize  = 32
)

// What a hash in a file may ask for.
const (
	maxMemory                = 256 << 10 // KiB
	maxTime                  = 16
	maxThreads               = 8
	minMemoryPerThread       = 8 // KiB; argon2 silently takes more when it is less
	minSaltSize, maxSaltSize = 8, 64
	minKeySize, maxKeySize   = 16, 64
)

// hashPrefix is what every hash begins with.
const hashPrefix = "$argon2id$v=19$"

// hash is an argon2id hash of a password, with what it was made with.
type hash struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, key    []byte
}

// newHash hashes a password with a new salt.
func newHash(password string) hash {
	h := defaultHash()
	rand.Read(h.salt)
	h.key = h.derive(password)
	return h
}

// defaultHash is a hash as newHash makes them, of no password.
func defaultHash() hash {
	return hash{
		memory:  defaultMemory,
		time:    defaultTime,
		threads: defaultThreads,
		salt:    make([]byte, defaultSaltSize),
		key:     make([]byte, defaultKeySize),
	}
}

// matches reports whether h is the hash of a password.
func (h *hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password), h.key) == 1
}

func (h *hash) derive(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
}

// encoded returns the hash as a PHC string. It is not called String, so that
// nothing prints a hash by accident.
func (h *hash) encoded() string {
	return fmt.Sprintf("%sm=%d,t=%d,p=%d$%s$%s", hashPrefix, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// parseHash reads a PHC string. Its errors show nothing of the string, which may
// be a password by mistake.
func parseHash(text string) (hash, error) {
	rest, ok := strings.CutPrefix(text, hashPrefix)
	if !ok {
		return hash{}, errors.New("the hash does not begin with " + hashPrefix + ", as `packetrpc users passwd` makes them")
	}
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return hash{}, errors.New("the hash is not of the form " + hashPrefix + "m=…,t=…,p=…$SALT$HASH")
	}
	var h hash
	if err := h.parseCosts(parts[0]); err != nil {
		return hash{}, err
	}
	var err error
	if h.salt, err = parseBytes("salt", parts[1], minSaltSize, maxSaltSize); err != nil {
		return hash{}, err
	}
	h.key, err = parseBytes("hash", parts[2], minKeySize, maxKeySize)
	return h, err
}

func (h *hash) parseCosts(text string) error {
	costs := strings.Split(text, ",")
	if len(costs) != 3 {
		return errors.New("the hash does not have the three parameters m, t and p")
	}
	threads, err := parseCost("p", costs[2], 1, maxThreads)
	if err != nil {
		return err
	}
	h.threads = uint8(threads)
	if h.time, err = parseCost("t", costs[1], 1, maxTime); err != nil {
		return err
	}
	h.memory, err = parseCost("m", costs[0], minMemoryPerThread*threads, maxMemory)
	return err
}

func parseCost(name, text string, least, most uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(text, name+"=")
	if !ok {
		return 0, fmt.Errorf("the parameter %s of the hash is not in its place", name)
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, fmt.Errorf("the parameter %s of the hash is no plain number", name)
	}
	if n < uint64(least) || n > uint64(most) {
		return 0, fmt.Errorf("the parameter %s of the hash is %d; it may be %d to %d", name, n, least, most)
	}
	return uint32(n), nil
}

func parseBytes(what, text string, least, most int) ([]byte, error) {
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || base64.RawStdEncoding.EncodeToString(decoded) != text {
		return nil, fmt.Errorf("the %s is not base64 without padding", what)
	}
	if n := len(decoded); n < least || n > most {
		return nil, fmt.Errorf("the %s has %d bytes; it may have %d to %d", what, n, least, most)
	}
	return decoded, nil
}
