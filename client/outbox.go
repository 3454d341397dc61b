package client

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"

	"crier/stamp"
	"crier/ws"
)

// A message is one of our own that is kept until its fate is known.
type message struct {
	data   []byte
	binary bool
	fate   chan Fate // has room for one
	id     uint64    // with once, from the first time on that it was handed to a connection
	tried  bool      // it may have been published
}

// An outbox has what we have said and whose fate is not known. It is guarded by Client.mu.
type outbox struct {
	capacity int
	once     bool

	kept  []*message // in order. The first sent of them were handed to the connection and have yet to come back
	sent  int
	bytes int // of all that is kept

	plain   bool       // not all copies come back on this connection: what is sent is not counted
	writing time.Time  // since when a write is under way; zero if none is
	waiting time.Time  // since when something has yet to come back; zero if nothing has
	ping    bool       // one is to be sent
	failed  []*message // will not be confirmed, and could not be written
	count   uint64     // the last id
	name    string     // the ids'
}

// Send says text, which must be UTF-8, to everyone, now or when there is a connection, and returns at once. What became of it
// comes on the channel, of which nobody need take it.
func (c *Client) Send(text string) <-chan Fate { return c.send([]byte(text), false) }

// SendBinary is like Send. The client takes a copy.
func (c *Client) SendBinary(data []byte) <-chan Fate { return c.send(bytes.Clone(data), true) }

func (c *Client) send(data []byte, binary bool) <-chan Fate {
	m := &message{data: data, binary: binary, fate: make(chan Fate, 1)}
	c.mu.Lock()
	why := ""
	switch {
	case c.leaving.Err() != nil:
		why = "closed"
	case !binary && !utf8.Valid(data):
		why = "not UTF-8"
	case !c.put(m, c.status.State == Open):
		why = "full"
	}
	c.mu.Unlock()
	if why != "" {
		c.tell([]Drop{m.dropped(Dropped, why)})
		return m.fate
	}
	c.signal(c.wake)
	return m.fate
}

// dropped tells a message's fate, a bad one.
func (m *message) dropped(fate Fate, why string) Drop {
	m.fate <- fate
	return Drop{m.data, m.binary, fate, why}
}

// put keeps a message, if there is room.
func (o *outbox) put(m *message, open bool) bool {
	waiting, room := len(o.kept)-o.sent, o.capacity
	if open && room < inFlight {
		room = inFlight // the writer will take it in a moment
	}
	if waiting >= room || o.bytes+len(m.data) > mostBytes {
		return false
	}
	o.kept = append(o.kept, m)
	o.bytes += len(m.data)
	return true
}

// mostAtOnce is how many bytes are handed over with one write, if it is more than one message.
const mostAtOnce = 64 << 10

// handOver appends the frames of the next messages to dst, and to batch those of them that are handed over for good, since
// they will not be confirmed.
func (o *outbox) handOver(dst []byte, batch []*message, confirms bool) ([]byte, []*message) {
	for o.sent < min(len(o.kept), inFlight) && len(dst) < mostAtOnce {
		m := o.kept[o.sent]
		m.tried = true
		op, data := ws.Text, m.data
		if m.binary {
			op = ws.Binary
		} else if o.once {
			data = o.named(m)
		}
		dst = ws.AppendMaskedFrame(dst, op, newMask(), data)
		if !m.binary && confirms && !o.plain {
			if o.sent++; o.waiting.IsZero() {
				o.waiting = time.Now()
			}
			continue
		}
		batch = append(batch, m)
		if o.sent == 0 {
			o.kept = o.kept[1:]
		} else { // only where text and binary are mixed
			o.kept = slices.Delete(o.kept, o.sent, o.sent+1)
		}
	}
	if o.ping {
		dst, o.ping = ws.AppendMaskedFrame(dst, ws.Ping, newMask(), nil), false
	}
	if len(dst) > 0 {
		o.writing = time.Now()
	}
	return dst, batch
}

// handed notes that a write has ended. What cannot be confirmed has its fate.
func (o *outbox) handed(batch []*message, err error) {
	if err == nil { // or else the connection's end is due
		o.writing = time.Time{}
	}
	for _, m := range batch {
		o.bytes -= len(m.data)
		if err != nil {
			o.failed = append(o.failed, m)
		} else {
			m.fate <- Sent
		}
	}
}

// take removes the first n messages.
func (o *outbox) take(n int) []*message {
	taken := o.kept[:n]
	o.kept = o.kept[n:]
	o.sent -= min(n, o.sent)
	if o.sent == 0 {
		o.waiting = time.Time{}
	}
	for _, m := range taken {
		o.bytes -= len(m.data)
	}
	return taken
}

// confirm notes that the first n of those that have yet to come back have.
func (o *outbox) confirm(n int) {
	for _, m := range o.take(min(n, o.sent)) {
		m.fate <- Confirmed
	}
}

// part notes that the connection is over. If it is settled, what has not come back was not published.
func (c *Client) part(settled bool) (drops []Drop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.outbox
	switch {
	case settled:
		for _, m := range o.kept[:o.sent] {
			m.tried = false
		}
	case !o.once:
		drops = lose(o.take(o.sent), "lost")
	}
	drops = append(drops, lose(o.failed, "lost")...)
	o.failed, o.sent, o.waiting, o.writing, o.ping, o.plain = nil, 0, time.Time{}, time.Time{}, false, false
	return drops
}

func lose(messages []*message, why string) (drops []Drop) {
	for _, m := range messages {
		drops = append(drops, m.dropped(Unsure, why))
	}
	return drops
}

// giveUp ends all that is kept.
func (o *outbox) giveUp() (drops []Drop) {
	for _, m := range o.take(len(o.kept)) {
		fate := Dropped
		if m.tried {
			fate = Unsure
		}
		drops = append(drops, m.dropped(fate, "closed"))
	}
	return drops
}

// account looks for what came back, and reports whether a message is to be delivered.
func (c *Client) account(data []byte, mine *bool) bool {
	if bytes.HasPrefix(data, []byte(`{"_beat":true`)) {
		return false // crier.js says that to hear whether the server is there
	}
	if !c.confirms {
		return true
	}
	var drops []Drop
	deliver := true
	c.mu.Lock()
	switch {
	case c.once:
		deliver = c.again(data, mine)
	case bytes.Contains(data, []byte(`"_me":true`)) && member(data, "_me") == "true":
		*mine = true
		c.confirm(1)
	case bytes.HasPrefix(data, []byte(`{"_skipped":`)) && member(data, "_me") == "":
		c.plain = true // some of what was skipped may be our own
		drops = lose(c.take(c.sent), "skipped")
	}
	empty := len(c.kept) == 0
	c.mu.Unlock()
	if empty {
		c.signal(c.emptied)
	} else {
		c.signal(c.wake) // there may be room for more
	}
	c.tell(drops)
	return deliver
}

// member returns the JSON text of a member of a JSON object, or "".
func member(data []byte, name string) string {
	var value [1][]byte
	stamp.Object(data, []string{name}, value[:])
	return string(value[0])
}
