package packetrpcotel

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// Interceptor returns an interceptor, for a server or a client, that makes a span of each
// call that is made and of each call that is handled, and measures it. It belongs first
// in the list, outermost, so that what other interceptors do is part of the span. What
// the meter provider refuses is told to otel.Handle, and not measured.
//
// Calls that are refused before any interceptor runs are not seen: on a connection those
// of unknown actions, without a token or a role, or for want of room; at a client those
// for which there was no connection. [server.Server.Stats] counts some of them. Each
// attempt of a call that a client repeats is a span of its own.
func Interceptor(list ...Option) packetrpc.Interceptor {
	o := newOptions(list)
	i := &instrumentation{
		options: o,
		tracer:  o.tracer(),
		methods: methods{more: o.attributes, known: make(map[methodName]*method)},
	}
	i.makeInstruments(o.meter())
	return packetrpc.Observe(i.begin)
}

// instrumentation is what the calls of an interceptor share.
type instrumentation struct {
	options
	tracer  trace.Tracer
	methods methods

	calls   metric.Float64Histogram // durations of those that this side makes
	handled metric.Float64Histogram // durations of those that it handles
	sizes   metric.Int64Histogram   // of messages; nil unless asked for
}

// makeInstruments makes the instruments; those that cannot be made measure nothing.
func (i *instrumentation) makeInstruments(meter metric.Meter) {
	i.calls = durations(meter, "rpc.client.call.duration", "Measures the duration of an outgoing Remote Procedure Call (RPC).")
	i.handled = durations(meter, "rpc.server.call.duration", "Measures the duration of an incoming Remote Procedure Call (RPC).")
	if i.options.sizes {
		i.sizes = sizes(meter)
	}
}

func durations(meter metric.Meter, name, description string) metric.Float64Histogram {
	made, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		otel.Handle(err)
		return noop.Float64Histogram{}
	}
	return made
}

func sizes(meter metric.Meter) metric.Int64Histogram {
	made, err := meter.Int64Histogram("packetrpc.message.size", metric.WithUnit("By"),
		metric.WithDescription("Measures the size of messages in the binary form."),
		metric.WithExplicitBucketBoundaries(64, 256, 1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20))
	if err != nil {
		otel.Handle(err)
		return noop.Int64Histogram{}
	}
	return made
}

// begin begins to observe a call.
func (i *instrumentation) begin(ctx context.Context, call *packetrpc.Call) (context.Context, packetrpc.Observer) {
	if i.filter != nil && !i.filter(call) {
		return ctx, nil
	}
	o := &observed{instrumentation: i, method: i.methods.of(call.Spec), outgoing: call.Outgoing, began: time.Now()}
	if call.Outgoing {
		o.ctx, o.span = i.tracer.Start(ctx, o.method.name, o.method.calls...)
		ctx = inject(o.ctx, i.propagator)
	} else {
		o.ctx, o.span = i.startHandled(extract(ctx, i.propagator), o.method)
		ctx = o.ctx
	}
	if o.span.IsRecording() {
		o.span.SetAttributes(peerAttributes(call.Peer)...)
	}
	return ctx, o
}

// startHandled starts the span of a call of the other side.
func (i *instrumentation) startHandled(ctx context.Context, m *method) (context.Context, trace.Span) {
	if !i.public {
		return i.tracer.Start(ctx, m.name, m.handles...)
	}
	start := append([]trace.SpanStartOption{trace.WithNewRoot()}, m.handles...)
	if caller := trace.SpanContextFromContext(ctx); caller.IsValid() {
		start = append(start, trace.WithLinks(trace.Link{SpanContext: caller}))
	}
	return i.tracer.Start(ctx, m.name, start...)
}

// observed is a call that is traced and measured.
type observed struct {
	*instrumentation
	ctx      context.Context
	span     trace.Span
	method   *method
	outgoing bool
	began    time.Time

	sentMessages, receivedMessages atomic.Int64
}

// Sent implements [packetrpc.Observer].
func (o *observed) Sent(message proto.Message) {
	if o.sizes != nil || o.events {
		o.message(message, transmit, o.sentMessages.Add(1), o.method.sent)
	}
}

// Received implements [packetrpc.Observer].
func (o *observed) Received(message proto.Message) {
	if o.sizes != nil || o.events {
		o.message(message, receive, o.receivedMessages.Add(1), o.method.received)
	}
}

func (o *observed) message(message proto.Message, direction string, number int64, attributes []metric.RecordOption) {
	size := proto.Size(message)
	if o.sizes != nil {
		o.sizes.Record(o.ctx, int64(size), attributes...)
	}
	if o.events && o.span.IsRecording() {
		o.span.AddEvent("packetrpc.message", trace.WithAttributes(
			keyDirection.String(direction), keyMessageNumber.Int64(number), keyMessageSize.Int(size)))
	}
}

// End implements [packetrpc.Observer].
func (o *observed) End(err error) {
	code := packetrpc.CodeOf(err)
	duration := o.handled
	if o.outgoing {
		duration = o.calls
	}
	if duration.Enabled(o.ctx) {
		duration.Record(o.ctx, time.Since(o.began).Seconds(), o.method.of(outcome{code, o.outgoing})...)
	}
	if o.span.IsRecording() {
		o.span.SetAttributes(keyStatus.String(statusOf(code)))
		if isError(code, o.outgoing) {
			o.span.SetAttributes(keyErrorType.String(code.String()))
			o.span.SetStatus(codes.Error, packetrpc.AsError(err).Message)
		}
	}
	o.span.End()
}
