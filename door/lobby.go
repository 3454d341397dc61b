package door

import (
	"container/list"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"crier/access"
)

// A Lobby holds the connections that speak HTTP, until they become WebSockets
// or end. Their number is bounded, so that silent sockets can take neither all
// of the process's files nor much of its memory.
//
//	accepted ──▶ waiting for a request ──▶ with a handler ──▶ hijacked or closed
//	                      ▲                       │
//	                      └── more may come ──────┘
//
// When there is no room for a new connection, a waiting one is closed for it.
// It is chosen from the address that has the most waiting connections, and is
// the one that has waited longest. But each connection is left alone for a
// moment first, and for longer if it has sent something.
type Lobby struct {
	// Set once.
	room  func() int // how many connections there may be at present
	log   *slog.Logger
	turns chan struct{} // holds something for each TLS handshake that computes

	// Hung counts connections that were closed to make room for others.
	Hung atomic.Uint64
	// Failed counts connections that could not be accepted.
	Failed atomic.Uint64
	told   atomic.Int64 // when such a failure was last logged, in nanoseconds since began
	began  time.Time

	mu      sync.Mutex
	count   int                         // number of connections in the lobby
	waiting map[netip.Prefix]*list.List // lists of *doorConn by address; the one that has waited longest is first
	left    chan struct{}               // closed when a connection has left; nil unless admit waits for that
}

// NewLobby returns an empty lobby. room returns how many connections it may
// hold at present. It is called without a lock.
func NewLobby(room func() int, log *slog.Logger) *Lobby {
	return &Lobby{
		room: room, log: log, began: time.Now(), waiting: make(map[netip.Prefix]*list.List),
		turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// How long a connection keeps its place when others need it.
const (
	courtesy   = 250 * time.Millisecond // if it is silent
	indulgence = time.Second            // if it has sent a part of a request
)

// pause is how long accepting pauses at most when there is no room.
const pause = 50 * time.Millisecond

// admit adds a connection. It waits until there is room.
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
			case <-time.After(pause): // room may have grown, because WebSockets have ended
			}
			continue
		}
		l.remove(out)
		l.mu.Unlock()
		l.Hung.Add(1)
		out.Conn.Close()
	}
}

// wait appends c to the waiting connections of its address. It requires l.mu.
func (l *Lobby) wait(c *doorConn) {
	queue := l.waiting[c.from]
	if queue == nil {
		queue = list.New()
		l.waiting[c.from] = queue
	}
	c.since = time.Now()
	c.place = queue.PushBack(c)
}

// rise removes c from the waiting connections. It requires l.mu.
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

// remove removes c from the lobby. It requires l.mu.
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

// mostDispensable returns the connection that should be closed for another, or
// nil. It requires l.mu.
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
			return nil // all after it have waited even less
		case c.queues.Load(): // its handshake waits for others, not for its client
		case waited >= indulgence, !c.begun.Load() && !hasInput(c.Conn):
			return c
		}
	}
	return nil
}

// hasInput reports whether there is something to read, as far as the system can
// tell.
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
		l.rise(c) // in case no handler got the request
		l.wait(c)
	case state == http.StateHijacked, state == http.StateClosed:
		l.remove(c)
	}
}

// Enter notes that the head of a request has arrived. Once its body has
// arrived, too, its connection does not wait any more. So a connection that has
// not sent all of a body can be closed for another, even when the request has
// been answered.
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

// settle notes that a request has arrived completely.
func (l *Lobby) settle(c *doorConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rise(c)
}

// Clear closes all connections on which no request has arrived completely. It
// is called at the end, when no more requests are wanted.
func (l *Lobby) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.waiting {
		for e := queue.Front(); e != nil; e = e.Next() {
			e.Value.(*doorConn).Conn.Close()
		}
	}
}

// An owedBody is the body of a request that may not have arrived completely.
type owedBody struct {
	io.ReadCloser
	paid func() // called when it has arrived
}

func (b *owedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.paid()
	}
	return n, err
}

// fail counts a connection that could not be accepted, and logs it from time to
// time.
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

// source returns what a connection's address counts as.
func source(nc net.Conn) netip.Prefix {
	addr, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	return access.Network(addr.Addr())
}
