package gateway

import (
	"container/list"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Lobby holds the connections that speak HTTP, until they become WebSockets
// or end. Their number is bounded, so that sockets on which nothing is ever said
// take neither all of the process's files nor much of its memory.
//
//	accepted ──▶ waiting for a request ──▶ with a handler ──▶ hijacked or closed
//	                      ▲                       │
//	                      └── more may come ──────┘
//
// When there is no room for a new connection, one that waits is closed for it:
// of the address with the most of them, the one that has waited longest. But
// each gets a moment first, and a longer one if it has sent something.
type Lobby struct {
	// Set once.
	room func() int // how many connections there may be at present
	log  *slog.Logger

	// Hung counts connections that were closed for others.
	Hung atomic.Uint64
	// Failed counts connections that could not be accepted.
	Failed atomic.Uint64
	told   atomic.Int64 // when the log last told of that, in nanoseconds since began
	began  time.Time

	mu      sync.Mutex
	count   int                         // of all connections in the lobby
	waiting map[netip.Prefix]*list.List // of *doorConn, by address; the one that has waited longest is first
	left    chan struct{}               // closed when a connection has left; nil if nobody waits for that
}

// NewLobby returns an empty lobby. room says how many connections it may hold at
// present; it is called with no lock held.
func NewLobby(room func() int, log *slog.Logger) *Lobby {
	return &Lobby{room: room, log: log, began: time.Now(), waiting: make(map[netip.Prefix]*list.List)}
}

// How long a connection may keep its place when others need it.
const (
	courtesy   = 250 * time.Millisecond // if it is silent
	indulgence = time.Second            // if it has sent a part of a request
)

// pause is how long accepting rests at most when there is no room.
const pause = 50 * time.Millisecond

// admit adds a connection, when there is room: it waits for that.
func (l *Lobby) admit(c *doorConn) {
	for {
		room := l.room()
		l.mu.Lock()
		if l.count < room {
			l.count++
			l.wait(c)
			l.mu.Unlock()
			return
		}
		out := l.mostDispensable()
		if out == nil {
			if l.left == nil {
				l.left = make(chan struct{})
			}
			left := l.left
			l.mu.Unlock()
			select {
			case <-left:
			case <-time.After(pause): // WebSockets may have ended
			}
			continue
		}
		l.remove(out)
		l.mu.Unlock()
		l.Hung.Add(1)
		out.Conn.Close()
	}
}

// wait puts c at the end of those of its address that wait. It requires l.mu.
func (l *Lobby) wait(c *doorConn) {
	queue := l.waiting[c.from]
	if queue == nil {
		queue = list.New()
		l.waiting[c.from] = queue
	}
	c.since = time.Now()
	c.place = queue.PushBack(c)
}

// rise takes c out of those that wait. It requires l.mu.
func (l *Lobby) rise(c *doorConn) {
	if c.place == nil {
		return
	}
	queue := l.waiting[c.from]
	queue.Remove(c.place)
	c.place = nil
	if queue.Len() == 0 {
		delete(l.waiting, c.from)
	}
}

// remove takes c out of the lobby. It requires l.mu.
func (l *Lobby) remove(c *doorConn) {
	if c.out {
		return
	}
	l.rise(c)
	c.out = true
	l.count--
	if l.left != nil {
		close(l.left)
		l.left = nil
	}
}

// mostDispensable returns the connection to be closed for another, or nil.
func (l *Lobby) mostDispensable() *doorConn {
	var most *list.List
	for _, queue := range l.waiting {
		if most == nil || queue.Len() > most.Len() {
			most = queue
		}
	}
	if most == nil {
		return nil
	}
	for e := most.Front(); e != nil; e = e.Next() {
		c := e.Value.(*doorConn)
		switch waited := time.Since(c.since); {
		case waited < courtesy:
			return nil // so have all after it
		case waited >= indulgence, !c.begun.Load() && !hasInput(c.Conn):
			return c
		}
	}
	return nil
}

// hasInput reports whether there is something to be read, as far as the system
// tells.
func hasInput(nc net.Conn) (some bool) {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) { some = unread(fd) })
	return some
}

// ConnState is for http.Server.
func (l *Lobby) ConnState(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*doorConn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.out:
	case state == http.StateIdle:
		c.begun.Store(false)
		l.rise(c) // if no handler has had the request
		l.wait(c)
	case state == http.StateHijacked, state == http.StateClosed:
		l.remove(c)
	}
}

// Enter says that the head of a request has come: when its body has come, too,
// its connection does not wait any more. So a connection that owes a body can be
// closed for another, also when the request has been answered.
func (l *Lobby) Enter(r *http.Request) {
	c := doorOf(r)
	switch {
	case c == nil:
	case r.ContentLength == 0:
		l.settle(c)
	default:
		r.Body = &owedBody{ReadCloser: r.Body, paid: func() { l.settle(c) }}
	}
}

// settle says that a request has come whole.
func (l *Lobby) settle(c *doorConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rise(c)
}

// Clear closes all connections on which no request has come whole: at the end
// nobody waits for one.
func (l *Lobby) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.waiting {
		for e := queue.Front(); e != nil; e = e.Next() {
			e.Value.(*doorConn).Conn.Close()
		}
	}
}

// An owedBody is the body of a request, of which some may have yet to come.
type owedBody struct {
	io.ReadCloser
	paid func() // is called when it has come
}

func (b *owedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.paid()
	}
	return n, err
}

// fail counts a connection that could not be accepted, and logs it now and then.
func (l *Lobby) fail(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	l.Failed.Add(1)
	now := int64(time.Since(l.began)) + 1
	last := l.told.Load()
	if last > 0 && now-last < int64(tellEvery) || !l.told.CompareAndSwap(last, now) {
		return
	}
	l.log.Warn("cannot accept connections", "error", err, "so far", l.Failed.Load())
}

// source returns what a connection's address counts as: of IPv6 addresses the
// first half, because a client has all of the other half.
func source(nc net.Conn) netip.Prefix {
	addr, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := addr.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}
