package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
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
	errAgain    = errors.New("the program asked to reconnect")
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
	defer c.Reconnect() // there is no next try; this frees the last one
	for tries := 0; ; tries++ {
		attempt := c.attempt(ctx)
		lasted, err := c.connection(ctx, attempt)
		asked := attempt.Err() != nil && ctx.Err() == nil
		if lasted > stable || asked {
			tries = 0
		}
		if c.leaving.Err() != nil || !asked && !c.comesBack(err) {
			c.quit(err)
			return
		}
		if asked {
			c.become(Status{State: Connecting, Ended: errAgain})
			continue
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
		case <-attempt.Done():
		case <-c.leaving.Done():
			c.quit(c.why(ctx))
			return
		}
		c.become(Status{State: Connecting, Ended: err})
	}
}

// attempt returns a context for a connection and the wait after it, which ends
// when Reconnect is called.
func (c *Client) attempt(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renew != nil {
		c.renew()
	}
	ctx, c.renew = context.WithCancel(ctx)
	return ctx
}

// comesBack reports whether to try again after an end.
func (c *Client) comesBack(ended error) bool {
	return c.o.Live != nil && c.resumes(ended) || c.o.Token != nil && expired(ended) || c.o.ComeBack(ended)
}

// expired reports whether a connection has ended because its token had.
func expired(ended error) bool {
	how, ok := errors.AsType[ws.Close](ended)
	return ok && how.Code == ws.PolicyViolation && strings.HasPrefix(how.Reason, "expired: ")
}

// why returns how the client ends if no error has ended it.
func (c *Client) why(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errGoodbye
}

// connection makes a connection and stays with it until its end. It hangs up at
// the end of attempt.
func (c *Client) connection(ctx, attempt context.Context) (lasted time.Duration, err error) {
	conn, err := c.dial(attempt)
	switch {
	case c.leaving.Err() != nil:
		if err == nil {
			conn.HangUp()
		}
		return 0, c.why(ctx)
	case err != nil:
		return 0, err
	}
	defer context.AfterFunc(attempt, conn.HangUp)()
	begun := time.Now()
	if c.o.Live != nil {
		c.open() // the greeting makes it Open
	} else {
		c.sayFirst(conn)
		c.become(Status{State: Open, Ended: c.Status().Ended})
	}
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

// dial makes a connection.
func (c *Client) dial(attempt context.Context) (*Conn, error) {
	dialing, cancel := context.WithTimeout(c.leaving, c.o.Timeout)
	defer cancel()
	defer context.AfterFunc(attempt, cancel)()
	address, err := c.at.String(), error(nil)
	if c.o.Live != nil {
		if address, err = c.liveAddress(dialing); err != nil {
			return nil, err
		}
	}
	header, err := c.header(dialing)
	if err != nil {
		return nil, err
	}
	conn, err := Dial(dialing, address, Handshake{header, c.o.Subprotocols, c.o.TLS, c.o.MaxMessage, c.o.dial})
	if c.o.Live == nil {
		return conn, err
	}
	if layer, ok := errors.AsType[*url.Error](err); ok {
		err = layer.Err // without the address, which has tokens
	}
	if _, refused := errors.AsType[*Refused](err); err != nil && !refused {
		c.mu.Lock()
		c.session.strayed = true
		c.mu.Unlock()
	}
	return conn, err
}

// header returns the header of a handshake, with the token of now.
func (c *Client) header(ctx context.Context) (http.Header, error) {
	if c.o.Token == nil {
		return c.o.Header, nil
	}
	token, err := c.o.Token(ctx)
	if token = strings.TrimSpace(token); err != nil || token == "" {
		return c.o.Header, err
	}
	h := c.o.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Authorization", "Bearer "+token)
	return h, nil
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
		if binary {
			c.deliver(Message{Binary: true, Data: bytes.Clone(data)})
			continue
		}
		if c.o.Live != nil || !bytes.Contains(data, []byte("}\n{")) {
			c.take(data)
			continue
		}
		for _, line := range lines(data) {
			c.take(line)
		}
	}
}

// take takes a text message.
func (c *Client) take(data []byte) {
	var m Message
	var deliver bool
	if c.o.Live != nil {
		m, deliver = c.receive(data)
	} else if deliver = c.account(data, &m.Mine); deliver {
		m.Data = bytes.Clone(data)
	}
	if deliver {
		c.deliver(m)
	}
}

// lines takes a frame apart that has several messages, each a JSON object on a line of its own: a stack on AWS that was deployed
// with --coalesce sends such frames. Everything else is one message, also an object that is written on several lines.
func lines(data []byte) [][]byte {
	if json.Valid(data) {
		return [][]byte{data}
	}
	several := bytes.Split(data, []byte("\n"))
	for _, line := range several {
		if len(line) == 0 || line[0] != '{' || !json.Valid(line) {
			return [][]byte{data}
		}
	}
	return several
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
		frames = c.handOver(frames[:0])
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
		if leaving == nil && (c.finished() || now.After(patience)) {
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

// finished reports whether nothing is on its way.
func (c *Client) finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.empty()
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
	return earlier(c.writing, c.owed())
}

// oldest returns when the first message that has not come back was written, or
// now if there is none.
func (c *Client) oldest(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch owed := c.owed(); {
	case !c.writing.IsZero():
	case c.live && !owed.IsZero():
		return owed
	case !c.live && c.sent > 0:
		return c.kept[0].at
	}
	return now
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
