package transport

import (
	"container/list"
	"sync"
	"sync/atomic"

	"crier/hub"
)

// unfinished accounts for what clients have sent and what is not handled yet:
// parts of messages, and messages that have to wait. All of it comes out of the
// hub's memory, of which there is a bounded part for it (Hub.Reserve).
//
// When that is used up, the connection that has most of it is closed, so that
// those who fill the memory pay, and not the next one who needs a little. Of
// several that have as much, it is the one that has had it for longest.
type unfinished struct {
	hub *hub.Hub // set once

	mu    sync.Mutex
	conns list.List // of *Conn that hold something; who began first is first
}

// A holding is what one connection has of that.
type holding struct {
	bytes atomic.Int32
	place *list.Element // in unfinished.conns; nil if bytes is 0
}

// hold says that c holds n bytes now. It returns false if there is no memory
// for them: then c must let go of what it has. Only the one who reads from c
// may call it.
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

// makeRoom takes more bytes for c, which will have n of them, at the cost of the
// connection that has most. It returns false if that would be c.
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
	u.hub.ReserveAnyway(more) // the other's comes back at once
	return true
}
