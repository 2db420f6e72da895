// Package status tells by HTTP whether a server lives and is ready, to load balancers,
// to Kubernetes and to people with curl. It belongs on an address of its own, which
// those reach and others do not.
package status

import (
	"encoding/json"
	"net/http"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// Report is the body of what [Handler] answers.
type Report struct {
	// Ready: what was asked for can be called.
	Ready bool `json:"ready"`
	// Reason is why not; "" when it is ready.
	Reason string `json:"reason,omitempty"`
	// Services is each service that was asked about.
	Services []Service `json:"services,omitempty"`
}

// Service is a service in a [Report].
type Service struct {
	// Service is the full name, as in "chat.v1.ChatService".
	Service string `json:"service"`
	// Ready: the service can be called.
	Ready bool `json:"ready"`
	// Reason is why not; "" when it is ready.
	Reason string `json:"reason,omitempty"`
}

// Handler returns a handler of three paths, each of which answers with a [Report] as
// JSON.
//
//   - /healthz and /readyz answer 200 when all services of the server are ready, or the
//     one that ?service= names in full, and 503 when not: as [server.Server.SetHealth] has
//     said, and when the server shuts down. A service that is not handled makes for 404.
//   - /livez answers 200 as long as the process can answer at all: a server that is not
//     ready, or finishes its last calls, is not to be killed.
//
// Nobody is asked who they are.
func Handler(srv *server.Server) http.Handler {
	mux := http.NewServeMux()
	ready := func(w http.ResponseWriter, r *http.Request) {
		code, report := readiness(srv, r.URL.Query().Get("service"))
		write(w, code, report)
	}
	mux.HandleFunc("GET /healthz", ready)
	mux.HandleFunc("GET /readyz", ready)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, Report{Ready: true})
	})
	return mux
}

// readiness reports on a service, or with "" on all of them.
func readiness(srv *server.Server, service string) (int, Report) {
	services := []string{service}
	if service == "" {
		services = srv.Services()
	}
	code := http.StatusOK
	report := Report{Ready: true}
	for _, name := range services {
		one := Service{Service: name, Ready: true}
		if err := srv.Health(name); err != nil {
			one.Ready, one.Reason = false, packetrpc.AsError(err).Message
			report.Ready, report.Reason = false, one.Reason
			code = statusOf(err)
		}
		report.Services = append(report.Services, one)
	}
	return code, report
}

func statusOf(err error) int {
	if packetrpc.CodeOf(err) == packetrpc.CodeNotFound {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

func write(w http.ResponseWriter, code int, report Report) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(report)
}
