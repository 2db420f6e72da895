package console

import (
	"fmt"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestLoginsAreBoundedAndForgotten(t *testing.T) {
	l := newLogins(server.New())
	last := new(user)
	for i := range 3 * maxLogins {
		last = &user{name: fmt.Sprint("user", i)}
		if _, err := l.identity(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.known) > maxLogins {
		t.Errorf("%d logins are remembered, want at most %d", len(l.known), maxLogins)
	}
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {loginLasts - time.Second, true}, {loginLasts + time.Second, false}} {
		if _, known := l.lookUp(l.key(last), time.Now().Add(test.after)); known != test.want {
			t.Errorf("after %v the last login is known: %t, want %t", test.after, known, test.want)
		}
	}
	if _, known := l.lookUp(l.key(&user{name: last.name, password: "x"}), time.Now()); known {
		t.Error("a login is known by another password")
	}
}
