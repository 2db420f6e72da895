package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// serverCalls has the server call one client.
func (s *session) serverCalls(ctx context.Context) (map[Metric]float64, error) {
	if err := s.listen(ctx, 1); err != nil {
		return nil, err
	}
	order := process.Order{Do: process.Ask, Size: s.Cell.Size, Callers: s.Cell.Callers, Span: s.Warm}
	if _, err := s.server.Order(order); err != nil {
		return nil, err
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	order.Span = s.Span
	answer, err := s.server.Order(order)
	if err != nil {
		return nil, err
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	return s.summarize(answer.Load), nil
}

// listen opens connections that the server can call. Once the first call of each
// is answered, the server counts the connection among its clients.
func (s *session) listen(ctx context.Context, count int) error {
	if err := s.dial(ctx, 1); err != nil {
		return err
	}
	if _, ok := s.conns[0].(contender.Listener); !ok {
		return errUnsupported
	}
	return s.dial(ctx, count-1)
}

// pushes has the server reach all clients, again and again; each time it waits
// until all have heard.
func (s *session) pushes(ctx context.Context) (map[Metric]float64, error) {
	if err := s.listen(ctx, s.Cell.Conns); err != nil {
		return nil, err
	}
	order := process.Order{Do: process.Broadcast, Size: s.Cell.Size}
	switch s.Cell.Kind {
	case NotifyLoop:
		order.Do = process.NotifyAll
	case AskLoop:
		order.Do = process.AskAll
	}
	if _, err := s.push(ctx, order); err != nil {
		return nil, err
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	start := time.Now()
	messages, inCall := int64(0), time.Duration(0)
	for messages == 0 || time.Since(start) < s.Span {
		took, err := s.push(ctx, order)
		if err != nil {
			return nil, err
		}
		inCall += took
		messages += int64(len(s.conns))
	}
	elapsed := time.Since(start)
	if err := s.mark(); err != nil {
		return nil, err
	}
	values := s.spent(messages)
	values[MessagesPerSecond] = perSecond(messages, elapsed)
	values[InCall] = micros(inCall) / float64(messages)
	return values, nil
}

// hearing is how long a push may take to reach all.
const hearing = 20 * time.Second

// push reaches all clients once, and returns how long the server's call took.
func (s *session) push(ctx context.Context, order process.Order) (time.Duration, error) {
	wanted := make([]int64, len(s.conns))
	if order.Do != process.AskAll { // which waits for replies itself
		for i, conn := range s.conns {
			wanted[i] = conn.(contender.Listener).Notified() + 1
		}
	}
	answer, err := s.server.Order(order)
	if err != nil {
		return 0, err
	}
	end := time.Now().Add(hearing)
	for i, conn := range s.conns {
		for conn.(contender.Listener).Notified() < wanted[i] {
			if ctx.Err() != nil || time.Now().After(end) {
				return 0, fmt.Errorf("connection %d of %d heard nothing", i+1, len(s.conns))
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	return answer.Took, nil
}
