//go:build linux

package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// hostile is a row of the table: what somebody does who means ill or makes a mistake,
// and what that one is told.
type hostile struct {
	name   string
	at     place
	attack func(a *attacker) said
	want   said // its text is a part of what is said

	// memory is by how many bytes the heap may become larger meanwhile, garbage
	// included, which the attacker's own is part of; 0 is 16 MiB.
	memory uint64
	// shutsOut: nobody else gets a connection while the attack is under way. Who has
	// one is served nevertheless, and who comes afterwards.
	shutsOut bool
}

// said is what somebody hears: the status of an error packet and its message, or one
// of the words below. The text of what is no error is not looked at.
type said struct{ status, text string }

const (
	answered = "response" // nothing is wrong
	refused  = "refused"  // a line for a person, before the form is known
	closed   = "close"    // a close packet with a reason, or the end
	logged   = "logged"   // the server's log has it; the attacker only sees the end
	alerted  = "alert"    // TLS has told
)

const usualMemory = 16 << 20

// secretNumber is a secret that has the wrong type.
const secretNumber = "7355608"

// The attackers have addresses of their own, which only Linux gives them without being
// asked to: hence the build constraint of these files.

// Each of the hostile inputs gets a clear error, takes bounded memory, runs nothing
// that it should not, and leaves nothing behind; clients that were there before and
// such as come meanwhile are served.
func TestHostileInputs(t *testing.T) {
	places := openPlaces(t)
	count := 0
	for _, rows := range [][]hostile{
		beforeHandshake(), tlsRows(), credentialRows(), sealedHandshakes(),
		tokenRows(), roleRows(), jsonRows(), kindRows(),
		sizeRows(), floodRows(), sealedRows(),
		keyFileRows(), otherFileRows(),
	} {
		for _, row := range rows {
			count++
			from := net.IPv4(127, 1, byte(count>>8)+1, byte(count))
			t.Run(row.name, func(t *testing.T) {
				row.run(&attacker{T: t, stage: places[row.at], from: from})
			})
		}
	}
	if count < 60 {
		t.Errorf("the table has %d rows", count)
	}
	for _, s := range places {
		s.checkGuard(t)
	}
}

func (h hostile) run(a *attacker) {
	defer a.leave()
	heap := watchHeap()
	defer heap.stop()
	served := a.stage.serveMeanwhile(!h.shutsOut)
	defer served.stop()

	got := h.attack(a)
	if got.status != h.want.status || !strings.Contains(got.text, h.want.text) {
		a.Errorf("got  %s: %s\nwant %s: %s", got.status, got.text, h.want.status, h.want.text)
	}
	if strings.Contains(got.text, "secret") || strings.Contains(got.text, secretNumber) {
		a.Errorf("a secret is shown: %s", got.text)
	}
	if !h.shutsOut { // and now that all the attacker's connections are there
		if err := a.stage.visit(a.Context()); err != nil {
			a.Errorf("a client that comes is not served: %v", err)
		}
	}
	if err := served.stop(); err != nil {
		a.Errorf("a client is not served: %v", err)
	}
	if grown, most := heap.stop(), max(h.memory, usualMemory); grown > most {
		a.Errorf("the heap has grown by %d KiB, and may by %d", grown>>10, most>>10)
	}
	a.leave()
	a.stage.awaitCalm(a.T)
	if h.shutsOut {
		a.stage.awaitService(a.T)
	}
	if n := a.stage.guard.Load(); n != 0 {
		a.Errorf("guarded handlers have run %d times", n)
	}
}

// attacker is who does what a row says, from an address of its own.
type attacker struct {
	*testing.T
	*stage
	from net.IP
	conn []net.Conn
}

// connect makes a connection from the attacker's address.
func (a *attacker) connect() *raw { return a.connectFrom(a.from) }

func (a *attacker) connectFrom(ip net.IP) *raw {
	a.Helper()
	nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}).DialContext(within(a.T), "tcp", a.address)
	if err != nil {
		a.Fatal(err)
	}
	a.conn = append(a.conn, nc)
	nc.SetDeadline(time.Now().Add(3 * patience))
	return &raw{a.T, nc, bufio.NewReader(nc)}
}

// leave closes the attacker's connections.
func (a *attacker) leave() {
	for _, nc := range a.conn {
		nc.Close()
	}
}

// errorSaid returns what an error of the API says.
func errorSaid(err error) said {
	if err == nil {
		return said{answered, ""}
	}
	coded := packetrpc.AsError(err)
	return said{coded.Code.String(), coded.Message}
}

// heap watches how large the heap becomes.
type heap struct {
	before uint64
	end    chan struct{}
	most   chan uint64
}

func watchHeap() *heap {
	runtime.GC()
	h := &heap{before: heapSize(), end: make(chan struct{}), most: make(chan uint64, 1)}
	go func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for most := h.before; ; most = max(most, heapSize()) {
			select {
			case <-ticker.C:
			case <-h.end:
				h.most <- most
				return
			}
		}
	}()
	return h
}

// stop returns by how much the heap was larger than in the beginning; once.
func (h *heap) stop() uint64 {
	select {
	case <-h.end:
		return 0
	default:
		close(h.end)
		return <-h.most - h.before
	}
}

// heapSize returns how many bytes objects take, garbage included.
func heapSize() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// service is the healthy clients of a stage, served while an attack is under way.
type service struct {
	end  context.CancelFunc
	over chan error // both ends
	err  error
	done bool
}

// serveMeanwhile makes the client that has been there for long call all the time, and
// another one come, if somebody can.
func (s *stage) serveMeanwhile(someoneComes bool) *service {
	ctx, end := context.WithCancel(context.Background())
	meanwhile := &service{end: end, over: make(chan error, 2)}
	go func() { meanwhile.over <- s.callAllTheTime(ctx) }()
	go func() {
		var err error
		if someoneComes {
			err = s.visit(context.Background())
		}
		meanwhile.over <- err
	}()
	return meanwhile
}

// stop returns what went wrong.
func (m *service) stop() error {
	if !m.done {
		m.end()
		m.done, m.err = true, errors.Join(<-m.over, <-m.over)
	}
	return m.err
}

// callAllTheTime calls until ctx ends, and at least once.
func (s *stage) callAllTheTime(ctx context.Context) error {
	ticker := time.NewTicker(time.Millisecond) // others need the processors, too
	defer ticker.Stop()
	for i := 0; ; i++ {
		if err := callOnce(context.Background(), s.steady, i); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func callOnce(ctx context.Context, c *client.Client, i int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text := fmt.Sprint("healthy ", i)
	if got, err := echo(ctx, c, text); err != nil || got != text {
		return fmt.Errorf("call %d is answered by %q, %w", i, got, err)
	}
	return nil
}

// visit is a client that comes, calls and goes.
func (s *stage) visit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := client.Dial(ctx, s.address, s.healthy...)
	if err != nil {
		return err
	}
	defer c.Close()
	return callOnce(ctx, c, 0)
}
