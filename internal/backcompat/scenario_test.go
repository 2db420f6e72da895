package backcompat_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// A scenario is what a client and a server do together. All of it runs in a bubble of
// testing/synctest, where time passes only when everything waits. What happens must not
// depend on which of two goroutines is faster, so a scenario does one thing after the
// other, and rests where both sides have something to do.
//
// A scenario that has been recorded does not change any more, as its recordings
// are compared with what it does.
type scenario struct {
	name string
	// about says what is recorded, for whoever reads the file.
	about string
	// forms are those that it makes sense in; nil is both.
	forms []packet.Form
	// options are the server's.
	options []server.Option
	// serve registers what the server handles. Whatever the server does is caused by
	// something that the client sends.
	serve func(*stage)
	// call is the client's part, which checks what comes back.
	call func(context.Context, *program) error
}

// scenarios returns all of them.
func scenarios() []scenario {
	return slices.Concat(handshakeScenarios(), callScenarios(), flowScenarios(), pushScenarios(), endScenarios())
}

func findScenario(name string) (scenario, error) {
	all := scenarios()
	i := slices.IndexFunc(all, func(sc scenario) bool { return sc.name == name })
	if i < 0 {
		return scenario{}, fmt.Errorf("there is no scenario %q: what was recorded must stay", name)
	}
	return all[i], nil
}

func (sc scenario) inForms() []packet.Form {
	if sc.forms != nil {
		return sc.forms
	}
	return []packet.Form{packet.Binary, packet.JSON}
}

// file is the name of the scenario's recordings.
func (sc scenario) file(form packet.Form) string { return sc.name + "." + form.String() + ".txt" }

// A stage is the server of a scenario.
type stage struct {
	*server.Server
	// stop shuts the server down and does not wait.
	stop func()
}

// serverTerms is what servers tell in the handshake unless a scenario says otherwise: a
// default that changes is no change of the wire.
func serverTerms() []server.Option {
	return []server.Option{
		server.WithMaxMessageSize(4 << 20), server.WithMaxOpenCalls(4096), server.WithWindow(256<<10, 4<<20),
		server.WithKeepalive(30*time.Second, 10*time.Second), server.WithResume(time.Minute, 1<<20),
	}
}

// clientTerms is what clients tell.
func clientTerms() []client.Option {
	return []client.Option{client.WithMaxMessageSize(4 << 20), client.WithMaxOpenCalls(4096), client.WithWindow(256<<10, 4<<20)}
}

// serving serves the scenario with today's server until the returned function is
// called.
func (sc scenario) serving(listener net.Listener) (stopped func() error) {
	ctx, stop := context.WithCancel(context.Background())
	srv := server.New(append(serverTerms(), sc.options...)...)
	if sc.serve != nil {
		sc.serve(&stage{srv, stop})
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	return func() error {
		stop()
		return <-served
	}
}

// record runs the scenario with today's client and today's server.
func (sc scenario) record(form packet.Form) (*recording, error) {
	r := newRecorder(sc.name, form)
	listener := packetrpctest.NewListener()
	stopped := sc.serving(listener)
	called := sc.calling(&program{form: form, dialer: listener.Dial, wrap: r.tap})
	err := errors.Join(called, stopped())
	s, broken := r.taken()
	return s, errors.Join(err, broken)
}

// replayClient plays the client of a recording to today's server.
func (sc scenario) replayClient(r *recording) error {
	listener := packetrpctest.NewListener()
	stopped := sc.serving(listener)
	p := &player{recording: r, plays: theClient, open: func(ctx context.Context) (net.Conn, error) {
		return listener.Dial(ctx, "", "")
	}}
	return errors.Join(p.run(context.Background()), stopped())
}

// replayServer plays the server of a recording to today's client.
func (sc scenario) replayServer(r *recording) error {
	listener := packetrpctest.NewListener()
	p := &player{recording: r, plays: theServer, open: func(ctx context.Context) (net.Conn, error) {
		stop := context.AfterFunc(ctx, func() { listener.Close() })
		defer stop()
		return listener.Accept()
	}}
	played := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		err := p.run(ctx)
		listener.Close() // today's client need not wait for more
		played <- err
	}()
	called := sc.calling(&program{form: r.form, dialer: listener.Dial, wrap: func(nc net.Conn) net.Conn { return nc }})
	if called != nil {
		cancel()
		listener.Close()
		called = fmt.Errorf("what the client gets: %w", called)
	}
	defer cancel()
	return errors.Join(<-played, called)
}

// callTime is how long the client's part may take.
const callTime = 5 * time.Minute

// calling runs it. Its context has no deadline, which would be seen on the wire.
func (sc scenario) calling(p *program) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(callTime, cancel).Stop()
	defer p.end()
	return sc.call(ctx, p)
}

// A program is the client of a scenario.
type program struct {
	form   packet.Form
	dialer client.Dialer
	wrap   func(net.Conn) net.Conn
	conns  []net.Conn
	ends   []func()
}

// address is not looked at.
const address = "127.0.0.1:25565"

// Dial opens the next connection.
func (p *program) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if len(p.conns) > 0 {
		time.Sleep(pause)
	}
	nc, err := p.dialer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	nc = p.wrap(nc)
	p.conns = append(p.conns, nc)
	return nc, nil
}

// connect returns a client, which ends with the scenario if it has not before.
func (p *program) connect(ctx context.Context, options ...client.Option) (*client.Client, error) {
	options = slices.Concat([]client.Option{client.WithDialer(p.Dial), client.WithName("ada")}, clientTerms(), options)
	if p.form == packet.JSON {
		options = append(options, client.WithJSON())
	}
	conn, err := client.Dial(ctx, address, options...)
	if err != nil {
		return nil, err
	}
	p.ends = append(p.ends, func() { conn.Close() })
	return conn, nil
}

// cut loses the last connection.
func (p *program) cut() { p.conns[len(p.conns)-1].Close() }

// end ends the clients one after the other.
func (p *program) end() {
	for _, end := range p.ends {
		end()
		rest()
	}
}

// rest lets both sides do whatever they have to do, acknowledging pushes included.
func rest() { time.Sleep(100 * time.Millisecond) }

// A wire is a connection of a program that knows no client package: it makes its
// packets itself.
type wire struct {
	nc     net.Conn
	form   packet.Form
	cutter *cutter
	got    []step
	token  string
}

// wire opens a connection by hand.
func (p *program) wire(ctx context.Context) (*wire, error) {
	nc, err := p.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{nc: nc, form: p.form, cutter: newCutter(len(p.conns), theServer, p.form)}, nil
}

// write sends bytes as they are.
func (w *wire) write(text string) error {
	_, err := w.nc.Write([]byte(text))
	return err
}

func (w *wire) send(packets ...*packet.Packet) error {
	for _, p := range packets {
		if _, err := w.nc.Write(packet.Append(w.form, nil, p)); err != nil {
			return err
		}
	}
	return nil
}

// next returns what the server has sent next; its end is an error.
func (w *wire) next() (step, error) {
	w.nc.SetReadDeadline(time.Now().Add(patience))
	chunk := make([]byte, 64<<10)
	for len(w.got) == 0 {
		n, err := w.nc.Read(chunk)
		steps, broken := w.cutter.feed(chunk[:n])
		w.got = append(w.got, steps...)
		if err = errors.Join(err, broken); err != nil && len(w.got) == 0 {
			return step{}, err
		}
	}
	s := w.got[0]
	w.got = w.got[1:]
	return s, nil
}

// receive returns the next packet.
func (w *wire) receive() (*packet.Packet, error) {
	s, err := w.next()
	if err != nil {
		return nil, err
	}
	return s.packet(w.form), nil
}

// closed waits until the server has ended the connection, and then does so too.
func (w *wire) closed() error {
	s, err := w.next()
	if err == nil {
		return fmt.Errorf("%s came, and the end was to", s.what)
	}
	return w.nc.Close()
}

// want checks that something is as it must be.
func want[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// wantCode checks how a call has failed.
func wantCode(err error, code packetrpc.Code) error {
	if err == nil {
		return fmt.Errorf("it succeeded, want %v", code)
	}
	if packetrpc.CodeOf(err) != code {
		return fmt.Errorf("it failed with %w, want %v", err, code)
	}
	return nil
}
