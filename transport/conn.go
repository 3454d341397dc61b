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
	cause   error          // why the connection ends; nil while it is open
	flushed chan struct{}  // closed when the last frame is written, or never will be; made with cause
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

// attach gives the connection its socket, unless it has been killed.
func (c *Conn) attach(nc net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		nc.Close()
		return false
	}
	c.socket = newSocket(nc)
	c.ready = true
	if c.cause != nil {
		c.socket.SetReadDeadline(time.Now().Add(c.transport.config.Close))
	}
	return true
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

// Close ends the connection because of cause, which the receiver explains to the client behind all that is pending;
// a client that fell behind is told at once. Only the first call counts.
func (c *Conn) Close(cause error) {
	c.end(cause, c.receiver.Explain(cause), errors.Is(cause, hub.ErrBehind))
}

// end ends the connection because of cause, with say as the last frame.
func (c *Conn) end(cause error, say ws.Close, drop bool) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause = cause
	c.flushed = make(chan struct{})
	if c.ready {
		c.socket.SetReadDeadline(time.Now().Add(c.transport.config.Close))
	}
	c.letRead()
	c.mu.Unlock()
	c.Finish(ws.AppendClose(nil, say), drop)
}

func (c *Conn) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil
}

// kill ends the connection without a word.
func (c *Conn) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	if c.ready {
		c.socket.Close() // the reader notices
	}
}

// check looks for silence.
func (c *Conn) check(now time.Time) {
	t := c.transport.config
	since := func(ms *atomic.Int64) time.Duration { return now.Sub(time.UnixMilli(ms.Load())) }
	if t.Idle > 0 && since(&c.active) >= t.Idle {
		c.Close(ErrIdle)
	}
	switch silent := since(&c.heard); {
	case t.Ping == 0 || silent < t.Ping:
	case silent >= 2*t.Ping:
		c.Close(ErrSilent)
	case c.pinged.Load() <= c.heard.Load():
		c.pinged.Store(now.UnixMilli())
		c.PostControl(ws.AppendFrame(nil, ws.Ping, nil))
	}
}
