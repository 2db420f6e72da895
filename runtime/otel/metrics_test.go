package packetrpcotel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	packetrpcotel "github.com/packetrpc/packetrpc/runtime/otel"
)

// collect returns a line for each series: what it is called, its unit and kind, its
// attributes, and how much there is of it. Bytes differ with the ids of sessions, so it
// says only whether there are any.
func collect(t *testing.T, reader sdkmetric.Reader) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			add := func(kind string, attributes attribute.Set, value any) {
				lines = append(lines, fmt.Sprintf("%s (%s, %s) {%s} %v", m.Name, kind, m.Unit, attributes.Encoded(attribute.DefaultEncoder()), value))
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					add("histogram", point.Attributes, point.Count)
				}
			case metricdata.Histogram[int64]:
				for _, point := range data.DataPoints {
					add("histogram", point.Attributes, fmt.Sprint(point.Count, " of ", point.Sum))
				}
			case metricdata.Sum[int64]:
				kind := "up and down"
				if data.IsMonotonic {
					kind = "counter"
				}
				for _, point := range data.DataPoints {
					value := fmt.Sprint(point.Value)
					if strings.HasSuffix(m.Name, ".io") && point.Value > 0 {
						value = "some"
					}
					add(kind, point.Attributes, value)
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func TestCallMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	ended := make(spans, 20)
	_, _, chat := connect(t, guest{}, []packetrpcotel.Option{
		packetrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
		packetrpcotel.WithTracerProvider(ended.provider()), // tells when all is measured
		packetrpcotel.WithMessageSizes(),
		packetrpcotel.WithAttributes(attribute.String("region", "north")),
	})
	for _, text := range []string{"hello", "hello", "", "lose"} {
		send(text)(t.Context(), chat)
	}
	chat.Who(t.Context(), &chatv1.WhoRequest{})
	ended.next(t, 12)
	want := []string{
		"packetrpc.message.size (histogram, By) {network.io.direction=receive,region=north,rpc.method=chat.v1.ChatEvents/Status,rpc.system.name=packetrpc} 2 of 0",
		"packetrpc.message.size (histogram, By) {network.io.direction=receive,region=north,rpc.method=chat.v1.ChatService/Send,rpc.system.name=packetrpc} 6 of 24",
		"packetrpc.message.size (histogram, By) {network.io.direction=receive,region=north,rpc.method=chat.v1.ChatService/Who,rpc.system.name=packetrpc} 2 of 0",
		"packetrpc.message.size (histogram, By) {network.io.direction=transmit,region=north,rpc.method=chat.v1.ChatEvents/Status,rpc.system.name=packetrpc} 2 of 0",
		"packetrpc.message.size (histogram, By) {network.io.direction=transmit,region=north,rpc.method=chat.v1.ChatService/Send,rpc.system.name=packetrpc} 6 of 24",
		"packetrpc.message.size (histogram, By) {network.io.direction=transmit,region=north,rpc.method=chat.v1.ChatService/Who,rpc.system.name=packetrpc} 2 of 0",
		"rpc.client.call.duration (histogram, s) {error.type=data_loss,region=north,rpc.method=chat.v1.ChatService/Send,rpc.status_code=data_loss,rpc.system.name=packetrpc} 1",
		"rpc.client.call.duration (histogram, s) {error.type=invalid_argument,region=north,rpc.method=chat.v1.ChatService/Send,rpc.status_code=invalid_argument,rpc.system.name=packetrpc} 1",
		"rpc.client.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatEvents/Status,rpc.status_code=ok,rpc.system.name=packetrpc} 1",
		"rpc.client.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatService/Send,rpc.status_code=ok,rpc.system.name=packetrpc} 2",
		"rpc.client.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatService/Who,rpc.status_code=ok,rpc.system.name=packetrpc} 1",
		"rpc.server.call.duration (histogram, s) {error.type=data_loss,region=north,rpc.method=chat.v1.ChatService/Send,rpc.status_code=data_loss,rpc.system.name=packetrpc} 1",
		"rpc.server.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatEvents/Status,rpc.status_code=ok,rpc.system.name=packetrpc} 1",
		"rpc.server.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatService/Send,rpc.status_code=invalid_argument,rpc.system.name=packetrpc} 1",
		"rpc.server.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatService/Send,rpc.status_code=ok,rpc.system.name=packetrpc} 2",
		"rpc.server.call.duration (histogram, s) {region=north,rpc.method=chat.v1.ChatService/Who,rpc.status_code=ok,rpc.system.name=packetrpc} 1",
	}
	if diff := gocmp.Diff(want, collect(t, reader)); diff != "" {
		t.Error(diff)
	}
}

func TestObserve(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meters := packetrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	srv, conn, _ := connect(t, guest{}, nil)
	ofServer, err := packetrpcotel.ObserveServer(srv, meters)
	if err != nil {
		t.Fatal(err)
	}
	ofClient, err := packetrpcotel.ObserveClient(conn, meters, packetrpcotel.WithAttributes(attribute.String("region", "north")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"packetrpc.client.connections.active (up and down, {connection}) {region=north} 1",
		"packetrpc.client.io (counter, By) {network.io.direction=receive,region=north} some",
		"packetrpc.client.io (counter, By) {network.io.direction=transmit,region=north} some",
		"packetrpc.client.sessions.resumed (counter, {session}) {region=north} 0",
		"packetrpc.client.sessions.started (counter, {session}) {region=north} 1",
		"packetrpc.server.calls.active (up and down, {call}) {} 0",
		"packetrpc.server.calls.refused (counter, {call}) {} 0",
		"packetrpc.server.handshakes.pending (up and down, {handshake}) {} 0",
		"packetrpc.server.handshakes.refused (counter, {handshake}) {} 0",
		"packetrpc.server.io (counter, By) {network.io.direction=receive} some",
		"packetrpc.server.io (counter, By) {network.io.direction=transmit} some",
		"packetrpc.server.pushes.dropped (counter, {push}) {} 0",
		"packetrpc.server.pushes.refused (counter, {push}) {} 0",
		"packetrpc.server.queues.size (up and down, By) {} 0",
		"packetrpc.server.queues.unsent (up and down, By) {} 0",
		"packetrpc.server.sessions.active (up and down, {session}) {} 1",
		"packetrpc.server.sessions.away (up and down, {session}) {} 0",
		"packetrpc.server.sessions.resumed (counter, {session}) {} 0",
		"packetrpc.server.sessions.slow (counter, {session}) {} 0",
		"packetrpc.server.sessions.started (counter, {session}) {} 1",
	}
	for srv.Stats().Calls > 0 { // the ping is answered before it is counted as finished
	}
	if diff := gocmp.Diff(want, collect(t, reader)); diff != "" {
		t.Error(diff)
	}
	conn.Close()
	if line := collect(t, reader)[0]; !strings.HasSuffix(line, " 0") {
		t.Errorf("a client that is closed shows %s", line)
	}
	if err := ofServer.Unregister(); err != nil {
		t.Error(err)
	}
	if err := ofClient.Unregister(); err != nil {
		t.Error(err)
	}
	if got := collect(t, reader); len(got) > 0 {
		t.Errorf("what is not registered any more shows %q", got)
	}
}
