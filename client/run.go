package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"crier/ws"
)

const (
	stable = 5 * time.Second  // a connection that lasted this long was a good one
	slept  = 90 * time.Second // no tick is this late while the machine is awake
)

var (
	errNoAnswer = errors.New("no answer")
	errSlept    = errors.New("the machine slept")
	errGoodbye  = ws.Close{Code: ws.NormalClosure}
)

// settled reports whether crier sends that close reason only after everything
// that it published on the connection. If so, a message that has not come back
// was not published. A reason begins with the name of the end and a sentence
// for people. API Gateway's reason is only a sentence.
func settled(reason string) bool {
	switch name, _, _ := strings.Cut(reason, ": "); name {
	case "going-away", "idle", "topic-removed", "Connection Closed Normally":
		return true
	}
	return false
}

// run keeps the client connected until it is closed. It waits for all other
// goroutines of the client.
func (c *Client) run(ctx context.Context) {
	defer close(c.over)
	defer c.leave()
	defer close(c.inbox)
	for tries := 0; ; tries++ {
		lasted, err := c.connection(ctx)
		if lasted > stable {
			tries = 0
		}
		if c.leaving.Err() != nil || !c.o.ComeBack(err) {
			c.quit(err)
			return
		}
		longest := c.o.Retry[0]
		for range tries {
			if longest < c.o.Retry[1] {
				longest *= 2
			}
		}
		wait := rand.N(max(1, min(longest, c.o.Retry[1])))
		c.become(Status{Waiting, err, time.Now().Add(wait)})
		select {
		case <-time.After(wait):
			c.become(Status{State: Connecting, Ended: err})
		case <-c.leaving.Done():
			c.quit(c.why(ctx))
			return
		}
	}
}

// why returns how the client ends if no error has ended it.
func (c *Client) why(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errGoodbye
}

// connection makes a connection and stays with it until its end.
func (c *Client) connection(ctx context.Context) (lasted time.Duration, err error) {
	dialing, cancel := context.WithTimeout(c.leaving, c.o.Timeout)
	defer cancel()
	conn, err := Dial(dialing, c.url, Handshake{c.o.Header, c.o.Subprotocols, c.o.TLS, c.o.MaxMessage, c.o.dial})
	switch {
	case c.leaving.Err() != nil:
		if err == nil {
			conn.HangUp()
		}
		return 0, c.why(ctx)
	case err != nil:
		return 0, err
	}
	defer context.AfterFunc(ctx, conn.HangUp)()
	begun := time.Now()
	c.sayFirst(conn)
	c.become(Status{State: Open, Ended: c.Status().Ended})
	c.signal(c.wake)
	over := make(chan struct{})
	var writing, watching sync.WaitGroup
	var left error // why we ended the connection, if we did
	writing.Go(func() { c.write(conn, over) })
	watching.Go(func() { left = c.watch(conn, over) })
	err = c.read(conn)
	close(over)
	writing.Wait()
	watching.Wait()
	how, _ := errors.AsType[ws.Close](err)
	c.tell(c.part(settled(how.Reason)))
	switch {
	case ctx.Err() != nil:
		err = c.why(ctx)
	case left != nil:
		err = left
	}
	return time.Since(begun), err
}

// sayFirst sends Options.First. If that fails, the reader notices the end of
// the connection.
func (c *Client) sayFirst(conn *Conn) {
	if len(c.o.First) == 0 {
		return
	}
	var frames []byte
	for _, text := range c.o.First {
		frames = ws.AppendMaskedFrame(frames, ws.Text, newMask(), []byte(text))
	}
	c.mu.Lock()
	c.firsts = len(c.o.First)
	c.mu.Unlock()
	conn.WriteFrames(frames)
}

// read receives messages until the connection is over.
func (c *Client) read(conn *Conn) error {
	for {
		data, binary, err := conn.Next()
		if err != nil {
			return err
		}
		m := Message{Binary: binary}
		if !binary && !c.account(data, &m.Mine) {
			continue
		}
		m.Data = append(m.Data, data...)
		c.deliver(m)
	}
}

func (c *Client) deliver(m Message) {
	c.delivering.Store(true)
	defer c.delivering.Store(false)
	if c.o.Message != nil {
		c.o.Message(c, m)
		return
	}
	for c.unheard.Load() > aheadBytes {
		select {
		case <-c.room:
		case <-c.leaving.Done(): // the caller of Messages may be gone
			return
		}
	}
	c.unheard.Add(int64(len(m.Data)))
	select {
	case c.inbox <- m:
	case <-c.leaving.Done(): // as above
		select {
		case c.inbox <- m:
		default:
		}
	}
}

// write writes the messages that wait, until the connection is over.
func (c *Client) write(conn *Conn, over <-chan struct{}) {
	var frames []byte
	for {
		c.mu.Lock()
		frames = c.handOver(frames[:0], c.confirms)
		c.mu.Unlock()
		if len(frames) > 0 {
			if conn.WriteFrames(frames) != nil {
				return // the rest waits for the next connection; the reader finds out how this one ended
			}
			c.mu.Lock()
			c.handed()
			empty := c.empty()
			c.mu.Unlock()
			if empty {
				c.signal(c.emptied)
			}
			if cap(frames) > 2*mostAtOnce {
				frames = nil
			}
			continue
		}
		select {
		case <-c.wake:
		case <-over:
			return
		}
	}
}

// watch ends the connection if the server owes a reaction and nothing arrives.
// In silence it asks for one with a ping. When we leave and nothing is on its
// way, it closes the connection. If it ended the connection, it returns why.
func (c *Client) watch(conn *Conn, over <-chan struct{}) error {
	ticker := time.NewTicker(min(time.Second, c.o.Timeout/4))
	defer ticker.Stop()
	leaving, patience := c.leaving.Done(), time.Time{}
	var asked time.Time // when the unanswered ping was sent; zero if there is none
	silence := c.o.Heartbeat/4*3 + rand.N(max(1, c.o.Heartbeat/2))
	var deaf time.Time // until when we did not read
	for last := time.Now(); ; {
		select {
		case <-over:
			return nil
		case <-c.emptied:
		case <-ticker.C:
		case <-leaving:
			leaving, patience = nil, time.Now().Add(c.o.Timeout)
		}
		now, alive := time.Now(), conn.LastRead()
		if leaving == nil && (c.Pending() == 0 || now.After(patience)) {
			conn.Goodbye(errGoodbye)
			<-over
			return errGoodbye
		}
		if now.Round(0).Sub(last.Round(0)) > slept { // wall clock, because the monotonic clock may stop while the machine sleeps
			conn.HangUp()
			return errSlept
		}
		if c.delivering.Load() || now.Sub(last) > c.o.Timeout/2 {
			deaf = now // the receiver of messages holds us up, or the process was stopped
		}
		last = now
		if alive.After(asked) {
			asked = time.Time{}
		}
		late := func(since time.Time, times time.Duration) bool { return now.Sub(since) > times*c.o.Timeout }
		due := earlier(asked, c.dueSince())
		switch {
		case !due.IsZero() && late(due, 1) && late(alive, 1) && late(deaf, 1),
			late(c.oldest(now), 4) && late(deaf, 4): // it will not come back, whatever else arrives
			conn.HangUp()
			return errNoAnswer
		case asked.IsZero() && c.o.Heartbeat > 0 && now.Sub(alive) > silence:
			asked = now
			c.ask()
		}
	}
}

// earlier returns the earlier of two times, ignoring zero times.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// dueSince returns since when the server owes a reaction to what we wrote, or
// the zero time.
func (c *Client) dueSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return earlier(c.writing, c.waiting)
}

// oldest returns when the first message that has not come back was written, or
// now if there is none.
func (c *Client) oldest(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent == 0 || !c.writing.IsZero() {
		return now
	}
	return c.kept[0].at
}

// ask makes the writer send a ping.
func (c *Client) ask() {
	c.mu.Lock()
	c.ping = true
	c.mu.Unlock()
	c.signal(c.wake)
}

func (c *Client) signal(what chan struct{}) {
	select {
	case what <- struct{}{}:
	default:
	}
}

func (c *Client) become(s Status) {
	c.mu.Lock()
	c.status = s
	c.mu.Unlock()
	if c.o.State != nil {
		c.o.State(c, s)
	}
}

// quit ends the client.
func (c *Client) quit(ended error) {
	c.leave() // from now on Send accepts nothing
	c.mu.Lock()
	drops := c.giveUp()
	c.mu.Unlock()
	c.tell(drops)
	c.become(Status{State: Closed, Ended: ended})
}

func (c *Client) tell(drops []Drop) {
	if c.o.Drop != nil {
		for _, d := range drops {
			c.o.Drop(c, d)
		}
	}
}
