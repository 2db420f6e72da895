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

// listen opens connections that the server can call.
func (s *session) listen(ctx context.Context, count int) error {
	if err := s.dial(ctx, count); err != nil {
		return err
	}
	for _, conn := range s.conns {
		if _, ok := conn.(contender.Listener); !ok {
			return errUnsupported
		}
	}
	return nil
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
	if err := s.push(ctx, order); err != nil {
		return nil, err
	}
	if err := s.mark(); err != nil {
		return nil, err
	}
	start := time.Now()
	messages := int64(0)
	for time.Since(start) < s.Span {
		if err := s.push(ctx, order); err != nil {
			return nil, err
		}
		messages += int64(len(s.conns))
	}
	elapsed := time.Since(start)
	if err := s.mark(); err != nil {
		return nil, err
	}
	values := s.spent(messages)
	values[MessagesPerSecond] = perSecond(messages, elapsed)
	return values, nil
}

// hearing is how long a push may take to reach all.
const hearing = 20 * time.Second

// push reaches all clients once.
func (s *session) push(ctx context.Context, order process.Order) error {
	want := s.notified()
	if order.Do != process.AskAll { // which waits for replies itself
		want += int64(len(s.conns))
	}
	if _, err := s.server.Order(order); err != nil {
		return err
	}
	for end := time.Now().Add(hearing); s.notified() < want; {
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("%d of %d notices arrived", s.notified(), want)
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

// notified adds up what all connections have heard.
func (s *session) notified() int64 {
	var sum int64
	for _, conn := range s.conns {
		sum += conn.(contender.Listener).Notified()
	}
	return sum
}
