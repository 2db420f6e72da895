// Command peer is this project's own implementation as the conformance runner puts
// it under its cases: packages client and server, and nothing between.
//
// With --broken NAME it does something wrong, by which the tests see that the cases
// can fail.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/packetrpc/packetrpc/internal/conformance"
	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

func main() {
	broken := flag.String("broken", "", "do wrong what `NAME` says")
	flag.Parse()
	if err := run(*broken); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(broken string) error {
	input := bufio.NewReader(os.Stdin)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no task on the standard input: %w", err)
	}
	var task conformance.Task
	if err := json.Unmarshal(line, &task); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	out := newObserver(os.Stdout)
	switch task.Role {
	case conformance.RoleDeclare:
		out.tell(conformance.Event{Declares: []string{"."}})
		return nil
	case conformance.RoleServer:
		return serve(task, out, input)
	default:
		return dial(task, out, broken)
	}
}

// dial plays the client.
func dial(task conformance.Task, out *observer, broken string) error {
	options := []client.Option{client.WithHandlers(newHandlers(out)), client.WithPassword(task.Username, task.Password),
		client.WithoutReconnect()} // what becomes of the connection is what the cases look at
	if task.Form == "json" {
		options = append(options, client.WithJSON())
	}
	if size := task.Limits.MaxMessageSize; size > 0 {
		options = append(options, client.WithMaxMessageSize(size))
	}
	if calls := task.Limits.MaxOpenCalls; calls > 0 {
		options = append(options, client.WithMaxOpenCalls(calls))
	}
	if limits := task.Limits; limits.CallWindow > 0 {
		options = append(options, client.WithWindow(limits.CallWindow, limits.ConnectionWindow))
	}
	if broken != "" {
		fault, known := faults()[broken]
		if !known {
			return fmt.Errorf("there is no fault %q", broken)
		}
		options = append(options, client.WithDialer(fault.dial))
	}
	conn, err := client.Dial(context.Background(), task.Address, options...)
	if err != nil {
		out.refused(err)
		return nil
	}
	out.tell(conformance.Event{Event: conformance.EventConnected, ID: conn.ID()})
	err = newScript(conn, conn.Context(), out).run(task.Steps)
	conn.Close()
	return err
}

// serve plays the server, for one client.
func serve(task conformance.Task, out *observer, input io.Reader) error {
	connected := make(chan packetrpc.Peer, 1)
	options := []server.Option{
		server.WithAddress("127.0.0.1:0"),
		server.WithConnected(func(peer packetrpc.Peer) { connected <- peer }),
	}
	if size := task.Limits.MaxMessageSize; size > 0 {
		options = append(options, server.WithMaxMessageSize(size))
	}
	if calls := task.Limits.MaxOpenCalls; calls > 0 {
		options = append(options, server.WithMaxOpenCalls(calls))
	}
	if limits := task.Limits; limits.CallWindow > 0 {
		options = append(options, server.WithWindow(limits.CallWindow, limits.ConnectionWindow))
	}
	srv := server.New(options...)
	for method := range newHandlers(out).All() {
		srv.Register(method)
	}
	listener, err := srv.Listen(context.Background())
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(context.Background(), listener) }()
	out.tell(conformance.Event{Event: conformance.EventListening, Address: listener.Addr().String()})
	over := make(chan struct{})
	go func() {
		io.Copy(io.Discard, input) // until the runner has no more to do with this case
		close(over)
	}()
	if peer := first(connected, over); peer != nil {
		out.tell(conformance.Event{Event: conformance.EventConnected, ID: peer.ID()})
		err = newScript(peer, peer.Context(), out).run(task.Steps)
		peer.Disconnect("")
		<-peer.Context().Done()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	srv.Shutdown(ctx)
	<-ended
	return err
}

// first waits for the client. It returns nil when the case is over and none has
// connected.
func first(connected <-chan packetrpc.Peer, over <-chan struct{}) packetrpc.Peer {
	select {
	case peer := <-connected:
		return peer
	case <-over:
	}
	select {
	case peer := <-connected: // a short case may be over before this side looks
		return peer
	default:
		return nil
	}
}

// observer prints events. Its methods may be called concurrently.
type observer struct {
	mu      sync.Mutex
	changed *sync.Cond
	out     *json.Encoder
	handled int
}

func newObserver(out io.Writer) *observer {
	o := &observer{out: json.NewEncoder(out)}
	o.changed = sync.NewCond(&o.mu)
	return o
}

func (o *observer) tell(event conformance.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Encode(event)
	if event.Event == conformance.EventHandled {
		o.handled++
		o.changed.Broadcast()
	}
}

// awaitHandled waits until so many one-way calls have been handled, or ctx ends.
func (o *observer) awaitHandled(ctx context.Context, count int) {
	stop := context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.changed.Broadcast()
	})
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.handled < count && ctx.Err() == nil {
		o.changed.Wait()
	}
}

func (o *observer) refused(err error) {
	event := conformance.Event{Event: conformance.EventRefused}
	setFailure(&event, err)
	o.tell(event)
}

// setFailure adds what an error says to an event.
func setFailure(event *conformance.Event, err error) {
	coded := packetrpc.AsError(err)
	event.Status, event.Message = coded.Code.String(), coded.Message
	event.RetryAfter = coded.RetryAfter.Seconds()
	for _, detail := range coded.Details {
		event.Details = append(event.Details, conformance.Detail{Type: string(detail.MessageName()), Value: detail.GetValue()})
	}
}
