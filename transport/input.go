package transport

import (
	"errors"

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
	// untilRelief: the hub has no room for a message. The client is slowed down before anybody else loses anything.
	untilRelief
	// untilRead: the client has not read what it caused: its socket is full, or many answers wait.
	untilRead
)

// maxAnswers is how many bytes of answers a client may have waiting before it is read again.
const maxAnswers = 64 << 10

// errClosed says that the client's close frame has come: what it sends after that counts for nothing.
var errClosed = errors.New("transport: the client has closed")

// take handles messages until there are no more, one must wait, or the input ends: with errClosed, or a fault (a ws.Close).
// When the connection is closing, all that counts is the client's close frame.
func (c *Conn) take(in *input) (pause, error) {
	for {
		closing := c.closing()
		if closing {
			in.refused = false
		} else if c.mustRead() {
			return untilRead, nil
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
		}
		if closing && in.message.Op != ws.CloseFrame {
			continue
		}
		err := c.handle(in.message)
		in.refused = errors.Is(err, hub.ErrBusy)
		if in.refused {
			return untilRelief, nil
		}
		if err != nil {
			return none, err
		}
	}
}

// mustRead reports whether the client must read before more is taken from it.
func (c *Conn) mustRead() bool { return c.full.Load() || c.Backlog() > maxAnswers }

// handle returns errClosed, a fault, or hub.ErrBusy: then nothing has happened yet.
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
		if errors.Is(c.PostControl(ws.AppendFrame(nil, ws.Pong, m.Data)), hub.ErrFull) {
			c.Close(ErrFlooded)
		}
	case ws.Text, ws.Binary:
		return c.deliver(m)
	}
	return nil
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
