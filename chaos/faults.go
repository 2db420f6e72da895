package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// The faults that can be injected.
const (
	resetFault    = "reset"     // one connection
	resetAllFault = "reset-all" // all of them
	halfOpenFault = "half-open" // one connection falls silent
	desertFault   = "desert"    // one client gives up, which its server does not learn
	latencyFault  = "latency"
	sliceFault    = "slice"     // single bytes are written
	bandFault     = "bandwidth" // is short
	downFault     = "down"      // nobody is reached
	killFault     = "kill"      // -9, and another server
	restartFault  = "restart"   // a shutdown, and another server
)

// usual is how often each fault is drawn, beside the others.
var usual = []struct {
	fault string
	odds  int
}{
	{resetFault, 40}, {resetAllFault, 8}, {halfOpenFault, 8}, {desertFault, 8}, {latencyFault, 10}, {sliceFault, 8},
	{bandFault, 8}, {downFault, 4}, {killFault, 2}, {restartFault, 2},
}

// draw returns a fault of those wanted.
func draw(random *rand.Rand, wanted []string) string {
	sum := 0
	for _, u := range usual {
		if slices.Contains(wanted, u.fault) {
			sum += u.odds
		}
	}
	n := random.IntN(sum)
	for _, u := range usual {
		if !slices.Contains(wanted, u.fault) {
			continue
		}
		if n -= u.odds; n < 0 {
			return u.fault
		}
	}
	return ""
}

// allFaults returns the names of the faults.
func allFaults() (names []string) {
	for _, u := range usual {
		names = append(names, u.fault)
	}
	return names
}

func parseFaults(list string) ([]string, error) {
	if list == "" {
		return allFaults(), nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(allFaults(), name) {
			return nil, fmt.Errorf("there is no fault %q, but %s", name, strings.Join(allFaults(), ", "))
		}
	}
	return names, nil
}

// storm injects faults, drawn by a seed.
type storm struct {
	proxy   *proxy
	process *process
	history *history
	wanted  []string
	every   time.Duration
	random  *rand.Rand
	servers sync.WaitGroup
}

// rage injects faults until the context ends, and lets the sky clear then.
func (s *storm) rage(ctx context.Context) {
	for {
		timer := time.NewTimer(s.every/2 + time.Duration(s.random.Int64N(int64(s.every))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			s.servers.Wait()
			s.proxy.weather.Store(&weather{})
			s.proxy.down.Store(false)
			return
		}
		s.strike(draw(s.random, s.wanted))
	}
}

// strike injects one fault. It draws the same numbers whatever state there is.
func (s *storm) strike(fault string) {
	which, kind := s.random.IntN(1<<20), s.random.IntN(3)
	span := time.Duration(s.random.Int64N(int64(time.Second)))
	switch fault {
	case resetFault:
		s.proxy.reset(which)
	case resetAllFault:
		s.proxy.reset(-1)
	case halfOpenFault:
		s.proxy.halfOpen(which, kind != 0, kind != 1, 3*time.Second)
	case desertFault:
		s.proxy.desert(which, 3*time.Second)
	case latencyFault:
		s.over(span, weather{latency: span / 20, jitter: span / 20})
	case sliceFault:
		s.over(span, weather{slice: 1})
	case bandFault:
		s.over(span, weather{bandwidth: 32<<10 + which})
	case downFault:
		s.proxy.down.Store(true)
		s.proxy.reset(-1)
		time.AfterFunc(span, func() { s.proxy.down.Store(false) })
	case killFault:
		s.replace(func() error { return s.process.kill(span / 2) })
	case restartFault:
		s.replace(s.process.restart)
	}
	s.history.fault(fault, which, kind, span)
}

// over lets a weather prevail for a while.
func (s *storm) over(span time.Duration, w weather) {
	s.proxy.weather.Store(&w)
	time.AfterFunc(span, func() { s.proxy.weather.CompareAndSwap(&w, &weather{}) })
}

// replace replaces the server, after those replacements that are under way.
func (s *storm) replace(how func() error) {
	s.servers.Go(func() {
		if err := how(); err != nil {
			s.history.complain("%v", err)
		}
	})
}
