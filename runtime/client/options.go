package client

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

// defaultDialTimeout is how long connecting may take when the context of Dial has
// no deadline.
const defaultDialTimeout = 10 * time.Second

// The defaults of the options about connecting again.
const (
	defaultFirstPause   = 100 * time.Millisecond
	defaultLongestPause = 15 * time.Second
	defaultPatience     = 10 * time.Second
)

// Option changes what [Dial] makes.
type Option func(*options)

// Dialer opens a connection to an address, as [net.Dialer.DialContext] does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// options is what the options have set.
type options struct {
	username, password string
	allowPlaintext     bool
	pin                seal.Pin
	sealingTo          seal.Pin
	key                *rsa.PrivateKey
	opener             *seal.Opener // of key; nil without
	tls                *tls.Config
	form               packet.Form
	dialer             Dialer

	handlers     *packetrpc.Handlers
	interceptors []packetrpc.Interceptor
	addresses    []string
	noReconnect  bool
	firstPause   time.Duration
	longestPause time.Duration
	patience     time.Duration
	stateHook    func(State)
	gap          func(first, last uint64)

	limits       conn.Limits
	runningCalls int
	writeTimeout time.Duration
	logger       *slog.Logger
}

func newOptions(list []Option) options {
	o := options{
		form:         packet.Binary,
		dialer:       new(net.Dialer).DialContext,
		limits:       conn.DefaultLimits(),
		runningCalls: conn.DefaultMaxRunningCalls,
		writeTimeout: conn.DefaultWriteTimeout,
		firstPause:   defaultFirstPause,
		longestPause: defaultLongestPause,
		patience:     defaultPatience,
	}
	for _, option := range list {
		option(&o)
	}
	o.logger = setup.Logger(o.logger)
	if o.key != nil {
		o.opener = seal.NewOpener(o.key)
	}
	return o
}

// check refuses options that nothing could work with.
func (o *options) check() error {
	err := setup.CheckLimits(o.limits)
	if err == nil {
		err = setup.CheckNumbers("client",
			setup.Number{Option: "WithMaxRunningCalls", Value: int64(o.runningCalls), Least: 1},
			setup.Number{Option: "WithReconnectPauses, first", Value: int64(o.firstPause), Least: 1},
			setup.Number{Option: "WithReconnectPauses, longest", Value: int64(o.longestPause), Least: int64(o.firstPause)},
			setup.Number{Option: "WithPatience", Value: int64(o.patience), Least: 1},
			setup.Number{Option: "WithWriteTimeout", Value: int64(o.writeTimeout), Least: 1})
	}
	if err == nil {
		err = o.handlers.Err()
	}
	if err == nil {
		err = o.checkKeys()
	}
	return err
}

// WithPassword sets the name and the password that the client shakes hands with.
// The default is none of either. Over a connection that is not encrypted and
// leaves this machine no password is sent, and Dial fails, unless
// [AllowPlaintextPassword] is given.
func WithPassword(name, password string) Option {
	return func(o *options) { o.username, o.password = name, password }
}

// WithServerKey makes the connection an encrypted one, TLS 1.3, to the server whose
// key the pin knows: seal.PinFingerprint, seal.PinKeyFile, seal.PinKnownHosts and
// others. Dial fails before it has sent anything when the server has another key, or
// does not encrypt. The default is no encryption.
func WithServerKey(pin seal.Pin) Option {
	return func(o *options) { o.pin = pin }
}

// WithKey sets the key that the client proves to have on an encrypted connection,
// for a server that knows its clients by their keys (users.OpenKeys), and that opens
// what is sealed to the client. The default is none.
func WithKey(key *rsa.PrivateKey) Option {
	return func(o *options) { o.key = key }
}

// WithSealingTo seals the handshake, password included, and the data of sealed
// actions to the server whose key the pin knows, on a connection that is not
// encrypted: others can read what is called and what is not sealed, and who can
// change what is sent can do more (docs/SECURITY.md). Where the server speaks TLS,
// [WithServerKey] is better, and data is sealed there as well. The default is none.
func WithSealingTo(pin seal.Pin) Option {
	return func(o *options) { o.sealingTo = pin }
}

// WithTLS makes the connection an encrypted one as the config says, for servers
// whose certificates come from a CA. The name to look for in the certificate is the
// host of the address unless the config sets a ServerName, and TLS 1.3 is demanded
// unless it sets a MinVersion. The config must not be changed any more. The default
// is no encryption.
func WithTLS(config *tls.Config) Option {
	return func(o *options) { o.tls = config }
}

// WithName sets the name that the client shakes hands with, without a password.
// The default is none.
func WithName(name string) Option {
	return func(o *options) { o.username, o.password = name, "" }
}

// AllowPlaintextPassword sends the password over connections that are not
// encrypted, wherever they lead: whoever can see the network reads it. Refusing
// to is the default.
func AllowPlaintextPassword() Option {
	return func(o *options) { o.allowPlaintext = true }
}

// WithAddresses adds addresses of servers that do as well. They are tried in turn,
// after the one that [Dial] is given; a client whose server takes no new calls any more
// moves to the next one. The default is none.
func WithAddresses(addresses ...string) Option {
	return func(o *options) { o.addresses = append(o.addresses, addresses...) }
}

// WithoutReconnect ends the client with its connection. By default it connects again.
func WithoutReconnect() Option {
	return func(o *options) { o.noReconnect = true }
}

// WithReconnectPauses sets how long the client waits between attempts to connect again:
// about first after the first one that fails, each time half as long again, and at most
// longest. The pauses are varied at random, so that the clients of a server do not come
// back all at once. The defaults are 100 ms and 15 s.
func WithReconnectPauses(first, longest time.Duration) Option {
	return func(o *options) { o.firstPause, o.longestPause = first, longest }
}

// WithPatience sets how long calls whose context has no deadline wait for a connection
// while there is none. Then they fail with unavailable, not sent. The default is 10 s.
func WithPatience(limit time.Duration) Option {
	return func(o *options) { o.patience = limit }
}

// WithStateHook sets a function that is told when the connection is lost, when the
// client has connected again, and when it has ended, in that order and by one goroutine
// at a time. The client does not connect meanwhile, so it should not take long. It must
// not close the client. The default is none.
func WithStateHook(hook func(State)) Option {
	return func(o *options) { o.stateHook = hook }
}

// WithGapHook sets a function that is told which pushes of a session that goes on were
// lost, since the server had not kept them: the numbers of the first and the last one.
// It is called where packets are read and must not block. The default is none.
func WithGapHook(hook func(first, last uint64)) Option {
	return func(o *options) { o.gap = hook }
}

// WithHandlers sets what the client handles when the server calls it. The default
// is nothing: the server's calls then fail with unimplemented.
func WithHandlers(handlers *packetrpc.Handlers) Option {
	return func(o *options) { o.handlers = handlers }
}

// WithJSON writes packets as JSON, which people can read, instead of the binary
// form, which is the default and smaller and faster.
func WithJSON() Option {
	return func(o *options) { o.form = packet.JSON }
}

// WithInterceptors adds interceptors, which wrap every call in both directions;
// the first one given is the outermost. The default is none.
func WithInterceptors(interceptors ...packetrpc.Interceptor) Option {
	return func(o *options) { o.interceptors = append(o.interceptors, interceptors...) }
}

// WithDialer sets how connections are opened; the network is "tcp" or "unix". What
// it returns is encrypted by [WithServerKey] and [WithTLS] as other connections are;
// a dialer that returns TLS connections makes for an encrypted connection as well.
// The default is that of a zero [net.Dialer].
func WithDialer(dial Dialer) Option {
	return func(o *options) { o.dialer = dial }
}

// WithMaxMessageSize sets the size in bytes of the largest message that the
// client takes. The server learns it in the handshake and refuses to send larger
// ones. The default is 4 MiB.
func WithMaxMessageSize(size int) Option {
	return func(o *options) { o.limits.MaxMessageSize = size }
}

// WithMaxOpenCalls sets how many calls the server may have open at once on the
// connection; those beyond wait at the server. The default is 4,096; 0 is any
// number.
func WithMaxOpenCalls(limit int) Option {
	return func(o *options) { o.limits.MaxOpenCalls = limit }
}

// WithMaxRunningCalls sets how many handlers may run at once; further calls wait.
// The default is 256.
func WithMaxRunningCalls(limit int) Option {
	return func(o *options) { o.runningCalls = limit }
}

// WithWindow sets how many bytes the server may send ahead of what the client has
// taken, in one call and on the connection. The defaults are 256 KiB and 4 MiB; 0
// is any number.
func WithWindow(call, connection int) Option {
	return func(o *options) { o.limits.CallWindow, o.limits.ConnectionWindow = call, connection }
}

// WithWriteTimeout sets for how long the server may take nothing of what is being
// sent to it before the connection ends. The default is 10 s.
func WithWriteTimeout(limit time.Duration) Option {
	return func(o *options) { o.writeTimeout = limit }
}

// WithLogger sets where the client logs: handlers that panic and one-way calls that
// fail as errors, failed attempts to connect again as warnings, connections that come
// and go for debugging. The default passes errors on to slog's default logger and drops
// the rest.
func WithLogger(logger *slog.Logger) Option {
	return func(o *options) { o.logger = logger }
}
