//go:build unix

package ownfile

import "syscall"

// openFlags keep the opening of a named pipe from waiting for its other end, and a
// terminal from becoming the process's own.
const openFlags = syscall.O_NONBLOCK | syscall.O_NOCTTY
