package transport

import (
	"errors"

	"golang.org/x/sys/unix"

	"crier/hub"
)

// queueWrite makes the loop write what is new, in this round.
func (l *line) queueWrite() {
	if !l.ready && l.phase != ended {
		l.ready = true
		l.loop.ready = append(l.loop.ready, l)
	}
}

// A draft is what will be written on a line. sent is how many bytes of the batch
// the socket took; with TLS, how many are in the record, which the line cannot
// take back.
type draft struct {
	line   *line
	batch  hub.Batch
	record []byte // with TLS
	sent   int
	err    error
}

// draft gets from the hub what there is to write.
func (l *line) draft() draft {
	l.ready = false
	if l.phase == ended || l.conn.full.Load() {
		return draft{line: l}
	}
	most := l.mostAtOnce()
	b, err := l.conn.Member.Pending(&l.loop.memory, most)
	if errors.Is(err, hub.ErrBehind) {
		l.conn.Close(hub.ErrBehind)
		b, _ = l.conn.Member.Pending(&l.loop.memory, most) // what is left of a frame, and the last frame
	}
	d := draft{line: l, batch: b}
	if l.tunnel != nil && b.Bytes > 0 {
		d.sent, d.record, d.err = l.tunnel.seal(b.Frames)
	}
	return d
}

// mostAtOnce is how many bytes are written before the hub is asked again.
func (l *line) mostAtOnce() int {
	if l.tunnel != nil {
		return maxRecord
	}
	return maxWrite
}

// send writes the draft in one system call. If there are more than maxVectors
// frames, or more than one record takes, the others wait.
func (d *draft) send() {
	fd, loop := int(d.line.fd), d.line.loop
	switch frames := d.batch.Frames; {
	case len(frames) == 0 || d.err != nil:
		return
	case d.line.tunnel != nil:
		d.err = d.line.tunnel.send(d.record)
	case len(frames) == 1:
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
	case l.tunnel == nil && d.sent < d.batch.Bytes:
		l.conn.full.Store(true)
	case d.sent < d.batch.Bytes || d.batch.Bytes >= l.mostAtOnce():
		l.queueWrite() // there may be more
	}
	l.resumeIfRead()
}

// wrote notes what was written.
func (l *line) wrote(d *draft) {
	messages, finished := l.conn.Member.Advance(d.batch, d.sent)
	l.loop.sent += uint64(d.sent)
	if l.tunnel != nil {
		l.loop.written.sealed += messages
	}
	if messages > 0 {
		l.conn.active.Store(l.loop.now)
	}
	if l.phase == closing && d.sent > 0 {
		l.giveTime()
	}
	if finished && l.tunnel != nil {
		l.tunnel.close()
	}
	if full := l.checkUnsent(); finished && !full {
		l.lastWritten()
	}
}

// checkUnsent notes whether the socket has taken all of the records.
func (l *line) checkUnsent() (full bool) {
	if l.tunnel == nil {
		return false
	}
	if full = len(l.tunnel.unsent) > 0; full {
		l.conn.full.Store(true)
	}
	l.countTLS()
	return full
}

// hasRoom is called when the socket takes bytes again.
func (l *line) hasRoom() {
	l.conn.alive(l.loop.now) // it has received some of what filled the socket
	if l.tunnel != nil && !l.flushTunnel() {
		return
	}
	l.conn.full.Store(false)
	if l.tunnel != nil && l.tunnel.closed && l.phase == closing {
		l.lastWritten()
		l.updateInterest()
		return
	}
	l.queueWrite()
}

// flushTunnel reports whether nothing is unsent any more.
func (l *line) flushTunnel() bool {
	if len(l.tunnel.unsent) == 0 {
		return true
	}
	n, err := l.tunnel.flush()
	if n > 0 && l.phase == closing {
		l.giveTime()
	}
	if err != nil {
		l.end()
		return false
	}
	return !l.checkUnsent()
}

// lastWritten is called when the socket has taken everything.
func (l *line) lastWritten() {
	if l.hearing == hungUp {
		l.end()
		return
	}
	l.phase = flushed
	unix.Shutdown(int(l.fd), unix.SHUT_WR)
}

// resumeIfRead goes on with input that waited until the client had read enough,
// if it has.
func (l *line) resumeIfRead() {
	if l.pause == untilRead && !l.conn.mustRead() {
		l.queueHeld()
	}
	l.updateInterest()
}
