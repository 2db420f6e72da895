package conformance_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

func buildPeer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("go", "build", "-o", path, "./peer").CombinedOutput(); err != nil {
		t.Fatalf("building the peer: %v\n%s", err, out)
	}
	return path
}

func TestPeer(t *testing.T) {
	peer := buildPeer(t)
	for _, role := range []string{conformance.RoleClient, conformance.RoleServer} {
		t.Run(role, func(t *testing.T) {
			r := &conformance.Runner{Command: []string{peer}, Role: role, Patience: 10 * time.Second, Parallel: 4}
			ran := 0
			err := r.Run(context.Background(), func(result conformance.Result) {
				ran++
				if result.Undeclared || result.Err != nil {
					t.Errorf("%s: %v", result.Case.Name, result.Err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d cases", ran)
		})
	}
}
