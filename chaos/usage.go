package main

import (
	"bufio"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process takes. What the system does not tell is 0.
type usage struct {
	Resident, PeakResident uint64 // bytes
	Heap                   uint64 // bytes of objects, garbage included
	Goroutines, Files      int
	Processor              time.Duration // since it was started
}

// ownUsage returns what this process takes now. The peak is the one since the last
// [forgetPeak].
func ownUsage() usage {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	return usage{
		Resident:     statusBytes("VmRSS"),
		PeakResident: statusBytes("VmHWM"),
		Heap:         heap[0].Value.Uint64(),
		Goroutines:   runtime.NumGoroutine(),
		Files:        openFiles(),
		Processor:    processorTime(),
	}
}

func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// statusBytes returns an amount of memory that Linux tells of this process.
func statusBytes(name string) uint64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name+":" {
			kib, _ := strconv.ParseUint(words[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// forgetPeak lets Linux measure the peak of this process's memory anew.
func forgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }
