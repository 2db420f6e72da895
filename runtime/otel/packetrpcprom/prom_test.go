package packetrpcprom_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	packetrpcotel "github.com/packetrpc/packetrpc/runtime/otel"
	"github.com/packetrpc/packetrpc/runtime/otel/packetrpcprom"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func TestMain(m *testing.M) { packetrpctest.Main(m) }

type room struct {
	chatv1packetrpc.UnimplementedChatServiceHandler
}

// Prometheus reads the page of a server that has been called.
func TestPage(t *testing.T) {
	provider, page, err := packetrpcprom.New()
	if err != nil {
		t.Fatal(err)
	}
	meters := packetrpcotel.WithMeterProvider(provider)
	srv := server.New(server.WithInterceptors(packetrpcotel.Interceptor(meters)))
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	if _, err := packetrpcotel.ObserveServer(srv, meters); err != nil {
		t.Fatal(err)
	}
	chat := chatv1packetrpc.NewChatServiceClient(packetrpctest.Dial(t, srv))
	if _, err := chat.Send(t.Context(), &chatv1.SendRequest{}); err == nil {
		t.Fatal("an unimplemented call succeeded")
	}

	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil || answer.Code != http.StatusOK {
		t.Fatalf("the page is answered with %d and does not parse: %v", answer.Code, err)
	}
	var got []string
	for name, family := range families {
		got = append(got, fmt.Sprintf("%s %s", name, strings.ToLower(family.GetType().String())))
	}
	slices.Sort(got)
	want := []string{
		"packetrpc_server_calls_active gauge",
		"packetrpc_server_calls_refused_total counter",
		"packetrpc_server_handshakes_pending gauge",
		"packetrpc_server_handshakes_refused_total counter",
		"packetrpc_server_io_bytes_total counter",
		"packetrpc_server_pushes_dropped_total counter",
		"packetrpc_server_pushes_refused_total counter",
		"packetrpc_server_queues_size_bytes gauge",
		"packetrpc_server_queues_unsent_bytes gauge",
		"packetrpc_server_sessions_active gauge",
		"packetrpc_server_sessions_away gauge",
		"packetrpc_server_sessions_resumed_total counter",
		"packetrpc_server_sessions_slow_total counter",
		"packetrpc_server_sessions_started_total counter",
		"rpc_server_call_duration_seconds histogram",
		"target_info gauge",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	measured := false
	for _, metric := range families["rpc_server_call_duration_seconds"].GetMetric() {
		labels := make(map[string]string)
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		measured = measured || labels["rpc_method"] == "chat.v1.ChatService/Send" &&
			labels["rpc_status_code"] == "unimplemented" && metric.GetHistogram().GetSampleCount() == 1
	}
	if !measured {
		t.Errorf("the page does not show the call: %v", families["rpc_server_call_duration_seconds"])
	}
}
