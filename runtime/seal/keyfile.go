package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// maxKeyFile is the number of bytes that a key's file may have.
const maxKeyFile = 64 << 10

// ReadPrivateKey reads a private RSA key from a file in PEM: PKCS#8, as packetrpc
// keygen and openssl write it, PKCS#1, or the form of ssh-keygen. Of several PEM
// blocks the first with a private key counts.
//
// The file must be a regular one, though symbolic links are followed. On Unix
// nobody but its owner may have any right to it, as with ssh. Keys with a
// passphrase are refused. The error names the file, and the command that mends
// it where there is one; its code is [packetrpc.CodeNotFound] when there is no
// such file, [packetrpc.CodeFailedPrecondition] when it cannot be used as it is,
// and [packetrpc.CodeInvalidArgument] when what it holds is wrong.
func ReadPrivateKey(path string) (*rsa.PrivateKey, error) {
	data, _, err := ownfile.Read(path, maxKeyFile, ownfile.ReadOrWrite)
	if err != nil {
		return nil, err
	}
	key, err := parsePrivateKey(data, path)
	if err != nil {
		return nil, inFile(path, err)
	}
	return key, nil
}

// ParsePrivateKey reads a private RSA key as [ReadPrivateKey] does from a file.
// Its errors have [packetrpc.CodeInvalidArgument].
func ParsePrivateKey(data []byte) (*rsa.PrivateKey, error) {
	key, err := parsePrivateKey(data, "FILE")
	if err != nil {
		return nil, inFile("the private key", err)
	}
	return key, nil
}

// ReadPublicKey reads a public RSA key from a file: PEM with a "PUBLIC KEY", an
// "RSA PUBLIC KEY" or a "CERTIFICATE", or a line "ssh-rsa AAAA…" as ssh-keygen
// writes it. Of several PEM blocks the first of these counts; of lines there may
// be one. Files and errors are as with [ReadPrivateKey], but anybody may have
// rights to the file.
func ReadPublicKey(path string) (*rsa.PublicKey, error) {
	data, _, err := ownfile.Read(path, maxKeyFile, ownfile.Nothing)
	if err != nil {
		return nil, err
	}
	key, err := parsePublicKey(data)
	if err != nil {
		return nil, inFile(path, err)
	}
	return key, nil
}

// ParsePublicKey reads a public RSA key as [ReadPublicKey] does from a file. Its
// errors have [packetrpc.CodeInvalidArgument].
func ParsePublicKey(data []byte) (*rsa.PublicKey, error) {
	key, err := parsePublicKey(data)
	if err != nil {
		return nil, inFile("the public key", err)
	}
	return key, nil
}

// WriteKeyPair writes a key to two new files: the private half to name, in PKCS#8
// PEM, which only the owner may read, and the public half to name.pub, in PEM.
// When either file exists it returns an error with
// [packetrpc.CodeAlreadyExists], and whenever it fails neither is written.
func WriteKeyPair(name string, key *rsa.PrivateKey) error {
	if err := badPrivateKey(key); err != nil {
		return invalid(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a private key cannot be encoded: %w", err)
	}
	public, err := MarshalPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writeNewFile(name, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: private}); err != nil {
		return err
	}
	if err := writeNewFile(name+".pub", 0o644, &pem.Block{Type: "PUBLIC KEY", Bytes: public}); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// writeNewFile writes one PEM block, or nothing.
func writeNewFile(path string, mode fs.FileMode, block *pem.Block) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return packetrpc.Errorf(packetrpc.CodeAlreadyExists,
			"%s exists, and keys are never overwritten: choose another name, or remove it if nobody needs it: %w", path, err)
	}
	if err != nil {
		return ownfile.Error(err)
	}
	if err := errors.Join(pem.Encode(file, block), file.Close()); err != nil {
		return ownfile.Error(errors.Join(err, os.Remove(path)))
	}
	return nil
}

// parsePrivateKey reads a private key. file stands in the commands that mend one.
func parsePrivateKey(data []byte, file string) (*rsa.PrivateKey, error) {
	block, err := findBlock(data, isPrivateBlock, "private key")
	if err != nil {
		return nil, err
	}
	parsed, err := parsePrivateBlock(block)
	var protected *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &protected):
		return nil, fmt.Errorf("it is protected by a passphrase, which nobody is there to type: remove it with ssh-keygen -p -N '' -f %s", file)
	case err != nil:
		return nil, fmt.Errorf("its private key cannot be read: %w", err)
	}
	key, isRSA := parsed.(*rsa.PrivateKey)
	if !isRSA {
		return nil, notRSA(kindOf(parsed))
	}
	if err := badPrivateKey(key); err != nil {
		return nil, err
	}
	key.Precompute()
	return key, nil
}

func isPrivateBlock(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") }

// parsePrivateBlock returns a key of any kind.
func parsePrivateBlock(block *pem.Block) (any, error) {
	switch block.Type {
	case "ENCRYPTED PRIVATE KEY":
		return nil, new(ssh.PassphraseMissingError)
	case "EC PRIVATE KEY":
		// It may be of a curve that cannot be read, but what it is says enough.
		return new(ecdsa.PrivateKey), nil
	}
	if err := tooCostly(block.Bytes); err != nil {
		return nil, err
	}
	return ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
}

// tooCostly refuses an RSA key in PKCS#1 or PKCS#8 with a number of more than
// MaxBits, before anything is computed with it: for one that fits into a file it
// would take minutes. It has nothing against what is no such key.
func tooCostly(der []byte) error {
	var wrapped struct {
		Version   int
		Algorithm asn1.RawValue
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &wrapped); err == nil {
		der = wrapped.Key
	}
	var key struct {
		Version       int
		N, E, D, P, Q *big.Int
	}
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return nil
	}
	for _, number := range []*big.Int{key.N, key.E, key.D, key.P, key.Q} {
		if bits := number.BitLen(); bits > MaxBits {
			return fmt.Errorf("an RSA key with a number of %d bits is too large: they have at most %d", bits, MaxBits)
		}
	}
	return nil
}

func parsePublicKey(data []byte) (*rsa.PublicKey, error) {
	parse := parsePublicPEM
	if isSSHKey(data) {
		parse = parseSSHKey
	}
	parsed, err := parse(data)
	if err != nil {
		return nil, err
	}
	key, isRSA := parsed.(*rsa.PublicKey)
	if !isRSA {
		return nil, notRSA(kindOf(parsed))
	}
	if err := badKey(key); err != nil {
		return nil, err
	}
	return key, nil
}

// parsePublicPEM returns a key of any kind.
func parsePublicPEM(data []byte) (any, error) {
	block, err := findBlock(data, isPublicBlock, "public key")
	if err != nil {
		return nil, err
	}
	var parsed any
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			parsed = certificate.PublicKey
		}
	}
	if err != nil {
		return nil, fmt.Errorf("its public key cannot be read: %w", err)
	}
	return parsed, nil
}

func isPublicBlock(kind string) bool {
	return kind == "PUBLIC KEY" || kind == "RSA PUBLIC KEY" || kind == "CERTIFICATE"
}

// isSSHKey reports whether data begins as the public keys of ssh-keygen do.
func isSSHKey(data []byte) bool {
	return slices.ContainsFunc([]string{"ssh-", "ecdsa-", "sk-"}, func(start string) bool {
		return bytes.HasPrefix(bytes.TrimSpace(data), []byte(start))
	})
}

// parseSSHKey returns a key of any kind.
func parseSSHKey(data []byte) (any, error) {
	line := bytes.TrimSpace(data)
	if bytes.ContainsAny(line, "\r\n") {
		return nil, errors.New("it holds several lines, and a public key of SSH is one")
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, fmt.Errorf("its public key cannot be read: %w", err)
	}
	key, known := parsed.(ssh.CryptoPublicKey)
	if !known || parsed.Type() != ssh.KeyAlgoRSA {
		return nil, notRSA(parsed.Type() + " key")
	}
	return key.CryptoPublicKey(), nil
}

// findBlock returns the first PEM block of a wanted type.
func findBlock(data []byte, wanted func(kind string) bool, what string) (*pem.Block, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("it has %d bytes; keys with more than %d are not read", len(data), maxKeyFile)
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("it holds %s where a %s in PEM belongs", describe(data), what)
		}
		if wanted(block.Type) {
			return block, nil
		}
	}
}

// describe names what stands where a key belongs.
func describe(data []byte) string {
	data = bytes.TrimSpace(data)
	if block, _ := pem.Decode(data); block != nil {
		return fmt.Sprintf("%.40q", block.Type)
	}
	switch {
	case len(data) == 0:
		return "nothing"
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return "a damaged PEM block, which may have been cut off,"
	case isSSHKey(data):
		return "a public key of SSH"
	case bytes.HasPrefix(data, []byte("PuTTY-User-Key-File-")):
		return "a key of PuTTY, which puttygen exports as one of OpenSSH,"
	case data[0] == 0x30: // a SEQUENCE
		return "what may be DER, which openssl pkey -inform DER makes PEM of,"
	default:
		return "something else"
	}
}

func notRSA(kind string) error {
	return fmt.Errorf("it holds an %s, and only RSA keys are taken: packetrpc keygen makes one", kind)
}

// kindOf names the kind of a private or public key that is no RSA key.
func kindOf(key any) string {
	switch key.(type) {
	case *ecdsa.PrivateKey, *ecdsa.PublicKey:
		return "EC key"
	case ed25519.PrivateKey, *ed25519.PrivateKey, ed25519.PublicKey:
		return "Ed25519 key"
	case *ecdh.PrivateKey, *ecdh.PublicKey:
		return "X25519 key"
	default:
		return fmt.Sprintf("unusual key (%T)", key)
	}
}

// inFile returns err as that of a file with wrong content.
func inFile(file string, err error) error {
	return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%s: %w", file, err)
}
