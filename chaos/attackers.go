package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

const (
	// firstSource is N of the address 127.0.0.N that the first attacker comes from, and
	// sources how many addresses they have.
	firstSource, sources = 2, 200
	// attackInterval is the time between what an attacker sends on a connection.
	attackInterval = 200 * time.Millisecond
	// helpings is how often garbage of a kind is sent before the next kind.
	helpings = 10
	// fillSize is how many bytes the replies have that the frozen ask for, and fillsAtOnce
	// how many they ask for at first: more than the buffers of the system take.
	fillSize, fillsAtOnce = 64 << 10, 64
)

// attackers are those that attack a server together, until they are called off, in a
// process of their own.
type attackers struct {
	address          string
	handshakeTimeout time.Duration // of the server

	running sync.WaitGroup
	callOff context.CancelFunc // nil when nobody attacks

	present atomic.Int64 // how many connections there are
	cut     atomic.Int64 // how many the server has ended
	refused atomic.Int64 // how many could not be made
}

// attackersObserved is what the process tells.
type attackersObserved struct {
	Present, Cut, Refused int64
	Usage                 usage
}

// serveAttackers runs the process until its standard input ends. Its commands, which
// are answered by JSON, are connect FROZEN GARBAGE, half-open NUMBER, look and end.
func serveAttackers(arguments []string) error {
	flags := flag.NewFlagSet("chaos attackers", flag.ExitOnError)
	a := new(attackers)
	flags.StringVar(&a.address, "address", "", "whom to attack")
	flags.DurationVar(&a.handshakeTimeout, "handshake-timeout", 0, "how long the server waits for a handshake")
	_ = flags.Parse(arguments) // which ends the process on errors
	defer a.end()
	return obey(os.Stdin, os.Stdout, a.command)
}

func (a *attackers) command(words []string) (any, error) {
	var numbers []int
	for _, word := range words[1:] {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	switch {
	case words[0] == "connect" && len(numbers) == 2:
		a.begin(numbers[0]+numbers[1], func(ctx context.Context, i, turn int) {
			if i < numbers[0] {
				a.freeze(ctx, i)
			} else {
				a.babble(ctx, i, turn)
			}
		})
	case words[0] == "half-open" && len(numbers) == 1:
		a.begin(numbers[0], func(ctx context.Context, i, turn int) {
			if turn == i { // they come one after the other, and so are not cut all at once
				waitUntil(ctx, time.Now().Add(a.handshakeTimeout*time.Duration(i)/time.Duration(numbers[0])))
			}
			a.stayHalfOpen(ctx, i)
		})
	case words[0] == "end":
		a.end()
	case words[0] != "look":
		return nil, fmt.Errorf("there is no such command")
	}
	return attackersObserved{a.present.Load(), a.cut.Load(), a.refused.Load(), ownUsage()}, nil
}

// begin lets so many attack, each in one turn after the other; the first is i, so that
// they differ.
func (a *attackers) begin(number int, attack func(ctx context.Context, i, turn int)) {
	a.cut.Store(0)
	a.refused.Store(0)
	ctx, cancel := context.WithCancel(context.Background())
	a.callOff = cancel
	for i := range number {
		a.running.Go(func() {
			for turn := i; ctx.Err() == nil; turn++ {
				attack(ctx, i, turn)
			}
		})
	}
}

// end calls the attackers off and waits until they are gone.
func (a *attackers) end() {
	if a.callOff != nil {
		a.callOff()
	}
	a.running.Wait()
}

func sourceOf(i int) int { return firstSource + i%sources }

// shake shakes hands, or waits a while when that fails.
func (a *attackers) shake(ctx context.Context, i int, name string) *speaker {
	s, err := shake(ctx, sourceOf(i), a.address, name)
	if err != nil {
		a.refused.Add(1)
		waitUntil(ctx, time.Now().Add(attackInterval))
		return nil
	}
	return s
}

// freeze reads nothing and asks for large replies until it is cut.
func (a *attackers) freeze(ctx context.Context, i int) {
	s := a.shake(ctx, i, frozenName)
	if s == nil {
		return
	}
	s.SetReadBuffer(4 << 10) // so that the server is the one who has to hold it all
	wanted := fillsAtOnce
	a.send(ctx, s, func() (all []byte) {
		for range wanted {
			all = s.call(all, packet.Packet{Token: s.token, Action: fillSpec.Action, Data: fillRequest()})
		}
		wanted = 1
		return all
	})
}

// fillRequest returns the data of a request for a large reply.
func fillRequest() []byte {
	data, err := packet.AppendMessage(packet.Binary, nil, wrapperspb.String(strconv.Itoa(fillSize)))
	if err != nil {
		panic(err)
	}
	return data
}

// babble sends one kind of garbage for a while, and reads what it is told.
func (a *attackers) babble(ctx context.Context, i, turn int) {
	s := a.shake(ctx, i, garbageName)
	if s == nil {
		return
	}
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(io.Discard, s.in) })
	kinds, sent := garbage(), 0
	a.send(ctx, s, func() []byte {
		if sent++; sent > helpings {
			return nil
		}
		return kinds[turn%len(kinds)](s)
	})
	reading.Wait()
}

// send sends helpings until one is nil or the connection is cut, and closes it.
func (a *attackers) send(ctx context.Context, s *speaker, helping func() []byte) {
	a.present.Add(1)
	defer a.present.Add(-1)
	defer s.Close()
	ticker := time.NewTicker(attackInterval)
	defer ticker.Stop()
	for bytes := helping(); bytes != nil; bytes = helping() {
		if _, err := s.Write(bytes); err != nil {
			if ctx.Err() == nil {
				a.cut.Add(1)
			}
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// stayHalfOpen says nothing, or half of a handshake, until it is cut.
func (a *attackers) stayHalfOpen(ctx context.Context, i int) {
	nc, err := dialFrom(ctx, sourceOf(i), a.address)
	if err != nil {
		a.refused.Add(1)
		waitUntil(ctx, time.Now().Add(attackInterval))
		return
	}
	defer nc.Close()
	a.present.Add(1)
	defer a.present.Add(-1)
	if i%2 == 1 {
		first := handshakeBytes(garbageName)
		if _, err := nc.Write(first[:len(first)/2]); err != nil {
			return
		}
	}
	io.Copy(io.Discard, nc)
	if ctx.Err() == nil {
		a.cut.Add(1)
	}
}
