package process

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// Used is what a process has used up, or holds.
type Used struct {
	CPU        time.Duration // of all threads, in user and system mode
	Mallocs    uint64        // since it began
	Heap       uint64        // bytes in use, stacks included
	Resident   uint64        // bytes of its memory that are in RAM; 0 is unknown
	Goroutines int
}

// ReadUsed returns what this process has used up.
func ReadUsed() (Used, error) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return Used{}, err
	}
	return Used{
		CPU:        time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		Mallocs:    memory.Mallocs,
		Heap:       memory.HeapInuse + memory.StackInuse,
		Resident:   resident(),
		Goroutines: runtime.NumGoroutine(),
	}, nil
}

// SettledUsed returns the same once unused memory has been given back. The first
// collection empties pools only halfway.
func SettledUsed() (Used, error) {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	return ReadUsed()
}

// resident asks Linux, and returns 0 elsewhere.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var all, pages uint64
	if _, err := fmt.Sscan(string(text), &all, &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// burn occupies every core until the process ends.
func burn() {
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for n := uint64(1); ; n++ {
				n ^= n << 13 // anything that keeps a core busy
			}
		}()
	}
}
