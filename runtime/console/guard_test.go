package console_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/console"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/session"
)

const ping = `{"action":"CorePing","messages":[{"text":"x"}]}`

func TestGuard(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		name   string
		method string
		path   string
		change func(*http.Request)
		status int
		text   string
	}{
		{"page", "GET", "/", func(*http.Request) {}, 200, "<!doctype html>"},
		{"script", "GET", "/js/main.js", func(*http.Request) {}, 200, "import"},
		{"unknown page", "GET", "/nothing", func(*http.Request) {}, 404, ""},
		{"state", "GET", "/api/state", func(*http.Request) {}, 200, `"root"`},
		{"call", "POST", "/api/calls", func(*http.Request) {}, 200, `"end"`},
		{"other method", "PUT", "/api/calls", func(r *http.Request) {
			r.Header.Set("Packetrpc-Console", "x")
			r.Header.Set("Content-Type", "application/json")
		}, 405, ""},

		{"no password", "GET", "/", func(r *http.Request) { r.Header.Del("Authorization") }, 401, "needs a name and a password"},
		{"wrong password", "GET", "/api/state", func(r *http.Request) { r.SetBasicAuth("root", "x") }, 401, "the name or the password is wrong"},
		{"no role", "GET", "/js/main.js", func(r *http.Request) { r.SetBasicAuth("ada", "of ada") }, 401, "console.WithRole"},
		{"no role to call", "POST", "/api/calls", func(r *http.Request) { r.SetBasicAuth("ada", "of ada") }, 401, "console.WithRole"},

		{"name", "GET", "/", func(r *http.Request) { r.Host = "evil.example:80" }, 403, "console.WithHosts"},
		{"name without port", "GET", "/", func(r *http.Request) { r.Host = "localhost.evil.example" }, 403, "console.WithHosts"},
		{"localhost", "GET", "/", func(r *http.Request) { r.Host = "localhost:8080" }, 200, ""},
		{"IPv6", "GET", "/", func(r *http.Request) { r.Host = "[::1]:8080" }, 200, ""},
		{"IPv6 without port", "GET", "/", func(r *http.Request) { r.Host = "[::1]" }, 200, ""},

		{"no header", "POST", "/api/calls", func(r *http.Request) { r.Header.Del("Packetrpc-Console") }, 403, "Packetrpc-Console"},
		{"form", "POST", "/api/calls", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 400, "application/json"},
		{"other site", "POST", "/api/calls", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "cross-origin"},
		{"other origin", "POST", "/api/calls", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403, "cross-origin"},
		{"other port", "POST", "/api/calls", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }, 403, "cross-origin"},
		{"own origin", "POST", "/api/calls", func(r *http.Request) { r.Header.Set("Origin", "http://"+r.Host) }, 200, `"end"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.request(test.method, test.path, ping)
			r.Host = s.console.Listener.Addr().String()
			test.change(r)
			response, body := s.do(r)
			if response.StatusCode != test.status || !strings.Contains(body, test.text) {
				t.Errorf("got %d %s, want %d and %q", response.StatusCode, body, test.status, test.text)
			}
			if asks := response.Header.Get("WWW-Authenticate") != ""; asks != (test.status == 401) {
				t.Errorf("a password is asked for: %t", asks)
			}
			for header, part := range map[string]string{
				"Content-Security-Policy":      "default-src 'self'",
				"Cross-Origin-Resource-Policy": "same-origin",
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "no-referrer",
			} {
				if !strings.Contains(response.Header.Get(header), part) {
					t.Errorf("the header %s is %q", header, response.Header.Get(header))
				}
			}
			if got := response.Header.Get("Cache-Control"); response.StatusCode == 200 && got != "no-store" {
				t.Errorf("the answer may be kept: %q", got)
			}
			if len(response.Cookies()) > 0 || response.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("the headers are %v", response.Header)
			}
		})
	}
}

// reach asks for the state as if the request came to an address, encrypted or not.
func reach(h http.Handler, local net.Addr, encrypted bool) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://192.0.2.1/api/state", nil)
	r.SetBasicAuth("root", "of root")
	if local != nil {
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
	}
	if encrypted {
		r.TLS = new(tls.ConnectionState)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestExposure(t *testing.T) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	authenticated := server.WithAuthenticator(passwords)
	anonymous := server.WithRoles("root", "admin")
	for _, test := range []struct {
		name      string
		server    server.Option
		console   []console.Option
		addr      net.Addr
		encrypted bool
		missing   []string // what the answer names; nil is that it is served
	}{
		{"loopback", authenticated, nil, local, false, nil},
		{"loopback, anonymous", anonymous, nil, local, false, nil},
		{"socket", anonymous, nil, &net.UnixAddr{Name: "/run/console", Net: "unix"}, false, nil},
		{"remote", authenticated, nil, remote, true, nil},
		{"remote, plaintext", authenticated, nil, remote, false, []string{"console.AllowPlaintext"}},
		{"remote, plaintext allowed", authenticated, []console.Option{console.AllowPlaintext()}, remote, false, nil},
		{"remote, anonymous", anonymous, nil, remote, true, []string{"console.AllowAnonymous"}},
		{"remote, anonymous allowed", anonymous, []console.Option{console.AllowAnonymous()}, remote, true, nil},
		{"remote, neither", anonymous, nil, remote, false, []string{"console.AllowPlaintext", "console.AllowAnonymous"}},
		{"unknown", authenticated, nil, nil, false, []string{"console.AllowPlaintext"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := console.New(test.console...)
			got := reach(c.Handler(server.New(test.server)), test.addr, test.encrypted)
			if want := map[bool]int{true: 200, false: 403}[test.missing == nil]; got.Code != want {
				t.Errorf("got %d %s, want %d", got.Code, got.Body, want)
			}
			for _, option := range test.missing {
				if !strings.Contains(got.Body.String(), option) {
					t.Errorf("%s does not name %s", got.Body, option)
				}
			}
		})
	}
}

func TestRoleAndHosts(t *testing.T) {
	s := newSiteWith(t, []console.Option{console.WithRole("auditor"), console.WithHosts("console.example.com")}, server.WithAuthenticator(passwords))
	r := s.request("GET", "/api/state", "")
	r.Host = "console.example.com:443"
	if response, body := s.do(r); response.StatusCode != 200 {
		t.Errorf("by name: %d %s", response.StatusCode, body)
	}
	r = s.request("GET", "/api/state", "")
	r.SetBasicAuth("ada", "of ada")
	if response, body := s.do(r); response.StatusCode != 401 || !strings.Contains(body, "auditor") {
		t.Errorf("without the role: %d %s", response.StatusCode, body)
	}
}

// Without an authenticator and a role nobody is asked for a name, and calls are made by
// nobody. What an action requires is still required.
func TestOpenConsole(t *testing.T) {
	s := newSiteWith(t, []console.Option{console.WithRole("")})
	call := func(body string) string {
		r := s.request("POST", "/api/calls", body)
		r.Header.Del("Authorization")
		response, answer := s.do(r)
		if response.StatusCode != 200 {
			t.Errorf("%s: %d %s", body, response.StatusCode, answer)
		}
		return answer
	}
	if answer := call(ping); !strings.Contains(answer, `"code":""`) {
		t.Errorf("a ping: %s", answer)
	}
	if answer := call(`{"action":"CoreDisconnect","messages":[{"id":"x"}]}`); !strings.Contains(answer, "permission_denied") {
		t.Errorf("what needs a role: %s", answer)
	}
}

// A password that was right is not checked again for each request, and one that is wrong
// holds back whoever guesses.
func TestLogins(t *testing.T) {
	var asked atomic.Int32
	counted := session.AuthenticatorFunc(func(ctx context.Context, c session.Credentials) (packetrpc.Identity, error) {
		asked.Add(1)
		return passwords.Authenticate(ctx, c)
	})
	s := newSite(t, server.WithAuthenticator(counted), server.WithFailureDelay(2, time.Hour, time.Hour))
	for range 5 {
		if response, body := s.do(s.request("GET", "/api/state", "")); response.StatusCode != 200 {
			t.Fatalf("got %d %s", response.StatusCode, body)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the password was checked %d times", asked.Load())
	}
	guess := func(name, password string) int {
		r := s.request("GET", "/api/state", "")
		r.SetBasicAuth(name, password)
		response, _ := s.do(r)
		if held := response.Header.Get("Retry-After") != ""; held != (response.StatusCode == 429) {
			t.Errorf("with %d, when to come again is told: %t", response.StatusCode, held)
		}
		return response.StatusCode
	}
	for i, want := range []int{401, 401, 429} {
		if got := guess("root", "a guess"); got != want {
			t.Errorf("guess %d is answered by %d, want %d", i, got, want)
		}
	}
	if got := guess("roo", "tof root"); got == 200 {
		t.Error("the name and the password can be divided elsewhere")
	}
	if got := guess("root", "of root"); got != 200 {
		t.Errorf("who has logged in is kept out by the guesses of others: %d", got)
	}
}
