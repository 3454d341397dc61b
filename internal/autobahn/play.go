package autobahn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// play plays a case and returns what was seen.
func play(c Case, s Server) (Seen, error) {
	w, err := s.connect(c)
	if err != nil {
		return Seen{}, err
	}
	limit := c.limit(s)
	w.send(c.Steps, limit)
	w.await(limit, c.decided)
	if seen := w.look(); seen.over() || c.rate(seen.Events) != Failed {
		w.end(c, s.patience())
	}
	return w.hangUp(), nil
}

// send plays the steps, unless something else happens than they wait for.
func (w *conn) send(steps []Step, limit time.Duration) {
	for _, step := range steps {
		w.await(limit, func(seen Seen) bool { return seen.over() || len(seen.Events) >= step.After })
		if step.Pause > 0 {
			w.await(step.Pause, func(seen Seen) bool { return seen.over() || len(seen.Events) > step.After })
		}
		switch seen := w.look(); {
		case seen.over() || len(seen.Events) < step.After:
			return
		case step.Pause > 0 && len(seen.Events) > step.After:
			return
		case step.Pause > 0:
			w.saw(Event{Kind: StillOpen})
		}
		w.write(step)
	}
}

// write sends what the step has. If the server takes no more, the reader learns
// why.
func (w *conn) write(step Step) {
	if step.Closes {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
	}
	for _, piece := range step.pieces() {
		w.nc.Write(piece)
		if step.Chop == 1 {
			breathe()
		}
	}
}

// decided reports whether the case need not wait for more events.
func (c Case) decided(s Seen) bool {
	most := len(c.Want)
	for _, lax := range c.Lax {
		most = max(most, len(lax))
	}
	return s.over() || len(s.Events) > most || !c.ServerCloses && len(s.Events) >= len(c.Want)
}

// end does the closing handshake, unless the server should have begun it and has
// not, and waits for the end of the connection.
func (w *conn) end(c Case, limit time.Duration) {
	if !c.ServerCloses {
		w.close(1000)
		w.await(limit, Seen.over)
	}
	if code := w.look().Code; code != 0 {
		w.close(code) // as an answer, if the server was the first
		w.await(limit, func(seen Seen) bool { return seen.Ended })
	}
}

// A conn is the client's end of a WebSocket.
type conn struct {
	nc   net.Conn
	read sync.WaitGroup // the reader, which ends with the socket

	mu     sync.Mutex
	seen   Seen
	closed bool          // the client has sent a close frame
	news   chan struct{} // something was seen
}

// listen reads what comes from nc until hangUp.
func listen(nc net.Conn, in *bufio.Reader, extensions string) *conn {
	w := &conn{nc: nc, seen: Seen{Extensions: extensions}, news: make(chan struct{}, 1)}
	w.read.Go(func() {
		err := w.readAll(in)
		w.tell(func() {
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
				w.seen.Ended = true
			case !errors.Is(err, net.ErrClosed):
				w.seen.Fault = err
			}
		})
	})
	return w
}

// readAll reads frames until the stream ends or the server breaks a rule.
func (w *conn) readAll(in *bufio.Reader) error {
	var message Event // of which fragments have come
	for {
		f, err := readFrame(in)
		if err != nil {
			return err
		}
		if w.look().Code != 0 {
			return errors.New("the server sent a frame after its close frame")
		}
		switch f.Op {
		case opClose:
			if err := w.sawClose(f.Payload); err != nil {
				return err
			}
		case opPing, opPong:
			w.saw(Event{kindOf[f.Op], f.Payload})
		default:
			if (f.Op == opContinuation) != (message.Kind != "") {
				return fmt.Errorf("the server sent opcode %d amid or without a message", f.Op)
			}
			if f.Op != opContinuation {
				message.Kind = kindOf[f.Op]
			}
			message.Payload = append(message.Payload, f.Payload...)
			if f.More {
				continue
			}
			if err := w.sawMessage(message); err != nil {
				return err
			}
			message = Event{}
		}
	}
}

func (w *conn) sawMessage(m Event) (err error) {
	if m.Kind == Text {
		m.Payload, err = unstamp(m.Payload)
	}
	if err == nil {
		w.saw(m)
	}
	return err
}

func (w *conn) sawClose(payload []byte) error {
	code := noCode
	switch {
	case len(payload) == 1:
		return errors.New("the server sent half a close code")
	case len(payload) > 1:
		code = int(binary.BigEndian.Uint16(payload))
		if !utf8.Valid(payload[2:]) {
			return errors.New("the server sent a close reason that is not UTF-8")
		}
		if code < 1000 || code == noCode {
			return fmt.Errorf("the server sent close code %d", code)
		}
	}
	w.tell(func() { w.seen.Code, w.seen.First = code, !w.closed })
	return nil
}

func (w *conn) saw(e Event) {
	w.tell(func() { w.seen.Events = append(w.seen.Events, e) })
}

// tell changes what was seen, and has await look at it.
func (w *conn) tell(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *conn) look() Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// over reports whether nothing more can come but the end of the connection.
func (s Seen) over() bool { return s.Code != 0 || s.Ended || s.Fault != nil }

// await waits until something was seen, the connection has ended, or it is late.
func (w *conn) await(limit time.Duration, what func(Seen) bool) {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		if seen := w.look(); what(seen) || seen.Ended || seen.Fault != nil {
			return
		}
		select {
		case <-w.news:
		case <-late.C:
			return
		}
	}
}

// close sends a close frame, unless there was one.
func (w *conn) close(code int) {
	w.mu.Lock()
	was := w.closed
	w.closed = true
	w.mu.Unlock()
	switch {
	case was:
	case code == noCode:
		w.nc.Write(appendFrame(nil, Frame{Op: opClose}))
	case code != 0:
		w.nc.Write(appendFrame(nil, closeFrame(code, "")))
	}
}

// hangUp ends the connection and returns all that was seen of it.
func (w *conn) hangUp() Seen {
	w.nc.Close()
	w.read.Wait()
	return w.seen
}
