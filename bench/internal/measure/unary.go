package measure

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// unary has callers call as fast as they are answered. Their calls go to the
// connections and to the actions in turn.
func (s *session) unary(ctx context.Context) (map[Metric]float64, error) {
	conns := s.Cell.Conns
	if s.contender.Info().PerCaller {
		conns = max(conns, s.Cell.Callers)
	}
	if err := s.dial(ctx, conns); err != nil {
		return nil, err
	}
	data := process.Payload(s.Cell.Size)
	if s.contender.Info().NoCalls {
		return s.window(data)
	}
	if _, ok := s.conns[0].(contender.ActionCaller); !ok && s.Cell.Actions > 0 {
		return nil, errUnsupported
	}
	check := process.CheckEcho(data)
	load := process.Load{Callers: s.Cell.Callers, Warm: s.Warm, Span: s.Span}
	summary, err := load.Run(func(caller, before int) error {
		conn := s.conns[connFor(caller, before, s.Cell.Callers, conns)]
		return check(s.echo(ctx, conn, caller+before, data))
	}, s.mark)
	if err != nil {
		return nil, err
	}
	return s.summarize(summary), nil
}

// connFor returns the index of the connection that a caller takes after so many
// calls. With enough connections each caller has a part of them to itself.
func connFor(caller, before, callers, conns int) int {
	if conns < callers {
		return (caller + before) % conns
	}
	part := (conns-1-caller)/callers + 1
	return caller + before%part*callers
}

// echo makes a call, by the action whose turn it is.
func (s *session) echo(ctx context.Context, conn contender.Conn, turn int, data []byte) ([]byte, error) {
	if s.Cell.Actions == 0 {
		return conn.Echo(ctx, data)
	}
	return conn.(contender.ActionCaller).EchoBy(ctx, turn%s.Cell.Actions, data)
}

// overtime bounds the wait for the first frame.
const overtime = 20 * time.Second

// window measures a floor that has no call API; it knows no latencies.
func (s *session) window(data []byte) (map[Metric]float64, error) {
	var done atomic.Bool
	var counted atomic.Int64
	failed := make(chan error, 1)
	go func() {
		failed <- s.conns[0].(contender.Windower).Window(data, s.Cell.Callers, done.Load, func(batch int) { counted.Add(int64(batch)) })
	}()
	time.Sleep(s.Warm)
	if err := s.mark(); err != nil {
		return nil, err
	}
	start, before := time.Now(), counted.Load()
	time.Sleep(s.Span)
	for end := start.Add(s.Span + overtime); counted.Load() == before && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	calls, elapsed := counted.Load()-before, time.Since(start)
	if err := s.mark(); err != nil {
		return nil, err
	}
	done.Store(true)
	if err := <-failed; err != nil {
		return nil, err
	}
	if calls == 0 {
		return nil, fmt.Errorf("no frame came back within %v", s.Span+overtime)
	}
	values := s.spent(calls)
	values[CallsPerSecond] = perSecond(calls, elapsed)
	return values, nil
}
