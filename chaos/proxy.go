package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// weather is what the proxy does to what passes through it. The zero value does
// nothing.
type weather struct {
	latency, jitter time.Duration // of each piece that is read
	slice           int           // bytes per write; 0 is any number
	bandwidth       int           // bytes per second in each direction of a link; 0 is any number
}

// proxy forwards connections to a server and breaks them in the ways that networks do.
// Its methods may be called concurrently.
type proxy struct {
	listener net.Listener
	to       string // the server's address
	weather  atomic.Pointer[weather]
	down     atomic.Bool // connections are reset as they come
	running  sync.WaitGroup

	mu    sync.Mutex
	links []*link // those that are not closed, the oldest first
}

// newProxy listens on a port of its own and forwards to an address.
func newProxy(to string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, to: to}
	p.weather.Store(&weather{})
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// close closes everything and waits until nothing of the proxy runs.
func (p *proxy) close() {
	p.down.Store(true)
	p.listener.Close()
	p.reset(-1)
	p.running.Wait()
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.forward(near) })
	}
}

// forward joins a connection to one to the server until either ends.
func (p *proxy) forward(near net.Conn) {
	if p.down.Load() {
		abort(near)
		return
	}
	far, err := net.DialTimeout("tcp", p.to, time.Second)
	if err != nil {
		abort(near)
		return
	}
	l := &link{near: near, far: far}
	l.life, l.end = context.WithCancel(context.Background())
	p.mu.Lock()
	p.links = append(p.links, l)
	p.mu.Unlock()
	if p.down.Load() {
		l.reset()
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, near, far, &l.upFrozen) })
	pumps.Go(func() { p.pump(l, far, near, &l.downFrozen) })
	pumps.Wait()
	l.end()
	near.Close()
	far.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.links {
		if other == l {
			p.links = append(p.links[:i], p.links[i+1:]...)
			return
		}
	}
}

// pieceSize is how much is read at once, and what latency delays.
const pieceSize = 16 << 10

// pump copies one direction of a link, and passes its end on.
func (p *proxy) pump(l *link, from, to net.Conn, frozen *atomic.Bool) {
	piece := make([]byte, pieceSize)
	for {
		n, err := from.Read(piece)
		if frozen.Load() {
			<-l.life.Done() // neither bytes nor the end get through any more
			return
		}
		if n > 0 && !p.pass(l, to, piece[:n]) {
			l.reset()
			return
		}
		switch err {
		case nil:
		case io.EOF:
			to.(*net.TCPConn).CloseWrite()
			return
		default:
			if l.deserted.Load() {
				<-l.life.Done()
			}
			l.reset()
			return
		}
	}
}

// pass writes a piece as the weather is, and reports whether that went well.
func (p *proxy) pass(l *link, to net.Conn, piece []byte) bool {
	w := *p.weather.Load()
	if w.latency+w.jitter > 0 && !l.sleep(w.latency+rand.N(w.jitter+1)) {
		return false
	}
	for len(piece) > 0 {
		n := len(piece)
		if w.bandwidth > 0 {
			n = min(n, max(1, w.bandwidth/100))
		}
		if w.slice > 0 {
			n = min(n, w.slice)
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return false
		}
		piece = piece[n:]
		if w.bandwidth > 0 && !l.sleep(time.Duration(n)*time.Second/time.Duration(w.bandwidth)) {
			return false
		}
	}
	return true
}

// pick calls f with a link: the n-th modulo their number, or all if n is negative. It
// returns for how many it did.
func (p *proxy) pick(n int, f func(*link)) int {
	p.mu.Lock()
	links := append([]*link(nil), p.links...)
	p.mu.Unlock()
	if n >= 0 && len(links) > 0 {
		links = links[n%len(links):][:1]
	}
	for _, l := range links {
		f(l)
	}
	return len(links)
}

// reset closes a link, or all if n is negative, such that both sides see a reset.
func (p *proxy) reset(n int) int { return p.pick(n, (*link).reset) }

// halfOpen cuts a link without closing it: in the direction to the server, back, or
// both. It is reset after a while, as some router does at last.
func (p *proxy) halfOpen(n int, up, down bool, after time.Duration) int {
	return p.pick(n, func(l *link) {
		l.upFrozen.Store(l.upFrozen.Load() || up)
		l.downFrozen.Store(l.downFrozen.Load() || down)
		p.running.Go(func() {
			l.sleep(after)
			l.reset()
		})
	})
}

// desert resets the client's side of a link only. What the client has sent before still
// gets to the server, perhaps after what it sends over its next connection, and the
// server does not learn that the client has gone, until the link is reset after a while.
func (p *proxy) desert(n int, after time.Duration) int {
	return p.pick(n, func(l *link) {
		l.deserted.Store(true)
		abort(l.near)
		p.running.Go(func() {
			l.sleep(after)
			l.reset()
		})
	})
}

// link is a connection through the proxy.
type link struct {
	near, far            net.Conn
	upFrozen, downFrozen atomic.Bool
	deserted             atomic.Bool
	life                 context.Context // ends when the link is reset
	end                  context.CancelFunc
}

func (l *link) reset() {
	l.end()
	abort(l.near)
	abort(l.far)
}

// sleep waits and reports whether the link lives.
func (l *link) sleep(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.life.Done():
		return false
	}
}

// abort closes a connection by a reset: what waits to be sent is dropped.
func abort(nc net.Conn) {
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}
