package server

import (
	"net/netip"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

func TestFailures(t *testing.T) {
	f := &failures{free: 3, first: 500 * time.Millisecond, longest: time.Minute}
	here, there := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	now := time.Now()
	attempt := func(origin netip.Prefix, want time.Duration, code packetrpc.Code) {
		t.Helper()
		wait, err := f.admit(origin, now)
		if wait != want || packetrpc.CodeOf(err) != code {
			t.Fatalf("waits %v, %v; want %v, %v", wait, err, want, code)
		}
	}
	for range 2 {
		attempt(here, 0, 0)
		f.note(here, now)
	}
	attempt(here, 0, 0)
	f.note(here, now) // the third
	attempt(here, 500*time.Millisecond, 0)
	attempt(here, time.Second, 0) // at the same time: in turn
	attempt(there, 0, 0)
	attempt(netip.Prefix{}, 0, 0)

	now = now.Add(10 * time.Second)
	attempt(here, 0, 0)
	f.note(here, now)
	attempt(here, time.Second, 0)
	for range 3 {
		now = now.Add(time.Minute)
		f.note(here, now)
	}
	attempt(here, 0, packetrpc.CodeResourceExhausted)
	if _, err := f.admit(here, now); packetrpc.AsError(err).RetryAfter != 8*time.Second {
		t.Errorf("told to come back in %v", packetrpc.AsError(err).RetryAfter)
	}
	for range 100 {
		f.note(here, now)
	}
	if got := f.byOrigin[here].turn.Sub(now); got != time.Minute {
		t.Errorf("the longest wait is %v", got)
	}
	now = now.Add(failuresForgotten + 1)
	attempt(here, 0, 0)

	f.longest = 0
	f.note(there, now)
	attempt(there, 0, 0)
}

func TestFailuresAreBounded(t *testing.T) {
	f := &failures{free: 1, first: time.Second, longest: time.Minute}
	now := time.Now()
	note := func(i int) {
		ip := netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		f.note(netip.PrefixFrom(ip, 32), now)
	}
	for i := range maxOrigins + 10 {
		note(i)
	}
	if len(f.byOrigin) != maxOrigins {
		t.Errorf("%d addresses are remembered", len(f.byOrigin))
	}
	now = now.Add(failuresForgotten + 1)
	note(-1)
	if len(f.byOrigin) != 1 {
		t.Errorf("%d addresses are remembered although their records are clean", len(f.byOrigin))
	}
}
