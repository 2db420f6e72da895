package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/server"
)

// serving is what the options of the server process say.
type serving struct {
	address  string
	journal  string        // the file that effects and pushes are recorded in
	epoch    int           // tells apart the processes that follow each other
	resume   time.Duration // for how long sessions are kept
	grace    time.Duration // for how long a shutdown lets calls run
	interval time.Duration // between the pushes of a kind
	linger   time.Duration // how long calls take that take long, at most
}

// arguments returns the command line that makes a process serve so.
func (s serving) arguments() []string {
	return []string{"serve", "-address", s.address, "-journal", s.journal, "-epoch", fmt.Sprint(s.epoch),
		"-resume", s.resume.String(), "-grace", s.grace.String(), "-interval", s.interval.String(),
		"-linger", s.linger.String()}
}

// serve runs the server process until it is told to end by SIGTERM. Commands on its
// standard input are answered on its standard output by a line each.
func serve(arguments []string) error {
	var s serving
	flags := flag.NewFlagSet("chaos serve", flag.ExitOnError)
	flags.StringVar(&s.address, "address", "", "where to listen")
	flags.StringVar(&s.journal, "journal", "", "`file` that effects and pushes are recorded in")
	flags.IntVar(&s.epoch, "epoch", 0, "tells apart the processes that follow each other")
	flags.DurationVar(&s.resume, "resume", 0, "for how long sessions are kept")
	flags.DurationVar(&s.grace, "grace", 0, "for how long a shutdown lets calls run")
	flags.DurationVar(&s.interval, "interval", 0, "between the pushes of a kind")
	flags.DurationVar(&s.linger, "linger", 0, "how long calls take that take long, at most")
	_ = flags.Parse(arguments) // which ends the process on errors
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	journal, err := openJournal(s.journal)
	if err != nil {
		return err
	}
	defer journal.Close()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	return newTarget(s, journal).run(ctx, listener)
}

// target is the server that is put to the test.
type target struct {
	serving
	journal             *journal
	server              *server.Server
	quiet               context.Context // ends when there are to be no more pushes
	hush                context.CancelFunc
	pushers, broadcasts sync.WaitGroup
	// How many broadcasts of a kind have begun.
	group, all atomic.Int64
}

func newTarget(s serving, journal *journal) *target {
	t := &target{serving: s, journal: journal}
	t.quiet, t.hush = context.WithCancel(context.Background())
	t.server = server.New(
		server.WithResume(s.resume, 1<<20),
		server.WithGracePeriod(s.grace),
		server.WithKeepalive(500*time.Millisecond, 500*time.Millisecond),
		server.WithConnected(t.connected),
		server.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))))
	packetrpc.HandleUnary(t.server, effectSpec, t.effect)
	packetrpc.HandleUnary(t.server, echoSpec, t.echo)
	packetrpc.HandleUnary(t.server, lingerSpec, t.lingering)
	packetrpc.HandleOneWay(t.server, noteSpec, t.note)
	packetrpc.HandleBidiStream(t.server, talkSpec, t.talk)
	return t
}

// run serves until the context ends, and then shuts down.
func (t *target) run(ctx context.Context, listener net.Listener) error {
	goroutines, files := runtime.NumGoroutine(), openFiles()
	t.broadcasts.Go(func() { t.broadcast("group", &t.group, t.server.Group("room"), groupSpec) })
	t.broadcasts.Go(func() { t.broadcast("all", &t.all, t.server.All(), allSpec) })
	go t.obey(goroutines, files)
	served := make(chan error, 1)
	go func() { served <- t.server.Serve(context.Background(), listener) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		return err
	}
	err := t.shutDown()
	t.hush()
	t.broadcasts.Wait()
	t.pushers.Wait()
	if failure := <-served; err == nil && !errors.Is(failure, server.ErrServerClosed) {
		err = failure
	}
	return err
}

// shutdownLine is how the process tells how long its shutdown took.
const shutdownLine = "shutdown %d"

// shutDown shuts the server down and tells how long that took. It is no error that
// calls have outlasted the grace period.
func (t *target) shutDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.grace)
	defer cancel()
	began := time.Now()
	err := t.server.Shutdown(ctx)
	fmt.Printf(shutdownLine+"\n", time.Since(began))
	if packetrpc.CodeOf(err) == packetrpc.CodeDeadlineExceeded {
		return nil
	}
	return err
}

// obey carries out commands: quiet ends the pushes, and rest tells what is left when
// the clients are gone: sessions, and goroutines and open files beyond those of the
// beginning.
func (t *target) obey(goroutines, files int) {
	fmt.Println("ready")
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		switch commands.Text() {
		case "quiet":
			t.hush()
			t.pushers.Wait()
			fmt.Println("quiet")
		case "rest":
			sessions := t.rest()
			const own = 2 // this one, and the one that serves
			fmt.Println("rest", sessions, busyGoroutines()-goroutines-own, openFiles()-files)
		}
	}
}

// rest waits until the sessions are gone, or have had the time to go, and returns how
// many are left.
func (t *target) rest() int {
	for limit := time.Now().Add(t.resume + 5*time.Second); t.server.Count() > 0 && time.Now().Before(limit); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // for what the last ones leave behind
	return t.server.Count()
}

// effect has an effect, which is recorded before it is answered.
func (t *target) effect(ctx context.Context, in *text) (*text, error) {
	t.journal.write("effect", firstWord(in.Value))
	dawdle(ctx)
	return wrapperspb.String(replyTo(in.Value)), nil
}

func (t *target) echo(ctx context.Context, in *text) (*text, error) {
	dawdle(ctx)
	return wrapperspb.String(replyTo(in.Value)), nil
}

// lingering takes long, and records that it has begun.
func (t *target) lingering(ctx context.Context, in *text) (*text, error) {
	t.journal.write("linger", firstWord(in.Value))
	select {
	case <-time.After(rand.N(t.linger)):
		return wrapperspb.String(replyTo(in.Value)), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *target) note(_ context.Context, in *text) error {
	t.journal.write("effect", firstWord(in.Value))
	return nil
}

func (t *target) talk(_ context.Context, stream packetrpc.BidiStream[text, text]) error {
	for in, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(wrapperspb.String(replyTo(in.Value))); err != nil {
			return err
		}
	}
	return nil
}

// dawdle takes its time, now and then.
func dawdle(ctx context.Context) {
	if rand.N(20) != 0 {
		return
	}
	select {
	case <-time.After(rand.N(50 * time.Millisecond)):
	case <-ctx.Done():
	}
}

// connected says hello to a client, lets it join the group, tells which broadcasts are
// due to it from now on, and begins to push.
func (t *target) connected(peer packetrpc.Peer) {
	if t.push(peer, 0, "hello") != nil || peer.Join("room") != nil {
		return
	}
	t.push(peer, 1, fmt.Sprintf("joined %d %d", t.group.Load()+1, t.all.Load()+1))
	t.pushers.Go(func() { t.pushTo(peer) })
}

// pushTo pushes to a client until it is gone, or there are to be no more pushes, of
// which it is told.
func (t *target) pushTo(peer packetrpc.Peer) {
	n := 2
	for ; t.pause(peer.Context()); n++ {
		t.push(peer, n, padding())
	}
	t.broadcasts.Wait()
	if peer.Context().Err() == nil {
		for t.push(peer, n, fmt.Sprintf("bye %d %d", t.group.Load(), t.all.Load())) != nil && peer.Context().Err() == nil {
			n++
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// push pushes to one client: its session, the push's number in it, and what it says. A
// refusal is recorded; one whose outcome is not known as well.
func (t *target) push(peer packetrpc.Peer, n int, what string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := packetrpc.Caller(peer).CallOneWay(ctx, directSpec, wrapperspb.String(fmt.Sprintf("%d %s %d %s", t.epoch, peer.ID(), n, what)))
	if err != nil {
		t.journal.write("refused", peer.ID(), n, err)
	}
	return err
}

// broadcast pushes to an audience until there are to be no more pushes.
func (t *target) broadcast(kind string, count *atomic.Int64, audience packetrpc.Audience, spec *packetrpc.Spec) {
	for t.pause(context.Background()) {
		n := count.Add(1)
		delivery, err := audience.Broadcast(context.Background(), spec, wrapperspb.String(fmt.Sprintf("%d %d %s", t.epoch, n, padding())))
		if delivery.Refused > 0 || err != nil {
			t.journal.write("missed", kind, t.epoch, n)
		}
	}
}

// pause waits between pushes and reports whether there is to be another.
func (t *target) pause(ctx context.Context) bool {
	timer := time.NewTimer(t.interval/2 + rand.N(t.interval))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-t.quiet.Done():
	}
	return false
}

// padding is seldom long.
func padding() string {
	switch rand.N(100) {
	case 0:
		return strings.Repeat("x", 100<<10)
	case 1, 2, 3:
		return strings.Repeat("x", 8<<10)
	}
	return "x"
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// journal is a file that keeps what has been written to it when the process is killed.
type journal struct{ *os.File }

func openJournal(name string) (*journal, error) {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &journal{file}, err
}

// write appends a line, in one write. A record that is lost would void the run.
func (j *journal) write(words ...any) {
	if _, err := io.WriteString(j.File, fmt.Sprintln(words...)); err != nil {
		panic(err)
	}
}
