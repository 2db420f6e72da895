package console

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/packetrpc/packetrpc/runtime/internal/setup"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// changeHeader is what a request must have that changes something. Another site's page
// cannot send it without being allowed to by this one.
const changeHeader = "Packetrpc-Console"

// maxBody is how many bytes a request may have.
const maxBody = 8 << 20

// guard lets requests through that come from where they may, by whom they may.
func (p *pages) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		for _, check := range []func(*http.Request) error{p.checkExposure, p.checkHost, crossOriginCheck(crossOrigin), checkChange} {
			if err := check(r); err != nil {
				refuse(w, err)
				return
			}
		}
		user, err := p.login(r)
		if err != nil {
			if packetrpc.CodeOf(err) == packetrpc.CodeUnauthenticated {
				w.Header().Set("WWW-Authenticate", `Basic realm="packetrpc console", charset="UTF-8"`)
			}
			refuse(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r.WithContext(withUser(r.Context(), user)))
	})
}

// protect tells the browser what the pages need, which is little. Answers are about a
// moment, and may be about people.
func protect(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
}

// checkExposure refuses to be reached from beyond this machine without what keeps
// others out.
func (p *pages) checkExposure(r *http.Request) error {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && setup.Local(local) {
		return nil
	}
	var missing []string
	if r.TLS == nil && !p.console.options.allowPlaintext {
		missing = append(missing, "the connection is not encrypted (http.ListenAndServeTLS changes that, console.AllowPlaintext accepts it)")
	}
	if !p.server.Authenticates() && !p.console.options.allowAnonymous {
		missing = append(missing, "nobody is authenticated (server.WithAuthenticator changes that, console.AllowAnonymous accepts it)")
	}
	if missing == nil {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodeFailedPrecondition,
		"the console is reached from beyond this machine, and %s", strings.Join(missing, ", and "))
}

// checkHost refuses names that are not known to be this machine's: a page of another
// site could have its own name lead here, and would then be of the same origin.
func (p *pages) checkHost(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || p.console.options.hosts[host] {
		return nil
	}
	return packetrpc.Errorf(packetrpc.CodePermissionDenied, "the console is not known by the name %q (console.WithHosts)", host)
}

// crossOriginCheck refuses requests that change something and come from pages of other
// sites, by what browsers say of them.
func crossOriginCheck(protection *http.CrossOriginProtection) func(*http.Request) error {
	return func(r *http.Request) error {
		if err := protection.Check(r); err != nil {
			return packetrpc.NewError(packetrpc.CodePermissionDenied, err)
		}
		return nil
	}
}

// checkChange demands of requests that change something what only the console's own
// pages, and programs, can send.
func checkChange(r *http.Request) error {
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return nil
	case r.Header.Get(changeHeader) == "":
		return packetrpc.Errorf(packetrpc.CodePermissionDenied, "the request has no header %s, whose value may be anything", changeHeader)
	case r.Header.Get("Content-Type") != "application/json":
		return packetrpc.Errorf(packetrpc.CodeInvalidArgument, "the request's Content-Type is not application/json")
	}
	return nil
}

// problem is an error as the pages get it.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	coded := packetrpc.AsError(err)
	if coded.RetryAfter > 0 {
		seconds := (coded.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	respond(w, httpStatus(coded.Code), map[string]problem{"error": {coded.Code.String(), coded.Message}})
}

// httpStatus returns the status that says most nearly what a code does.
func httpStatus(code packetrpc.Code) int {
	switch code {
	case packetrpc.CodeInvalidArgument:
		return http.StatusBadRequest
	case packetrpc.CodeUnauthenticated:
		return http.StatusUnauthorized
	case packetrpc.CodePermissionDenied, packetrpc.CodeFailedPrecondition:
		return http.StatusForbidden
	case packetrpc.CodeNotFound:
		return http.StatusNotFound
	case packetrpc.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case packetrpc.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// respond answers in JSON.
func respond(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // which fails when nobody reads it any more
}
