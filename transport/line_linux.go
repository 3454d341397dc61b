package transport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"crier/ws"
)

// A line drives a connection on a loop. Only the loop may touch it, except for
// closing and kill.
type line struct {
	// All of it is one cache line.
	conn   *Conn
	loop   *loop
	tunnel *tunnel // nil without TLS
	held   *input  // input that must be handled before more is read; nil if none

	fd       int32  // negative when the socket is closed; changed with conn.mu held
	received uint32 // what the client had received when it was last checked
	interest uint8  // what the poller reports
	phase    phase
	pause    pause // why held must wait
	hearing  hearing
	muted    bool // nothing is read for a while
	queued   bool // in loop.held
	ready    bool // in loop.ready

	// For the wheel.
	slot       uint8 // one more than the number of its slot; 0: it is not on the wheel
	prev, next *line
}

// Hearing is what can still come from a client.
type hearing uint8

const (
	hears  hearing = iota // messages
	deaf                  // it broke the protocol: what it sends now has no meaning
	hungUp                // it sent its close frame or ended its stream: nothing
)

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
//	├─ hasRoom               writable: the line is written to in this round
//	├─ read                  readable: a single read call
//	│  ├─ ignore             the connection ends: slow a noisy client down
//	│  ├─ decrypt            TLS: tunnel.open
//	│  └─ take               decodes and hands messages to the Receiver
//	│     ├─ Conn.take       until the input ends or must wait
//	│     ├─ queueHeld       the input waits: try again in a later round
//	│     └─ Conn.Leave      a fault: the Receiver may still send something
//	└─ end                   the socket failed
//	wake                     the shard's turn: the hub has something to write
//	└─ queueWrite
//	draft, send, settle      flush: Pending, the write, Advance (write_linux.go)
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
	if l.tunnel != nil { // some may have been read together with the handshake
		l.held = &input{rest: append(l.held.text(), l.decrypt(nil)...)}
	}
	if l.held != nil {
		l.resume()
	}
	l.wake(l.conn.why()) // there may have been news before there was a socket
}

// event handles what the poller reports about the socket.
func (l *line) event(what uint32) {
	if what&writable != 0 {
		l.hasRoom()
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
	case err != nil:
		l.end()
	case n == 0:
		l.endOfStream()
	default:
		l.conn.alive(l.loop.now)
		if l.hearing == deaf || l.phase != opened {
			l.ignore(n)
		}
		if l.hearing != deaf {
			l.take(&input{rest: l.decrypt(buf[:n])})
		}
	}
}

// endOfStream is called when nothing more will come from the client.
func (l *line) endOfStream() {
	if l.phase == flushed || l.hearing == hears && !l.conn.closing() {
		l.end()
		return
	}
	l.hearing = hungUp // the last frame is not written yet, and perhaps not even posted
	l.updateInterest()
}

// decrypt returns the plaintext of what the client sent. Without TLS that is
// the same.
func (l *line) decrypt(b []byte) []byte {
	if t := l.tunnel; t != nil {
		before := t.writes
		b = t.open(b) // take looks at why it has ended, when it has come so far
		if answers := t.writes - before; answers > 0 && l.conn.restless(answers*answerCost) {
			l.conn.Close(ErrRestless)
		}
		l.checkUnsent()
	}
	l.loop.got += uint64(len(b))
	return b
}

// answerCost is as how many frames without content the answer to a KeyUpdate
// counts. It needs new keys, and a send of its own.
const answerCost = 100

// countTLS accounts for what the line keeps because of TLS: what the socket did
// not take, and the buffers of the tls.Conn, which stay as large as they ever
// were. A line that is deaf ends soon, and with it the buffers.
func (l *line) countTLS() {
	n := len(l.tunnel.unsent)
	if l.tunnel.most > usual && l.hearing != deaf {
		n += l.tunnel.most
	}
	switch {
	case n == l.tunnel.counted:
	case l.conn.keep(n):
		l.tunnel.counted = n
	default:
		l.conn.Close(ErrNoMemory)
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
		l.held = in.kept()
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
		l.hearing = hungUp
	case errors.As(err, &fault):
		l.goDeaf()
		l.conn.Leave(fault)
	case errors.Is(err, ErrNoMemory):
		l.goDeaf()
		l.conn.Close(err)
	}
	switch {
	case l.hearing == hungUp && l.phase == flushed:
		l.end()
	case l.tunnel != nil && l.tunnel.end != nil && l.held == nil:
		l.endOfStream()
	default:
		l.updateInterest()
	}
}

// goDeaf notes that nothing the client sends can be understood any more.
func (l *line) goDeaf() {
	l.hearing = max(l.hearing, deaf)
	l.conn.stopDecoding()
	if l.tunnel != nil {
		l.countTLS()
	}
}

// text returns what is left of an input, if there is one.
func (in *input) text() []byte {
	if in == nil {
		return nil
	}
	return in.rest
}

// kept returns input that must wait in memory of its own, because the loop's buffer
// is used again. What has waited before is there already; it is copied only if
// less than half of that memory is left. A client that waits after each message
// would have all of it copied each time.
func (in *input) kept() *input {
	if !in.refused && in.memory > 0 && 2*len(in.rest) >= in.memory {
		return in
	}
	c := &input{rest: append([]byte(nil), in.rest...), memory: len(in.rest), refused: in.refused}
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
	if l.held == nil && l.hearing != hungUp && !l.muted {
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
			l.dropUnsent()
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

// dropUnsent gives up what the socket did not take of the records. The
// connection ends without a close frame, because no record can follow.
func (l *line) dropUnsent() {
	if l.tunnel != nil && len(l.tunnel.unsent) > 0 {
		l.tunnel.unsent = nil
		l.countTLS()
		unix.Shutdown(int(l.fd), unix.SHUT_RDWR) // the poller notices
	}
}

// giveTime gives a closing connection some more time.
func (l *line) giveTime() {
	until := l.conn.timeToClose(l.loop.now)
	l.conn.rarely().until = until
	if l.slot != 0 {
		l.loop.wheel.remove(l)
	}
	l.loop.wheel.add(l, until)
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
	if l.slot != 0 {
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
