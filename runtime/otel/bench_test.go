//go:build unix

package packetrpcotel_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	chatv1 "github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1"
	"github.com/packetrpc/packetrpc/examples/chat/gen/chat/v1/chatv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/client"
	packetrpcotel "github.com/packetrpc/packetrpc/runtime/otel"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// BenchmarkUnary is whole calls by many callers over one connection, both ends in this
// process and both observed, so that each call has two spans and two measurements. The
// processor's time for each call, cpu-ns/op, depends least on what else the machine does.
// docs/observability.md shows the figures.
func BenchmarkUnary(b *testing.B) {
	noTraces := packetrpcotel.WithTracerProvider(tracenoop.NewTracerProvider())
	noMetrics := packetrpcotel.WithMeterProvider(metricnoop.NewMeterProvider())
	traces := func(b *testing.B, sampler sdktrace.Sampler) packetrpcotel.Option {
		provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(tracetest.NewNoopExporter()))
		b.Cleanup(func() { provider.Shutdown(context.Background()) })
		return packetrpcotel.WithTracerProvider(provider)
	}
	metrics := func() packetrpcotel.Option {
		return packetrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	}
	b.Run("off", func(b *testing.B) { callMuch(b, nil) })
	b.Run("traces", func(b *testing.B) { callMuch(b, observing(traces(b, sdktrace.AlwaysSample()), noMetrics)) })
	b.Run("metrics", func(b *testing.B) { callMuch(b, observing(noTraces, metrics())) })
	b.Run("both", func(b *testing.B) { callMuch(b, observing(traces(b, sdktrace.AlwaysSample()), metrics())) })
	b.Run("sampled-out", func(b *testing.B) { callMuch(b, observing(traces(b, sdktrace.NeverSample()), noMetrics)) })
}

func observing(options ...packetrpcotel.Option) []packetrpc.Interceptor {
	options = append(options, packetrpcotel.WithPropagator(propagator()))
	return []packetrpc.Interceptor{packetrpcotel.Interceptor(options...)}
}

// callMuch makes b.N calls through the interceptors, 64 at a time for two processors.
func callMuch(b *testing.B, interceptors []packetrpc.Interceptor) {
	srv := server.New(server.WithInterceptors(interceptors...))
	chatv1packetrpc.RegisterChatServiceHandler(srv, room{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	conn, err := client.Dial(ctx, listener.Addr().String(), client.WithInterceptors(interceptors...))
	if err != nil {
		b.Fatal(err)
	}
	chat := chatv1packetrpc.NewChatServiceClient(conn)
	b.SetParallelism(32)
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			if _, err := chat.Send(ctx, &chatv1.SendRequest{Text: "sixteen bytes..."}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	conn.Close()
	stop()
	if err := <-served; err != nil {
		b.Error(err)
	}
}

// cpuTime returns how long this process has computed.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
