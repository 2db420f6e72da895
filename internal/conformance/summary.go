package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what a result means.
type Verdict int

// The verdicts.
const (
	// Passed: the command did what the case demands.
	Passed Verdict = iota
	// Failed: it did not.
	Failed
	// Undeclared: the case was not run, as the command does not declare it.
	Undeclared
	// FailedAsKnown: the case is known as failing, and did.
	FailedAsKnown
	// PassedAgainstKnown: it did not, so that the list is out of date.
	PassedAgainstKnown
)

// String returns the verdict in words.
func (v Verdict) String() string {
	return [...]string{"passed", "failed", "undeclared", "failed as known", "passed against known"}[v]
}

// Summary counts results.
type Summary struct {
	// KnownFailing names the cases that are expected to fail.
	KnownFailing []string

	counts [PassedAgainstKnown + 1]int
}

// Add counts a result and tells what it means.
func (s *Summary) Add(result Result) Verdict {
	known := slices.Contains(s.KnownFailing, result.Case.Name)
	verdict := Passed
	switch {
	case result.Undeclared:
		verdict = Undeclared
	case result.Err != nil && known:
		verdict = FailedAsKnown
	case result.Err != nil:
		verdict = Failed
	case known:
		verdict = PassedAgainstKnown
	}
	s.counts[verdict]++
	return verdict
}

// String returns the counts.
func (s *Summary) String() string {
	var parts []string
	for verdict, count := range s.counts {
		if v := Verdict(verdict); count > 0 || v <= Failed {
			parts = append(parts, fmt.Sprintf("%d %v", count, v))
		}
	}
	return strings.Join(parts, ", ")
}

// Err returns an error when a case has failed that was not known to, or the other
// way round, and when none was run.
func (s *Summary) Err() error {
	switch {
	case s.counts[Failed]+s.counts[PassedAgainstKnown] > 0:
		return fmt.Errorf("the command does not conform: %v", s)
	case s.counts[Passed]+s.counts[FailedAsKnown] == 0:
		return fmt.Errorf("no case was run: --run matches none that the command declares")
	}
	return nil
}
