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
//
// Times are those of Transport.now.
type Conn struct {
	Member hub.Member

	// What every delivery needs stands together, in one cache line.
	mu     sync.Mutex
	driver driver       // nil before it has a socket
	full   atomic.Bool  // the socket takes no more for now
	pinged atomic.Bool  // the client was pinged, and must give a sign of life
	heard  atomic.Int64 // when it last gave one
	active atomic.Int64 // when a message last went in or out

	// Owned by the one who reads.
	decoder  ws.Decoder
	controls uint32 // frames that say nothing, in that second:
	second   uint32

	rare atomic.Pointer[rare] // nil until it is needed

	// Set by Open.
	transport *Transport
	receiver  Receiver
	place     int32 // of its worker

	killed bool // before it had a socket; guarded by mu

	prev, next *Conn // in Transport.conns; guarded by Transport.mu
}

// A rare is what most connections never need.
type rare struct {
	holding  holding
	holdTill int64        // nothing is taken from the client before that; owned by the one who reads
	begun    atomic.Int64 // when the message that is coming began; 0 if there is none
	closed   atomic.Int64 // when it was first asked how long closing may take
	ignored  int          // bytes read that count for nothing; owned by the line
	until    int64        // when a connection that is closing has had its time; owned by the line
	cause    error        // why the connection ends; nil while it is open. Guarded by Conn.mu
}

// rarely returns c's rare, and makes it if there is none.
func (c *Conn) rarely() *rare {
	if r := c.rare.Load(); r != nil {
		return r
	}
	c.rare.CompareAndSwap(nil, new(rare))
	return c.rare.Load()
}

// beginning returns when the message that is coming began; 0 if there is none.
func (c *Conn) beginning() int64 {
	if r := c.rare.Load(); r != nil {
		return r.begun.Load()
	}
	return 0
}

// A driver moves the bytes of one connection.
type driver interface {
	// wake is called in the shard's turn when there is something to write. cause
	// is why the connection ends; nil while it is open.
	wake(cause error)
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
	driver, cause := c.driver, c.ending()
	c.mu.Unlock()
	if driver == nil {
		c.checkBehind()
		return
	}
	driver.wake(cause)
}

// begin notes when the message that is coming began; 0 if there is none.
func (c *Conn) begin(at int64) {
	if r := c.rare.Load(); r != nil || at != 0 {
		c.rarely().begun.Store(at)
	}
}

// held reports whether nothing is to be taken from the client for a while.
func (c *Conn) held() bool {
	r := c.rare.Load()
	return r != nil && r.holdTill > 0 && r.holdTill > c.transport.now()
}

// Receiver returns whom the connection belongs to.
func (c *Conn) Receiver() Receiver { return c.receiver }

// Active returns when the last message went in or out.
func (c *Conn) Active() time.Time {
	ago := c.transport.now() - c.active.Load()
	return time.Now().Add(-time.Duration(ago) * time.Millisecond)
}

// Hold takes nothing more from the client for a while. It may be called by
// Receiver.Message only.
func (c *Conn) Hold(d time.Duration) {
	c.rarely().holdTill = c.transport.now() + d.Milliseconds()
}

// Close ends the connection. The client first gets everything pending, then a
// close frame with the reason that Receiver.Explain gives for cause; if that is
// a Goodbye, with the client's code. A client that fell behind, or does not
// answer, gets the close frame at once. Only the first call counts.
func (c *Conn) Close(cause error) {
	var bye Goodbye
	if errors.As(cause, &bye) {
		// "When sending a Close frame in response, the endpoint typically echos
		// the status code it received."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1
		c.end(cause, ws.Close{Code: bye.Code}, false)
		return
	}
	atOnce := errors.Is(cause, hub.ErrBehind) || errors.Is(cause, ErrSilent)
	c.end(cause, c.receiver.Explain(cause), atOnce)
}

// end ends the connection because of cause, with say as the last frame. With drop, what is pending is dropped.
func (c *Conn) end(cause error, say ws.Close, drop bool) {
	c.mu.Lock()
	if c.ending() != nil {
		c.mu.Unlock()
		return
	}
	c.rarely().cause = cause
	driver := c.driver
	c.mu.Unlock()
	c.Member.Finish(ws.AppendClose(nil, say), drop)
	if driver != nil {
		driver.closing()
	}
}

func (c *Conn) closing() bool { return c.why() != nil }

// why returns why the connection ends; nil while it is open.
func (c *Conn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending()
}

// ending is why. It requires c.mu.
func (c *Conn) ending() error {
	if r := c.rare.Load(); r != nil {
		return r.cause
	}
	return nil
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
	cause := c.ending()
	if cause == nil {
		cause = ErrLost
		c.rarely().cause = cause
	}
	c.mu.Unlock()
	c.transport.unfinished.hold(c, 0)
	c.receiver.Closed(cause)
	c.Member.Leave()
	c.transport.forget(c)
}

// closePatience is how many times as long as a client may take to answer a close
// frame it may take, in all, to receive what is written before it.
const closePatience = 24

// timeToClose returns until when a connection that is closing may live if
// nothing more happens to it.
func (c *Conn) timeToClose(now int64) int64 {
	closed := &c.rarely().closed
	closed.CompareAndSwap(0, now)
	limit := c.transport.config.Close.Milliseconds()
	return min(now+limit, closed.Load()+closePatience*limit)
}

// checkBehind ends a connection that has fallen behind while its socket is full,
// or has yet to come.
func (c *Conn) checkBehind() {
	if c.Member.Behind() {
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

// check looks for silence, and for a message without an end. It returns when to
// look again. held says that nothing is taken from the client at present, which
// is not its fault.
func (c *Conn) check(now int64, held bool) (next int64) {
	config := &c.transport.config
	next = now + farAhead.Milliseconds()
	if held {
		c.alive(now)
		if c.beginning() > 0 {
			c.rarely().begun.Store(now)
		}
	}
	if idle := config.Idle.Milliseconds(); idle > 0 {
		until := c.active.Load() + idle
		if until <= now {
			c.Close(ErrIdle)
		}
		next = min(next, until)
	}
	if most := config.Message.Milliseconds(); most > 0 {
		until := now + most // for one that begins right after this
		if begun := c.beginning(); begun > 0 {
			until = begun + most
		}
		if until <= now {
			c.Close(ErrUnending)
		}
		next = min(next, until)
	}
	if config.Ping > 0 {
		next = min(next, c.checkSilence(now, config.Ping.Milliseconds()))
	}
	return max(next, now+1)
}

// checkSilence pings a client that is silent, and closes one that stays so. It
// returns when to look again.
func (c *Conn) checkSilence(now, ping int64) (next int64) {
	silent := now - c.heard.Load()
	switch {
	case silent < ping:
	case !c.pinged.Swap(true):
		c.Member.PostControl(ws.AppendFrame(nil, ws.Ping, nil))
		silent = ping // it has as long again to answer, even if we slept
		c.heard.Store(now - silent)
	case silent >= 2*ping:
		c.Close(ErrSilent)
	}
	if silent >= ping {
		silent -= ping
	}
	return now - silent + ping
}

// farAhead is when to look again at what needs no looking after.
const farAhead = time.Hour
