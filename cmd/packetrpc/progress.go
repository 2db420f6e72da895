package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progressPause is how often progress is shown.
const progressPause = 500 * time.Millisecond

// progress counts the messages of a stream. At a terminal it shows the numbers from time to
// time.
type progress struct {
	sent, received atomic.Int64
	stop           chan struct{}
	shown          sync.WaitGroup
}

// newProgress begins to show progress, if somebody sees the notes and does not see the
// messages themselves.
func newProgress(out *output) *progress {
	p := &progress{stop: make(chan struct{})}
	if isTerminal(out.Notes) && !isTerminal(out.Writer) {
		p.shown.Go(func() { p.show(out) })
	}
	return p
}

func (p *progress) show(out *output) {
	began, ticks := time.Now(), time.NewTicker(progressPause)
	defer ticks.Stop()
	write := func(end string) {
		fmt.Fprintf(out.Notes, "\rsent %d, received %d in %s%s", p.sent.Load(), p.received.Load(), time.Since(began).Round(100*time.Millisecond), end)
	}
	for {
		select {
		case <-ticks.C:
			write("")
		case <-p.stop:
			write("\n")
			return
		}
	}
}

// end shows the numbers for the last time.
func (p *progress) end() {
	close(p.stop)
	p.shown.Wait()
}

func isTerminal(of any) bool {
	file, isFile := of.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}
