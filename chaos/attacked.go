package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// The actions of the server that is attacked, beside echo: Fill replies with as many
// bytes as the request says, and Pulse is broadcast and tells when that was due.
var (
	fillSpec  = action("Fill", packetrpc.Unary, packetrpc.IdempotencyUnknown)
	pulseSpec = action("Pulse", packetrpc.OneWay, packetrpc.IdempotencyUnknown)
)

// halfOpenRoom is how many connections may be without a handshake in all. The default
// of 4,096 would turn away some of the 5,000 that there are to be.
const halfOpenRoom = 8192

// timeLimits are the server's, by which it cuts attackers.
type timeLimits struct {
	write     time.Duration // for taking nothing
	handshake time.Duration
}

// usualLimits returns the server's defaults.
func usualLimits() timeLimits { return timeLimits{write: 10 * time.Second, handshake: 5 * time.Second} }

// attacked is the server that is attacked, in a process of its own.
type attacked struct {
	server *server.Server
	*departures

	broadcasting sync.WaitGroup
	hush         context.CancelFunc // ends the broadcasts; nil when there are none

	broadcasts atomic.Int64 // that have been due
}

// observed is what the process tells of itself, and of what has happened since the last
// command to begin.
type observed struct {
	Usage      usage
	Stats      server.Stats // since the process was started
	Broadcasts int          // that have been due
	Departures []departure
}

// serveAttacked runs the process until its standard input ends. Its commands, which are
// answered by JSON, are begin INTERVAL, with the time between broadcasts, end, look and
// rest.
func serveAttacked(arguments []string) error {
	flags := flag.NewFlagSet("chaos attacked", flag.ExitOnError)
	address := flags.String("address", "", "where to listen")
	var limits timeLimits
	flags.DurationVar(&limits.write, "write-timeout", 0, "for how long a client may take nothing")
	flags.DurationVar(&limits.handshake, "handshake-timeout", 0, "how long a client may take to shake hands")
	_ = flags.Parse(arguments) // which ends the process on errors
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	a := newAttacked(limits)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(ctx, listener) }()
	err = obey(os.Stdin, os.Stdout, a.command)
	a.quieten()
	stop()
	if failure := <-served; err == nil {
		err = failure
	}
	return err
}

func newAttacked(limits timeLimits) *attacked {
	a := &attacked{departures: newDepartures()}
	a.server = server.New(
		server.WithMaxHalfOpen(1024, halfOpenRoom),
		server.WithWriteTimeout(limits.write),
		server.WithHandshakeTimeout(limits.handshake),
		server.WithConnected(a.come),
		server.WithDisconnected(a.leave))
	packetrpc.HandleUnary(a.server, echoSpec, a.echo)
	packetrpc.HandleUnary(a.server, fillSpec, a.fill)
	return a
}

func (*attacked) echo(_ context.Context, in *text) (*text, error) {
	return wrapperspb.String(replyTo(in.Value)), nil
}

func (*attacked) fill(_ context.Context, in *text) (*text, error) {
	size, err := strconv.Atoi(in.Value)
	if err != nil || size < 0 || size > 1<<20 {
		return nil, packetrpc.Errorf(packetrpc.CodeInvalidArgument, "%q is no size up to 1 MiB", in.Value)
	}
	return wrapperspb.String(strings.Repeat("x", size)), nil
}

// obey says that the process is ready, and answers commands until there are no more.
func obey(in io.Reader, out io.Writer, command func(words []string) (any, error)) error {
	fmt.Fprintln(out, "ready")
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	for lines.Scan() {
		answer, err := command(strings.Fields(lines.Text()))
		if err == nil {
			err = answers.Encode(answer)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
	}
	return lines.Err()
}

// askFor sends a command and decodes the answer.
func askFor[T any](c *child, command ...any) (answer T, err error) {
	line, err := c.ask(strings.TrimSpace(fmt.Sprintln(command...)))
	if err == nil {
		err = json.Unmarshal([]byte(line), &answer)
	}
	return answer, err
}

func (a *attacked) command(words []string) (any, error) {
	switch {
	case len(words) == 2 && words[0] == "begin":
		every, err := time.ParseDuration(words[1])
		if err != nil {
			return nil, err
		}
		a.begin(every)
	case words[0] == "end":
		a.quieten()
	case words[0] == "rest":
		debug.FreeOSMemory()
		seen := a.observe()
		seen.Usage.Goroutines = busyGoroutines()
		return seen, nil
	case words[0] != "look":
		return nil, fmt.Errorf("there is no such command")
	}
	return a.observe(), nil
}

// begin counts anew and lets the broadcasts begin.
func (a *attacked) begin(every time.Duration) {
	forgetPeak()
	a.departures.forget()
	a.broadcasts.Store(0)
	ctx, hush := context.WithCancel(context.Background())
	a.hush = hush
	a.broadcasting.Go(func() { a.broadcast(ctx, every) })
}

// quieten ends the broadcasts.
func (a *attacked) quieten() {
	if a.hush != nil {
		a.hush()
	}
	a.broadcasting.Wait()
}

// broadcast broadcasts to all on a schedule that does not wait for anything.
func (a *attacked) broadcast(ctx context.Context, every time.Duration) {
	for due := time.Now().Add(every); waitUntil(ctx, due); due = due.Add(every) {
		message := wrapperspb.String(fmt.Sprint(due.UnixNano(), " ", strings.Repeat("x", 200)))
		if _, err := a.server.All().Broadcast(context.Background(), pulseSpec, message); err != nil {
			panic(err) // a run without broadcasts would be void
		}
		a.broadcasts.Add(1)
	}
}

// waitUntil waits until something is due and reports whether the context lives.
func waitUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (a *attacked) observe() observed {
	return observed{
		Usage:      ownUsage(),
		Stats:      a.server.Stats(),
		Broadcasts: int(a.broadcasts.Load()),
		Departures: a.departures.all(),
	}
}
