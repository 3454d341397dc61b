package transport

import (
	"container/list"
	"sync"
	"sync/atomic"

	"crier/hub"
)

// unfinished accounts for what clients have sent and what is not handled yet:
// parts of messages, and messages that have to wait. With TLS, that includes what
// its buffers keep. All of it comes out of the hub's memory, which has a bounded
// part for it ([hub.Hub.Reserve]).
//
// When that part is used up, the connection that holds most of it is closed. So
// the connections that fill the memory pay, and not the next one that needs a
// little. If several hold the same amount, the one that has held it for longest
// is closed.
type unfinished struct {
	hub *hub.Hub // set once

	mu    sync.Mutex
	conns list.List // of *Conn that hold something, in the order in which they began
}

// A holding is what one connection holds of that memory.
type holding struct {
	bytes atomic.Int32
	place *list.Element // in unfinished.conns; nil if bytes is 0
}

// hold notes that c holds n bytes now. It returns false if there is no memory
// for them; c must then release what it holds. Only the goroutine that reads
// from c may call it.
func (u *unfinished) hold(c *Conn, n int) bool {
	r := c.rare.Load()
	if r == nil {
		if n == 0 {
			return true
		}
		r = c.rarely()
	}
	h := &r.holding
	switch more := n - int(h.bytes.Load()); {
	case more == 0:
		return true
	case more < 0:
		u.hub.Release(-more)
	case !u.hub.Reserve(more) && !u.makeRoom(c, n, more):
		return false
	}
	h.bytes.Store(int32(n))
	if (n > 0) == (h.place != nil) {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n > 0 {
		h.place = u.conns.PushBack(c)
	} else {
		u.conns.Remove(h.place)
		h.place = nil
	}
	return true
}

// keep notes that TLS keeps n bytes for c, whatever the client sends. It returns
// what hold does.
func (c *Conn) keep(n int) bool {
	r := c.rare.Load()
	if r == nil && n == 0 {
		return true
	}
	r = c.rarely()
	if !c.transport.unfinished.hold(c, int(r.holding.bytes.Load())-r.kept+n) {
		return false
	}
	r.kept = n
	return true
}

// makeRoom takes more bytes for c, which will then hold n, and closes the
// connection that holds most. It returns false if that would be c.
func (u *unfinished) makeRoom(c *Conn, n, more int) bool {
	largest, most := (*Conn)(nil), int32(n-1)
	u.mu.Lock()
	for e := u.conns.Front(); e != nil; e = e.Next() {
		other := e.Value.(*Conn)
		if held := other.rarely().holding.bytes.Load(); held > most && other != c && !other.closing() {
			largest, most = other, held
		}
	}
	u.mu.Unlock()
	if largest == nil {
		return false
	}
	largest.Close(ErrNoMemory)
	u.hub.ReserveAnyway(more) // the other connection releases its memory at once
	return true
}
