package server

import (
	"crypto/rsa"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
	"github.com/packetrpc/packetrpc/runtime/session"
)

// DefaultAddress is where a server listens unless [WithAddress] says otherwise.
const DefaultAddress = "127.0.0.1:25565"

// The defaults of the options.
const (
	defaultGracePeriod      = 5 * time.Second
	defaultHandshakeTimeout = 5 * time.Second
	defaultHalfOpen         = 4096
	defaultHalfOpenAddress  = 1024

	defaultMaxCalls  = 1 << 16
	defaultMaxMemory = 1 << 30

	defaultResumeWithin = time.Minute
	defaultKeptPushes   = 1 << 20

	defaultKeepaliveInterval = 30 * time.Second
	defaultKeepaliveTimeout  = 10 * time.Second

	defaultFreeFailures   = 3
	defaultFailureDelay   = 500 * time.Millisecond
	defaultLongestFailure = time.Minute
)

// Option changes what [New] makes.
type Option func(*options)

// options is what the options have set. It does not change after New.
type options struct {
	address          string
	gracePeriod      time.Duration
	handshakeTimeout time.Duration
	halfOpen         int
	halfOpenAddress  int
	maxConnections   int
	freeFailures     int
	failureDelay     time.Duration
	longestDelay     time.Duration

	key            *rsa.PrivateKey
	tls            *tls.Config
	authenticator  session.Authenticator
	roles          map[string][]string
	allowPlaintext bool
	allowAnonymous bool
	closedList     bool
	reflectionOff  bool
	reflectionRole string

	limits       conn.Limits
	maxCalls     int
	maxMemory    int
	slow         SlowPolicy
	runningCalls int
	writeTimeout time.Duration
	keepalive    conn.Keepalive
	resumeWithin time.Duration
	keptPushes   int
	interceptors []packetrpc.Interceptor

	connected    func(packetrpc.Peer)
	disconnected func(packetrpc.Peer, error)
	refused      []func(packetrpc.Peer, string, error)
	logger       *slog.Logger
}

func newOptions(list []Option) options {
	o := options{
		address:          DefaultAddress,
		gracePeriod:      defaultGracePeriod,
		handshakeTimeout: defaultHandshakeTimeout,
		halfOpen:         defaultHalfOpen,
		halfOpenAddress:  defaultHalfOpenAddress,
		freeFailures:     defaultFreeFailures,
		failureDelay:     defaultFailureDelay,
		longestDelay:     defaultLongestFailure,
		roles:            make(map[string][]string),
		limits:           conn.DefaultLimits(),
		maxCalls:         defaultMaxCalls,
		maxMemory:        defaultMaxMemory,
		runningCalls:     conn.DefaultMaxRunningCalls,
		writeTimeout:     conn.DefaultWriteTimeout,
		resumeWithin:     defaultResumeWithin,
		keptPushes:       defaultKeptPushes,
		keepalive:        conn.Keepalive{Interval: defaultKeepaliveInterval, Timeout: defaultKeepaliveTimeout},
	}
	for _, option := range list {
		option(&o)
	}
	o.logger = setup.Logger(o.logger)
	return o
}

// check refuses options that nothing could work with.
func (o *options) check() error {
	if err := setup.CheckLimits(o.limits); err != nil {
		return err
	}
	if o.slow > SlowDisconnect {
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "server.WithSlowClients: there is no policy %d", o.slow)
	}
	var leastKept int64 // of pushes
	if o.resumeWithin > 0 || o.slow != SlowWait {
		leastKept = 1
	}
	return setup.CheckNumbers("server",
		setup.Number{Option: "WithMaxRunningCalls", Value: int64(o.runningCalls), Least: 1},
		setup.Number{Option: "WithMaxCalls", Value: int64(o.maxCalls)},
		setup.Number{Option: "WithMaxMemory", Value: int64(o.maxMemory)},
		setup.Number{Option: "WithMaxConnections", Value: int64(o.maxConnections)},
		setup.Number{Option: "WithMaxHalfOpen, for an address", Value: int64(o.halfOpenAddress), Least: 1},
		setup.Number{Option: "WithMaxHalfOpen, in all", Value: int64(o.halfOpen), Least: 1},
		setup.Number{Option: "WithHandshakeTimeout", Value: int64(o.handshakeTimeout), Least: 1},
		setup.Number{Option: "WithFailureDelay, free failures", Value: int64(o.freeFailures), Least: 1},
		setup.Number{Option: "WithFailureDelay, first", Value: int64(o.failureDelay)},
		setup.Number{Option: "WithFailureDelay, longest", Value: int64(o.longestDelay)},
		setup.Number{Option: "WithResume, within", Value: int64(o.resumeWithin)},
		setup.Number{Option: "WithResume, bytes", Value: int64(o.keptPushes), Least: leastKept},
		setup.Number{Option: "WithKeepalive, interval", Value: int64(o.keepalive.Interval)},
		setup.Number{Option: "WithKeepalive, timeout", Value: int64(o.keepalive.Timeout), Least: int64(min(o.keepalive.Interval, 1))},
		setup.Number{Option: "WithGracePeriod", Value: int64(o.gracePeriod)},
		setup.Number{Option: "WithWriteTimeout", Value: int64(o.writeTimeout), Least: 1})
}

// encryption returns how connections are encrypted; nil is not at all.
func (o *options) encryption() (*tls.Config, error) {
	switch {
	case o.tls != nil:
		return setup.TLS(o.tls), nil
	case o.key != nil:
		return seal.ServerTLS(o.key)
	}
	return nil, nil
}

// WithAddress sets where [Server.ListenAndServe] listens: "host:port", or
// "unix:/path" for a Unix socket. The default is [DefaultAddress].
func WithAddress(address string) Option {
	return func(o *options) { o.address = address }
}

// WithGracePeriod sets how long running calls may go on when the context of
// [Server.Serve] has ended. The default is 5 s; 0 ends them at once.
func WithGracePeriod(period time.Duration) Option {
	return func(o *options) { o.gracePeriod = period }
}

// WithHandshakeTimeout sets how long a client may take to shake hands, from the
// moment that it is accepted. The default is 5 s.
func WithHandshakeTimeout(limit time.Duration) Option {
	return func(o *options) { o.handshakeTimeout = limit }
}

// WithMaxHalfOpen sets how many connections may be without a handshake at once,
// from one address and in all; those beyond are closed as they come. An address
// is an IPv4 address or the /64 network of an IPv6 one. Connections that have no
// IP address, as over Unix sockets, count in all only. The defaults are 1,024
// and 4,096.
func WithMaxHalfOpen(address, all int) Option {
	return func(o *options) { o.halfOpenAddress, o.halfOpen = address, all }
}

// WithMaxConnections sets how many clients may be connected at once; the
// handshakes of those beyond fail with resource_exhausted and are told when to come
// again. The default is 0, any
// number.
func WithMaxConnections(limit int) Option {
	return func(o *options) { o.maxConnections = limit }
}

// WithAuthenticator sets who tells the clients' identities. Without one, which is
// the default, every client is who it says it is, and the server refuses to
// listen beyond loopback unless [AllowAnonymous] is given.
func WithAuthenticator(authenticator session.Authenticator) Option {
	return func(o *options) { o.authenticator = authenticator }
}

// WithFailureDelay sets how handshakes from an address are held back where the
// authenticator has refused some: from the given number of failures on they are
// taken first apart, and twice as far apart with each further failure, up to
// longest. Those that would have to wait for more than 2 s are refused with
// resource_exhausted and told when to come back. An address has a clean record again
// 15 minutes after its last failure. It is an IPv4 address or the /64 network of an
// IPv6 one; connections that have none, as over Unix sockets, are not held back. The
// defaults are 3 failures, 500 ms and 1 minute; a longest of 0 holds nobody back, as
// may be right behind a proxy, where all clients have one address.
func WithFailureDelay(free int, first, longest time.Duration) Option {
	return func(o *options) { o.freeFailures, o.failureDelay, o.longestDelay = free, first, longest }
}

// WithRoles grants roles to the clients of a name, beside those that the
// authenticator grants them. It may be given several times. Without an
// authenticator a name proves nothing: whoever says that it has the name gets
// the roles, so this is then for trials and for sockets that only trusted
// programs can reach.
func WithRoles(name string, roles ...string) Option {
	return func(o *options) { o.roles[name] = append(o.roles[name], roles...) }
}

// WithKey makes the server's connections encrypted ones: TLS 1.3 with a certificate
// that is made from the key, which clients know the server by (client.WithServerKey).
// The key also opens what is sealed to the server. Plaintext is then refused, on
// loopback as well, unless [AllowPlaintext] is given. The default is no key, and
// no encryption. See seal.ReadPrivateKey for where a key comes from.
func WithKey(key *rsa.PrivateKey) Option {
	return func(o *options) { o.key = key }
}

// WithTLS makes the server's connections encrypted ones as the config says, for
// those whose certificates come from a CA. TLS 1.3 is demanded unless the config
// sets a MinVersion itself. A key that [WithKey] gives is then used for sealed data
// only. The config must not be changed any more. The default is none.
func WithTLS(config *tls.Config) Option {
	return func(o *options) { o.tls = config }
}

// AllowPlaintext lets a server that has a key or a TLS config take connections that
// are not encrypted beside those that are, and lets one that has neither listen
// beyond loopback. Whoever can see the network then reads and changes what is sent,
// passwords and tokens included. Refusing both is the default.
func AllowPlaintext() Option {
	return func(o *options) { o.allowPlaintext = true }
}

// AllowAnonymous lets the server listen beyond loopback without an authenticator.
// Refusing to is the default.
func AllowAnonymous() Option {
	return func(o *options) { o.allowAnonymous = true }
}

// WithClientListClosed lets only clients with the role "admin" list the clients
// with CoreListClients. By default all clients may.
func WithClientListClosed() Option {
	return func(o *options) { o.closedList = true }
}

// WithoutReflection lets no client see the descriptors of what the server handles, by
// CoreReflect. By default all clients may, so that tools need no .proto files.
func WithoutReflection() Option {
	return func(o *options) { o.reflectionOff = true }
}

// WithReflectionRole lets only clients with a role see the descriptors of what the server
// handles.
func WithReflectionRole(role string) Option {
	return func(o *options) { o.reflectionRole = role }
}

// WithInterceptors adds interceptors, which wrap every call in both directions;
// the first one given is the outermost. Broadcasts, which are one message for
// many connections and not calls, do not pass through them.
func WithInterceptors(interceptors ...packetrpc.Interceptor) Option {
	return func(o *options) { o.interceptors = append(o.interceptors, interceptors...) }
}

// WithMaxMessageSize sets the size in bytes of the largest message that the
// server takes. Clients learn it in the handshake and refuse to send larger
// ones. The default is 4 MiB.
func WithMaxMessageSize(size int) Option {
	return func(o *options) { o.limits.MaxMessageSize = size }
}

// WithMaxOpenCalls sets how many calls a client may have open at once; those
// beyond wait at the client. The default is 4,096; 0 is any number.
func WithMaxOpenCalls(limit int) Option {
	return func(o *options) { o.limits.MaxOpenCalls = limit }
}

// WithMaxRunningCalls sets how many handlers may run at once for one client;
// further calls wait. The default is 256.
func WithMaxRunningCalls(limit int) Option {
	return func(o *options) { o.runningCalls = limit }
}

// WithMaxCalls sets how many calls of all clients together may be under way at once:
// those whose handler has not returned, whether their callers still wait or not, and
// those that wait for a handler. Calls beyond are refused with resource_exhausted and
// told when to come again, and no handler runs. One-way calls do not count, as there is
// one at a time for each client, and calls of actions that are declared non-blocking are
// not refused. The default is 65,536; 0 is any number.
func WithMaxCalls(limit int) Option {
	return func(o *options) { o.maxCalls = limit }
}

// WithMaxMemory sets about how many bytes the server holds at once for all clients
// together: messages that have arrived, whole or in part, and that no handler has taken,
// replies that wait to be sent, and pushes that are kept. Beyond that, calls with data are refused with
// resource_exhausted, streams end with it, and only little is kept of pushes; but each
// client may always have 64 KiB of either. The default is 1 GiB; 0 is any number.
func WithMaxMemory(bytes int) Option {
	return func(o *options) { o.maxMemory = bytes }
}

// SlowPolicy is what becomes of pushes to a client that does not take them as fast as
// they come: its handlers are slow, or it does not read.
type SlowPolicy = conn.SlowPolicy

// The policies for slow clients.
const (
	// SlowWait: a push to the client waits for room as long as its context allows, and
	// broadcasts leave the client out, which their Delivery tells.
	SlowWait = conn.SlowWait
	// SlowDropOldest: no push waits. Up to the bytes of [WithResume] are kept, and then
	// the oldest are dropped; a push to one client that is larger than that is refused. A
	// client that can go on with its session learns of the gap
	// (client.WithGapHook).
	SlowDropOldest = conn.SlowDropOldest
	// SlowDisconnect: no push waits. Up to the bytes of [WithResume] are kept, and then
	// the session ends; a push to one client that is larger than that is refused. The client connects again, to another session.
	SlowDisconnect = conn.SlowDisconnect
)

// WithSlowClients sets what becomes of pushes that a client does not take as fast as
// they come. The default is [SlowWait]. Whatever the policy, the connection of a client
// that reads nothing at all ends after a while ([WithWriteTimeout]). [Server.Stats]
// counts what was refused, dropped and disconnected.
func WithSlowClients(policy SlowPolicy) Option {
	return func(o *options) { o.slow = policy }
}

// WithWindow sets how many bytes a client may send ahead of what the server's
// handlers have taken, in one call and on its connection. The defaults are
// 256 KiB and 4 MiB; 0 is any number.
func WithWindow(call, connection int) Option {
	return func(o *options) { o.limits.CallWindow, o.limits.ConnectionWindow = call, connection }
}

// WithWriteTimeout sets for how long a client may take nothing of what is being
// sent to it before its connection ends. The default is 10 s.
func WithWriteTimeout(limit time.Duration) Option {
	return func(o *options) { o.writeTimeout = limit }
}

// WithKeepalive sets how both sides find out that the other one is gone although
// nothing says so, for instance because its machine has lost power: after a silence
// of the interval, or half as long again, a side pings the other, and the connection
// ends when no answer comes within the timeout. Clients are told in the handshake; old
// programs are not pinged, nor is who writes JSON and cannot go on with a session, as a
// person at nc. The defaults are 30 s and 10 s; an interval of 0 pings
// nobody.
func WithKeepalive(interval, timeout time.Duration) Option {
	return func(o *options) { o.keepalive = conn.Keepalive{Interval: interval, Timeout: timeout} }
}

// WithResume sets for how long a client whose connection is lost stays the client that
// it is, with its id, identity and groups, so that it can go on over another
// connection, and how many bytes of pushes are kept for it. Pushes that the client has
// not acknowledged are sent again then, in their order, and each is handled once.
// While the client is away, pushes to it are kept, too; those beyond the bytes are
// refused with resource_exhausted. The defaults are 1 minute and 1 MiB; a time of 0
// ends a client with its connection.
func WithResume(within time.Duration, bytes int) Option {
	return func(o *options) { o.resumeWithin, o.keptPushes = within, bytes }
}

// WithConnected sets a function that is called with each client that has shaken
// hands, once, before the first of its calls is handled: groups that it joins
// here it is in when its handlers run. The client's calls wait until the function
// returns, which may itself call the client. It is not called again when a client goes
// on over another connection (see [WithResume]). A panic is logged.
func WithConnected(hook func(peer packetrpc.Peer)) Option {
	return func(o *options) { o.connected = hook }
}

// WithDisconnected sets a function that is called when a client's connection has
// ended and it cannot go on over another one, or has not done so in time: once for
// each client and after the function of [WithConnected] has returned. By then the
// client is out of the registry and its groups; handlers of its calls may still be on
// their way out. The reason is an error of the code unavailable. A panic is logged.
func WithDisconnected(hook func(peer packetrpc.Peer, reason error)) Option {
	return func(o *options) { o.disconnected = hook }
}

// WithRefused adds a function that is called for each call of a client that is refused
// before any interceptor sees it: the action is not served, the token or a role is
// missing, there is no room, the packet cannot be read. The action is what the client has
// named, which may be anything, or "". The function must not wait and not call the client,
// as the goroutine that reads the connection calls it, for several clients at once. A
// panic is logged.
func WithRefused(hook func(peer packetrpc.Peer, action string, reason error)) Option {
	return func(o *options) { o.refused = append(o.refused, hook) }
}

// WithLogger sets where the server logs: panics and failures as errors, refused
// handshakes as warnings, clients that come and go for debugging. The default
// passes errors on to slog's default logger and drops the rest.
func WithLogger(logger *slog.Logger) Option {
	return func(o *options) { o.logger = logger }
}
