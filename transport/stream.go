package transport

import (
	"errors"
	"net"
	"sync"
	"time"

	"crier/hub"
	"crier/ws"
)

// A stream drives a connection with goroutines: one reads; the shard's turn writes what the socket takes at once; when it
// takes no more, another goroutine waits for it, until there is nothing left to write.
type stream struct {
	conn   *Conn
	socket socket

	due     int64          // when to look for silence next; owned by Transport.watch
	writers sync.WaitGroup // the goroutine that waits for a full socket, if any
	flushed chan struct{}  // closed when the last frame is written, or never will be

	mu      sync.Mutex
	writing bool          // somebody is writing; only that one may use Pending and Advance
	again   bool          // there was news since
	done    bool          // flushed is closed
	until   time.Time     // how long the end may take; zero while the connection is open
	dead    bool          // the socket is closed: nobody starts to write
	resume  chan struct{} // closed when the reader may go on; nil unless it waits
}

// maxWrite is how many bytes one write takes before the hub is asked again.
const maxWrite = 256 << 10

func newStream(c *Conn, nc net.Conn) *stream {
	return &stream{conn: c, socket: newSocket(nc), flushed: make(chan struct{})}
}

// serve reads until the connection has ended.
func (s *stream) serve(early []byte) {
	c := s.conn
	err := s.read(early)
	var fault ws.Close
	if errors.As(err, &fault) {
		c.Close(fault)
		s.drain()
	}
	if c.closing() {
		s.awaitFlush()
	}
	s.finish()
}

// read reads until the client closes or breaks a rule, or the socket fails, and says which.
func (s *stream) read(early []byte) error {
	if err := s.take(early); err != nil {
		return err
	}
	for {
		b, err := s.socket.read()
		if err != nil {
			return err
		}
		s.conn.transport.bytesIn.Add(uint64(len(b.bytes)))
		s.conn.alive(time.Now().UnixMilli())
		err = s.take(b.bytes)
		b.free()
		if err != nil {
			return err
		}
	}
}

// drain reads and forgets: a socket closed with unread bytes would take the close frame with it.
func (s *stream) drain() {
	for {
		b, err := s.socket.read()
		if err != nil {
			return
		}
		b.free()
	}
}

// take handles what the client sent, and waits whenever it must.
func (s *stream) take(b []byte) error {
	in := input{rest: b}
	var relief <-chan struct{}
	for {
		wait, err := s.conn.take(&in)
		switch {
		case wait == none:
			return err
		case wait == untilRead:
			s.breathe()
		case relief == nil:
			relief = s.conn.transport.config.Hub.Relief() // and try again: it may have come meanwhile
		default:
			<-relief
			relief = nil
		}
	}
}

// breathe waits until the client has read what it must, or never will.
func (s *stream) breathe() {
	for {
		s.mu.Lock()
		if s.done || !s.conn.mustRead() || s.conn.closing() {
			s.mu.Unlock()
			return
		}
		if s.resume == nil {
			s.resume = make(chan struct{})
		}
		resume := s.resume
		s.mu.Unlock()
		<-resume
	}
}

// letRead has breathe look again. It requires s.mu.
func (s *stream) letRead() {
	if s.resume != nil {
		close(s.resume)
		s.resume = nil
	}
}

// closing implements driver.
func (s *stream) closing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.IsZero() {
		s.until = time.Now().Add(s.conn.transport.config.Close)
		s.socket.SetReadDeadline(s.until)
	}
	s.letRead()
}

// kill implements driver.
func (s *stream) kill() { s.socket.Close() } // the reader notices

// awaitFlush waits until the last frame is written, but not longer than for the client's.
func (s *stream) awaitFlush() {
	s.mu.Lock()
	timeout := time.NewTimer(time.Until(s.until))
	s.mu.Unlock()
	defer timeout.Stop()
	select {
	case <-s.flushed:
	case <-timeout.C:
	}
}

func (s *stream) finish() {
	s.mu.Lock()
	s.dead = true
	s.mu.Unlock()
	s.socket.Close()
	s.writers.Wait()
	s.conn.transport.removeStream(s)
	s.conn.ended()
}

// wake implements driver: it writes what there is, as far as the socket takes it.
func (s *stream) wake(bool) {
	if !s.startWriting() {
		s.conn.checkBehind() // the one who waits for the socket cannot notice
		return
	}
	for {
		if full := s.write(s.socket.try); full {
			s.conn.full.Store(true)
			go s.writeWaiting()
			return
		}
		if !s.stopWriting() {
			return
		}
	}
}

// writeWaiting writes until there is nothing left, waiting for the socket. finish waits for it.
func (s *stream) writeWaiting() {
	send := func(bufs [][]byte) (int, error) {
		n, err := s.socket.writeAll(bufs)
		s.excuse()
		return n, err
	}
	for {
		s.write(send)
		if !s.stopWriting() {
			return
		}
	}
}

// excuse takes it for a sign of life that the client has read something, if nobody listens to its pongs meanwhile.
func (s *stream) excuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume != nil {
		s.conn.alive(time.Now().UnixMilli())
	}
}

// startWriting makes the caller the one who writes, if nobody else does.
func (s *stream) startWriting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return false
	}
	if s.writing {
		s.again = true
		return false
	}
	s.writing = true
	s.writers.Add(1)
	return true
}

// stopWriting ends what startWriting began, unless there was news in between: then it returns true.
func (s *stream) stopWriting() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again && !s.dead {
		s.again = false
		return true
	}
	s.writing, s.again = false, false
	s.conn.full.Store(false)
	s.letRead()
	s.writers.Done()
	return false
}

// write hands what is pending to send, until nothing is left or the socket is full.
func (s *stream) write(send func([][]byte) (int, error)) (full bool) {
	list := lists.Get().(*[][]byte)
	defer func() {
		clear((*list)[:cap(*list)])
		lists.Put(list)
	}()
	for {
		bufs, err := s.conn.Pending((*list)[:0], maxWrite)
		*list = bufs
		if errors.Is(err, hub.ErrBehind) {
			s.conn.fallBehind()
			return false
		}
		if len(bufs) == 0 {
			return false
		}
		n, err := send(bufs)
		s.wrote(n)
		if errors.Is(err, errFull) {
			return true
		}
		if err != nil {
			s.socket.Close() // the reader notices
			s.lastWritten()
			return false
		}
	}
}

var lists = sync.Pool{New: func() any { return new([][]byte) }}

func (s *stream) wrote(n int) {
	messages, finished := s.conn.Advance(n)
	if n > 0 {
		s.conn.transport.bytesOut.Add(uint64(n))
	}
	if messages > 0 {
		s.conn.active.Store(time.Now().UnixMilli())
	}
	if finished {
		s.socket.closeWrite()
		s.lastWritten()
	}
}

// lastWritten says that the last frame is written, or never will be.
func (s *stream) lastWritten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.done = true
		close(s.flushed)
	}
	s.letRead()
}
