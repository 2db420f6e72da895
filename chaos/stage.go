package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stage is where an attack takes place: the processes of the server and the attackers.
// The healthy clients are in this one.
type stage struct {
	address           string
	server, attackers *child
}

// openStage starts the processes.
func openStage(limits timeLimits) (*stage, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &stage{address: address}
	handshake := limits.handshake.String()
	s.server, err = startChild("attacked", "-address", address, "-write-timeout", limits.write.String(), "-handshake-timeout", handshake)
	if err != nil {
		return nil, err
	}
	s.attackers, err = startChild("attackers", "-address", address, "-handshake-timeout", handshake)
	if err != nil {
		return nil, errors.Join(err, s.server.finish())
	}
	return s, nil
}

func (s *stage) close() error { return errors.Join(s.attackers.finish(), s.server.finish()) }

// finish lets a process end that does so with its standard input, and waits for it.
func (c *child) finish() error {
	c.in.Close()
	return c.cmd.Wait()
}

// look returns what the server tells of itself.
func (s *stage) look() (observed, error) { return askFor[observed](s.server, "look") }

// awaitClients waits until the server has so many clients.
func (s *stage) awaitClients(ctx context.Context, number int) error {
	var seen observed
	for limit := time.Now().Add(patience); time.Now().Before(limit); waitUntil(ctx, time.Now().Add(100*time.Millisecond)) {
		var err error
		if seen, err = s.look(); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if seen.Stats.Connections == number {
			return nil
		}
	}
	return fmt.Errorf("the server has %d clients and should have %d", seen.Stats.Connections, number)
}

// attack lets attackers begin, and waits until so many are there.
func (s *stage) attack(ctx context.Context, number int, command ...any) error {
	seen, err := askFor[attackersObserved](s.attackers, command...)
	for limit := time.Now().Add(patience); err == nil && seen.Present < int64(number); {
		if time.Now().After(limit) {
			return fmt.Errorf("%d attackers are there and should be %d", seen.Present, number)
		}
		if !waitUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return ctx.Err()
		}
		seen, err = askFor[attackersObserved](s.attackers, "look")
	}
	return err
}

// callOff ends the attack.
func (s *stage) callOff() (attackersObserved, error) {
	return askFor[attackersObserved](s.attackers, "end")
}

// processorTimes is what the processes have taken.
type processorTimes struct{ server, attackers, healthy time.Duration }

func (p processorTimes) minus(q processorTimes) processorTimes {
	return processorTimes{p.server - q.server, p.attackers - q.attackers, p.healthy - q.healthy}
}

// processorTimesOf returns what the processes take while something is done.
func (s *stage) processorTimesOf(do func() error) (processorTimes, error) {
	before, err := s.processorTimes()
	if err != nil {
		return before, err
	}
	if err := do(); err != nil {
		return before, err
	}
	after, err := s.processorTimes()
	return after.minus(before), err
}

func (s *stage) processorTimes() (processorTimes, error) {
	server, err := s.look()
	if err != nil {
		return processorTimes{}, err
	}
	attackers, err := askFor[attackersObserved](s.attackers, "look")
	return processorTimes{server.Usage.Processor, attackers.Usage.Processor, processorTime()}, err
}
