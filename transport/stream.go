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

// A stream drives a connection with goroutines. One goroutine reads. The
// shard's turn writes what the socket takes at once. If the socket takes no
// more, another goroutine waits for it, until there is nothing left to write.
type stream struct {
	conn   *Conn
	socket socket

	due int64 // when to check the connection next; owned by Transport.watch

	held    atomic.Bool    // the server takes nothing from the client at present
	ignored int            // bytes read and ignored; owned by serve
	writers sync.WaitGroup // the goroutine that waits for a full socket, if any
	flushed chan struct{}  // closed when the last frame is written, or cannot be written any more

	mu       sync.Mutex
	received uint32        // what the client had received when it was last checked
	writing  bool          // a goroutine is writing: only that one may use Pending and Advance
	again    bool          // there was news in the meantime
	done     bool          // flushed is closed
	until    time.Time     // how long the end may take; zero while the connection is open
	light    bool          // the reader holds no memory any more
	dead     bool          // the socket is closed: no write may start
	resume   chan struct{} // closed when the reader may go on; nil unless it waits
}

// maxWrite is how many bytes are written before the hub is asked again.
const maxWrite = 256 << 10

func newStream(c *Conn, nc net.Conn) *stream {
	return &stream{conn: c, socket: newSocket(nc), flushed: make(chan struct{})}
}

// serve reads until the connection has ended.
func (s *stream) serve(early []byte) {
	c := s.conn
	err := s.read(early)
	var fault ws.Close
	switch {
	case errors.Is(err, errClosed):
		s.awaitCause()
	case errors.As(err, &fault):
		c.stopDecoding()
		c.Leave(fault)
		s.drain()
		s.awaitCause()
	case errors.Is(err, ErrNoMemory):
		c.Close(err)
	}
	if errors.Is(c.why(), ErrNoMemory) {
		s.letGo()
		s.drain()
	}
	if c.closing() {
		s.awaitFlush()
	}
	s.finish()
}

// read reads until the client closes or breaks a rule, or the socket fails. It
// returns which of these happened.
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
		s.conn.alive(s.conn.transport.now())
		if s.conn.closing() {
			s.ignore(len(b.bytes))
		}
		err = s.take(b.bytes)
		b.free()
		if err != nil {
			return err
		}
	}
}

// drain reads and ignores everything, because closing a socket with unread
// bytes would discard the close frame.
func (s *stream) drain() {
	for {
		b, err := s.socket.read()
		if err != nil {
			return
		}
		s.ignore(len(b.bytes))
		b.free()
	}
}

// ignore slows down a client that sends too much while its bytes are ignored.
func (s *stream) ignore(n int) {
	if s.ignored += n; s.ignored > maxIgnored {
		time.Sleep(ignorePause)
	}
}

// take handles what the client sent, and waits whenever it must.
func (s *stream) take(b []byte) error {
	in := input{rest: b}
	var resume, retry <-chan struct{}
	for {
		wait, err := s.conn.take(&in)
		s.held.Store(wait == untilRetry || wait == untilTime)
		if wait == none {
			return err
		}
		if resume == nil {
			if resume, err = s.resumed(); err != nil {
				return err
			}
			continue // what it waits for may have come meanwhile
		}
		if wait == untilRetry && retry == nil {
			retry = s.conn.transport.config.Hub.Retry()
			continue
		}
		var timer <-chan time.Time
		if wait == untilTime {
			timer = time.After(time.Duration(s.conn.rarely().holdTill-s.conn.transport.now()) * time.Millisecond)
		}
		select {
		case <-resume:
		case <-retry:
		case <-timer:
		}
		resume, retry = nil, nil
	}
}

// resumed returns a channel that is closed when the reader should check again,
// or an error if the connection has ended.
func (s *stream) resumed() (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil, net.ErrClosed
	}
	if s.resume == nil {
		s.resume = make(chan struct{})
	}
	return s.resume, nil
}

// wakeReader makes the reader check again. It requires s.mu.
func (s *stream) wakeReader() {
	if s.resume != nil {
		close(s.resume)
		s.resume = nil
	}
}

// closing implements driver.
func (s *stream) closing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveTime()
	s.wakeReader()
}

// letGo releases the memory of what the client has sent.
func (s *stream) letGo() {
	s.conn.stopDecoding()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.light = true
	s.giveTime()
}

// giveTime gives a closing connection some more time. It requires s.mu.
func (s *stream) giveTime() {
	t := s.conn.transport
	s.until = t.started.Add(time.Duration(s.conn.timeToClose(t.now())) * time.Millisecond)
	readUntil := s.until
	if !s.light && errors.Is(s.conn.why(), ErrNoMemory) {
		readUntil = t.started // the reader must release its memory first
	}
	s.socket.SetReadDeadline(readUntil)
}

// kill implements driver. The reader notices, even if it is not waiting for the
// socket.
func (s *stream) kill() {
	s.socket.Close()
	s.lastWritten()
}

// awaitCause waits until the receiver has sent its last message and called
// Conn.Close, or the connection has ended.
func (s *stream) awaitCause() {
	for !s.conn.closing() {
		news, err := s.resumed()
		if err != nil {
			return
		}
		if !s.conn.closing() {
			<-news
		}
	}
}

// awaitFlush waits until the last frame is written, or time has run out.
func (s *stream) awaitFlush() {
	for {
		s.mu.Lock()
		if s.until.IsZero() { // there is a cause, but closing was not called yet
			s.giveTime()
		}
		left := time.Until(s.until)
		if left <= 0 && s.receives() {
			s.giveTime()
			left = time.Until(s.until)
		}
		s.mu.Unlock()
		if left <= 0 {
			return
		}
		timeout := time.NewTimer(left)
		select {
		case <-s.flushed:
			timeout.Stop()
			return
		case <-timeout.C: // there may be more time by now
		}
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

// wake implements driver. It writes what there is, as far as the socket takes
// it at once.
func (s *stream) wake(error) {
	if !s.startWriting() {
		s.conn.checkBehind() // the goroutine that waits for the socket cannot notice
		return
	}
	for {
		if full := !s.socket.canTry() || s.write(s.socket.try, maxWrite); full {
			s.conn.full.Store(true)
			go s.writeWaiting()
			return
		}
		if !s.stopWriting() {
			return
		}
	}
}

// writeWaiting writes until there is nothing left, and waits for the socket.
// finish waits for writeWaiting.
func (s *stream) writeWaiting() {
	for {
		s.write(s.socket.writeAll, maxWrite)
		if !s.stopWriting() {
			return
		}
	}
}

// check checks the connection and notes when to do so next.
func (s *stream) check(now int64) {
	s.mu.Lock()
	receives := s.receives()
	s.mu.Unlock()
	if receives {
		s.conn.alive(now)
	}
	s.due = s.conn.check(now, s.held.Load())
}

// receives reports whether the client has received some of what was written
// since the last check, and has more to receive. Such a client is alive, even
// if our ping may not have reached it. It requires s.mu.
func (s *stream) receives() bool {
	before := s.received
	now, waiting := s.socket.received()
	s.received = now
	return waiting && now != before
}

// startWriting makes the caller the only writer, unless another goroutine is
// writing.
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

// stopWriting ends what startWriting began. If there was news in between, it
// returns true instead, and the caller must go on writing.
func (s *stream) stopWriting() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again && !s.dead {
		s.again = false
		return true
	}
	s.writing, s.again = false, false
	s.conn.full.Store(false)
	s.wakeReader()
	s.writers.Done()
	return false
}

// write passes what is pending to send, max bytes or more at a time, until
// nothing is left or the socket is full.
func (s *stream) write(send func([][]byte) (int, error), max int) (full bool) {
	mem := memories.Get().(*hub.Memory)
	defer func() {
		mem.Reset()
		memories.Put(mem)
	}()
	for {
		mem.Reset()
		b, err := s.conn.Member.Pending(mem, max)
		if errors.Is(err, hub.ErrBehind) {
			s.conn.Close(hub.ErrBehind)
			b, _ = s.conn.Member.Pending(mem, max) // what is left of a frame, and the last frame
		}
		if b.Bytes == 0 {
			return false
		}
		n, err := send(b.Frames)
		s.wrote(b, n)
		if errors.Is(err, errFull) {
			return true
		}
		if err != nil {
			s.kill()
			return false
		}
	}
}

var memories = sync.Pool{New: func() any { return new(hub.Memory) }}

func (s *stream) wrote(b hub.Batch, n int) {
	messages, finished := s.conn.Member.Advance(b, n)
	if n > 0 {
		s.conn.transport.bytesOut.Add(uint64(n))
	}
	if messages > 0 {
		s.conn.active.Store(s.conn.transport.now())
	}
	if n > 0 && s.conn.closing() {
		s.mu.Lock()
		s.giveTime()
		s.mu.Unlock()
	}
	if finished {
		s.socket.closeWrite()
		s.lastWritten()
	}
}

// lastWritten notes that the last frame is written, or cannot be written any
// more.
func (s *stream) lastWritten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.done = true
		close(s.flushed)
	}
	s.wakeReader()
}
