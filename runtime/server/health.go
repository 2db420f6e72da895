package server

import (
	"context"
	"sync"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// health knows which services are not ready.
type health struct {
	mu       sync.Mutex
	problems map[string]error // by full name; "" is the server as a whole
}

// SetHealth tells that a service is not ready to be called, and why, or with nil that it
// is again, which it is from the start. The service is named in full, as in
// "chat.v1.ChatService"; "" is the server as a whole. Calls are handled all the same:
// whoever asks by CoreHealth or [Server.Health] decides what to make of it.
func (s *Server) SetHealth(service string, problem error) {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if problem == nil {
		delete(s.health.problems, service)
		return
	}
	if s.health.problems == nil {
		s.health.problems = make(map[string]error)
	}
	s.health.problems[service] = problem
}

// Health returns nil if a service is ready to be called, or with "" if all services are.
// Otherwise the error says why not and has the code unavailable, or not_found for a
// service that is not handled here. A server that shuts down is not ready.
func (s *Server) Health(service string) error {
	found := service == ""
	for _, name := range s.Services() {
		if service != "" && name != service {
			continue
		}
		found = true
		if err := s.problem(name); err != nil {
			return err
		}
	}
	if !found {
		return packetrpc.Errorf(packetrpc.CodeNotFound, "service %q is not handled here", service)
	}
	return s.problem("")
}

// problem returns what is wrong with one service, or with the server as a whole.
func (s *Server) problem(service string) error {
	if s.life.Err() != nil {
		return errShuttingDown
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	for _, name := range []string{service, ""} {
		if err := s.health.problems[name]; err != nil {
			return packetrpc.Errorf(packetrpc.CodeUnavailable, "%w", err)
		}
	}
	return nil
}

// Health is run on the goroutine that reads the connection and never waits.
func (c *core) Health(_ context.Context, request *packetrpcv1.HealthRequest) (*packetrpcv1.HealthResponse, error) {
	wanted := request.GetService()
	response := &packetrpcv1.HealthResponse{Ready: true}
	for _, name := range c.server.Services() {
		if wanted != "" && name != wanted {
			continue
		}
		one := &packetrpcv1.ServiceHealth{Service: name, Ready: true}
		if err := c.server.problem(name); err != nil {
			one.Ready, one.Reason = false, packetrpc.AsError(err).Message
			response.Ready = false
		}
		response.Services = append(response.Services, one)
	}
	if len(response.Services) == 0 {
		return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "service %q is not handled here", wanted)
	}
	return response, nil
}
