// Package setup holds what a server and a client have in common when they are
// set up: addresses, limits and the logger.
package setup

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// ParseAddress takes an address apart into what net.Dial and net.Listen want. It
// is "host:port" or "unix:/path".
func ParseAddress(address string) (network, where string, err error) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		if path == "" {
			return "", "", badAddress(address, "it has no path")
		}
		return "unix", path, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", "", badAddress(address, "it is neither host:port nor unix:/path")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", badAddress(address, "the port is no number from 0 to 65535")
	}
	return "tcp", address, nil
}

func badAddress(address, why string) error {
	return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "bad address %q: %s", address, why)
}

// Local reports whether whatever is sent to or from addr stays on this machine,
// as far as addr tells: it is loopback, a Unix socket or a pipe in memory.
func Local(addr net.Addr) bool {
	if ip, ok := IP(addr); ok {
		return ip.IsLoopback()
	}
	if addr == nil {
		return false
	}
	switch addr.Network() {
	case "unix", "pipe", "memory":
		return true
	}
	return false
}

// IP returns the IP address of addr, if it has one.
func IP(addr net.Addr) (netip.Addr, bool) {
	switch addr := addr.(type) {
	case nil:
		return netip.Addr{}, false
	case *net.TCPAddr: // the usual case, which need not be printed to be read
		ip := addr.AddrPort().Addr()
		return ip.Unmap(), ip.IsValid()
	}
	parsed, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}, false
	}
	return parsed.Addr().Unmap(), true
}

// TLS returns a config that its user has given, for packetrpc: TLS 1.3 is demanded
// unless it says otherwise, and records are full from the start.
func TLS(config *tls.Config) *tls.Config {
	config = config.Clone()
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS13
	}
	config.DynamicRecordSizingDisabled = true // small records make pages appear sooner; packets are small anyway
	return config
}

// CheckLimits refuses limits that nothing could work with.
func CheckLimits(limits conn.Limits) error {
	switch {
	case limits.MaxMessageSize <= 0:
		return badLimit("message size", limits.MaxMessageSize)
	case limits.MaxOpenCalls < 0:
		return badLimit("number of open calls", limits.MaxOpenCalls)
	case limits.CallWindow < 0:
		return badLimit("window of a call", limits.CallWindow)
	case limits.ConnectionWindow < 0:
		return badLimit("window of a connection", limits.ConnectionWindow)
	}
	return nil
}

func badLimit(what string, value int) error {
	return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "a %s of %d makes no sense", what, value)
}

// Number is the value of an option that takes a number or a duration.
type Number struct {
	Option       string
	Value, Least int64
}

// CheckNumbers refuses values that are less than they may be. where is the
// package of the options.
func CheckNumbers(where string, numbers ...Number) error {
	for _, n := range numbers {
		if n.Value < n.Least {
			return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%s.%s: %d is less than %d", where, n.Option, n.Value, n.Least)
		}
	}
	return nil
}

// Logger returns logger, or for nil one that passes errors, and nothing less, on
// to slog's default logger.
func Logger(logger *slog.Logger) *slog.Logger {
	if logger != nil {
		return logger
	}
	return slog.New(errorsOnly{slog.Default().Handler()})
}

// errorsOnly is a handler that drops what is less than an error.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (h errorsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorsOnly{h.Handler.WithAttrs(attrs)}
}

func (h errorsOnly) WithGroup(name string) slog.Handler {
	return errorsOnly{h.Handler.WithGroup(name)}
}
