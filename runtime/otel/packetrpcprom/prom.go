// Package packetrpcprom shows metrics to Prometheus: an OpenTelemetry meter provider
// with the page that Prometheus reads.
package packetrpcprom

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// New returns a meter provider, for packetrpcotel.WithMeterProvider or
// otel.SetMeterProvider, and a handler of the page with what it has measured, whatever
// the path. Which package has measured something is left out. The page belongs on an address of its own, as nobody is asked who they are.
// The options are the SDK's, a resource or views for instance.
func New(options ...metric.Option) (*metric.MeterProvider, http.Handler, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	provider := metric.NewMeterProvider(append([]metric.Option{metric.WithReader(reader)}, options...)...)
	return provider, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
