package users

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// Keys is a [session.Authenticator] that knows the clients whose RSA keys a file
// lists.
type Keys struct {
	owners *watched[owners]
}

// owners is whose a key is, by the digest of the key.
type owners map[[sha256.Size]byte]packetrpc.Identity

// OpenKeys reads a file of keys, in the form that the package describes. It fails
// when the file cannot be read, is malformed, or can be written by others than its
// owner.
//
// Later the file is read anew when it has changed. Should it be missing or not as
// it should be then, the keys stay those that they were, which is logged.
func OpenKeys(path string, options ...Option) (*Keys, error) {
	owners, err := watch(path, ownfile.Write, parseOwners, options)
	if err != nil {
		return nil, err
	}
	return &Keys{owners: owners}, nil
}

// Authenticate returns the identity of the user whose key the client has proven to
// have, and [session.ErrCredentials] when there is no such user, or when the client
// gives another name. A password is not looked at. It may be called concurrently.
func (k *Keys) Authenticate(_ context.Context, credentials session.Credentials) (packetrpc.Identity, error) {
	if credentials.PublicKey == nil {
		return packetrpc.Identity{}, session.ErrCredentials
	}
	key, err := ssh.NewPublicKey(credentials.PublicKey)
	if err != nil {
		return packetrpc.Identity{}, err
	}
	owner, listed := k.owners.get()[digest(key)]
	if !listed || credentials.Username != "" && credentials.Username != owner.Name {
		return packetrpc.Identity{}, session.ErrCredentials
	}
	owner.Roles = slices.Clone(owner.Roles)
	return owner, nil
}

func digest(key ssh.PublicKey) [sha256.Size]byte { return sha256.Sum256(key.Marshal()) }

func parseOwners(path string, text []byte) (owners, error) {
	read := make(owners)
	first := make(map[[sha256.Size]byte]int) // the number of the line with a key
	err := eachLine(path, text, func(number int, _, content string) error {
		if content == "" {
			return nil
		}
		key, owner, err := parseOwner(content)
		if err != nil {
			return err
		}
		if n, taken := first[digest(key)]; taken {
			return fmt.Errorf("the key is that of line %d already", n)
		}
		first[digest(key)] = number
		read[digest(key)] = owner
		return nil
	})
	return read, err
}

// parseOwner reads a line with a key.
func parseOwner(content string) (ssh.PublicKey, packetrpc.Identity, error) {
	// ssh would take a carriage return for the end of the line.
	if strings.Contains(content, "\r") {
		return nil, packetrpc.Identity{}, errors.New("the line has a carriage return in it")
	}
	key, name, options, _, err := ssh.ParseAuthorizedKey([]byte(content))
	if err != nil {
		return nil, packetrpc.Identity{}, fmt.Errorf(`the line is neither ssh-rsa KEY NAME nor roles="ROLE,ROLE" ssh-rsa KEY NAME: %w`, err)
	}
	if err := checkKey(key); err != nil {
		return nil, packetrpc.Identity{}, err
	}
	if err := checkName(name); err != nil {
		return nil, packetrpc.Identity{}, fmt.Errorf("%w; the name is what follows the key", err)
	}
	roles, err := parseOptions(options)
	return key, packetrpc.Identity{Name: name, Roles: roles}, err
}

func checkKey(key ssh.PublicKey) error {
	holder, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return fmt.Errorf("the key is of the type %s; it must be ssh-rsa", key.Type())
	}
	rsaKey, ok := holder.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("the key is of the type %s; it must be ssh-rsa", key.Type())
	}
	if err := seal.CheckKey(rsaKey); err != nil {
		return errors.New(packetrpc.AsError(err).Message)
	}
	return nil
}

// Authorize adds a key to a file of keys: the client that has proven to have it is
// the user with the name, and has the roles. A missing file is made, with the mode
// 0600. It fails with already_exists when the key is listed, and otherwise as
// [OpenKeys] and [Edit] do. It may be called concurrently.
func Authorize(ctx context.Context, path, name string, key *rsa.PublicKey, roles ...string) error {
	line, err := keyLine(name, key, roles)
	if err != nil {
		return packetrpc.NewError(packetrpc.CodeInvalidArgument, err)
	}
	return edit(ctx, path, ownfile.Write, func(text []byte) ([]byte, error) {
		listed, err := parseOwners(path, text)
		if err != nil {
			return nil, err
		}
		public, err := ssh.NewPublicKey(key)
		if err != nil {
			return nil, err
		}
		if owner, taken := listed[digest(public)]; taken {
			return nil, packetrpc.Errorf(packetrpc.CodeAlreadyExists, "%s has the key already: it is that of %q", path, owner.Name)
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		return append(text, line...), nil
	})
}

// keyLine returns the line of a key, and checks that it can be read.
func keyLine(name string, key *rsa.PublicKey, roles []string) (string, error) {
	if err := seal.CheckKey(key); err != nil {
		return "", err
	}
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n") + " " + name
	if len(roles) > 0 {
		line = `roles="` + strings.Join(roles, ",") + `" ` + line
	}
	_, owner, err := parseOwner(line)
	if err == nil && (owner.Name != name || !slices.Equal(owner.Roles, roles)) {
		err = fmt.Errorf("the name %q and the roles %q cannot stand in a file of keys", name, roles)
	}
	return line + "\n", err
}

// parseOptions returns the roles among the options of a line.
func parseOptions(options []string) ([]string, error) {
	if len(options) == 0 {
		return nil, nil
	}
	quoted, isRoles := strings.CutPrefix(options[0], `roles="`)
	list, closed := strings.CutSuffix(quoted, `"`)
	if !isRoles || !closed || len(options) > 1 {
		return nil, errors.New(`the only option is roles="ROLE,ROLE", once`)
	}
	if list == "" {
		return nil, nil
	}
	roles := strings.Split(list, ",")
	return roles, checkRoles(roles)
}
