package setup_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:25565":  "tcp 127.0.0.1:25565",
		":0":               "tcp :0",
		"[::1]:80":         "tcp [::1]:80",
		"example.com:443":  "tcp example.com:443",
		"unix:/run/socket": "unix /run/socket",
		"unix:relative":    "unix relative",
		"":                 "",
		"127.0.0.1":        "",
		"127.0.0.1:":       "",
		"127.0.0.1:-1":     "",
		"127.0.0.1:70000":  "",
		"::1:80":           "",
		"unix:":            "",
	} {
		network, where, err := setup.ParseAddress(address)
		if want == "" {
			if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
				t.Errorf("%q: %s %s, %v, want invalid_argument", address, network, where, err)
			}
		} else if err != nil || network+" "+where != want {
			t.Errorf("%q: %s %s, %v, want %s", address, network, where, err, want)
		}
	}
}

// named is an address of no network that the package knows.
type named string

func (named) Network() string  { return "pigeon" }
func (n named) String() string { return string(n) }

func TestLocal(t *testing.T) {
	for _, test := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, true},
		{&net.TCPAddr{IP: net.IPv4(127, 9, 9, 9), Port: 1}, true},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 1}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: 1}, true},
		{&net.TCPAddr{IP: net.IPv4zero, Port: 1}, false},
		{&net.TCPAddr{IP: net.IPv6unspecified, Port: 1}, false},
		{&net.TCPAddr{IP: net.IPv4(192, 168, 0, 1), Port: 1}, false},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, false},
		{&net.TCPAddr{Port: 1}, false}, // what ":1" listens on
		{&net.UnixAddr{Name: "/run/socket", Net: "unix"}, true},
		{named("192.0.2.1:80"), false},
		{named("loft"), false},
		{packetrpctest.NewListener().Addr(), true},
		{nil, false},
	} {
		if got := setup.Local(test.addr); got != test.want {
			t.Errorf("Local(%v) = %t, want %t", test.addr, got, test.want)
		}
	}
}

func TestTLS(t *testing.T) {
	for given, want := range map[uint16]uint16{0: tls.VersionTLS13, tls.VersionTLS12: tls.VersionTLS12} {
		config := &tls.Config{MinVersion: given}
		if got := setup.TLS(config); got.MinVersion != want || config.MinVersion != given {
			t.Errorf("of a config with %#x came %#x", given, got.MinVersion)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	if err := setup.CheckLimits(conn.DefaultLimits()); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, spoil := range []func(*conn.Limits){
		func(l *conn.Limits) { l.MaxMessageSize = 0 },
		func(l *conn.Limits) { l.MaxOpenCalls = -1 },
		func(l *conn.Limits) { l.CallWindow = -1 },
		func(l *conn.Limits) { l.ConnectionWindow = -1 },
	} {
		limits := conn.DefaultLimits()
		spoil(&limits)
		if err := setup.CheckLimits(limits); packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}

func TestDefaultLoggerPassesErrorsOnly(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	logger := setup.Logger(nil).With("a", 1).WithGroup("g")
	logger.Info("dropped")
	logger.Warn("dropped")
	logger.Error("kept", "b", 2)
	if got := log.String(); strings.Contains(got, "dropped") || !strings.Contains(got, "kept") || !strings.Contains(got, "g.b=2") {
		t.Errorf("logged %q", got)
	}
	own := slog.New(slog.DiscardHandler)
	if setup.Logger(own) != own {
		t.Error("a logger that is given is not used")
	}
}
