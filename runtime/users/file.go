package users

import (
	"context"
	"hash/maphash"
	"runtime"
	"slices"

	"github.com/packetrpc/packetrpc/runtime/internal/ownfile"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// MaxPasswordSize is the number of bytes that a password may have.
const MaxPasswordSize = 1024

// File is a [session.Authenticator] that knows the users of a file.
//
// What it answers, and how long it takes for that, does not tell whether there is
// a user of a name: it hashes the password of an unknown user too, with the
// parameters of a user that it picks by the name. It hashes at most as many
// passwords at a time as Go uses processors; those of other clients wait.
type File struct {
	users *watched[*roster]
	// slots holds a value for each password that is being hashed.
	slots chan struct{}
	// seed is for picking a user by an unknown name.
	seed maphash.Seed
}

// roster is the users of a file.
type roster struct {
	named map[string]*user
	all   []*user // never empty
}

// Open reads a file of users, in the form that the package describes. It fails
// when the file cannot be read, is malformed, or can be read or written by others
// than its owner.
//
// Later the file is read anew when it has changed. Should it be missing or not as
// it should be then, its users stay those that they were, which is logged.
func Open(path string, options ...Option) (*File, error) {
	users, err := watch(path, ownfile.ReadOrWrite, parseRoster, options)
	if err != nil {
		return nil, err
	}
	return &File{users: users, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), seed: maphash.MakeSeed()}, nil
}

func parseRoster(path string, text []byte) (*roster, error) {
	lines, err := parseLines(path, text)
	if err != nil {
		return nil, err
	}
	r := &roster{named: make(map[string]*user)}
	for _, line := range lines {
		if line.user != nil {
			r.named[line.user.Name] = line.user
			r.all = append(r.all, line.user)
		}
	}
	if len(r.all) == 0 {
		r.all = append(r.all, &user{hash: defaultHash()})
	}
	return r, nil
}

// Authenticate returns the identity of the user with the name and the password of
// the credentials, and [session.ErrCredentials] when there is none. It returns the
// context's error when that ends while passwords of other clients are hashed. It
// may be called concurrently.
func (f *File) Authenticate(ctx context.Context, credentials session.Credentials) (packetrpc.Identity, error) {
	if n := len(credentials.Password); n == 0 || n > MaxPasswordSize {
		return packetrpc.Identity{}, session.ErrCredentials
	}
	if err := f.enter(ctx); err != nil {
		return packetrpc.Identity{}, err
	}
	defer f.leave()
	// Only now, so that who is removed while others are served is not let in.
	user, known := f.find(credentials.Username)
	if matches := user.hash.matches(credentials.Password); !matches || !known {
		return packetrpc.Identity{}, session.ErrCredentials
	}
	return packetrpc.Identity{Name: user.Name, Roles: slices.Clone(user.Roles)}, nil
}

// find returns the user of a name, or one whose hash is as much work.
func (f *File) find(name string) (found *user, known bool) {
	r := f.users.get()
	standIn := r.all[maphash.String(f.seed, name)%uint64(len(r.all))]
	if found, known = r.named[name]; known {
		return found, true
	}
	return standIn, false
}

func (f *File) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *File) leave() { <-f.slots }
