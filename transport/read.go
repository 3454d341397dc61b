package transport

import (
	"errors"
	"time"

	"crier/hub"
	"crier/ws"
)

// errClosed says that the client's close frame has come: what it sends after that counts for nothing.
var errClosed = errors.New("transport: the client has closed")

// serve is the connection's reading goroutine. It ends when the connection has.
func (c *Conn) serve(early []byte) {
	err := c.read(early)
	var fault ws.Close
	if errors.As(err, &fault) {
		c.Close(fault)
		c.drain()
	}
	if errors.Is(err, errClosed) {
		c.awaitFlush()
	}
	c.finish()
}

// read reads until the client closes or breaks a rule, or the socket fails, and says which.
func (c *Conn) read(early []byte) error {
	if err := c.feed(early); err != nil {
		return err
	}
	for {
		b, err := c.socket.read()
		if err != nil {
			return err
		}
		c.transport.bytesIn.Add(uint64(len(b.bytes)))
		c.heard.Store(time.Now().UnixMilli())
		err = c.feed(b.bytes)
		b.free()
		if err != nil {
			return err
		}
	}
}

// drain reads and forgets: a socket closed with unread bytes would take the close frame with it.
func (c *Conn) drain() {
	for {
		b, err := c.socket.read()
		if err != nil {
			return
		}
		b.free()
	}
}

// feed handles what the client sent.
func (c *Conn) feed(b []byte) error {
	for len(b) > 0 {
		m, n, ok, err := c.decoder.Next(b)
		if err != nil {
			return err
		}
		b = b[n:]
		if !ok {
			continue
		}
		if err := c.handle(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) handle(m ws.Message) error {
	switch m.Op {
	case ws.CloseFrame:
		how, err := ws.ParseClose(m.Data)
		if err != nil {
			return err
		}
		// "When sending a Close frame in response, the endpoint typically echos the status code it received."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1
		c.end(Goodbye{how}, ws.Close{Code: how.Code}, true)
		return errClosed
	case ws.Ping:
		c.answer(ws.AppendFrame(nil, ws.Pong, m.Data))
	case ws.Text, ws.Binary:
		c.deliver(m.Data, m.Op == ws.Binary)
	}
	c.breathe()
	return nil
}

// answer posts a frame that the client asked for.
func (c *Conn) answer(frame []byte) {
	if errors.Is(c.PostControl(frame), hub.ErrFull) {
		c.Close(ErrFlooded)
	}
}

// deliver hands a message to the receiver, again while the hub is busy: the client is slowed down
// before anybody else loses anything.
func (c *Conn) deliver(data []byte, binary bool) {
	var relief <-chan struct{}
	for !c.closing() {
		c.active.Store(time.Now().UnixMilli())
		err := c.receiver.Message(data, binary)
		if !errors.Is(err, hub.ErrBusy) {
			if err != nil {
				c.Close(err)
			}
			return
		}
		if relief != nil {
			<-relief
		}
		relief = c.transport.config.Hub.Relief()
	}
}

// breathe waits while the client has not read what it caused: its socket is full, or many answers wait.
func (c *Conn) breathe() {
	for {
		c.mu.Lock()
		blocked := c.waiting || c.Backlog() > maxBacklog
		if !blocked || c.cause != nil {
			c.mu.Unlock()
			return
		}
		if c.resume == nil {
			c.resume = make(chan struct{})
		}
		resume := c.resume
		c.mu.Unlock()
		<-resume
	}
}

// letRead ends breathe's wait. It requires c.mu.
func (c *Conn) letRead() {
	if c.resume != nil {
		close(c.resume)
		c.resume = nil
	}
}

// awaitFlush waits until the last frame is written, but not forever.
func (c *Conn) awaitFlush() {
	timeout := time.NewTimer(c.transport.config.Close)
	defer timeout.Stop()
	select {
	case <-c.flushed: // made before errClosed was returned
	case <-timeout.C:
	}
}

// finish ends the connection.
func (c *Conn) finish() {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = ErrLost
	}
	cause := c.cause
	c.dead = true
	c.mu.Unlock()
	c.socket.Close()
	c.writers.Wait()
	c.Leave()
	c.receiver.Closed(cause)
	c.transport.forget(c)
}
