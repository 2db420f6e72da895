package packetrpcotel

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// received is metadata that a propagator reads from.
type received struct{ packetrpc.Metadata }

var _ propagation.TextMapCarrier = received{}

// Get returns the last value: a handler that passes on the metadata which it has
// received puts an older trace before the one that it makes its own calls in.
func (r received) Get(key string) string {
	values := r.Values(key)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func (r received) Keys() []string {
	var keys []string
	for key := range r.All() {
		keys = append(keys, key)
	}
	return keys
}

func (received) Set(string, string) {} // nobody writes to what has been received

// sent is keys and values that a propagator writes.
type sent struct{ keysAndValues []string }

var _ propagation.TextMapCarrier = (*sent)(nil)

// Set leaves out keys that metadata cannot have: some propagators make them of what
// users put into their baggage.
func (s *sent) Set(key, value string) {
	if packetrpc.ValidMetadataKey(strings.ToLower(key)) {
		s.keysAndValues = append(s.keysAndValues, key, value)
	}
}

func (*sent) Get(string) string { return "" }

func (*sent) Keys() []string { return nil }

// inject returns a context whose calls carry the trace that ctx is in.
func inject(ctx context.Context, propagator propagation.TextMapPropagator) context.Context {
	var carrier sent
	propagator.Inject(ctx, &carrier)
	if len(carrier.keysAndValues) == 0 {
		return ctx
	}
	return packetrpc.WithMetadata(ctx, carrier.keysAndValues...)
}

// extract returns a context that is in the trace of the call that ctx belongs to.
func extract(ctx context.Context, propagator propagation.TextMapPropagator) context.Context {
	return propagator.Extract(ctx, received{packetrpc.MetadataFrom(ctx)})
}
