package access

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Addresses bound what the clients of one address have. This machine's own are not
// counted. Of an IPv6 address only the first half counts, because whoever has one
// has all addresses of the other half.
type Addresses struct {
	// Set once.
	max   int  // connections; 0: no limit
	rate  Rate // of new ones
	began time.Time

	mu    sync.Mutex
	known map[netip.Prefix]*usage
	sweep int // when so many are known, those that have nothing are forgotten
}

// A usage is what one address has.
type usage struct {
	connections int
	spent       Spent // of the rate of new ones
}

// leastSweep is how many addresses are remembered in any case.
const leastSweep = 1024

// NewAddresses allows each address that many connections, and new ones at that
// rate. Zero means that there is no limit.
func NewAddresses(max int, rate Rate) *Addresses {
	return &Addresses{max: max, rate: rate, began: time.Now(), known: make(map[netip.Prefix]*usage), sweep: leastSweep}
}

// An Entry is whether a new connection may come in.
type Entry int

const (
	Welcome Entry = iota
	TooMany       // the address has as many as it may have
	TooFast       // they come too fast
)

// Enter counts a new connection. If it is welcome, Leave must follow.
func (a *Addresses) Enter(from netip.Addr) Entry {
	network, counts := a.network(from)
	if !counts {
		return Welcome
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Since(a.began)
	u := a.known[network]
	if u == nil {
		a.forget(now)
		u = new(usage)
		a.known[network] = u
	}
	switch {
	case a.max > 0 && u.connections >= a.max:
		return TooMany
	case a.rate > 0 && u.spent.Wait(now) > 0:
		return TooFast
	}
	u.spent.Spend(now, 1, a.rate)
	u.connections++
	return Welcome
}

// Leave notes that a connection has ended.
func (a *Addresses) Leave(from netip.Addr) {
	network, counts := a.network(from)
	if !counts {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.known[network]
	if u.connections--; u.idle(time.Since(a.began)) {
		delete(a.known, network)
	}
}

// idle reports whether an address has no more than one that was never seen.
func (u *usage) idle(now time.Duration) bool {
	return u.connections == 0 && time.Duration(u.spent) <= now
}

// forget makes room for another address, now and then. It requires a.mu.
func (a *Addresses) forget(now time.Duration) {
	if len(a.known) < a.sweep {
		return
	}
	for network, u := range a.known {
		if u.idle(now) {
			delete(a.known, network)
		}
	}
	a.sweep = max(leastSweep, 2*len(a.known)) // so that it costs little for each address
}

// network returns what an address counts as, and whether it counts.
func (a *Addresses) network(from netip.Addr) (network netip.Prefix, counts bool) {
	if a.max == 0 && a.rate == 0 || !from.IsValid() {
		return network, false
	}
	network = Network(from)
	return network, !network.Addr().IsLoopback()
}

// Network returns what an address counts as.
func Network(from netip.Addr) netip.Prefix {
	from = from.Unmap().WithZone("")
	bits := 32
	if from.Is6() {
		bits = 64
	}
	network, _ := from.Prefix(bits)
	if from.IsLoopback() { // half of ::1 would not say so
		return netip.PrefixFrom(from, from.BitLen())
	}
	return network
}

// From returns the address of the sender of a request; the zero address if it is
// not known.
func From(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}
