package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

const (
	maxLine     = 1 << 20
	maxReceived = 8 << 20
	goodbyeWait = 2 * time.Second
	sendTimeout = 30 * time.Second // a server that reads nothing for so long is told off
)

// conversation sends lines and shows messages until one side has enough.
type conversation struct {
	conn *websocket.Conn
	cut  func() error           // ends the connection whatever conn is waiting for
	in   io.Closer              // unblocks next
	next func() (string, error) // the next line to send; io.EOF after the last
	show func(websocket.MessageType, []byte) error
	stay time.Duration // how long to listen after the last line
}

// run returns nil when this side said goodbye, a *closedError when the server did.
// Nothing it started is left when it returns.
func (c *conversation) run(ctx context.Context) error {
	heard, said := make(chan error, 1), make(chan error, 1)
	go func() { heard <- c.listen(); close(heard) }()
	go func() { said <- c.speak(); close(said) }()
	defer func() {
		c.in.Close()
		c.conn.CloseNow()
		for range heard {
		}
		for range said {
		}
	}()

	var spoken error
	select {
	case err := <-heard:
		return err
	case <-ctx.Done():
	case spoken = <-said:
		stay := c.stay
		if errors.Is(spoken, errNotSent) {
			stay = max(stay, goodbyeWait) // the server's own reason may still be under way
		}
		select {
		case err := <-heard:
			return err
		case <-ctx.Done():
		case <-time.After(stay):
		}
	}
	c.goodbye()
	return spoken
}

// goodbye closes with 1000 and hangs up on a server that does not answer. The library would wait
// longer, and which of its locks it would wait for depends on what listen is doing.
func (c *conversation) goodbye() {
	defer time.AfterFunc(goodbyeWait, func() { c.cut() }).Stop()
	c.conn.Close(websocket.StatusNormalClosure, "")
}

var errNotSent = errors.New("not sent")

func (c *conversation) speak() error {
	for {
		line, err := c.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.send(line); err != nil {
			return fmt.Errorf("%w: %w", errNotSent, err)
		}
	}
}

func (c *conversation) send(line string) error {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, []byte(line))
}

func (c *conversation) listen() error {
	for {
		kind, data, err := c.conn.Read(context.Background())
		if err != nil {
			return closedBy(err)
		}
		if err := c.show(kind, data); err != nil {
			return err
		}
	}
}

// closedError is the server's end of the connection, in the protocol's words.
type closedError struct {
	code   websocket.StatusCode
	reason string
}

func (e *closedError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("closed: %d", e.code)
	}
	return fmt.Sprintf("closed: %d %s", e.code, sentence(e.reason))
}

func closedBy(err error) error {
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return fmt.Errorf("a message is larger than the %d MiB that crier connect takes", maxReceived>>20)
	}
	var frame websocket.CloseError
	switch {
	case !errors.As(err, &frame):
		return &closedError{websocket.StatusAbnormalClosure, "the connection was lost without a close frame"}
	case frame.Code == websocket.StatusNoStatusRcvd:
		return &closedError{frame.Code, "the server gave no close code"}
	default:
		return &closedError{frame.Code, frame.Reason}
	}
}

// lines reads the lines that a pipe carries, and says which one cannot be sent.
func lines(in io.Reader) func() (string, error) {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLine+len("\r\n")+1)
	number := 0
	return func() (string, error) {
		number++
		ok := scanner.Scan()
		switch {
		case !ok && scanner.Err() == nil:
			return "", io.EOF
		case errors.Is(scanner.Err(), bufio.ErrTooLong) || len(scanner.Bytes()) > maxLine:
			return "", fmt.Errorf("line %d is longer than 1 MiB (%d bytes); nothing from it on was sent", number, maxLine)
		case !ok:
			return "", scanner.Err()
		case !utf8.Valid(scanner.Bytes()):
			return "", fmt.Errorf("line %d is not UTF-8, which a text message has to be; nothing from it on was sent", number)
		}
		return scanner.Text(), nil
	}
}
