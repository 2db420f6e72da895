package server

import (
	"net"
	"net/netip"
	"sync"

	"github.com/packetrpc/packetrpc/runtime/internal/setup"
)

// halfOpen counts the connections that have no handshake yet.
type halfOpen struct {
	perAddress, inAll int // the limits

	mu       sync.Mutex
	total    int
	byOrigin map[netip.Prefix]int // none of them is 0
}

// originOf returns where a connection comes from, for counting: an IPv4 address,
// the /64 network of an IPv6 one, which one machine may have all of, or the zero
// prefix for addresses of another kind.
func originOf(addr net.Addr) netip.Prefix {
	ip, ok := setup.IP(addr)
	if !ok {
		return netip.Prefix{}
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	origin, _ := ip.WithZone("").Prefix(bits)
	return origin
}

// enter counts one more connection, unless there are too many.
func (h *halfOpen) enter(origin netip.Prefix) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= h.inAll || origin.IsValid() && h.byOrigin[origin] >= h.perAddress {
		return false
	}
	h.total++
	if origin.IsValid() {
		if h.byOrigin == nil {
			h.byOrigin = make(map[netip.Prefix]int)
		}
		h.byOrigin[origin]++
	}
	return true
}

func (h *halfOpen) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

// leave counts one less.
func (h *halfOpen) leave(origin netip.Prefix) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total--
	if !origin.IsValid() {
		return
	}
	if h.byOrigin[origin]--; h.byOrigin[origin] == 0 {
		delete(h.byOrigin, origin)
	}
}
