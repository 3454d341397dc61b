package transport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"crier/hub"
	"crier/ws"
)

// A line drives a connection on a loop, which alone may touch it, but for closing and kill.
type line struct {
	conn *Conn
	loop *loop
	held *input // what must wait before more is read; nil if nothing

	fd       int32  // negative when the socket is closed; changed with conn.mu held
	interest uint32 // what the poller looks for
	phase    phase
	hungUp   bool // the client has sent its close frame, or the end of its stream: nothing more will come
	deaf     bool // the client broke the protocol: what it sends after that means nothing
	queued   bool // in loop.waiting
	ready    bool // in loop.ready

	// For the wheel.
	waits      bool // is on it
	slot       uint8
	prev, next *line
	until      int64 // when a connection that is closing has had its time, in milliseconds since 1970
}

// A phase is how far a connection has got.
type phase uint8

const (
	// opened: messages go both ways.
	opened phase = iota
	// closing: there is a cause; what the client sends is ignored; the last frame is under way.
	closing
	// flushed: the last frame is written; the client has yet to hang up.
	flushed
	// ended: the socket is closed.
	ended
)

// open takes the socket over from whoever made the handshake.
func (l *line) open() {
	loop := l.loop
	for len(loop.lines) <= int(l.fd) {
		loop.lines = append(loop.lines, nil)
	}
	loop.lines[l.fd] = l
	l.interest = readable
	if err := loop.poller.add(int(l.fd), l.interest); err != nil || !l.conn.attach(l) {
		l.end()
		return
	}
	loop.wheel.add(l, loop.now+1)
	if held := l.held; held != nil {
		l.held = nil
		l.take(held)
	}
	l.wake(l.conn.closing()) // there may have been news before there was a socket
}

// event says what the socket is ready for.
func (l *line) event(what uint32) {
	if what&writable != 0 {
		l.conn.full.Store(false)
		if l.held != nil {
			l.conn.alive(l.loop.now) // a sign of life: its pongs wait in what is not read
		}
		l.write()
	}
	switch {
	case l.phase == ended:
	case what&readable != 0 && l.interest&readable != 0:
		l.read()
	case what&gone != 0:
		l.end()
	}
}

// read takes what one read gets: the rest is told of again in the next round, when the others have had theirs.
func (l *line) read() {
	buf := l.loop.buf[:]
	n, err := receive(int(l.fd), buf)
	switch {
	case errors.Is(err, errFull): // nothing, after all
	case err != nil || n == 0 && (l.phase == flushed || !l.conn.closing()):
		l.end()
	case n == 0: // the last frame is still to be written
		l.hungUp = true
		l.poll()
	default:
		l.loop.bytesIn.Add(uint64(n))
		l.conn.alive(l.loop.now)
		if !l.deaf {
			l.take(&input{rest: buf[:n]})
		}
	}
}

// take handles what the client sent, as far as it goes now.
func (l *line) take(in *input) {
	wait, err := l.conn.take(in)
	if wait != none {
		l.held = in.clone()
		if wait == untilRelief {
			l.queue()
		}
	}
	var fault ws.Close
	switch {
	case errors.Is(err, errClosed):
		l.hungUp = true
	case errors.As(err, &fault):
		l.deaf = true
		l.conn.Close(fault)
	}
	if l.hungUp && l.phase == flushed {
		l.end()
		return
	}
	l.poll()
}

// clone makes what must wait independent of the loop's buffer.
func (in *input) clone() *input {
	c := &input{rest: append([]byte(nil), in.rest...), refused: in.refused}
	if in.refused {
		c.message = ws.Message{Op: in.message.Op, Data: append([]byte(nil), in.message.Data...)}
	}
	return c
}

// queue has goOn called in this round, or the next.
func (l *line) queue() {
	if !l.queued {
		l.queued = true
		l.loop.waiting = append(l.loop.waiting, l)
	}
}

// goOn handles what was held.
func (l *line) goOn() {
	l.queued = false
	if held := l.held; held != nil && l.phase != ended {
		l.held = nil
		l.take(held)
	}
}

// poll has the poller look for what the line can make use of.
func (l *line) poll() {
	if l.phase == ended {
		return
	}
	interest := uint32(0)
	if l.held == nil && !l.hungUp {
		interest |= readable
	}
	if l.conn.full.Load() {
		interest |= writable
	}
	if interest != l.interest {
		l.interest = interest
		l.loop.poller.change(int(l.fd), interest)
	}
}

// wake implements driver. It is called in the shard's turn, which the loop takes.
func (l *line) wake(isClosing bool) {
	if isClosing && l.phase == opened {
		l.phase = closing
		if l.held != nil {
			l.queue() // what the client has sent already may end with its close frame
		}
		l.until = l.loop.now + l.conn.transport.config.Close.Milliseconds()
		if l.waits {
			l.loop.wheel.remove(l)
		}
		l.loop.wheel.add(l, l.until)
		l.poll()
	}
	if l.conn.full.Load() {
		l.conn.checkBehind()
		return
	}
	l.write()
}

// write has the loop write what is new, in this round.
func (l *line) write() {
	if !l.ready && l.phase != ended {
		l.ready = true
		l.loop.ready = append(l.loop.ready, l)
	}
}

// A draft is what a line is to write: bufs, of size bytes. sent is how much of it the socket took.
type draft struct {
	line *line
	bufs [][]byte
	size int
	sent int
	err  error
}

// draft appends what there is to write to the loop's memory.
func (l *line) draft() draft {
	l.ready = false
	if l.phase == ended || l.conn.full.Load() {
		return draft{line: l}
	}
	memory := l.loop.pending
	bufs, err := l.conn.Pending(memory, maxWrite)
	if errors.Is(err, hub.ErrBehind) {
		l.conn.fallBehind()
		bufs, _ = l.conn.Pending(memory, maxWrite) // the rest of a frame, or the word that it has missed something
	}
	l.loop.pending = bufs
	d := draft{line: l, bufs: bufs[len(memory):]}
	for _, b := range d.bufs {
		d.size += len(b)
	}
	return d
}

// send writes the draft, in one call if it can be.
func (d *draft) send() {
	fd, loop := int(d.line.fd), d.line.loop
	switch len(d.bufs) {
	case 0:
		return
	case 1:
		d.sent, d.err = send(fd, d.bufs[0])
	default:
		vectors := loop.vectors[:0]
		for _, b := range d.bufs[:min(len(d.bufs), maxVectors)] {
			vectors = append(vectors, unix.Iovec{Base: &b[0]})
			vectors[len(vectors)-1].SetLen(len(b))
		}
		d.sent, d.err = sendVectors(fd, vectors, &loop.header)
		loop.vectors = vectors
	}
	if errors.Is(d.err, errFull) {
		d.err = nil
	}
}

// settle says what has become of the draft.
func (d *draft) settle() {
	l := d.line
	if l.phase == ended || d.size == 0 {
		l.letRead()
		return
	}
	l.wrote(d.sent)
	switch {
	case l.phase == ended:
		return
	case d.err != nil:
		l.end()
		return
	case d.sent < d.size:
		l.conn.full.Store(true)
	case d.size >= maxWrite:
		l.write() // there may be more
	}
	l.letRead()
}

// letRead goes on with input that waited until the client has read enough.
func (l *line) letRead() {
	if l.held != nil && !l.conn.mustRead() {
		l.queue()
	}
	l.poll()
}

func (l *line) wrote(n int) {
	messages, finished := l.conn.Advance(n)
	l.loop.sent += uint64(n)
	if messages > 0 {
		l.conn.active.Store(l.loop.now)
	}
	if !finished {
		return
	}
	if l.hungUp {
		l.end()
		return
	}
	l.phase = flushed
	unix.Shutdown(int(l.fd), unix.SHUT_WR)
}

// look is called when the line's time on the wheel has come.
func (l *line) look() {
	now := l.loop.now
	switch {
	case l.phase == opened:
		l.loop.wheel.add(l, l.conn.check(now))
	case l.until <= now:
		l.end()
	default:
		l.loop.wheel.add(l, l.until)
	}
}

// end closes the socket.
func (l *line) end() {
	l.phase = ended
	l.loop.lines[l.fd] = nil
	if l.waits {
		l.loop.wheel.remove(l)
	}
	l.conn.mu.Lock()
	unix.Close(int(l.fd))
	l.fd = -1
	l.conn.mu.Unlock()
	l.held = nil
	l.conn.ended()
}

// closing implements driver: the last frame is posted, so the turn will come here.
func (l *line) closing() {}

// kill implements driver.
func (l *line) kill() {
	l.conn.mu.Lock()
	defer l.conn.mu.Unlock()
	if l.fd >= 0 {
		unix.Shutdown(int(l.fd), unix.SHUT_RDWR) // the poller notices
	}
}

func duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	outer := raw.Control(func(original uintptr) {
		fd, err = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	if outer != nil {
		return -1, outer
	}
	return fd, err
}
