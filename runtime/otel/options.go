package packetrpcotel

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// scope is the name that traces and metrics bear of where they come from.
const scope = "github.com/packetrpc/packetrpc/runtime/otel"

// schemaURL names the version of the semantic conventions.
const schemaURL = "https://opentelemetry.io/schemas/1.45.0"

// Option changes what the functions of this package make.
type Option func(*options)

// options is what the options have set.
type options struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	attributes []attribute.KeyValue
	filter     func(*packetrpc.Call) bool
	public     bool
	events     bool
	sizes      bool
}

func newOptions(list []Option) options {
	o := options{
		tracers:    otel.GetTracerProvider(),
		meters:     otel.GetMeterProvider(),
		propagator: otel.GetTextMapPropagator(),
	}
	for _, option := range list {
		option(&o)
	}
	return o
}

func (o *options) tracer() trace.Tracer {
	return o.tracers.Tracer(scope, trace.WithSchemaURL(schemaURL))
}

func (o *options) meter() metric.Meter {
	return o.meters.Meter(scope, metric.WithSchemaURL(schemaURL))
}

// WithTracerProvider sets where spans go. The default is otel.GetTracerProvider(). That
// of the package trace/noop makes none.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(o *options) { o.tracers = provider }
}

// WithMeterProvider sets where metrics go. The default is otel.GetMeterProvider(). That
// of the package metric/noop makes none.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(o *options) { o.meters = provider }
}

// WithPropagator sets how the context of a trace, and baggage, travel in metadata. The
// default is otel.GetTextMapPropagator().
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return func(o *options) { o.propagator = propagator }
}

// WithAttributes adds attributes to all spans and metrics, such as server.address, which
// only the program knows the name of. It may be given several times. The default is
// none.
func WithAttributes(attributes ...attribute.KeyValue) Option {
	return func(o *options) { o.attributes = append(o.attributes, attributes...) }
}

// WithFilter sets which calls are traced and measured: those for which keep returns true.
// It is called for each call, concurrently, before the call is made or handled. The
// default is all calls, those of Core actions included.
func WithFilter(keep func(call *packetrpc.Call) bool) Option {
	return func(o *options) { o.filter = keep }
}

// WithPublicEndpoint begins a new trace for each call that is handled, with a link to the
// caller's. It is for servers whose clients belong to others, who could otherwise decide
// what is sampled. By default the trace of the caller goes on.
func WithPublicEndpoint() Option {
	return func(o *options) { o.public = true }
}

// WithMessageEvents adds an event for each message to the spans. A span has room for 128
// events unless the SDK is told otherwise. The default is none.
func WithMessageEvents() Option {
	return func(o *options) { o.events = true }
}

// WithMessageSizes measures each message that is sent or received, in the binary form and
// before it is sealed: packetrpc.message.size. The default is not to, as that takes about
// as long as measuring a call.
func WithMessageSizes() Option {
	return func(o *options) { o.sizes = true }
}
