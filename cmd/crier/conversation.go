package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"crier/client"
)

const (
	maxLine     = 1 << 20
	maxReceived = 8 << 20
	maxPending  = 100 // lines of a pipe that are handed to the client before it has sent them
	goodbyeWait = 2 * time.Second
)

// conversation sends lines and shows messages until one side has enough.
type conversation struct {
	in      io.Closer              // unblocks next
	next    func() (string, error) // the next line to send; io.EOF after the last
	show    func(data []byte, binary bool) error
	stay    time.Duration // how long to listen after the last line
	explain func(ended error) error
	notes   notes
	met     bool // only noteState's: there was a connection
	// refusalsShown says that show shows what live answers to a message that it
	// rejects.
	refusalsShown bool

	client *client.Client
	cut    context.CancelFunc // ends the client without a goodbye
	opened chan struct{}      // closed when there is a connection, for the first time
	closed chan struct{}      // closed when there will be none
}

// connect waits for the first connection. If it returns nil, hangUp must be
// called.
func (c *conversation) connect(ctx context.Context, url string, o client.Options) (err error) {
	c.opened, c.closed = make(chan struct{}), make(chan struct{})
	opened, note := sync.OnceFunc(func() { close(c.opened) }), o.State
	o.State = func(made *client.Client, s client.Status) {
		if note != nil {
			note(made, s)
		}
		switch s.State {
		case client.Open:
			opened()
		case client.Closed:
			close(c.closed)
		}
	}
	var living context.Context
	living, c.cut = context.WithCancel(context.Background()) // ctx is when to say goodbye
	if c.client, err = client.Connect(living, url, o); err != nil {
		return err
	}
	if err = c.meet(ctx); err != nil {
		c.hangUp()
	}
	return err
}

// meet waits until there is, or was, a connection.
func (c *conversation) meet(ctx context.Context) error {
	select {
	case <-c.opened:
	case <-c.closed:
	case <-ctx.Done():
	}
	select {
	case <-c.opened: // it may be over already; what it brought is still to be shown
		return nil
	default:
	}
	select {
	case <-c.closed:
		return c.explain(c.client.Status().Ended)
	default:
		return errors.New("interrupted")
	}
}

func (c *conversation) hangUp() {
	c.cut()
	c.client.Close()
}

// run returns nil when this side said goodbye, and why it ended when the server
// did. Nothing it started is left when it returns.
func (c *conversation) run(ctx context.Context) error {
	heard, said := make(chan error, 1), make(chan error, 1)
	go func() { heard <- c.listen(); close(heard) }()
	go func() { said <- c.speak(); close(said) }()
	defer func() {
		c.in.Close()
		c.hangUp()
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
		select {
		case err := <-heard:
			return err
		case <-ctx.Done():
		case <-time.After(c.stay):
		}
	}
	defer time.AfterFunc(goodbyeWait, c.cut).Stop()
	c.client.Close()
	return spoken
}

func (c *conversation) speak() error {
	var last <-chan client.Fate
	defer func() {
		if last != nil {
			<-last
		}
	}()
	for {
		line, err := c.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		last = c.client.Send(line)
		if c.client.Pending() > maxPending {
			<-last
			last = nil
		}
	}
}

func (c *conversation) listen() error {
	for m := range c.client.Messages() {
		if err := c.show(m.Data, m.Binary); err != nil {
			return err
		}
	}
	return c.explain(c.client.Status().Ended)
}

// closedError is the server's end of the connection, in the protocol's words.
type closedError struct {
	code   uint16
	reason string
}

func (e *closedError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("closed: %d", e.code)
	}
	return fmt.Sprintf("closed: %d %s", e.code, sentence(e.reason))
}

// notes tell a person what becomes of a connection that comes back.
type notes struct {
	style look

	mu   sync.Mutex
	out  io.Writer
	last string // so that it is shown only once
}

func (n *notes) to(out io.Writer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.out = out
}

func (n *notes) write(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text != n.last {
		n.last = text
		fmt.Fprintln(n.out, n.style.paint(dim, text))
	}
}

func (c *conversation) noteState(_ *client.Client, s client.Status) {
	switch {
	case s.State == client.Waiting:
		c.notes.write("trying again: " + c.explain(s.Ended).Error())
	case s.State == client.Open && c.met:
		c.notes.write("connected again")
	case s.State == client.Open:
		c.met = true
	}
}

func (c *conversation) noteDrop(_ *client.Client, d client.Drop) {
	if d.Why != "closed" && !(d.Fate == client.Rejected && c.refusalsShown) {
		c.notes.write(fmt.Sprintf("%s (%s): %s", d.Fate, d.Why, printable(string(d.Data))))
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
