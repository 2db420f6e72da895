package server

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// ListenAndServe listens as [Server.Listen] does and serves as [Server.Serve]
// does.
func (s *Server) ListenAndServe(ctx context.Context) error {
	if s.life.Err() != nil {
		return ErrServerClosed
	}
	listener, err := s.Listen(ctx)
	if err != nil {
		return err
	}
	return s.serve(ctx, listener, s.options.address)
}

// Listen listens on the address of [WithAddress] without serving it yet, for
// those who need to know the port that they get for port 0. A Unix socket whose
// server is gone is replaced, and the socket is removed when the listener is
// closed. It returns the errors that [Server.Serve] would return at once, and says
// what is wrong with an address that cannot be listened on.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	network, where, err := setup.ParseAddress(s.options.address)
	if err != nil {
		return nil, err
	}
	listener, err := listen(ctx, network, where)
	if err != nil {
		return nil, listenError(s.options.address, err)
	}
	if err := s.checkExposure(listener.Addr(), s.options.address); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

func listen(ctx context.Context, network, where string) (net.Listener, error) {
	if network == "unix" {
		if err := removeStale(ctx, where); err != nil {
			return nil, err
		}
	}
	return new(net.ListenConfig).Listen(ctx, network, where)
}

// answerTime is how long a Unix socket that exists has to answer before it
// counts as taken all the same.
const answerTime = time.Second

// removeStale removes a Unix socket that nobody listens on any more. It leaves
// everything else alone, for listening to fail on.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		nc.Close()
		return syscall.EADDRINUSE
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return os.Remove(path)
}

// listenError says in words why an address cannot be listened on.
func listenError(address string, err error) error {
	code, why := packetrpc.CodeUnavailable, ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		code, why = packetrpc.CodeAlreadyExists, "is taken by another program (server.WithAddress)"
		if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix && !isSocket(path) {
			why = "is a file and no socket (server.WithAddress)"
		}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		code, why = packetrpc.CodeInvalidArgument, "is none of this machine's (server.WithAddress)"
	case errors.Is(err, fs.ErrPermission):
		code, why = packetrpc.CodePermissionDenied, "may not be listened on by this user (server.WithAddress)"
	case errors.Is(err, fs.ErrNotExist):
		code, why = packetrpc.CodeInvalidArgument, "is in a folder that does not exist"
	case isLookup(err):
		code, why = packetrpc.CodeInvalidArgument, "names a host that cannot be found"
	default:
		return packetrpc.Errorf(code, "address %s cannot be listened on: %w", address, err)
	}
	coded := packetrpc.NewError(code, err)
	coded.Message = "address " + address + " " + why
	return coded
}

func isSocket(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}

func isLookup(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup)
}

// checkExposure refuses to listen where others can reach the server without what
// keeps them out.
func (s *Server) checkExposure(addr net.Addr, name string) error {
	if setup.Local(addr) {
		return nil
	}
	var missing []string
	if s.encryption == nil && !s.options.allowPlaintext {
		missing = append(missing, "connections are not encrypted (server.WithKey changes that, server.AllowPlaintext accepts it)")
	}
	if s.options.authenticator == nil && !s.options.allowAnonymous {
		missing = append(missing, "nobody is authenticated (server.WithAuthenticator changes that, server.AllowAnonymous accepts it)")
	}
	if missing == nil {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
		"address %s is reached from beyond this machine, and %s", name, strings.Join(missing, ", and "))
}
