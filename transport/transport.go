// Package transport moves bytes between sockets and the hub.
//
// A Conn is one WebSocket: a hub member with a decoder in front. What its client sends is decoded and handed to its
// Receiver, message by message; what the hub has for it is written in as few writes as possible.
//
// # Who runs what
//
// Members are divided among shards of the hub, one for each processor. A shard has a pump, a goroutine that takes the
// shard's turns and writes to each woken connection without waiting. A connection whose socket is full gets a goroutine
// that waits for it, until there is nothing left to write. Reading has a goroutine for each connection, which waits
// without a buffer where the socket allows it. One more goroutine watches for silence.
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
// It knows neither HTTP nor JSON nor apps, and it writes no sentence for a client: why a connection
// must end it reports as an error, and the Receiver says what to tell.
package transport

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"crier/hub"
	"crier/ws"
)

// Causes of a connection's end, beside a fault of the protocol (a ws.Close), hub.ErrBehind, what
// Receiver.Message returned and what Conn.Close was given.
var (
	ErrLost      = errors.New("transport: the connection was lost")
	ErrIdle      = errors.New("transport: no message in either direction for too long")
	ErrSilent    = errors.New("transport: the client does not answer pings")
	ErrGoingAway = errors.New("transport: the server is going away")
	ErrFlooded   = errors.New("transport: the client causes more answers than it reads")
)

// Goodbye is the client's close frame as the cause of a connection's end.
type Goodbye struct{ ws.Close }

// CloseTimeout is how long a client has to answer a close frame, unless the Config says otherwise.
const CloseTimeout = 5 * time.Second

// A Receiver is whoever a connection belongs to.
type Receiver interface {
	// Message is called with each complete message, one at a time. data is the receiver's until it returns.
	// If it returns hub.ErrBusy nothing has happened yet, and it is called again with the same message later.
	Message(data []byte, binary bool) error
	// Explain returns what to tell the client when the connection must end because of cause.
	Explain(cause error) ws.Close
	// Closed says that the connection has ended, and why: a Goodbye, ErrLost, or a cause that was explained.
	Closed(cause error)
}

// Config is what a Transport needs to know. Hub and MaxMessage are required.
type Config struct {
	Hub        *hub.Hub
	MaxMessage int           // bytes of a client's message
	Ping       time.Duration // a client that is silent for this long is pinged; 0: never
	Idle       time.Duration // a connection without a message for this long is closed; 0: never
	Close      time.Duration // a client has this long to answer a close frame; 0: CloseTimeout
}

// A Transport owns connections. New starts it, Shutdown ends it.
type Transport struct {
	config Config // set once
	pumps  []*pump

	running sync.WaitGroup // pumps, the watch
	stop    chan struct{}

	mu    sync.Mutex
	conns map[*Conn]struct{}
	next  int           // pump, for the connection that is opened next
	left  chan struct{} // closed when draining and no connection is left
	ended bool          // Shutdown has begun

	bytesIn, bytesOut atomic.Uint64
}

// New starts a transport.
func New(config Config) *Transport {
	if config.Close == 0 {
		config.Close = CloseTimeout
	}
	t := &Transport{config: config, conns: make(map[*Conn]struct{}), stop: make(chan struct{})}
	for range runtime.GOMAXPROCS(0) {
		p := newPump(config.Hub)
		t.pumps = append(t.pumps, p)
		t.running.Go(func() { p.run(t.stop) })
	}
	t.running.Go(t.watch)
	return t
}

// Open makes c a member of the hub, so that it can subscribe and be posted to before it has a socket.
// It must be followed by Serve or Abandon. It returns ErrGoingAway after the start of Shutdown, otherwise nil.
func (t *Transport) Open(c *Conn, r Receiver) error {
	c.transport, c.receiver = t, r
	c.decoder.MaxMessage = t.config.MaxMessage
	c.touch()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return ErrGoingAway
	}
	t.conns[c] = struct{}{}
	p := t.pumps[t.next%len(t.pumps)]
	t.next++
	p.shard.Join(&c.Member, c)
	return nil
}

// Abandon takes back an Open whose connection came to nothing.
func (t *Transport) Abandon(c *Conn) {
	c.Leave()
	t.forget(c)
}

// Serve gives c its socket and starts reading and writing. early is what the client sent already.
// It returns at once; the transport closes the socket.
func (t *Transport) Serve(c *Conn, nc net.Conn, early []byte) {
	if !c.attach(nc) {
		c.Leave()
		c.receiver.Closed(ErrLost)
		t.forget(c)
		return
	}
	go c.serve(early) // ends with forget, for which Shutdown waits
	c.Wake()          // there may have been news before there was a socket
}

// forget must be the last that happens to a connection.
func (t *Transport) forget(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	if t.left != nil && len(t.conns) == 0 {
		close(t.left)
		t.left = nil
	}
}

// Shutdown tells every client that the server is going away, spread over a while so that they do not all come back
// at once, and waits until all connections have ended. When ctx is done it ends those that are left.
func (t *Transport) Shutdown(ctx context.Context, spread time.Duration) {
	t.mu.Lock()
	t.ended = true
	conns := make([]*Conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	left := make(chan struct{})
	if len(conns) == 0 {
		close(left)
	} else {
		t.left = left
	}
	t.mu.Unlock()

	t.sendAway(ctx, conns, spread)
	select {
	case <-left:
	case <-ctx.Done():
		for _, c := range conns {
			c.kill()
		}
		<-left
	}
	close(t.stop)
	t.running.Wait()
}

// sendAway closes connections at an even pace.
func (t *Transport) sendAway(ctx context.Context, conns []*Conn, spread time.Duration) {
	start := time.Now()
	pace := time.NewTimer(0)
	defer pace.Stop()
	for i, c := range conns {
		pace.Reset(time.Until(start.Add(spread * time.Duration(i) / time.Duration(len(conns)))))
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		c.Close(ErrGoingAway)
	}
}

// Stats is a picture of the transport since its start.
type Stats struct {
	Conns             int
	BytesIn, BytesOut uint64
}

// Stats returns the current numbers.
func (t *Transport) Stats() Stats {
	t.mu.Lock()
	n := len(t.conns)
	t.mu.Unlock()
	return Stats{Conns: n, BytesIn: t.bytesIn.Load(), BytesOut: t.bytesOut.Load()}
}

// A pump takes the turns of one shard.
type pump struct {
	shard *hub.Shard
	news  chan struct{} // has room for one: there is something to do
}

func newPump(h *hub.Hub) *pump {
	p := &pump{news: make(chan struct{}, 1)}
	p.shard = h.NewShard(func() {
		select {
		case p.news <- struct{}{}:
		default:
		}
	})
	return p
}

// turn is how many connections are served before a pump looks up.
const turn = 1024

func (p *pump) run(stop <-chan struct{}) {
	for {
		select {
		case <-p.news:
			for p.shard.Turn(turn) {
				runtime.Gosched() // let those read who make the news
			}
		case <-stop:
			return
		}
	}
}

// watch looks after silent connections, once in a while.
func (t *Transport) watch() {
	period := time.Second
	for _, d := range []time.Duration{t.config.Ping, t.config.Idle} {
		if d > 0 {
			period = min(period, max(d/4, time.Millisecond))
		}
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	var conns []*Conn
	for {
		select {
		case <-ticker.C:
		case <-t.stop:
			return
		}
		if t.config.Ping == 0 && t.config.Idle == 0 {
			continue
		}
		conns = conns[:0]
		t.mu.Lock()
		for c := range t.conns {
			conns = append(conns, c)
		}
		t.mu.Unlock()
		now := time.Now()
		for i, c := range conns {
			c.check(now)
			conns[i] = nil
		}
	}
}
