package transport

import (
	"cmp"
	"errors"
	"time"

	"crier/hub"
	"crier/ws"
)

// An input is what a client sent and has not been handled yet.
type input struct {
	rest    []byte
	memory  int  // how large the memory is that rest is the end of; 0 if that is somebody else's
	refused bool // the hub was busy: message comes before rest
	message ws.Message
}

// A pause is why the rest of an input must wait.
type pause uint8

const (
	none pause = iota
	// untilRetry: the hub has no room for a message. The sender is slowed down
	// before anyone else loses anything.
	untilRetry
	// untilRead: the client must read first. Its socket is full, or too many
	// answers wait for it.
	untilRead
	// untilTime: rare.holdTill has not come.
	untilTime
)

// maxAnswers is how many bytes of answers and of its own copies may wait for a
// client. Beyond that, nothing more is read from it.
const maxAnswers = 64 << 10

// errClosed means that the client's close frame has come. What it sends after
// that is ignored.
var errClosed = errors.New("transport: the client has closed")

// take handles messages until there are no more, one must wait, or the input
// ends. The end is reported as errClosed, ErrNoMemory, or a fault (a ws.Close).
// When the connection is closing, everything but the client's close frame is
// ignored.
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

// account notes how much memory the client's unhandled messages take: waiting
// bytes of input, and the part of an unfinished message that has arrived. If
// such a message has just begun, account notes the time. It returns false if
// there is not enough memory.
func (c *Conn) account(waiting int) bool {
	coming := c.decoder.Held()
	switch {
	case coming == 0:
		c.begin(0)
	case c.beginning() == 0:
		c.begin(c.heard.Load()) // it was read just now
	}
	kept := 0
	if r := c.rare.Load(); r != nil {
		kept = r.kept
	}
	return c.transport.unfinished.hold(c, coming+waiting+kept)
}

// When a connection is closing, what its client sends is ignored. It is read
// nevertheless, because closing a socket with unread bytes would discard the
// close frame. Beyond maxIgnored bytes it is read slowly, so that the client
// does not keep a processor busy.
const (
	maxIgnored  = 1 << 20
	ignorePause = 50 * time.Millisecond // between two reads
)

// stopDecoding releases what the decoder holds, because what the client sends
// has no meaning any more.
func (c *Conn) stopDecoding() {
	c.decoder = ws.Decoder{}
	c.account(0)
}

// mustRead reports whether the client must read before more is taken from it.
func (c *Conn) mustRead() bool { return c.full.Load() || c.Member.Waiting() > maxAnswers }

// handle handles one message. It returns errClosed, a fault, or hub.ErrBusy.
// After hub.ErrBusy nothing has happened yet.
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
		c.Leave(Goodbye{how})
		return errClosed
	case ws.Ping:
		pong := ws.AppendFrame(nil, ws.Pong, m.Data)
		if later := c.transport.config.Pong; later != nil && later(c, pong) {
			return nil
		}
		if errors.Is(c.Member.PostControl(pong), hub.ErrFull) {
			c.Close(ErrFlooded)
		}
	case ws.Text, ws.Binary:
		return c.deliver(m)
	}
	return nil
}

// Leave ends the connection like [Conn.Close], unless the receiver still has
// something to send: then it ends afterwards.
func (c *Conn) Leave(cause error) {
	if c.closing() || !c.receiver.Leaving(cause) {
		c.Close(cause)
	}
}

// maxControls is how many frames without content a client may send in a second:
// control frames and empty fragments. That is many more than a well-meaning
// client sends, and too few to keep a processor busy.
const maxControls = 100_000

// restless counts such frames and reports whether there were too many in this
// second.
func (c *Conn) restless(frames uint32) bool {
	if second := uint32(c.heard.Load() / 1000); second != c.second {
		c.second, c.controls = second, 0
	}
	c.controls += frames
	return c.controls > cmp.Or(c.transport.config.controls, maxControls)
}

func (c *Conn) deliver(m ws.Message) error {
	err := c.receiver.Message(m.Data, m.Op == ws.Binary)
	if errors.Is(err, hub.ErrBusy) {
		return err
	}
	c.active.Store(c.heard.Load()) // it was read just now
	if err != nil {
		c.Close(err)
	}
	return nil
}
