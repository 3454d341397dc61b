package transport

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"crier/hub"
	"crier/ws"
)

// A Conn is one WebSocket. The zero Conn is ready for Transport.Open.
type Conn struct {
	hub.Member

	// Set by Open and Serve.
	transport *Transport
	receiver  Receiver
	socket    socket

	// Owned by the reading goroutine.
	decoder ws.Decoder

	// Milliseconds since 1970.
	heard  atomic.Int64 // something was read, or the socket took something
	active atomic.Int64 // a message went in or out
	pinged atomic.Int64 // the last ping

	mu      sync.Mutex
	ready   bool           // has a socket
	dead    bool           // the socket is closed: nobody starts to write
	writing bool           // somebody is writing; only that one may use Pending and Advance
	waiting bool           // and waits for the socket
	again   bool           // there was news since
	ending  bool           // how is set
	how     ws.Close       // how the connection ends
	flushed chan struct{}  // closed when the last frame is written, or never will be; made with ending
	done    bool           // flushed is closed
	resume  chan struct{}  // closed when the reader may go on; nil unless it waits
	writers sync.WaitGroup // the goroutine that waits for a full socket, if any
}

const (
	// maxWrite is how many bytes one write takes before the hub is asked again.
	maxWrite = 256 << 10
	// maxBacklog is how many bytes of answers a client may have waiting before it is read again.
	maxBacklog = 64 << 10
)

// attach gives the connection its socket.
func (c *Conn) attach(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket = newSocket(nc)
	c.ready = true
	if c.ending {
		c.socket.SetReadDeadline(time.Now().Add(CloseTimeout))
	}
}

// Receiver returns whom the connection belongs to.
func (c *Conn) Receiver() Receiver { return c.receiver }

// Active returns when the last message went in or out, in milliseconds since 1970.
func (c *Conn) Active() int64 { return c.active.Load() }

func (c *Conn) touch() {
	now := time.Now().UnixMilli()
	c.heard.Store(now)
	c.active.Store(now)
}

// Close tells the client why and ends the connection, after what is pending.
func (c *Conn) Close(how ws.Close) { c.end(how, how, false) }

// end makes reply the last frame and how the way the connection ends. Only the first call counts.
func (c *Conn) end(how, reply ws.Close, drop bool) {
	c.mu.Lock()
	if c.ending {
		c.mu.Unlock()
		return
	}
	c.ending = true
	c.how = how
	c.flushed = make(chan struct{})
	if c.ready {
		c.socket.SetReadDeadline(time.Now().Add(CloseTimeout))
	}
	c.letRead()
	c.mu.Unlock()
	c.Finish(ws.AppendClose(nil, reply), drop)
}

// fail ends the connection because of err.
func (c *Conn) fail(err error) {
	how := c.receiver.Explain(err)
	c.end(how, how, errors.Is(err, hub.ErrBehind))
}

func (c *Conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// check looks for silence.
func (c *Conn) check(now time.Time) {
	t := c.transport.config
	since := func(ms *atomic.Int64) time.Duration { return now.Sub(time.UnixMilli(ms.Load())) }
	if t.Idle > 0 && since(&c.active) >= t.Idle {
		c.fail(ErrIdle)
	}
	switch silent := since(&c.heard); {
	case t.Ping == 0 || silent < t.Ping:
	case silent >= 2*t.Ping:
		c.fail(ErrSilent)
	case c.pinged.Load() <= c.heard.Load():
		c.pinged.Store(now.UnixMilli())
		c.PostControl(ws.AppendFrame(nil, ws.Ping, nil))
	}
}
