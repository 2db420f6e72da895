package packetrpctest

import (
	"testing"

	"go.uber.org/goleak"
)

// CheckLeaks makes the test fail when, at its end, a goroutine runs that did not
// run when CheckLeaks was called. It is called first, so that whatever the test
// cleans up is gone by then, and is of no use to parallel tests, which see each
// other's goroutines: there [Main] helps.
func CheckLeaks(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// Main runs the tests of a package and fails when they leave goroutines behind.
// It is all that a TestMain needs to do.
func Main(m *testing.M) { goleak.VerifyTestMain(m) }
