package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// The kinds of calls.
const (
	effectKind = "effect"
	echoKind   = "echo"
	noteKind   = "note"
	talkKind   = "talk"
	lingerKind = "linger"
)

// habits is how users call.
type habits struct {
	// span returns for how long a call is waited for.
	span func() time.Duration
	// strict: neither idempotent calls nor streams may fail; streams that have not been
	// sent are opened again. There are calls that take long, too.
	strict bool
}

// user is a client that makes calls of every kind and listens to pushes.
type user struct {
	habits
	index   int
	history *history
	client  *client.Client
	calling sync.WaitGroup

	mu      sync.Mutex
	pushes  []push
	told    int    // how often the client has said that its session does not go on
	resumed int    // how often it does
	gapped  uint64 // pushes that the client has reported as lost
	session string // of the last hello
	parted  string // of the last bye
}

// push is a push that has arrived.
type push struct {
	kind       string
	epoch      int
	session    string // of direct ones
	n          int64
	what       string // of direct ones
	group, all int64  // what joined and bye tell of
}

// newUser connects a client to the first of some addresses, any of which will do.
func newUser(ctx context.Context, index int, how habits, h *history, addresses ...string) (*user, error) {
	u := &user{habits: how, index: index, history: h}
	handlers := new(packetrpc.Handlers)
	packetrpc.HandleOneWay(handlers, directSpec, u.receive("direct"))
	packetrpc.HandleOneWay(handlers, groupSpec, u.receive("group"))
	packetrpc.HandleOneWay(handlers, allSpec, u.receive("all"))
	var err error
	u.client, err = client.Dial(ctx, addresses[0],
		client.WithAddresses(addresses[1:]...),
		client.WithName(fmt.Sprint("user", index)),
		client.WithHandlers(handlers),
		client.WithReconnectPauses(10*time.Millisecond, 300*time.Millisecond),
		client.WithStateHook(u.changed),
		client.WithGapHook(u.gap))
	return u, err
}

func (u *user) receive(kind string) func(context.Context, *text) error {
	return func(_ context.Context, in *text) error {
		p, value := push{kind: kind}, in.Value[:min(len(in.Value), 200)] // the rest is padding
		var err error
		if kind == "direct" {
			_, err = fmt.Sscan(value, &p.epoch, &p.session, &p.n, &p.what)
			if err == nil && (p.what == "joined" || p.what == "bye") {
				_, err = fmt.Sscan(value, &p.epoch, &p.session, &p.n, &p.what, &p.group, &p.all)
			}
		} else {
			_, err = fmt.Sscan(value, &p.epoch, &p.n)
		}
		if err != nil {
			u.history.complain("user %d has received a push that it cannot read: %v", u.index, err)
		}
		if len(p.what) > 10 {
			p.what = "x"
		}
		if rand.N(50) == 0 {
			time.Sleep(rand.N(30 * time.Millisecond))
		}
		u.history.note("push", u.index, kind, p.epoch, p.session, p.n, p.what, p.group, p.all)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.pushes = append(u.pushes, p)
		switch p.what {
		case "hello":
			u.session = p.session
		case "bye":
			u.parted = p.session
		}
		return nil
	}
}

// changed is the client's state hook.
func (u *user) changed(s client.State) {
	u.history.note("state", u.index, s.Phase, s.ID, "resumed", s.Resumed, shorten(s.Err))
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case s.Phase == client.PhaseReady && s.Resumed:
		u.resumed++
	case s.Phase == client.PhaseReady && s.Err != nil:
		u.told++
	}
}

// gap is the client's gap hook.
func (u *user) gap(first, last uint64) {
	u.history.note("gap", u.index, first, last)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gapped += last - first + 1
}

// call makes calls until the context ends.
func (u *user) call(ctx context.Context, callers int) {
	kinds := []struct {
		name  string
		many  int
		pause time.Duration
		make  func(context.Context, string) (wrong string, err error)
	}{
		{effectKind, callers, 0, u.unary(effectSpec)},
		{echoKind, callers, 0, u.unary(echoSpec)},
		{noteKind, 1, time.Millisecond, u.note},
		{talkKind, 1, 0, u.converse},
		{lingerKind, u.lingerers(callers), 0, u.unary(lingerSpec)},
	}
	caller := 0
	for _, kind := range kinds {
		for range kind.many {
			caller++
			first := uint64(u.index)<<48 | uint64(caller)<<40
			if kind.name == noteKind {
				first |= noteBit
			}
			u.calling.Go(func() {
				for n := first; ctx.Err() == nil; n++ {
					err := u.one(kind.name, n, kind.make)
					if kind.pause > 0 || err != nil {
						time.Sleep(max(kind.pause, time.Millisecond))
					}
				}
			})
		}
	}
}

// lingerers returns how many make calls that take long.
func (u *user) lingerers(callers int) int {
	if u.strict {
		return callers
	}
	return 0
}

// one makes one call and records it.
func (u *user) one(kind string, id uint64, make func(context.Context, string) (string, error)) error {
	c := call{kind: kind, id: id, began: time.Now()}
	c.deadline = c.began.Add(u.span())
	ctx, cancel := context.WithDeadline(context.Background(), c.deadline)
	defer cancel()
	c.wrong, c.err = make(ctx, request(id))
	u.history.record(c)
	if u.strict && c.err != nil && (idempotent(kind) || kind == talkKind) {
		u.history.complain("call %d (%s) has failed: %v", id, kind, c.err)
	}
	return c.err
}

// idempotent reports whether calls of a kind are made again by the client as often as
// it takes.
func idempotent(kind string) bool { return kind == echoKind || kind == lingerKind }

// request returns what is sent: the id and something, which is seldom long.
func request(id uint64) string {
	size := 1 + rand.N(100)
	switch rand.N(1000) {
	case 0:
		size = rand.N(300 << 10)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		size = rand.N(16 << 10)
	}
	return fmt.Sprint(id, " ", strings.Repeat("y", size))
}

func (u *user) unary(spec *packetrpc.Spec) func(context.Context, string) (string, error) {
	return func(ctx context.Context, request string) (string, error) {
		reply, err := packetrpc.CallUnary[text](ctx, u.client, spec, wrapperspb.String(request))
		return compare(request, reply, err), err
	}
}

func (u *user) note(ctx context.Context, request string) (string, error) {
	return "", u.client.CallOneWay(ctx, noteSpec, wrapperspb.String(request))
}

// converse talks, and does so again when a draining server has turned the stream away:
// the client itself cannot know which messages it would have to send again.
func (u *user) converse(ctx context.Context, request string) (wrong string, err error) {
	wrong, err = u.talk(ctx, request)
	for u.strict && verdictOf(err) == notSent && ctx.Err() == nil {
		wrong, err = u.talk(ctx, request)
	}
	return wrong, err
}

// talk sends some messages, and wants a reply to each before the end.
func (u *user) talk(ctx context.Context, request string) (wrong string, err error) {
	stream, err := packetrpc.CallBidiStream[text, text](ctx, u.client, talkSpec)
	if err != nil {
		return "", err
	}
	const many = 10
	sent := make(chan error, 1)
	go func() {
		for i := range many {
			if err := stream.Send(wrapperspb.String(fmt.Sprint(i, " ", request))); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for i := 0; wrong == ""; i++ {
		reply, err := stream.Receive()
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			<-sent
			return "", err
		case err != nil && i < many:
			wrong = fmt.Sprintf("the stream has ended well after %d replies", i)
		case err != nil:
			return "", <-sent
		default:
			wrong = compare(fmt.Sprint(i, " ", request), reply, nil)
		}
	}
	return wrong, nil
}

func compare(request string, reply *text, err error) string {
	if err == nil && reply.GetValue() != replyTo(request) {
		return fmt.Sprintf("the reply is %.80q and should be %.80q", reply.GetValue(), replyTo(request))
	}
	return ""
}

// awaitBye waits until the session that the client is in has said good-bye.
func (u *user) awaitBye(limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		u.mu.Lock()
		done := u.parted == u.client.ID() && u.parted != ""
		u.mu.Unlock()
		if done {
			return true
		}
	}
	return false
}
