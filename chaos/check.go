package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// ledger is what the server processes have recorded.
type ledger struct {
	effects map[uint64]int
	lingers map[uint64]int // how often they have begun
	// Pushes that were refused, or may have been: "session n", and for broadcasts
	// "kind epoch n".
	refused map[string]bool
}

func readLedger(name string) (*ledger, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l := &ledger{effects: make(map[uint64]int), lingers: make(map[uint64]int), refused: make(map[string]bool)}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "effect", "linger":
			var id uint64
			if _, err := fmt.Sscan(rest, &id); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", name, lines.Text(), err)
			}
			if kind == "effect" {
				l.effects[id]++
			} else {
				l.lingers[id]++
			}
		case "refused":
			words := strings.Fields(rest)
			l.refused[words[0]+" "+words[1]] = true
		case "missed":
			l.refused[rest] = true
		}
	}
	return l, nil
}

// checkEffects holds what the callers know against what has happened.
func (h *history) checkEffects(l *ledger) {
	for id, v := range h.effects {
		n := l.effects[id]
		switch {
		case n > 1, v == ok && n != 1 && !oneWay(id), v == notSent && n != 0:
			h.complain("call %d has ended %v and had %d effects", id, v, n)
		}
	}
	for id := range l.effects {
		if _, known := h.effects[id]; !known {
			h.complain("nobody has made call %d, which had an effect", id)
		}
	}
}

// noteBit is set in the ids of one-way calls, which end well when they are queued.
const noteBit = 1 << 39

func oneWay(id uint64) bool { return id&noteBit != 0 }

// checkPushes holds a user's pushes against the promises: those to a session arrive in
// order, once each, and none is missing that was neither refused nor reported as lost.
func (u *user) checkPushes(l *ledger) {
	sessions, direct := make(map[string]bool), int64(0)
	session, missing := "", 0
	series := map[string]*series{"group": {kind: "group"}, "all": {kind: "all"}}
	for _, p := range u.pushes {
		if p.kind != "direct" {
			missing += series[p.kind].add(u, l, p)
			continue
		}
		switch {
		case p.what == "hello" && sessions[p.session], p.what == "hello" && p.n != 0:
			u.history.complain("user %d: the hello of session %s has come twice", u.index, p.session)
		case p.what == "hello":
			session, direct = p.session, 0
			sessions[session] = true
		case p.session != session:
			// The session before, whose server drains.
			continue
		case p.n <= direct:
			u.history.complain("user %d: push %d of session %s has come after push %d", u.index, p.n, session, direct)
		default:
			for n := direct + 1; n < p.n; n++ {
				if !l.refused[fmt.Sprint(session, " ", n)] {
					u.history.note("missing", u.index, "direct", session, n)
					missing++
				}
			}
			direct = p.n
		}
		for kind, due := range map[string]int64{"group": p.group, "all": p.all} {
			missing += series[kind].mark(u, l, p, due)
		}
	}
	if missing > int(u.gapped) {
		u.history.complain("user %d has missed %d pushes, and %d were reported as lost", u.index, missing, u.gapped)
	}
	if extra := len(sessions) - 1 - u.told; extra > 0 {
		u.history.complain("user %d was not told of %d new sessions", u.index, extra)
	}
}

// series is the broadcasts of a kind from one server process to one user.
type series struct {
	kind  string
	epoch int
	last  int64 // what has come last
	due   int64 // the first one that the session must get; 0 is not known
}

// add notes a broadcast, and returns how many are missing before it.
func (s *series) add(u *user, l *ledger, p push) (missing int) {
	if p.epoch < s.epoch {
		return 0 // the session before, whose server drains
	}
	if p.epoch > s.epoch {
		s.epoch, s.last, s.due = p.epoch, 0, 0
	}
	if p.n <= s.last {
		u.history.complain("user %d: broadcast %d to %s has come after %d", u.index, p.n, s.kind, s.last)
		return 0
	}
	missing = s.gap(u, l, p.n)
	s.last = p.n
	return missing
}

// mark takes note of what joined and bye tell.
func (s *series) mark(u *user, l *ledger, p push, told int64) (missing int) {
	switch {
	case p.epoch < s.epoch:
	case p.what == "hello":
		if p.epoch > s.epoch {
			s.epoch, s.last = p.epoch, 0
		}
		s.due = 0
	case p.what == "joined":
		s.due = told
	case p.what == "bye":
		missing = s.gap(u, l, told+1)
	}
	return missing
}

// gap returns how many of those due are missing before a broadcast.
func (s *series) gap(u *user, l *ledger, n int64) (missing int) {
	if s.due == 0 {
		return 0
	}
	for lost := max(s.last+1, s.due); lost < n; lost++ {
		if !l.refused[fmt.Sprint(s.kind, " ", s.epoch, " ", lost)] {
			u.history.note("missing", u.index, s.kind, s.epoch, lost)
			missing++
		}
	}
	return missing
}
