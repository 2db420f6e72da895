package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// render draws the traces of spans as trees, with when each span began, counted from the
// first, and how long it took.
func render(spans tracetest.SpanStubs) string {
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.SpanKind, b.SpanKind))
	})
	var out strings.Builder
	for _, span := range spans {
		if !span.Parent.IsValid() {
			fmt.Fprintf(&out, "trace %s\n", span.SpanContext.TraceID())
			renderBelow(&out, spans, span, span, 1)
		}
	}
	return out.String()
}

func renderBelow(out *strings.Builder, spans tracetest.SpanStubs, first, span tracetest.SpanStub, depth int) {
	name := strings.Repeat("  ", depth) + span.SpanKind.String() + " " + span.Name
	fmt.Fprintf(out, "%-50s +%v for %v\n", name, span.StartTime.Sub(first.StartTime), span.EndTime.Sub(span.StartTime))
	for _, attribute := range span.Attributes {
		fmt.Fprintf(out, "%s| %s=%s\n", strings.Repeat("  ", depth+1), attribute.Key, attribute.Value.String())
	}
	for _, other := range spans {
		if isChild(other, span.SpanContext.SpanID()) {
			renderBelow(out, spans, first, other, depth+1)
		}
	}
}

func isChild(span tracetest.SpanStub, parent trace.SpanID) bool {
	return span.Parent.IsValid() && span.Parent.SpanID() == parent
}
