package transport

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"crier/hub"
	"crier/ws"
)

// A Conn is one WebSocket. The zero Conn is ready for [Transport.Open].
//
// Times are those of Transport.now.
type Conn struct {
	// The fields that every delivery needs are together in one cache line, and
	// those of the Member in the next two.
	mu     sync.Mutex
	driver driver               // nil before it has a socket
	rare   atomic.Pointer[rare] // nil until it is needed
	full   atomic.Bool          // the socket takes no more for now
	pinged atomic.Bool          // the client was pinged, and nothing has come from it since
	heard  atomic.Int64         // when something last came from it
	active atomic.Int64         // when a message was last received or written

	transport *Transport // set by Open

	Member hub.Member

	// Owned by the goroutine that reads.
	decoder  ws.Decoder
	controls uint32 // frames without content, in the second below
	second   uint32

	// Set by Open.
	receiver Receiver
	place    int32 // of its worker

	killed bool // before it had a socket; guarded by mu

	prev, next *Conn // in Transport.conns; guarded by Transport.mu
}

// A rare holds what most connections never need.
type rare struct {
	holding  holding
	holdTill int64        // nothing is taken from the client before then; owned by the reading goroutine
	begun    atomic.Int64 // when the unfinished message began to arrive; 0 if there is none
	closed   atomic.Int64 // when timeToClose was first called
	ignored  int          // bytes read and ignored; owned by the line
	kept     int          // bytes that TLS keeps, a part of holding; owned by the line
	until    int64        // when a closing connection runs out of time; owned by the line
	cause    error        // why the connection ends; nil while it is open. Guarded by Conn.mu
}

// rarely returns c's rare. It creates it if there is none.
func (c *Conn) rarely() *rare {
	if r := c.rare.Load(); r != nil {
		return r
	}
	c.rare.CompareAndSwap(nil, new(rare))
	return c.rare.Load()
}

// beginning returns when the unfinished message began to arrive; 0 if there is
// none.
func (c *Conn) beginning() int64 {
	if r := c.rare.Load(); r != nil {
		return r.begun.Load()
	}
	return 0
}

// A driver moves the bytes of one connection.
type driver interface {
	// wake is called in the shard's turn when there is something to write.
	// cause is why the connection ends; nil while it is open.
	wake(cause error)
	// closing is called when the connection has got a cause and the last
	// frame is posted. It may be called from any goroutine.
	closing()
	// kill ends the connection soon, without a close frame. It may be
	// called from any goroutine.
	kill()
}

// errFull means that the socket took only a part of the bytes, or none. Its
// owner must wait until it is writable.
var errFull = errors.New("transport: the socket is full")

// attach gives the connection its driver. It returns false if the connection
// has been killed.
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

// begin notes when the unfinished message began to arrive; 0 if there is none.
func (c *Conn) begin(at int64) {
	if r := c.rare.Load(); r != nil || at != 0 {
		c.rarely().begun.Store(at)
	}
}

// held reports whether nothing may be taken from the client at present.
func (c *Conn) held() bool {
	r := c.rare.Load()
	return r != nil && r.holdTill > 0 && r.holdTill > c.transport.now()
}

// Receiver returns the receiver that Open was given.
func (c *Conn) Receiver() Receiver { return c.receiver }

// Active returns when a message was last received or written.
func (c *Conn) Active() time.Time {
	ago := c.transport.now() - c.active.Load()
	return time.Now().Add(-time.Duration(ago) * time.Millisecond)
}

// Hold makes the transport take nothing more from the client for the time d.
// With zero or a negative d nothing changes. Hold may be called only by
// [Receiver.Message].
func (c *Conn) Hold(d time.Duration) {
	r := c.rarely()
	r.holdTill = max(r.holdTill, c.transport.now()+d.Milliseconds())
}

// Close ends the connection. The client first gets everything pending, then a
// close frame with what [Receiver.Explain] returns for cause. If cause is a
// [Goodbye], the close frame has the client's own code. A client that fell
// behind ([hub.ErrBehind]) or does not answer pings (ErrSilent) gets the close
// frame at once, and what is pending is dropped. Only the first call has an
// effect.
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

// end ends the connection because of cause, with say as the last frame. If drop
// is true, what is pending is dropped.
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

// ending returns what why does. It requires c.mu.
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

// ended is the last call that a driver makes, when the socket is closed.
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

// closePatience bounds the time that a client has in all to receive what is
// written before the close frame: this many times Config.Close.
const closePatience = 24

// timeToClose returns until when a closing connection may live if nothing more
// happens on it.
func (c *Conn) timeToClose(now int64) int64 {
	closed := &c.rarely().closed
	closed.CompareAndSwap(0, now)
	limit := c.transport.config.Close.Milliseconds()
	return min(now+limit, closed.Load()+closePatience*limit)
}

// checkBehind ends a connection that has fallen behind while its socket is
// full, or before it has a socket.
func (c *Conn) checkBehind() {
	if c.Member.Behind() {
		c.Close(hub.ErrBehind)
	}
}

// alive notes that the client has shown that it is there.
func (c *Conn) alive(now int64) {
	c.heard.Store(now)
	if c.pinged.Load() {
		c.pinged.Store(false)
	}
}

// check looks for silence, and for a message that takes too long. It returns
// when to check again. held means that the server is not taking anything from
// the client at present, which is not the client's fault.
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
		until := now + most // for a message that begins right after this check
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

// checkSilence pings a client that is silent, and disconnects one that stays
// silent. It returns when to check again.
func (c *Conn) checkSilence(now, ping int64) (next int64) {
	silent := now - c.heard.Load()
	switch {
	case silent < ping:
	case !c.pinged.Swap(true):
		c.Member.PostControl(ws.AppendFrame(nil, ws.Ping, nil))
		silent = ping // it gets the full time to answer, even if this check came late
		c.heard.Store(now - silent)
	case silent >= 2*ping:
		c.Close(ErrSilent)
	}
	if silent >= ping {
		silent -= ping
	}
	return now - silent + ping
}

// farAhead is when to check again if there is nothing to check.
const farAhead = time.Hour
