package backcompat_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packet"
)

// A player plays one side of a recording, and compares what the other side, which is
// today's, sends with what the recording has of it.
type player struct {
	recording *recording
	plays     side
	// open dials or accepts the next connection.
	open func(context.Context) (net.Conn, error)

	links []*link
	names names
}

// pause is how long a client takes until it connects again.
const pause = time.Second

// run goes through the recording. It waits only for what is next to come, so it ends when
// today's side does something else.
func (p *player) run(ctx context.Context) error {
	defer p.close()
	for i, s := range p.recording.steps {
		err := p.do(ctx, s, p.recording.steps[i+1:])
		if err != nil {
			return fmt.Errorf("step %d, %s of the %v on connection %d: %w", i+1, p.recording.describe(s), s.from, s.conn, err)
		}
	}
	return p.nothingMore()
}

// close ends the connections, and with them their readers.
func (p *player) close() {
	for _, l := range p.links {
		l.nc.Close()
		for range l.got { // until the reader has returned
		}
	}
}

func (p *player) do(ctx context.Context, s step, later []step) error {
	l, err := p.link(ctx, s.conn)
	switch {
	case err != nil:
		return err
	case s.from != p.plays:
		return p.expect(ctx, l, s, later)
	}
	return l.play(ctx, p.names.forServer(p.recording.form, s))
}

// link returns a connection, which it opens where that is the next one.
func (p *player) link(ctx context.Context, conn int) (*link, error) {
	if conn <= len(p.links) {
		return p.links[conn-1], nil
	}
	if p.plays == theClient && len(p.links) > 0 {
		time.Sleep(pause)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNothing)
	defer cancel()
	nc, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	l := newLink(nc, p.recording.form, p.plays)
	go l.read(conn)
	p.links = append(p.links, l)
	return l, nil
}

// expect waits for what today's side is to send, and compares it.
func (p *player) expect(ctx context.Context, l *link, want step, later []step) error {
	form := p.recording.form
	switch was := want.packet(form); {
	case was.Kind == packet.KindCredit:
		return nil
	case was.Kind == packet.KindAck:
		if acknowledgesMore(form, want, later) {
			return nil
		}
		return l.acknowledged(ctx, was.Acknowledged)
	case want.ends() && l.over:
		return nil // its closing, after its end
	}
	got, err := l.next(ctx)
	if err != nil {
		return err
	}
	p.names.learn(form, want, got)
	return p.compare(want, p.names.asRecorded(form, got))
}

// acknowledgesMore reports whether a side goes on to acknowledge pushes on the same
// connection.
func acknowledgesMore(form packet.Form, s step, later []step) bool {
	return slices.ContainsFunc(later, func(other step) bool {
		return other.conn == s.conn && other.from == s.from && other.packet(form).Kind == packet.KindAck
	})
}

func (p *player) compare(want, got step) error {
	if want.what != got.what && !(want.ends() && got.ends()) {
		return fmt.Errorf("in its place came %s", p.recording.describe(got))
	}
	switch want.what {
	case aPreface:
		if !bytes.Equal(want.raw, got.raw) {
			return fmt.Errorf("the preface was % x and is % x", want.raw, got.raw)
		}
	case aPacket:
		form := p.recording.form
		if diff := difference(form, want.body(form), got.body(form)); diff != "" {
			return fmt.Errorf("%s came: %s", p.recording.describe(got), diff)
		}
	}
	return nil
}

// nothingMore fails when today's side has sent something that was not recorded, on a
// connection that was not closed on it.
func (p *player) nothingMore() error {
	time.Sleep(pause)
	for i, l := range p.links {
		for len(l.got) > 0 {
			l.file(<-l.got)
		}
		for _, s := range l.queue {
			if !s.ends() {
				return fmt.Errorf("after the last step came %s on connection %d, which was not recorded", p.recording.describe(s), i+1)
			}
		}
	}
	return nil
}

// describe tells what a step is.
func (s *recording) describe(step step) string {
	if step.what != aPacket {
		return step.what
	}
	return fmt.Sprint(step.packet(s.form))
}
