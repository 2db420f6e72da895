package main

import (
	"os"
	"runtime"
	"strings"
)

// busyGoroutines returns how many goroutines there are apart from those that a server
// keeps warm for the work to come.
func busyGoroutines() int {
	busy := 0
	for _, stack := range strings.Split(allStacks(), "\n\n") {
		lines := strings.SplitN(stack, "\n", 3)
		if len(lines) > 1 && !strings.Contains(lines[1], "conn.(*Workers).live") {
			busy++
		}
	}
	return busy
}

func allStacks() string {
	buffer := make([]byte, 16<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}

// openFiles returns how many file descriptors are open, or 0 where the system does not
// tell.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
