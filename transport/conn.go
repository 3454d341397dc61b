package transport

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"crier/hub"
	"crier/ws"
)

// A Conn is one WebSocket. The zero Conn is ready for Transport.Open.
type Conn struct {
	hub.Member

	// What every delivery needs stands together, in one cache line.
	mu     sync.Mutex
	driver driver       // nil before it has a socket
	cause  error        // why the connection ends; nil while it is open
	full   atomic.Bool  // the socket takes no more for now
	pinged atomic.Bool  // the client was pinged, and must give a sign of life
	heard  atomic.Int64 // when it last gave one, in milliseconds since 1970
	active atomic.Int64 // when a message last went in or out, in milliseconds since 1970

	killed  bool       // before it had a socket
	decoder ws.Decoder // owned by who reads

	// Set by Open.
	transport *Transport
	receiver  Receiver
	place     int // of its worker
}

// A driver moves the bytes of one connection.
type driver interface {
	// wake is called in the shard's turn when there is something to write. closing says that the connection has a cause.
	wake(closing bool)
	// closing is called from any goroutine when the connection has got a cause, and the last frame is posted.
	closing()
	// kill ends the connection without a word, soon. It may be called from any goroutine.
	kill()
}

// errFull says that the socket took a part, or nothing: somebody must wait for it.
var errFull = errors.New("transport: the socket is full")

// attach gives the connection its driver, unless it has been killed.
func (c *Conn) attach(d driver) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return false
	}
	c.driver = d
	return true
}

// Wake implements hub.Conn.
func (c *Conn) Wake() {
	c.mu.Lock()
	driver, closing := c.driver, c.cause != nil
	c.mu.Unlock()
	if driver != nil {
		driver.wake(closing)
	}
}

// Receiver returns whom the connection belongs to.
func (c *Conn) Receiver() Receiver { return c.receiver }

// Active returns when the last message went in or out, in milliseconds since 1970.
func (c *Conn) Active() int64 { return c.active.Load() }

// Close ends the connection because of cause, which the receiver explains to the client behind all that is pending;
// a client that fell behind is told at once. Only the first call counts.
func (c *Conn) Close(cause error) {
	c.end(cause, c.receiver.Explain(cause), errors.Is(cause, hub.ErrBehind))
}

// end ends the connection because of cause, with say as the last frame. With drop, what is pending is dropped.
func (c *Conn) end(cause error, say ws.Close, drop bool) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause = cause
	driver := c.driver
	c.mu.Unlock()
	c.Finish(ws.AppendClose(nil, say), drop)
	if driver != nil {
		driver.closing()
	}
}

func (c *Conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil
}

func (c *Conn) kill() {
	c.mu.Lock()
	driver := c.driver
	c.killed = true
	c.mu.Unlock()
	if driver != nil {
		driver.kill()
	}
}

// ended is the last that a driver does, when the socket is closed.
func (c *Conn) ended() {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = ErrLost
	}
	cause := c.cause
	c.mu.Unlock()
	c.Leave()
	c.receiver.Closed(cause)
	c.transport.forget(c)
}

// fallBehind follows the policy for a client whose log went on without it. The caller is the one who writes.
func (c *Conn) fallBehind() {
	if say := c.transport.config.Skipped; say != nil {
		c.Skip(say)
		return
	}
	c.Close(hub.ErrBehind)
}

// checkBehind ends a connection that has fallen behind while its socket is full. One that may skip does that when it can
// be told.
func (c *Conn) checkBehind() {
	if c.transport.config.Skipped == nil && c.Behind() {
		c.Close(hub.ErrBehind)
	}
}

// alive says that the client has given a sign of life.
func (c *Conn) alive(now int64) {
	c.heard.Store(now)
	if c.pinged.Load() {
		c.pinged.Store(false)
	}
}

// check looks for silence and returns when to look again, in milliseconds since 1970.
func (c *Conn) check(now int64) (next int64) {
	ping, idle := c.transport.config.Ping.Milliseconds(), c.transport.config.Idle.Milliseconds()
	next = now + farAhead.Milliseconds()
	if idle > 0 {
		until := c.active.Load() + idle
		if until <= now {
			c.Close(ErrIdle)
		}
		next = min(next, until)
	}
	if ping > 0 {
		silent := now - c.heard.Load()
		switch {
		case silent < ping:
		case !c.pinged.Swap(true):
			c.PostControl(ws.AppendFrame(nil, ws.Ping, nil))
			silent = ping // it has as long again to answer, even if we slept
			c.heard.Store(now - silent)
		case silent >= 2*ping:
			c.Close(ErrSilent)
		}
		if silent >= ping {
			silent -= ping
		}
		next = min(next, now-silent+ping)
	}
	return max(next, now+1)
}

// farAhead is when to look again at what needs no looking after.
const farAhead = time.Hour
