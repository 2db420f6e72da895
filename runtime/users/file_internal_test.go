package users

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/packetrpc/packetrpc/runtime/session"
)

func TestPasswordsAreHashedInTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.txt")
	text := "ada:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		file, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for range cap(file.slots) {
			file.slots <- struct{}{}
		}
		answers := make(chan error, 2)
		authenticate := func(ctx context.Context) {
			_, err := file.Authenticate(ctx, session.Credentials{Username: "ada", Password: "password"})
			answers <- err
		}
		hasty, cancel := context.WithCancel(t.Context())
		go authenticate(hasty)
		go authenticate(t.Context())
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatalf("got the answer %v while as many passwords as may be are hashed", <-answers)
		}
		cancel()
		if err := <-answers; err != context.Canceled {
			t.Errorf("got %v, want context.Canceled", err)
		}
		file.leave()
		if err := <-answers; err != nil {
			t.Errorf("got %v for the one who waited", err)
		}
	})
}
