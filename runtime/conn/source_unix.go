//go:build unix

package conn

import (
	"io"
	"net"
	"os"
	"syscall"
)

// systemSocket returns a socket that can be waited for without a buffer, or nil.
// It knows types and does not ask for [syscall.Conn], as a type that embeds one
// of these may have a Read of its own, which must not be passed by.
func systemSocket(nc net.Conn) syscall.RawConn {
	var socket syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		socket, err = nc.SyscallConn()
	case *net.UnixConn:
		socket, err = nc.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil // it has been closed, as Read will tell
	}
	return socket
}

// writeSocket writes what a socket takes at once and returns how much that is.
func writeSocket(fd uintptr, bytes []byte) int {
	for {
		n, err := syscall.Write(int(fd), bytes)
		if err != syscall.EINTR {
			return max(n, 0)
		}
	}
}

// readSocket reads what a socket has, or reports that it has nothing yet.
func readSocket(fd uintptr, buf []byte) (n int, waits bool, err error) {
	for {
		switch n, err = syscall.Read(int(fd), buf); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("read", err)
		case n == 0:
			return 0, false, io.EOF
		default:
			return n, false, nil
		}
	}
}
