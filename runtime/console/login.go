package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// user is who has logged in, with what calls are made as.
type user struct {
	identity       packetrpc.Identity
	name, password string
	address        net.Addr // nil where it is not an IP address
}

type userKey struct{}

func withUser(ctx context.Context, u *user) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// userOf returns who makes a request that the guard has let through.
func userOf(r *http.Request) *user { return r.Context().Value(userKey{}).(*user) }

// login finds out who makes a request, by HTTP's Basic authentication, and refuses who
// has not the console's role. The code is then unauthenticated as well, so that the
// browser asks for another name.
func (p *pages) login(r *http.Request) (*user, error) {
	role := p.console.options.role
	name, password, given := r.BasicAuth()
	if !given && (role != "" || p.server.Authenticates()) {
		return nil, packetrpc.Errorf(packetrpc.CodeUnauthenticated, "the console needs a name and a password")
	}
	u := &user{name: name, password: password, address: remoteAddress(r)}
	var err error
	if u.identity, err = p.logins.identity(r.Context(), u); err != nil {
		return nil, err
	}
	if !u.identity.HasRole(role) {
		return nil, packetrpc.Errorf(packetrpc.CodeUnauthenticated, "%q has not the role %q (console.WithRole)", name, role)
	}
	return u, nil
}

// remoteAddress returns where a request comes from, or nil where that is not an IP
// address.
func remoteAddress(r *http.Request) net.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(from)
}

const (
	// loginLasts is for how long a name and a password that were right are not checked
	// again: that takes long on purpose, and the page asks every second.
	loginLasts = time.Minute
	// maxLogins is how many are remembered.
	maxLogins = 100
)

// logins asks the server who somebody is, and remembers it for a while.
type logins struct {
	server *server.Server
	secret []byte // of the keys in known, so that they tell nothing of passwords

	mu    sync.Mutex
	known map[string]knownLogin
}

type knownLogin struct {
	identity packetrpc.Identity
	until    time.Time
}

func newLogins(srv *server.Server) *logins {
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	return &logins{server: srv, secret: secret, known: make(map[string]knownLogin)}
}

func (l *logins) identity(ctx context.Context, u *user) (packetrpc.Identity, error) {
	key := l.key(u)
	if identity, ok := l.lookUp(key, time.Now()); ok {
		return identity, nil
	}
	identity, err := l.server.Authenticate(ctx, session.Credentials{Username: u.name, Password: u.password, RemoteAddr: u.address})
	if err != nil {
		return packetrpc.Identity{}, err
	}
	l.remember(key, identity, time.Now())
	return identity, nil
}

func (l *logins) key(u *user) string {
	mac := hmac.New(sha256.New, l.secret)
	mac.Write([]byte(strconv.Itoa(len(u.name)) + " " + u.name + u.password))
	return string(mac.Sum(nil))
}

func (l *logins) lookUp(key string, now time.Time) (packetrpc.Identity, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.known[key]
	return known.identity, ok && now.Before(known.until)
}

func (l *logins) remember(key string, identity packetrpc.Identity, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, known := range l.known {
		if !now.Before(known.until) || len(l.known) >= maxLogins {
			delete(l.known, other)
		}
	}
	l.known[key] = knownLogin{identity, now.Add(loginLasts)}
}
