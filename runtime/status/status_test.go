package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
	"github.com/packetrpc/packetrpc/runtime/status"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

const (
	chat = chatv1packetrpc.ChatServiceName
	core = packetrpcv1packetrpc.CoreServiceName
)

// newServer returns a server that handles the chat's service and no call of it.
func newServer() *server.Server {
	srv := server.New()
	chatv1packetrpc.RegisterChatServiceHandler(srv, chatv1packetrpc.UnimplementedChatServiceHandler{})
	return srv
}

// ask asks the handler, and checks what all answers have in common.
func ask(t *testing.T, handler http.Handler, method, path string) (int, status.Report) {
	t.Helper()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
	var report status.Report
	if err := json.Unmarshal(answer.Body.Bytes(), &report); err != nil {
		t.Fatalf("the body %q is no report: %v", answer.Body, err)
	}
	for header, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := answer.Header().Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	return answer.Code, report
}

func TestHandler(t *testing.T) {
	const reason = "the database is away"
	good := func(names ...string) status.Report {
		report := status.Report{Ready: true}
		for _, name := range names {
			report.Services = append(report.Services, status.Service{Service: name, Ready: true})
		}
		return report
	}
	bad := func(reason string, services ...status.Service) status.Report {
		return status.Report{Reason: reason, Services: services}
	}
	for _, test := range []struct {
		name    string
		problem string // the service that has one; "none" is no service
		path    string
		code    int
		want    status.Report
	}{
		{"all are ready", "none", "/healthz", 200, good(chat, core)},
		{"one is", "none", "/healthz?service=" + chat, 200, good(chat)},
		{"ready to be called", "none", "/readyz", 200, good(chat, core)},
		{"live", "none", "/livez", 200, good()},
		{"one is not", chat, "/healthz", 503, bad(reason, status.Service{Service: chat, Reason: reason}, status.Service{Service: core, Ready: true})},
		{"this one is not", chat, "/readyz?service=" + chat, 503, bad(reason, status.Service{Service: chat, Reason: reason})},
		{"another one is not", chat, "/readyz?service=" + core, 200, good(core)},
		{"live and not ready", "", "/livez", 200, good()},
		{"the server is not", "", "/readyz?service=" + core, 503, bad(reason, status.Service{Service: core, Reason: reason})},
		{"unknown", "none", "/healthz?service=other.v1.Other", 404,
			bad(`service "other.v1.Other" is not handled here`, status.Service{Service: "other.v1.Other", Reason: `service "other.v1.Other" is not handled here`})},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer()
			if test.problem != "none" {
				srv.SetHealth(test.problem, errors.New(reason))
			}
			code, got := ask(t, status.Handler(srv), http.MethodGet, test.path)
			if diff := cmp.Diff(test.want, got); diff != "" || code != test.code {
				t.Errorf("answered %d, want %d\n%s", code, test.code, diff)
			}
		})
	}
}

// What asks has nothing to say.
func TestHandlerOnlyTells(t *testing.T) {
	answer := httptest.NewRecorder()
	status.Handler(newServer()).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/healthz", nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST is answered with %d", answer.Code)
	}
}

// A server that shuts down is not ready, and lives until its last call has finished.
func TestHandlerWhileShuttingDown(t *testing.T) {
	srv := server.New()
	entered, leave := make(chan struct{}), make(chan struct{})
	chatv1packetrpc.RegisterChatServiceHandler(srv, slow{entered: entered, leave: leave})
	conn := packetrpctest.Dial(t, srv)
	called := make(chan error, 1)
	go func() {
		_, err := chatv1packetrpc.NewChatServiceClient(conn).Send(t.Context(), &chatv1.SendRequest{Text: "hello"})
		called <- err
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	for srv.Health("") == nil { // until the shutdown has begun
		select {
		case err := <-down:
			t.Fatal("the shutdown did not wait for the call:", err)
		default:
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503} {
		if code, report := ask(t, status.Handler(srv), http.MethodGet, path); code != want {
			t.Errorf("%s is answered with %d, want %d: %+v", path, code, want, report)
		}
	}
	close(leave)
	if err := <-called; err != nil {
		t.Error("the last call:", err)
	}
	if err := <-down; err != nil {
		t.Error("shutting down:", err)
	}
}

// slow handles a call that does not return before it may.
type slow struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
	entered, leave chan struct{}
}

func (s slow) Send(ctx context.Context, _ *chatv1.SendRequest) (*chatv1.SendResponse, error) {
	close(s.entered)
	select {
	case <-s.leave:
		return &chatv1.SendResponse{}, nil
	case <-ctx.Done():
		return nil, packetrpc.AsError(ctx.Err())
	}
}
