package transport

import (
	"errors"
	"sync"
	"time"

	"crier/hub"
)

// errFull says that the socket took a part, or nothing: somebody must wait for it.
var errFull = errors.New("transport: the socket is full")

// Wake implements hub.Conn: it writes what there is, as far as the socket takes it.
func (c *Conn) Wake() {
	if !c.startWriting() {
		if c.Behind() { // the one who waits for the socket cannot notice
			c.Close(hub.ErrBehind)
		}
		return
	}
	for {
		if full := c.write(c.socket.try); full {
			c.mu.Lock()
			c.waiting = true
			c.mu.Unlock()
			go c.writeWaiting()
			return
		}
		if !c.stopWriting() {
			return
		}
	}
}

// writeWaiting writes until there is nothing left, waiting for the socket. finish waits for it.
func (c *Conn) writeWaiting() {
	send := func(bufs [][]byte) (int, error) {
		n, err := c.socket.writeAll(bufs)
		c.excuse()
		return n, err
	}
	for {
		c.write(send)
		if !c.stopWriting() {
			return
		}
	}
}

// excuse takes it for a sign of life that the client has read something, if nobody listens to its pongs meanwhile.
func (c *Conn) excuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume != nil {
		c.heard.Store(time.Now().UnixMilli())
	}
}

// startWriting makes the caller the one who writes, if there is a socket and nobody else does.
func (c *Conn) startWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready || c.dead {
		return false
	}
	if c.writing {
		c.again = true
		return false
	}
	c.writing = true
	c.writers.Add(1)
	return true
}

// stopWriting ends what startWriting began, unless there was news in between: then it returns true.
func (c *Conn) stopWriting() (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.again && !c.dead {
		c.again = false
		return true
	}
	c.writing, c.waiting, c.again = false, false, false
	c.letRead()
	c.writers.Done()
	return false
}

// write hands what is pending to send, until nothing is left or the socket is full.
func (c *Conn) write(send func([][]byte) (int, error)) (full bool) {
	list := slices.Get().(*[][]byte)
	defer func() {
		clear((*list)[:cap(*list)])
		slices.Put(list)
	}()
	for {
		bufs, err := c.Pending((*list)[:0], maxWrite)
		*list = bufs
		if err != nil {
			c.Close(err)
			return false
		}
		if len(bufs) == 0 {
			return false
		}
		n, err := send(bufs)
		c.wrote(n)
		if errors.Is(err, errFull) {
			return true
		}
		if err != nil {
			c.socket.Close() // the reader notices
			c.lastWritten()
			return false
		}
	}
}

var slices = sync.Pool{New: func() any { return new([][]byte) }}

func (c *Conn) wrote(n int) {
	messages, finished := c.Advance(n)
	if n > 0 {
		c.transport.bytesOut.Add(uint64(n))
	}
	if messages > 0 {
		c.active.Store(time.Now().UnixMilli())
	}
	if finished {
		c.socket.closeWrite()
		c.lastWritten()
	}
}

// lastWritten says that the last frame is written, or never will be.
func (c *Conn) lastWritten() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flushed != nil && !c.done {
		c.done = true
		close(c.flushed)
	}
	c.letRead()
}
