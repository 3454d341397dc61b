package transport

import (
	"errors"
	"time"

	"crier/hub"
	"crier/ws"
)

// An input is what a client sent and has not been handled yet.
type input struct {
	rest    []byte
	refused bool // message was refused because the hub is busy: it comes first
	message ws.Message
}

// A pause is why the rest of an input must wait.
type pause uint8

const (
	none pause = iota
	// untilRetry: the hub has no room for a message. The client is slowed down
	// before anybody else loses anything.
	untilRetry
	// untilRead: the client has not read what it caused: its socket is full,
	// or many answers wait.
	untilRead
	// untilTime: rare.holdTill has not come.
	untilTime
)

// maxAnswers is how many bytes of answers, or of its own copies, a client may
// have waiting before it is read again.
const maxAnswers = 64 << 10

// errClosed says that the client's close frame has come: what it sends after
// that counts for nothing.
var errClosed = errors.New("transport: the client has closed")

// take handles messages until there are no more, one must wait, or the input
// ends: with errClosed, ErrNoMemory, or a fault (a ws.Close). When the connection is closing,
// all that counts is the client's close frame.
func (c *Conn) take(in *input) (pause, error) {
	wait, err := c.takeMessages(in)
	if err == nil && !c.account(in.size(wait)) {
		return none, ErrNoMemory
	}
	return wait, err
}

// size is how many bytes an input keeps while it waits.
func (in *input) size(wait pause) int {
	switch {
	case wait == none:
		return 0
	case in.refused:
		return len(in.message.Data) + len(in.rest)
	}
	return len(in.rest)
}

func (c *Conn) takeMessages(in *input) (pause, error) {
	for {
		closing := c.closing()
		switch {
		case closing:
			in.refused = false
		case c.mustRead():
			return untilRead, nil
		case c.held():
			return untilTime, nil
		}
		if !in.refused {
			if len(in.rest) == 0 {
				return none, nil
			}
			m, n, ok, err := c.decoder.Next(in.rest)
			if err != nil {
				return none, err
			}
			in.rest = in.rest[n:]
			if !ok {
				continue
			}
			in.message = m
			if !m.Op.IsControl() {
				c.begin(0)
			}
		}
		if closing && in.message.Op != ws.CloseFrame {
			continue
		}
		err := c.handle(in.message)
		in.refused = errors.Is(err, hub.ErrBusy)
		if in.refused {
			return untilRetry, nil
		}
		if err != nil {
			return none, err
		}
	}
}

// account notes how much memory the client's messages take that are not handled:
// waiting bytes of input, and what has come of a message that is on its way,
// which begins now if it has not. It reports false if there is no such memory.
func (c *Conn) account(waiting int) bool {
	coming := c.decoder.Held()
	switch {
	case coming == 0:
		c.begin(0)
	case c.beginning() == 0:
		c.begin(c.heard.Load()) // it was heard just now
	}
	return c.transport.unfinished.hold(c, coming+waiting)
}

// When a connection is closing, what its client sends counts for nothing. Beyond
// maxIgnored bytes it is read slowly, so that the client does not keep a
// processor busy; it is read at all because a socket that is closed with unread
// bytes takes the close frame with it.
const (
	maxIgnored  = 1 << 20
	ignorePause = 50 * time.Millisecond // between two reads
)

// stopDecoding lets go of what the decoder holds: nothing that comes means
// anything any more.
func (c *Conn) stopDecoding() {
	c.decoder = ws.Decoder{}
	c.account(0)
}

// mustRead reports whether the client must read before more is taken from it.
func (c *Conn) mustRead() bool { return c.full.Load() || c.Member.Waiting() > maxAnswers }

// handle returns errClosed, a fault, or hub.ErrBusy: then nothing has happened
// yet.
func (c *Conn) handle(m ws.Message) error {
	if (m.Op.IsControl() || m.Empty > 0) && c.restless(1+uint32(m.Empty)) {
		c.Close(ErrRestless)
		return nil
	}
	switch m.Op {
	case ws.CloseFrame:
		how, err := ws.ParseClose(m.Data)
		if err != nil {
			return err
		}
		c.leave(Goodbye{how})
		return errClosed
	case ws.Ping:
		if errors.Is(c.Member.PostControl(ws.AppendFrame(nil, ws.Pong, m.Data)), hub.ErrFull) {
			c.Close(ErrFlooded)
		}
	case ws.Text, ws.Binary:
		return c.deliver(m)
	}
	return nil
}

// leave ends the connection because of the last that has come from its client,
// when the receiver has said its last.
func (c *Conn) leave(cause error) {
	if c.closing() || !c.receiver.Leaving(cause) {
		c.Close(cause)
	}
}

// maxControls is how many frames a client may send in a second that say
// nothing, which are control frames and empty fragments: many more than any that
// means well, and too few to keep a processor busy.
const maxControls = 100_000

// restless counts such frames, and reports whether those were too many.
func (c *Conn) restless(frames uint32) bool {
	if second := uint32(c.heard.Load() / 1000); second != c.second {
		c.second, c.controls = second, 0
	}
	c.controls += frames
	return c.controls > maxControls
}

func (c *Conn) deliver(m ws.Message) error {
	err := c.receiver.Message(m.Data, m.Op == ws.Binary)
	if errors.Is(err, hub.ErrBusy) {
		return err
	}
	c.active.Store(c.heard.Load()) // it was heard just now
	if err != nil {
		c.Close(err)
	}
	return nil
}
