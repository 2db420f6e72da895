//go:build !unix

package conn

import (
	"net"
	"syscall"
)

// systemSocket returns nil: sockets can be waited for without a buffer on Unix
// only.
func systemSocket(net.Conn) syscall.RawConn { return nil }

func readSocket(uintptr, []byte) (n int, waits bool, err error) { return 0, false, nil }

func writeSocket(uintptr, []byte) int { return 0 }
