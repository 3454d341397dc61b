// Package transport moves bytes between sockets and the hub.
//
// A [Conn] is one WebSocket: a hub member together with a decoder. What its
// client sends is decoded and handed to its [Receiver], message by message.
// What the hub has for the client is written in as few writes as possible.
//
// # Goroutines
//
// Members are divided among shards of the hub, one for each processor. Each
// shard has a worker, which takes the shard's turns and writes to each woken
// connection without waiting for its socket.
//
// On Linux the worker is an event loop (loop, poller, line). It also reads, so
// a connection has no goroutine, no buffer and no timer of its own. On other
// systems the worker is a pump, and each connection is a stream: one goroutine
// reads, and when the socket is full, a second one waits for it. On Linux,
// connections whose sockets cannot be polled are streams, too. Both kinds pass
// the same tests.
//
// # TLS
//
// A line under TLS is a line with a tunnel, and has the same states. The tunnel
// lets the loop drive a [crypto/tls.Conn] without waiting. Somebody else does the
// handshake, with a goroutine. The net.Conn below the tls.Conn must then let
// itself be replaced: besides NetConn, it has a method Replace(net.Conn).
// Otherwise, and on other systems, the connection is a stream.
//
// # How a connection ends
//
//	open ──Close or a fault──▶ closing: the close frame is the last thing written, what the client sends is ignored
//	  │                           │ the client's close frame, its end of stream, or CloseTimeout
//	  └──the client's close──▶ ended: the socket is closed, Receiver.Closed has been called
//
// Receiver.Closed is called exactly once, after the last Message.
//
// # What it does not do
//
// It knows nothing about HTTP, JSON or apps, and it writes no sentence for a
// client. It reports as an error why a connection must end, and the Receiver
// chooses the words.
package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"crier/hub"
	"crier/ws"
)

// Why a connection ends. Further causes are a fault of the protocol (a
// [ws.Close]), [hub.ErrBehind], what [Receiver.Message] returned, and what
// [Conn.Close] was given.
var (
	ErrLost      = errors.New("transport: the connection was lost")
	ErrIdle      = errors.New("transport: no message in either direction for too long")
	ErrSilent    = errors.New("transport: the client does not answer pings")
	ErrGoingAway = errors.New("transport: the server is going away")
	ErrFlooded   = errors.New("transport: the client causes more answers than it reads")
	ErrUnending  = errors.New("transport: a message took too long to arrive")
	ErrRestless  = errors.New("transport: the client sends too many control frames")
	ErrNoMemory  = errors.New("transport: no memory for what the client has begun to send")
)

// A Goodbye is the client's close frame as the cause of a connection's end.
type Goodbye struct{ ws.Close }

// CloseTimeout is how long a client has to answer a close frame, unless
// [Config].Close sets another time.
const CloseTimeout = 5 * time.Second

// A Receiver handles what happens on a connection.
type Receiver interface {
	// Message is called with each complete message, one at a time. data is
	// valid until Message returns. If Message returns [hub.ErrBusy], it
	// must have had no effect; it is called again later with the same
	// message. Any other error ends the connection.
	Message(data []byte, binary bool) error
	// Explain returns the close frame for the client when the connection
	// must end because of cause.
	Explain(cause error) ws.Close
	// Leaving is called when the connection is about to end: because of a
	// Goodbye or a fault (a ws.Close), after which nothing more can come from
	// the client, or because of [Conn.Leave]. If it returns true, the receiver
	// still has something to send, and calls [Conn.Close] with the cause
	// afterwards.
	Leaving(cause error) bool
	// Closed is called when the connection has ended. cause is a Goodbye,
	// ErrLost, or a cause that Explain was called with.
	Closed(cause error)
}

// Config configures a Transport. Hub is required.
type Config struct {
	Hub *hub.Hub
	// MaxMessage is the largest message of a client in bytes, all fragments
	// together. Zero or a negative value means [ws.DefaultMaxMessage].
	MaxMessage int
	// MaxFrame is the largest frame of a client in bytes. Zero means that only
	// MaxMessage limits it.
	MaxFrame uint32

	// Ping is the silence after which a client is pinged. A client that is
	// silent for twice as long is disconnected. With zero or a negative
	// value clients are never pinged, and never disconnected for silence.
	Ping time.Duration
	// Idle is the time without a message in either direction after which a
	// connection is closed. Zero or a negative value means never.
	Idle time.Duration
	// Message is the time that a message may take from its first byte to
	// its last. Zero or a negative value means no limit.
	Message time.Duration
	// Pong is asked before a pong is sent. If it returns true, it sends the
	// frame itself, after something that the client has to get before. Nil
	// means that pongs are sent at once.
	Pong func(c *Conn, frame []byte) (later bool)
	// Close is how long a client has to answer a close frame. Zero means
	// CloseTimeout. With a negative value the client gets no time: its
	// socket is closed as soon as timers are next checked.
	Close time.Duration

	// For tests: use pumps, as on systems without loops; and a smaller
	// maxControls, which a machine reaches that is slow.
	pumps    bool
	controls uint32
}

// tick is the precision of time-outs.
func (c Config) tick() time.Duration {
	shortest := c.Close
	for _, d := range []time.Duration{c.Ping, c.Idle, c.Message} {
		if d > 0 {
			shortest = min(shortest, d)
		}
	}
	return min(max(shortest/8, time.Millisecond), time.Second)
}

// A worker takes the turns of one shard.
type worker interface {
	// serve gives a connection its socket. It returns false if the worker
	// cannot drive such a socket; the caller must then do so.
	serve(c *Conn, nc net.Conn, early []byte) bool
	// wake wakes the worker, so that it notices the time.
	wake()
	// run runs until end is called. end is called when no connection is
	// left.
	run()
	end()
}

// turn is how many connections a worker wakes in one turn before it does other
// work.
const turn = 256

// A Transport owns connections. [New] starts it, [Transport.Shutdown] ends it.
type Transport struct {
	config  Config    // set once
	started time.Time // set once; times are counted from here, by the monotonic clock
	workers []worker
	shards  []*hub.Shard   // of the workers
	running sync.WaitGroup // workers and watch
	stop    chan struct{}

	mu      sync.Mutex
	conns   connList
	streams map[*stream]struct{}
	load    []int         // number of connections of each worker
	left    chan struct{} // closed when no connection is left; nil unless Shutdown waits
	ended   bool          // Shutdown has begun

	unfinished unfinished

	bytesIn, bytesOut atomic.Uint64
}

// A connList is a linked list through the connections themselves. A map would
// take twice the memory.
type connList struct {
	first *Conn
	n     int
}

func (l *connList) add(c *Conn) {
	c.next = l.first
	if c.next != nil {
		c.next.prev = c
	}
	l.first = c
	l.n++
}

func (l *connList) remove(c *Conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	l.n--
}

// New starts a transport. [Transport.Shutdown] must follow.
func New(config Config) (*Transport, error) {
	if config.Close == 0 {
		config.Close = CloseTimeout
	}
	t := &Transport{
		config:  config,
		started: time.Now().Add(-time.Millisecond), // so that no time is 0
		stop:    make(chan struct{}),
		streams: make(map[*stream]struct{}),
	}
	t.unfinished.hub = config.Hub
	for range runtime.GOMAXPROCS(0) {
		w, shard, err := t.newWorker()
		if err != nil {
			for _, w := range t.workers {
				w.end()
				w.run() // so that it releases what it holds
			}
			return nil, fmt.Errorf("start the transport: %w", err)
		}
		t.workers, t.shards = append(t.workers, w), append(t.shards, shard)
	}
	t.load = make([]int, len(t.workers))
	for _, w := range t.workers {
		t.running.Go(w.run)
	}
	t.running.Go(t.watch)
	return t, nil
}

// Open makes c a member of the hub, so that it can subscribe and receive posts
// before it has a socket. [Transport.Serve], [Transport.Abandon] or
// [Transport.Forget] must follow. Open returns ErrGoingAway if Shutdown has
// begun, and nil otherwise.
//
// Connections that are opened with the same near share a worker, as long as the
// workers stay evenly loaded. A message from one of them to the others then
// wakes no second worker.
func (t *Transport) Open(c *Conn, r Receiver, near uint64) error {
	c.transport, c.receiver = t, r
	c.decoder.MaxMessage, c.decoder.MaxFrame = t.config.MaxMessage, t.config.MaxFrame
	now := t.now()
	c.heard.Store(now)
	c.active.Store(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return ErrGoingAway
	}
	c.place = int32(t.place(near))
	t.load[c.place]++
	t.conns.add(c)
	t.shards[c.place].Join(&c.Member, c)
	return nil
}

// now is the time in milliseconds since the transport started. It does not use
// the wall clock, which may be set back: then no time-out would come for a
// while.
func (t *Transport) now() int64 { return time.Since(t.started).Milliseconds() }

// place returns the worker for a new connection. It is the one that near stands
// for, unless that one has a quarter more connections than its share; then it
// is the one with the fewest connections. It requires t.mu.
func (t *Transport) place(near uint64) int {
	n := len(t.workers)
	wanted := int(near % uint64(n))
	if t.load[wanted]*4*n <= t.conns.n*5+64*n {
		return wanted
	}
	least := 0
	for i, load := range t.load {
		if load < t.load[least] {
			least = i
		}
	}
	return least
}

// Abandon ends a connection that gets no socket. Its receiver's Closed is
// called with ErrLost, unless the connection has a cause already.
func (t *Transport) Abandon(c *Conn) { c.ended() }

// Forget ends a connection that gets no socket without calling its receiver.
func (t *Transport) Forget(c *Conn) {
	c.Member.Leave()
	t.forget(c)
}

// Serve gives c its socket and starts reading and writing. early is what the
// client has sent already. Serve returns at once; the transport closes the
// socket.
func (t *Transport) Serve(c *Conn, nc net.Conn, early []byte) {
	if t.workers[c.place].serve(c, nc, early) {
		return
	}
	s := newStream(c, nc)
	if !c.attach(s) {
		nc.Close()
		c.ended()
		return
	}
	if c.closing() {
		s.closing()
	}
	t.addStream(s)
	go s.serve(early) // it ends with forget, and Shutdown waits for that
	c.Wake()          // there may have been news before there was a socket
}

// forget removes a connection. Nothing may happen to the connection afterwards.
func (t *Transport) forget(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns.remove(c)
	t.load[c.place]--
	if t.left != nil && t.conns.n == 0 {
		close(t.left)
		t.left = nil
	}
}

// Shutdown closes every connection with ErrGoingAway and waits until all have
// ended. It spreads this over some time, so that the clients do not all
// reconnect at once. When ctx is done, it ends the remaining connections
// without a close frame.
func (t *Transport) Shutdown(ctx context.Context, spread time.Duration) {
	t.mu.Lock()
	t.ended = true
	conns := make([]*Conn, 0, t.conns.n)
	for c := t.conns.first; c != nil; c = c.next {
		conns = append(conns, c)
	}
	left := make(chan struct{})
	if len(conns) == 0 {
		close(left)
	} else {
		t.left = left
	}
	t.mu.Unlock()

	t.sendAway(ctx, conns, spread, left)
	select {
	case <-left:
	case <-ctx.Done():
		for _, c := range conns {
			c.kill()
		}
		<-left
	}
	close(t.stop)
	for _, w := range t.workers {
		w.end()
	}
	t.running.Wait()
}

// sendAway closes connections at an even pace, until all have left or ctx is
// done.
func (t *Transport) sendAway(ctx context.Context, conns []*Conn, spread time.Duration, left <-chan struct{}) {
	start := time.Now()
	pace := time.NewTimer(0)
	defer pace.Stop()
	for i, c := range conns {
		pace.Reset(time.Until(start.Add(spread * time.Duration(i) / time.Duration(len(conns)))))
		select {
		case <-pace.C:
		case <-left:
			return
		case <-ctx.Done():
			return
		}
		c.Leave(ErrGoingAway)
	}
}

// Stats counts connections that are open, and bytes since the transport's
// start.
type Stats struct {
	Conns             int
	BytesIn, BytesOut uint64
}

// Stats returns the current numbers.
func (t *Transport) Stats() Stats {
	t.mu.Lock()
	n := t.conns.n
	t.mu.Unlock()
	return Stats{Conns: n, BytesIn: t.bytesIn.Load(), BytesOut: t.bytesOut.Load()}
}

// watch wakes the workers at each tick, so that they check their timers. It
// checks the streams itself.
func (t *Transport) watch() {
	ticker := time.NewTicker(t.config.tick())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-t.stop:
			return
		}
		for _, w := range t.workers {
			w.wake()
		}
		t.checkStreams(t.now())
	}
}

func (t *Transport) checkStreams(now int64) {
	var due []*stream
	t.mu.Lock()
	for s := range t.streams {
		if s.due <= now {
			due = append(due, s)
		}
	}
	t.mu.Unlock()
	for _, s := range due {
		s.check(now)
	}
}

func (t *Transport) addStream(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams[s] = struct{}{}
}

func (t *Transport) removeStream(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.streams, s)
}
