package conn_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/packetrpc/packetrpc/runtime/conn"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// resumed is a session whose connections are cut and replaced. The accepting side
// pushes, the dialled one handles.
type resumed struct {
	t        *testing.T
	over     link
	workers  *conn.Workers
	pushes   *conn.Pushes
	received *conn.Received
	handlers packetrpc.Handlers
	pusher   *conn.Conn
	handler  *conn.Conn

	mu   sync.Mutex
	got  []int
	gaps [][2]uint64
}

func newResumed(t *testing.T, over link, limit int) *resumed {
	checkLeaks(t)
	r := &resumed{t: t, over: over, workers: conn.NewWorkers(), pushes: conn.NewPushes(conn.PushesConfig{Limit: limit, Resumable: true})}
	r.forget()
	packetrpc.HandleOneWay(&r.handlers, note, func(_ context.Context, in *text) error {
		value, _, _ := strings.Cut(in.Value, " ")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, n)
		return nil
	})
	t.Cleanup(func() {
		r.end()
		r.workers.Close()
	})
	return r
}

// forget lets the receiver know nothing of what has been pushed.
func (r *resumed) forget() {
	r.received = conn.NewReceived(func(first, last uint64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.gaps = append(r.gaps, [2]uint64{first, last})
	})
}

// connect resumes the session over a new connection.
func (r *resumed) connect() {
	r.prepare()
	r.handler.Start()
	r.pusher.Start()
}

// prepare is connect without starting the connection.
func (r *resumed) prepare() {
	dialled, accepted := r.over.open(r.t)
	r.received.Restart()
	r.pushes.Resume(r.received.Handled())
	config := conn.Config{Token: "secret", Local: conn.DefaultLimits(), Remote: conn.DefaultLimits(),
		Workers: r.workers, Logger: slog.New(slog.DiscardHandler)}
	config.Local.CallWindow, config.Remote.CallWindow = 10_000, 10_000
	pusher, handler := config, config
	pusher.Pushes = r.pushes
	handler.Dialled, handler.Received, handler.Handlers = true, r.received, &r.handlers
	r.pusher, r.handler = newConn(accepted, pusher), newConn(dialled, handler)
}

// end cuts the connection and waits until nothing of it is left.
func (r *resumed) end() {
	if r.pusher == nil {
		return
	}
	r.handler.Close("")
	r.pusher.Close("")
	r.handler.Wait()
	r.pusher.Wait()
}

// push pushes a number, in one of several ways and sizes.
func (r *resumed) push(c *conn.Conn, n int, rng *rand.Rand) error {
	value := strconv.Itoa(n) + " "
	switch rng.IntN(10) {
	case 0:
		value += strings.Repeat("x", 5_000)
	case 1:
		value += strings.Repeat("x", 150_000) // in fragments
	}
	if rng.IntN(2) == 0 {
		for !c.Push(conn.NewShared(note, wrapperspb.String(value))) {
			if c.Context().Err() != nil {
				return context.Cause(c.Context())
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	return c.CallOneWay(timeout(r.t), note, wrapperspb.String(value))
}

// A push that comes by an earlier connection, when the next one has caught up, is sent
// over that one, and in its turn.
func TestPushOverAnEarlierConnection(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			r := newResumed(t, over, 1<<20)
			r.connect()
			earlier := r.pusher
			r.end()
			r.connect()
			for n, c := range []*conn.Conn{r.pusher, earlier, r.pusher, earlier, earlier} {
				if err := c.CallOneWay(timeout(t), note, wrapperspb.String(strconv.Itoa(n))); err != nil {
					t.Fatal(err)
				}
			}
			for deadline := time.Now().Add(patience); time.Now().Before(deadline) && r.received.Handled() < 5; {
				time.Sleep(time.Millisecond)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if want := []int{0, 1, 2, 3, 4}; !slices.Equal(r.got, want) || len(r.gaps) > 0 {
				t.Errorf("pushes %v came, with the gaps %v, and should be %v", r.got, r.gaps, want)
			}
		})
	}
}

// A connection that is started when the next one has taken the session over does not take
// the pushes back.
func TestStartedTooLate(t *testing.T) {
	r := newResumed(t, overBinary, 1<<20)
	r.prepare()
	late := r.pusher
	late.Lose("the session goes on over another connection")
	r.handler.Start()
	r.handler.Wait()
	r.connect()
	late.Start()
	late.Wait()
	if err := r.pusher.CallOneWay(timeout(t), note, wrapperspb.String("0")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); r.received.Handled() < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the push does not come")
		}
	}
}

// Pushes arrive once and in order although the connections are cut again and again,
// while pushes go on. One that fails was not sent.
func TestPushesOutliveConnections(t *testing.T) {
	for _, over := range links() {
		t.Run(over.String(), func(t *testing.T) {
			r := newResumed(t, over, 64<<20)
			rng := rand.New(rand.NewPCG(1, uint64(over)))
			const all = 600
			n := 0
			for n < all {
				r.connect()
				stop := time.After(time.Duration(rng.IntN(20)) * time.Millisecond)
				for open := true; open && n < all; {
					if err := r.push(r.pusher, n, rng); err != nil {
						if packetrpc.AsError(err).Outcome != packetrpc.OutcomeNotSent {
							t.Fatalf("push %d: %v", n, err)
						}
						break
					}
					n++
					select {
					case <-stop:
						open = false
					default:
					}
				}
				r.end()
				for range 3 { // while nobody is there
					if r.push(r.pusher, n, rng) == nil {
						n++
					}
				}
			}
			r.connect()
			deadline := time.Now().Add(patience)
			for time.Now().Before(deadline) && r.received.Handled() < uint64(n) {
				time.Sleep(time.Millisecond)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.gaps) > 0 {
				t.Errorf("there are gaps: %v", r.gaps)
			}
			for i, got := range r.got {
				if got != i {
					t.Fatalf("push %d came in place of push %d (of %d)", got, i, n)
				}
			}
			if len(r.got) != n {
				t.Fatalf("%d pushes came of %d", len(r.got), n)
			}
		})
	}
}

// A session that ends as its pushes are not taken is over at once: it does not go on over
// another connection that comes just then.
func TestSlowSessionDoesNotGoOn(t *testing.T) {
	r := newResumed(t, overBinary, 0)
	r.pushes = conn.NewPushes(conn.PushesConfig{Limit: 100_000, Resumable: true, Slow: conn.SlowDisconnect})
	r.connect()
	r.mu.Lock() // which the handler of the first push waits for
	var err error
	for n := 0; err == nil && n < 10_000; n++ {
		err = r.pusher.CallOneWay(timeout(t), note, wrapperspb.String(fmt.Sprint(n, strings.Repeat(" ", 1000))))
	}
	goesOn := r.pushes.Resume(0)
	r.mu.Unlock()
	if packetrpc.CodeOf(err) != packetrpc.CodeResourceExhausted {
		t.Fatalf("the last push: %v", err)
	}
	if goesOn {
		t.Error("the session goes on")
	}
	receive(t, r.pusher.Context().Done())
	if r.pusher.Lost() {
		t.Error("the connection is lost, and was ended")
	}
}

// What is not kept is a gap, which the receiver is told of, and a sender that fills
// what is kept for a side that is away is refused.
func TestPushesThatAreNotKept(t *testing.T) {
	r := newResumed(t, overBinary, 100_000)
	r.connect()
	r.end()
	kept := 0
	for ; kept < 10_000; kept++ {
		err := r.pusher.CallOneWay(timeout(t), note, wrapperspb.String(strconv.Itoa(kept)))
		if packetrpc.CodeOf(err) == packetrpc.CodeResourceExhausted {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if kept < 100 || kept == 10_000 {
		t.Fatalf("%d pushes were kept", kept)
	}
	if r.pusher.Push(conn.NewShared(note, wrapperspb.String("one more"))) {
		t.Error("a broadcast found room")
	}
	r.connect()
	for r.received.Handled() < uint64(kept) {
		time.Sleep(time.Millisecond)
	}
	r.mu.Lock()
	got := len(r.got)
	r.mu.Unlock()
	if got != kept {
		t.Errorf("%d pushes came of %d", got, kept)
	}

	// Now the receiver has lost its memory of the beginning, and the sender keeps none.
	for deadline := time.Now().Add(patience); r.pushes.Kept() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	r.end()
	r.forget()
	r.connect()
	if err := r.pusher.CallOneWay(timeout(t), note, wrapperspb.String("0")); err != nil {
		t.Fatal(err)
	}
	for r.received.Handled() <= uint64(kept) {
		time.Sleep(time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gaps) != 1 || r.gaps[0] != [2]uint64{1, uint64(kept)} {
		t.Errorf("told of the gaps %v, want 1 to %d", r.gaps, kept)
	}
}
