package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

const (
	// trialMessages is the length of the stream that tells how long the measured
	// one must be.
	trialMessages = 5_000
	// maxMessages bounds that.
	maxMessages = 50_000_000
)

// streams measures one stream on one connection: first a short one, then one that
// should last for the span.
func (s *session) streams(ctx context.Context) (map[Metric]float64, error) {
	if err := s.dial(ctx, 1); err != nil {
		return nil, err
	}
	streamer, ok := s.conns[0].(contender.Streamer)
	if !ok {
		return nil, errUnsupported
	}
	// The second trial is warm.
	var rate float64
	for range 2 {
		start := time.Now()
		if err := s.stream(ctx, streamer, trialMessages); err != nil {
			return nil, err
		}
		rate = perSecond(trialMessages, time.Since(start))
	}
	count := min(max(int(rate*s.Span.Seconds()), trialMessages), maxMessages)
	if err := s.mark(); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := s.stream(ctx, streamer, count); err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	if err := s.mark(); err != nil {
		return nil, err
	}
	values := s.spent(int64(count))
	values[MessagesPerSecond] = perSecond(int64(count), elapsed)
	return values, nil
}

// stream runs one stream of the cell's kind, and checks that all messages came.
func (s *session) stream(ctx context.Context, streamer contender.Streamer, count int) error {
	got, err := count, error(nil)
	switch s.Cell.Kind {
	case Upload:
		got, err = streamer.Upload(ctx, process.Payload(s.Cell.Size), count)
	case Download:
		got, err = streamer.Download(ctx, s.Cell.Size, count)
	case PingPong:
		err = streamer.PingPong(ctx, process.Payload(s.Cell.Size), count)
	}
	if err == nil && got != count {
		err = fmt.Errorf("%d messages arrived of %d", got, count)
	}
	return err
}
