package main

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"time"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// fault is something that an implementation could do wrong: what it sends and what
// it receives is changed on the way.
type fault struct {
	// sends returns what is sent in place of a packet; nil leaves it.
	sends func(packet.Form, *packet.Packet) []*packet.Packet
	// receives changes a packet before it is received, and reports whether it is.
	receives func(packet.Form, *packet.Packet) bool
	// malformed is what becomes of a packet that is malformed.
	malformed malformedPacket
	// eager sends a packet before the handshake has been answered.
	eager bool
}

type malformedPacket int

const (
	received malformedPacket = iota
	dropped
	ends // the connection
)

// faults returns all of them by their names.
func faults() map[string]fault {
	changes := func(kinds []packet.Kind, change func(*packet.Packet)) fault {
		return fault{sends: func(_ packet.Form, p *packet.Packet) []*packet.Packet {
			if slices.Contains(kinds, p.Kind) {
				change(p)
			}
			return []*packet.Packet{p}
		}}
	}
	withholds := func(kinds ...packet.Kind) fault {
		return fault{sends: func(_ packet.Form, p *packet.Packet) []*packet.Packet {
			if slices.Contains(kinds, p.Kind) {
				return nil
			}
			return []*packet.Packet{p}
		}}
	}
	overlooks := func(kinds ...packet.Kind) fault {
		return fault{receives: func(_ packet.Form, p *packet.Packet) bool { return !slices.Contains(kinds, p.Kind) }}
	}
	misreads := func(kind packet.Kind, change func(packet.Form, *packet.Packet)) fault {
		return fault{receives: func(form packet.Form, p *packet.Packet) bool {
			if p.Kind == kind {
				change(form, p)
			}
			return true
		}}
	}
	opens := []packet.Kind{packet.KindRequest, packet.KindOneWay}
	return map[string]fault{
		"even-ids": {
			sends: func(_ packet.Form, p *packet.Packet) []*packet.Packet {
				if p.CallID >= 3 && p.CallID%2 == 1 {
					p.CallID++
				}
				return []*packet.Packet{p}
			},
			receives: func(_ packet.Form, p *packet.Packet) bool {
				if p.CallID >= 3 && p.Kind != packet.KindRequest {
					p.CallID--
				}
				return true
			},
		},
		"repeats-requests": {sends: func(_ packet.Form, p *packet.Packet) []*packet.Packet {
			if p.Kind == packet.KindRequest && p.CallID > 0 {
				return []*packet.Packet{p, p}
			}
			return []*packet.Packet{p}
		}},
		"one-way-ids":        changes([]packet.Kind{packet.KindOneWay}, func(p *packet.Packet) { p.CallID = 99 }),
		"no-token":           changes(opens, func(p *packet.Packet) { p.Token = "" }),
		"no-timeout":         changes(opens, func(p *packet.Packet) { p.Timeout = 0 }),
		"no-metadata":        changes(append(opens, packet.KindResponse), func(p *packet.Packet) { p.Metadata = packetrpc.Metadata{} }),
		"undefined-numbers":  changes(opens, undefined),
		"no-half-close":      withholds(packet.KindHalfClose),
		"no-cancel":          withholds(packet.KindCancel),
		"no-credit":          withholds(packet.KindCredit),
		"no-pong":            withholds(packet.KindPong),
		"pong-without-data":  changes([]packet.Kind{packet.KindPong}, func(p *packet.Packet) { p.Data = nil }),
		"no-refusals":        withholds(packet.KindError),
		"no-close":           withholds(packet.KindClose),
		"wrong-codes":        changes([]packet.Kind{packet.KindError}, func(p *packet.Packet) { p.Status = packetrpc.CodeDataLoss }),
		"empty-replies":      changes([]packet.Kind{packet.KindResponse}, func(p *packet.Packet) { p.Data = nil }),
		"forgets-fragments":  changes([]packet.Kind{packet.KindRequest, packet.KindMessage, packet.KindResponse}, func(p *packet.Packet) { p.More = false }),
		"overlooks-drain":    overlooks(packet.KindDrain),
		"overlooks-close":    overlooks(packet.KindClose),
		"overlooks-cancel":   overlooks(packet.KindCancel),
		"overlooks-unknown":  overlooks(packet.Kind(42), packet.KindUnknown),
		"overlooks-requests": overlooks(packet.KindRequest),
		"overlooks-pushes":   overlooks(packet.KindOneWay),
		"overlooks-messages": overlooks(packet.KindMessage),
		"loses-replies":      misreads(packet.KindResponse, func(_ packet.Form, p *packet.Packet) { loseData(p) }),
		"loses-messages":     misreads(packet.KindError, func(_ packet.Form, p *packet.Packet) { p.Message = "" }),
		"loses-details":      misreads(packet.KindError, func(_ packet.Form, p *packet.Packet) { p.Details = nil }),
		"loses-retry-after":  misreads(packet.KindError, func(_ packet.Form, p *packet.Packet) { p.RetryAfter = 0 }),
		"loses-metadata":     {receives: func(_ packet.Form, p *packet.Packet) bool { p.Metadata = packetrpc.Metadata{}; return true }},
		"one-status":         misreads(packet.KindError, func(_ packet.Form, p *packet.Packet) { p.Status = packetrpc.CodeUnknown }),
		"errors-are-replies": misreads(packet.KindError, func(_ packet.Form, p *packet.Packet) { p.Kind, p.Status, p.Data = packet.KindResponse, 0, nil }),
		"errors-end-all": misreads(packet.KindError, func(_ packet.Form, p *packet.Packet) {
			if p.Action == "" {
				p.Kind = packet.KindClose
			}
		}),
		"ignores-credit":  misreads(packet.KindResponse, changeLimits(func(l *packetrpcv1.Limits) { l.CallWindow, l.ConnectionWindow = 0, 0 })),
		"ignores-sizes":   misreads(packet.KindResponse, changeLimits(func(l *packetrpcv1.Limits) { l.MaxMessageSize = 1 << 40 })),
		"ignores-calls":   misreads(packet.KindResponse, changeLimits(func(l *packetrpcv1.Limits) { l.MaxOpenCalls = 0 })),
		"ignores-numbers": misreads(packet.KindResponse, changeLimits(func(l *packetrpcv1.Limits) { l.MaxActionNumbers = 1000 })),
		"tells-no-limits": changesHandshake(func(r *packetrpcv1.HandshakeRequest) { r.Limits = nil }),
		"no-password":     changesHandshake(func(r *packetrpcv1.HandshakeRequest) { r.Password = "" }),
		"other-version":   changesHandshake(func(r *packetrpcv1.HandshakeRequest) { r.Version = 2 }),
		"answers-itself":  misreads(packet.KindError, acceptsAll),
		"drops-malformed": {malformed: dropped},
		"ends-malformed":  {malformed: ends},
		"eager":           {eager: true},
		"none":            {}, // for the tests to see that what stands in between does nothing by itself
	}
}

// undefined takes away the name by which an action number is defined.
func undefined(p *packet.Packet) {
	if p.ActionNumber != 0 {
		p.Action = ""
	}
}

// loseData empties the replies of calls.
func loseData(p *packet.Packet) {
	if p.Action == "" {
		p.Data = nil
	}
}

// changeLimits changes the limits in the answer to the handshake.
func changeLimits(change func(*packetrpcv1.Limits)) func(packet.Form, *packet.Packet) {
	return func(form packet.Form, p *packet.Packet) {
		var answer packetrpcv1.HandshakeResponse
		if p.Action == "handShake" && packet.UnmarshalMessage(form, p.Data, &answer) == nil && answer.GetLimits() != nil {
			change(answer.GetLimits())
			p.Data, _ = packet.AppendMessage(form, nil, &answer)
		}
	}
}

// acceptsAll takes a refused handshake for one that has succeeded.
func acceptsAll(form packet.Form, p *packet.Packet) {
	if p.Action == "handShake" {
		answer := &packetrpcv1.HandshakeResponse{Status: "success", Uuid: "x", Version: packet.Version}
		p.Kind, p.Status = packet.KindResponse, 0
		p.Data, _ = packet.AppendMessage(form, nil, answer)
	}
}

func changesHandshake(change func(*packetrpcv1.HandshakeRequest)) fault {
	return fault{sends: func(form packet.Form, p *packet.Packet) []*packet.Packet {
		var request packetrpcv1.HandshakeRequest
		if p.Action == "handShake" && packet.UnmarshalMessage(form, p.Data, &request) == nil {
			change(&request)
			p.Data, _ = packet.AppendMessage(form, nil, &request)
		}
		return []*packet.Packet{p}
	}}
}

// dial connects as a client does, and puts the fault in between.
func (f fault) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &faultyConn{TCPConn: nc.(*net.TCPConn), fault: f}, nil
}

// faultyConn is a connection with a fault.
type faultyConn struct {
	*net.TCPConn
	fault fault

	mu       sync.Mutex
	form     packet.Form
	out, in  *packet.Splitter
	unsent   []byte
	unread   []byte
	readable []byte
}

// Write implements [net.Conn].
func (c *faultyConn) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsent = append(c.unsent, text...)
	var changed []byte
	first := c.out == nil
	if first {
		if rest, binary := bytes.CutPrefix(c.unsent, []byte(packet.Preface)); binary {
			c.unsent, changed = rest, []byte(packet.Preface)
		} else {
			c.form = packet.JSON
		}
		c.out, c.in = packet.NewSplitter(c.form, 64<<20), packet.NewSplitter(c.form, 64<<20)
	}
	for {
		body, n, err := c.out.Next(c.unsent)
		if n == 0 || err != nil {
			break
		}
		if p := new(packet.Packet); body != nil && packet.Parse(c.form, p, slices.Clone(body)) == nil {
			packets := []*packet.Packet{p}
			if c.fault.sends != nil {
				packets = c.fault.sends(c.form, p)
			}
			for _, p := range packets {
				changed = packet.Append(c.form, changed, p)
			}
		}
		c.unsent = c.unsent[n:]
	}
	if first && c.fault.eager {
		changed = packet.Append(c.form, changed, &packet.Packet{Kind: packet.KindPing})
	}
	if _, err := c.TCPConn.Write(changed); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Read implements [net.Conn].
func (c *faultyConn) Read(into []byte) (int, error) {
	chunk := make([]byte, 64<<10)
	for len(c.readable) == 0 {
		n, err := c.TCPConn.Read(chunk)
		c.unread = append(c.unread, chunk[:n]...)
		c.change()
		if err != nil && len(c.readable) == 0 {
			return 0, err
		}
	}
	n := copy(into, c.readable)
	c.readable = c.readable[n:]
	return n, nil
}

// change moves what has come whole to what can be read.
func (c *faultyConn) change() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.unread) > 0 {
		body, n, err := c.in.Next(c.unread)
		if err != nil {
			c.readable, c.unread = append(c.readable, c.unread...), nil
			return
		}
		if n == 0 {
			return
		}
		text := c.unread[:n]
		c.unread = c.unread[n:]
		if body != nil {
			text = c.changed(text, body)
		}
		c.readable = append(c.readable, text...)
	}
}

func (c *faultyConn) changed(text, body []byte) []byte {
	p := new(packet.Packet)
	if packet.Parse(c.form, p, slices.Clone(body)) != nil {
		switch c.fault.malformed {
		case dropped:
			return nil
		case ends:
			c.TCPConn.SetLinger(0)
			c.TCPConn.Close()
		}
		return text
	}
	if c.fault.receives == nil {
		return text
	}
	if !c.fault.receives(c.form, p) {
		return nil
	}
	return packet.Append(c.form, nil, p)
}

// SetReadDeadline implements [net.Conn].
func (c *faultyConn) SetReadDeadline(at time.Time) error { return c.TCPConn.SetReadDeadline(at) }
