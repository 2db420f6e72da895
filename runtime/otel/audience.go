package packetrpcotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The keys of a broadcast's attributes.
const (
	keyQueued  = attribute.Key("packetrpc.broadcast.queued")
	keyRefused = attribute.Key("packetrpc.broadcast.refused")
)

// Audience returns an audience of the same clients whose broadcasts are spans, of the kind
// producer, and carry their trace, which interceptors do not see. What the clients make of
// the message is then part of the trace. Of the options those for traces count.
func Audience(of packetrpc.Audience, list ...Option) packetrpc.Audience {
	o := newOptions(list)
	return &audience{of: of, options: o, tracer: o.tracer(), methods: methods{more: o.attributes, known: make(map[methodName]*method)}}
}

type audience struct {
	of packetrpc.Audience
	options
	tracer  trace.Tracer
	methods methods
}

// Broadcast implements [packetrpc.Audience].
func (a *audience) Broadcast(ctx context.Context, spec *packetrpc.Spec, message proto.Message) (packetrpc.Delivery, error) {
	m := a.methods.of(spec)
	ctx, span := a.tracer.Start(ctx, m.name, m.broadcasts...)
	defer span.End()
	delivery, err := a.of.Broadcast(inject(ctx, a.propagator), spec, message)
	span.SetAttributes(keyQueued.Int(delivery.Queued), keyRefused.Int(delivery.Refused), keyStatus.String(statusOf(packetrpc.CodeOf(err))))
	if err != nil {
		span.SetAttributes(keyErrorType.String(packetrpc.CodeOf(err).String()))
		span.SetStatus(codes.Error, packetrpc.AsError(err).Message)
	}
	return delivery, err
}
