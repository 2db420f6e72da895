package packetrpcotel

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// ObserveServer shows what [server.Server.Stats] counts as metrics, whenever metrics are
// collected, until the registration is ended. Of the options those for metrics count.
// The numbers of several servers with the same attributes add up; [WithAttributes] keeps
// them apart.
func ObserveServer(srv *server.Server, list ...Option) (metric.Registration, error) {
	type stats = server.Stats
	return observe(newOptions(list), srv.Stats, []reading[stats]{
		{"packetrpc.server.sessions.active", "{session}", "Clients that are connected, or may come back.", now, "", func(s stats) int64 { return int64(s.Connections) }},
		{"packetrpc.server.sessions.away", "{session}", "Those of them that have lost their connection.", now, "", func(s stats) int64 { return int64(s.Away) }},
		{"packetrpc.server.sessions.started", "{session}", "Sessions that have begun.", inAll, "", func(s stats) int64 { return int64(s.Connected) }},
		{"packetrpc.server.sessions.resumed", "{session}", "How often a session has gone on over another connection.", inAll, "", func(s stats) int64 { return int64(s.Resumed) }},
		{"packetrpc.server.sessions.slow", "{session}", "Clients that were disconnected for being slow.", inAll, "", func(s stats) int64 { return int64(s.SlowDisconnected) }},
		{"packetrpc.server.handshakes.pending", "{handshake}", "Connections that have not shaken hands yet.", now, "", func(s stats) int64 { return int64(s.HalfOpen) }},
		{"packetrpc.server.handshakes.refused", "{handshake}", "Handshakes that have failed, or were not begun for want of room.", inAll, "", func(s stats) int64 { return int64(s.HandshakesRefused) }},
		{"packetrpc.server.calls.active", "{call}", "Calls of clients that are under way.", now, "", func(s stats) int64 { return int64(s.Calls) }},
		{"packetrpc.server.calls.refused", "{call}", "Calls that were refused for want of room.", inAll, "", func(s stats) int64 { return int64(s.CallsRefused) }},
		{"packetrpc.server.pushes.refused", "{push}", "Pushes and parts of broadcasts that there was no room for.", inAll, "", func(s stats) int64 { return int64(s.PushesRefused) }},
		{"packetrpc.server.pushes.dropped", "{push}", "Pushes that were dropped for later ones.", inAll, "", func(s stats) int64 { return int64(s.PushesDropped) }},
		{"packetrpc.server.queues.size", "By", "About how much is held of what has arrived and no handler has taken, of replies that are not taken, and of pushes that are kept.", now, "", func(s stats) int64 { return s.Memory }},
		{"packetrpc.server.queues.unsent", "By", "Bytes of packets that wait for clients to take them.", now, "", func(s stats) int64 { return s.Queued }},
		{"packetrpc.server.io", "By", "Bytes received and sent, encryption aside.", inAll, receive, func(s stats) int64 { return int64(s.Received) }},
		{"packetrpc.server.io", "By", "Bytes received and sent, encryption aside.", inAll, transmit, func(s stats) int64 { return int64(s.Sent) }},
	})
}

// ObserveClient shows whether a client is connected and what [client.Client.Stats]
// counts as metrics, as [ObserveServer] does. It leaves the client's state hook alone.
func ObserveClient(conn *client.Client, list ...Option) (metric.Registration, error) {
	type stats = client.Stats
	return observe(newOptions(list), conn.Stats, []reading[stats]{
		{"packetrpc.client.connections.active", "{connection}", "1 while the client is connected.", now, "", func(stats) int64 { return ready(conn) }},
		{"packetrpc.client.sessions.started", "{session}", "Sessions that have begun.", inAll, "", func(s stats) int64 { return int64(s.Connected) }},
		{"packetrpc.client.sessions.resumed", "{session}", "How often the session has gone on over another connection.", inAll, "", func(s stats) int64 { return int64(s.Resumed) }},
		{"packetrpc.client.io", "By", "Bytes received and sent, encryption aside.", inAll, receive, func(s stats) int64 { return int64(s.Received) }},
		{"packetrpc.client.io", "By", "Bytes received and sent, encryption aside.", inAll, transmit, func(s stats) int64 { return int64(s.Sent) }},
	})
}

func ready(conn *client.Client) int64 {
	if conn.State().Phase == client.PhaseReady {
		return 1
	}
	return 0
}

// reading is how a metric is read from statistics.
type reading[S any] struct {
	name, unit, description string
	instrument              func(meter metric.Meter, name, unit, description string) (metric.Int64Observable, error)
	direction               string // "" is none
	value                   func(S) int64
}

// now is for what goes up and down.
func now(meter metric.Meter, name, unit, description string) (metric.Int64Observable, error) {
	return meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
}

// inAll is for what only goes up.
func inAll(meter metric.Meter, name, unit, description string) (metric.Int64Observable, error) {
	return meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
}

// observe registers the readings of statistics, which are taken once for all of them.
func observe[S any](o options, stats func() S, readings []reading[S]) (metric.Registration, error) {
	meter := o.meter()
	instruments := make([]metric.Int64Observable, len(readings))
	attributes := make([]metric.ObserveOption, len(readings))
	all := make([]metric.Observable, len(readings))
	for i, r := range readings {
		var err error
		if instruments[i], err = r.instrument(meter, r.name, r.unit, r.description); err != nil {
			return nil, err
		}
		list := slices.Clone(o.attributes)
		if r.direction != "" {
			list = append(list, keyDirection.String(r.direction))
		}
		attributes[i] = metric.WithAttributeSet(attribute.NewSet(list...))
		all[i] = instruments[i]
	}
	return meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		taken := stats()
		for i, r := range readings {
			observer.ObserveInt64(instruments[i], r.value(taken), attributes[i])
		}
		return nil
	}, all...)
}
