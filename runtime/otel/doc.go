// Package packetrpcotel shows what servers and clients do to OpenTelemetry: traces that
// go on through calls in both directions, metrics of the calls, and metrics of a server
// or a client as a whole.
//
//	calls := packetrpcotel.Interceptor()
//	srv := server.New(server.WithInterceptors(calls))
//	_, err := packetrpcotel.ObserveServer(srv)
//
//	conn, err := client.Dial(ctx, address, client.WithInterceptors(calls))
//	_, err = packetrpcotel.ObserveClient(conn)
//
// Names and attributes are those of the RPC semantic conventions 1.45.0 where these have
// any, and begin with "packetrpc." elsewhere; docs/observability.md lists them. The
// providers and the propagator are the global ones of package otel unless an option says
// otherwise. The global propagator does nothing until the program has set another one,
// and without one traces end where a connection begins.
//
// The package is in a module of its own, so that programs which do not use it do not
// depend on OpenTelemetry. It needs the API only; which SDK and exporter there are is
// the program's choice. Package packetrpcprom is such a choice.
package packetrpcotel
