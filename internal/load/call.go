package load

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/packetrpc/packetrpc/runtime/client"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// caller makes calls, one after the other.
type caller struct {
	*run
	index   int
	conn    *client.Client
	ctx     context.Context // of its own, as all callers would wait for one another's lock
	timer   *time.Timer
	reply   *reply
	ended   time.Time // the last call
	lastEnd time.Time // the last one that counts
}

// repeat makes calls until no more are begun or the connection has ended.
func (c *caller) repeat() {
	for {
		t, ok := c.next()
		if !ok {
			return
		}
		o := c.begin(t)
		c.call(t.number, &o)
		o.ended = time.Now()
		c.ended = o.ended
		if t.counts {
			c.account(&o)
		}
		if c.isLost(o.err) {
			c.lost.Add(1)
			return
		}
	}
}

// isLost reports whether a call has failed because its connection ends, which it may do
// some time after it takes no more calls. Those would fail at once, as fast as they are
// made.
func (c *caller) isLost(err error) bool {
	if err == nil {
		return false
	}
	failed := packetrpc.AsError(err)
	return c.conn.Err() != nil || failed.Code == packetrpc.CodeUnavailable && !failed.Remote()
}

// timerGrain is how late the system's timers may wake a caller that was free in time.
// That is no lateness of the server's.
const timerGrain = 2 * time.Millisecond

// begin notes when a call is begun, and from when its latency counts.
func (c *caller) begin(t ticket) outcome {
	o := outcome{since: t.due, begun: t.due, late: t.late}
	if c.Rate == 0 {
		return o
	}
	o.begun = time.Now()
	o.starved = !t.late && o.begun.Sub(t.due) > timerGrain
	if !o.late && !o.starved {
		o.since = o.begun
	}
	return o
}

// account counts what has come of a call.
func (c *caller) account(o *outcome) {
	if o.err != nil && c.calling.Err() != nil {
		c.unfinished.Add(1)
		return
	}
	c.recorder.record(c.index, o)
	c.lastEnd = o.ended
}

// call makes a call, again if need be.
func (c *caller) call(number int64, o *outcome) {
	for {
		o.traffic = traffic{}
		o.err = c.attempt(number, &o.traffic)
		if o.err == nil || !c.Retry {
			return
		}
		pause := packetrpc.AsError(o.err).RetryAfter
		if pause == 0 || !c.sleep(pause) {
			return
		}
		o.retries++
	}
}

// attempt makes a call once.
func (c *caller) attempt(number int64, t *traffic) error {
	switch c.spec.Type {
	case packetrpc.Unary:
		return c.unary(number, t)
	case packetrpc.OneWay:
		return c.oneWay(number, t)
	}
	return c.stream(number, t)
}

func (c *caller) unary(number int64, t *traffic) error {
	request, err := c.Requests.at(number, 0)
	if err != nil {
		return err
	}
	t.sent.count(request.size())
	if err := c.conn.CallUnary(c.ctx, c.spec, request, c.reply); err != nil {
		c.reply = c.newReply() // the old one must not be touched any more
		return err
	}
	t.received.count(c.reply.take())
	return nil
}

func (c *caller) oneWay(number int64, t *traffic) error {
	request, err := c.Requests.at(number, 0)
	if err != nil {
		return err
	}
	t.sent.count(request.size())
	return c.conn.CallOneWay(c.ctx, c.spec, request)
}

func (c *caller) stream(number int64, t *traffic) error {
	if c.spec.Type == packetrpc.ServerStream {
		return c.download(number, t)
	}
	stream, err := c.conn.OpenStream(c.ctx, c.spec, nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	if c.spec.Type == packetrpc.ClientStream {
		if err := c.send(stream, number, &t.sent); err != nil {
			return err
		}
		return c.receive(stream, 1, &t.received)
	}
	return c.talk(stream, number, t)
}

// download makes a call with a stream of replies.
func (c *caller) download(number int64, t *traffic) error {
	request, err := c.Requests.at(number, 0)
	if err != nil {
		return err
	}
	t.sent.count(request.size())
	stream, err := c.conn.OpenStream(c.ctx, c.spec, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	return c.receive(stream, c.Messages, &t.received)
}

// talk sends and receives at the same time.
func (c *caller) talk(stream packetrpc.Stream, number int64, t *traffic) error {
	sent := make(chan error, 1)
	go func() {
		err := c.send(stream, number, &t.sent)
		if err != nil {
			stream.Close() // so that nobody waits for replies
		}
		sent <- err
	}()
	err := c.receive(stream, 0, &t.received)
	stream.Close() // so that the sender does not wait for credit
	if failed := <-sent; failed != nil {
		return failed
	}
	return err
}

// send sends the messages of a stream. When the call has ended meanwhile, that is no
// error of it: receiving tells why.
func (c *caller) send(stream packetrpc.Stream, number int64, sent *Traffic) error {
	for i := range max(c.Messages, 1) {
		request, err := c.Requests.at(number, i)
		if err != nil {
			return err
		}
		if err := stream.Send(request); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		sent.count(request.size())
	}
	if err := stream.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// receive receives so many messages, or those to the end if most is 0.
func (c *caller) receive(stream packetrpc.Stream, most int, received *Traffic) error {
	for n := 0; most == 0 || n < most; n++ {
		if err := stream.Receive(c.reply); err != nil {
			c.reply = c.newReply()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		received.count(c.reply.take())
	}
	return nil
}

func (c *caller) newReply() *reply { return &reply{Message: c.Action.NewResponse()} }
