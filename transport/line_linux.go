package transport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"crier/hub"
	"crier/ws"
)

// A line drives a connection on a loop. Only the loop may touch it, except for
// closing and kill.
type line struct {
	conn *Conn
	loop *loop
	held *input // input that must be handled before more is read; nil if none

	fd       int32  // negative when the socket is closed; changed with conn.mu held
	received uint32 // what the client had received when it was last checked
	interest uint8  // what the poller reports
	phase    phase
	pause    pause // why held must wait
	hungUp   bool  // the client sent its close frame or ended its stream: nothing more will come
	deaf     bool  // the client broke the protocol: what it sends now has no meaning
	muted    bool  // nothing is read for a while
	queued   bool  // in loop.held
	ready    bool  // in loop.ready

	// For the wheel.
	waits      bool // it is on the wheel
	slot       uint8
	prev, next *line
}

// A phase is how far a connection has got.
//
//	          a cause              the last frame is written            the client hangs up
//	opened -----------> closing -------------------------------> flushed ------------------> ended
//	   |                   |                                        |                          ^
//	   +-------------------+-- the socket fails, or time runs out --+--------------------------+
type phase uint8

const (
	// opened: messages go both ways. The phase ends with Conn.Close, a fault,
	// or the client's close frame (next: closing), or when the socket fails
	// (next: ended).
	opened phase = iota
	// closing: there is a cause. What the client sends is ignored, except its
	// close frame. The phase ends when the last frame is written (next:
	// flushed, or ended if the client has hung up), or when the client has
	// received nothing for Config.Close (next: ended).
	closing
	// flushed: the last frame is written, and the client has not hung up yet.
	// The phase ends when it does, or after Config.Close.
	flushed
	// ended: the socket is closed, and Receiver.Closed was called.
	ended
)

// The call tree of a line. The loop calls all of it, in each round (see
// loop.run).
//
//	open                     adopt: from now on the poller reports the socket
//	event                    the poller reports the socket
//	├─ queueWrite            writable: the line is written to in this round
//	├─ read                  readable: a single read call
//	│  ├─ ignore             the connection ends: slow a noisy client down
//	│  └─ take               decodes and hands messages to the Receiver
//	│     ├─ Conn.take       until the input ends or must wait
//	│     ├─ queueHeld       the input waits: try again in a later round
//	│     └─ Conn.Leave      a fault: the Receiver may still send something
//	└─ end                   the socket failed
//	wake                     the shard's turn: the hub has something to write
//	└─ queueWrite
//	draft, send, settle      flush: Pending, the write, Advance
//	├─ Conn.Close            the member fell behind
//	└─ resumeIfRead          the client has read enough: take held input
//	resume, delayed          held input may go on
//	onTimer                  silence, idleness, endless messages, slow closing

// open takes the socket over from the goroutine that did the handshake.
func (l *line) open() {
	loop := l.loop
	for len(loop.lines) <= int(l.fd) {
		loop.lines = append(loop.lines, nil)
	}
	loop.lines[l.fd] = l
	l.interest = readable
	if err := loop.poller.add(int(l.fd), uint32(l.interest)); err != nil || !l.conn.attach(l) {
		l.end()
		return
	}
	loop.wheel.add(l, loop.now+1)
	if l.held != nil {
		l.resume()
	}
	l.wake(l.conn.why()) // there may have been news before there was a socket
}

// event handles what the poller reports about the socket.
func (l *line) event(what uint32) {
	if what&writable != 0 {
		l.conn.full.Store(false)
		l.conn.alive(l.loop.now) // it has received some of what filled the socket
		l.queueWrite()
	}
	switch {
	case l.phase == ended:
	case what&readable != 0 && l.interest&uint8(readable) != 0:
		l.read()
	case what&gone != 0:
		l.end()
	}
}

// read makes a single read call. If more data is waiting, the poller reports it
// again next round, so one busy client cannot starve the others.
func (l *line) read() {
	buf := l.loop.buf[:]
	n, err := receive(int(l.fd), buf)
	switch {
	case errors.Is(err, errFull): // there was nothing to read after all
	case err != nil || n == 0 && (l.phase == flushed || !l.deaf && !l.conn.closing()):
		l.end()
	case n == 0: // the last frame is not written yet, and perhaps not even posted
		l.hungUp = true
		l.updateInterest()
	default:
		l.loop.got += uint64(n)
		l.conn.alive(l.loop.now)
		if l.deaf || l.phase != opened {
			l.ignore(n)
		}
		if !l.deaf {
			l.take(&input{rest: buf[:n]})
		}
	}
}

// ignore slows down a client that sends too much while its bytes are ignored.
func (l *line) ignore(n int) {
	rare := l.conn.rarely()
	if rare.ignored += n; rare.ignored > maxIgnored {
		l.muted = true
		l.loop.delays.add(l, l.loop.now+ignorePause.Milliseconds())
		l.updateInterest()
	}
}

// delayed is called when the time that the line waited for has come.
func (l *line) delayed() {
	l.muted = false
	l.queueHeld()
	l.updateInterest()
}

// take handles what the client sent, as far as possible now. The rest is held.
func (l *line) take(in *input) {
	wait, err := l.conn.take(in)
	if l.pause = wait; wait != none {
		l.held = in.clone()
	}
	switch wait {
	case untilRetry:
		l.queueHeld()
	case untilTime:
		l.loop.delays.add(l, l.conn.rarely().holdTill)
	}
	var fault ws.Close
	switch {
	case errors.Is(err, errClosed):
		l.hungUp = true
	case errors.As(err, &fault):
		l.goDeaf()
		l.conn.Leave(fault)
	case errors.Is(err, ErrNoMemory):
		l.goDeaf()
		l.conn.Close(err)
	}
	if l.hungUp && l.phase == flushed {
		l.end()
		return
	}
	l.updateInterest()
}

// goDeaf notes that nothing the client sends can be understood any more.
func (l *line) goDeaf() {
	l.deaf = true
	l.conn.stopDecoding()
}

// clone copies input that must wait, because the loop's buffer is used again.
func (in *input) clone() *input {
	c := &input{rest: append([]byte(nil), in.rest...), refused: in.refused}
	if in.refused {
		c.message = ws.Message{Op: in.message.Op, Data: append([]byte(nil), in.message.Data...)}
	}
	return c
}

// queueHeld makes the loop resume the line in this round or the next.
func (l *line) queueHeld() {
	if !l.queued && l.held != nil {
		l.queued = true
		l.loop.held = append(l.loop.held, l)
	}
}

// resume handles the input that was held.
func (l *line) resume() {
	l.queued = false
	if held := l.held; held != nil && l.phase != ended {
		l.held = nil
		l.take(held)
	}
}

// updateInterest tells the poller which events the line can use.
func (l *line) updateInterest() {
	if l.phase == ended {
		return
	}
	interest := uint8(0)
	if l.held == nil && !l.hungUp && !l.muted {
		interest |= readable
	}
	if l.conn.full.Load() {
		interest |= writable
	}
	if interest != l.interest {
		l.interest = interest
		l.loop.poller.change(int(l.fd), uint32(interest))
	}
}

// wake implements driver. The loop calls it in the shard's turn.
func (l *line) wake(cause error) {
	if cause != nil && l.phase == opened {
		l.phase = closing
		if errors.Is(cause, ErrNoMemory) {
			l.held = nil
			l.goDeaf()
		}
		l.queueHeld() // the held input may end with the client's close frame
		l.giveTime()
		l.updateInterest()
	}
	if l.conn.full.Load() {
		l.conn.checkBehind()
		return
	}
	l.queueWrite()
}

// giveTime gives a closing connection some more time.
func (l *line) giveTime() {
	until := l.conn.timeToClose(l.loop.now)
	l.conn.rarely().until = until
	if l.waits {
		l.loop.wheel.remove(l)
	}
	l.loop.wheel.add(l, until)
}

// queueWrite makes the loop write what is new, in this round.
func (l *line) queueWrite() {
	if !l.ready && l.phase != ended {
		l.ready = true
		l.loop.ready = append(l.loop.ready, l)
	}
}

// A draft is what will be written on a line. sent is how many of its bytes the
// socket took.
type draft struct {
	line  *line
	batch hub.Batch
	sent  int
	err   error
}

// draft gets from the hub what there is to write.
func (l *line) draft() draft {
	l.ready = false
	if l.phase == ended || l.conn.full.Load() {
		return draft{line: l}
	}
	b, err := l.conn.Member.Pending(&l.loop.memory, maxWrite)
	if errors.Is(err, hub.ErrBehind) {
		l.conn.Close(hub.ErrBehind)
		b, _ = l.conn.Member.Pending(&l.loop.memory, maxWrite) // what is left of a frame, and the last frame
	}
	return draft{line: l, batch: b}
}

// send writes the draft in one system call. If there are more than maxVectors
// frames, the others wait.
func (d *draft) send() {
	fd, loop := int(d.line.fd), d.line.loop
	switch frames := d.batch.Frames; len(frames) {
	case 0:
		return
	case 1:
		d.sent, d.err = send(fd, frames[0])
	default:
		vectors := loop.vectors[:0]
		for _, b := range frames[:min(len(frames), maxVectors)] {
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

// settle handles the result of send.
func (d *draft) settle() {
	l := d.line
	if l.phase == ended || d.batch.Bytes == 0 {
		l.resumeIfRead()
		return
	}
	l.wrote(d)
	switch {
	case l.phase == ended:
		return
	case d.err != nil:
		l.end()
		return
	case d.sent < d.batch.Bytes:
		l.conn.full.Store(true)
	case d.batch.Bytes >= maxWrite:
		l.queueWrite() // there may be more
	}
	l.resumeIfRead()
}

// resumeIfRead goes on with input that waited until the client had read enough,
// if it has.
func (l *line) resumeIfRead() {
	if l.pause == untilRead && !l.conn.mustRead() {
		l.queueHeld()
	}
	l.updateInterest()
}

func (l *line) wrote(d *draft) {
	messages, finished := l.conn.Member.Advance(d.batch, d.sent)
	l.loop.sent += uint64(d.sent)
	if messages > 0 {
		l.conn.active.Store(l.loop.now)
	}
	if l.phase == closing && d.sent > 0 {
		l.giveTime()
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

// onTimer is called when the line's time on the wheel has come.
func (l *line) onTimer() {
	now := l.loop.now
	switch {
	case l.phase == opened:
		if l.receives() {
			l.conn.alive(now)
		}
		held := l.held != nil && l.pause != untilRead
		l.loop.wheel.add(l, l.conn.check(now, held))
	case l.conn.rarely().until > now:
		l.loop.wheel.add(l, l.conn.rarely().until)
	case l.phase == closing && l.receives():
		l.giveTime()
	default:
		l.end()
	}
}

// receives reports whether the client has received some of what was written
// since the last check, and has more to receive. Such a client is alive, even
// if our ping may not have reached it.
func (l *line) receives() bool {
	before := l.received
	now, waiting := received(int(l.fd))
	l.received = now
	return waiting && now != before
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

// closing implements driver. The last frame is posted, so the shard's turn will
// wake the line.
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
