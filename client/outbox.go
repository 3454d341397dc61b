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
	id     uint64    // with once: set when it is first written to a connection
	at     time.Time // when it was last written
	tried  bool      // with once or live: it was on its way when a connection was lost, and may have been published
	told   bool      // its fate was reported
	check  bool      // live: the client's question, not a message of the program
}

// An outbox holds our messages whose fates are not known yet. It is guarded by
// Client.mu.
type outbox struct {
	capacity int
	once     bool

	kept  []*message // in order; kept[:sent] were written to the connection and have not come back
	sent  int
	batch []*message // being written; they will not be confirmed
	bytes int        // of all messages in kept and batch

	plain   bool      // not all copies come back on this connection, so they cannot be counted
	firsts  int       // how many of Options.First have not come back yet
	writing time.Time // since when a write is under way; zero if none is
	waiting time.Time // since when a message has not come back; zero if all have
	ping    bool      // a ping must be sent
	count   uint64    // the last id
	name    string    // the first part of our ids

	ledger
}

// Send sends text, which must be UTF-8, now or when there is a connection. It
// returns at once, with a buffered channel that receives the message's [Fate];
// callers may ignore it. A message that cannot be queued gets Dropped
// immediately.
func (c *Client) Send(text string) <-chan Fate { return c.send([]byte(text), false) }

// SendBinary is like Send, for a binary message. It copies data.
func (c *Client) SendBinary(data []byte) <-chan Fate { return c.send(bytes.Clone(data), true) }

func (c *Client) send(data []byte, binary bool) <-chan Fate {
	m := &message{data: data, binary: binary, fate: make(chan Fate, 1)}
	c.mu.Lock()
	taken := c.leaving.Err() == nil && (binary || utf8.Valid(data)) && c.put(m, c.status.State == Open)
	c.mu.Unlock()
	if taken {
		c.signal(c.wake)
	} else {
		m.fate <- Dropped
	}
	return m.fate
}

// decide reports the fate of a message, once.
func (m *message) decide(fate Fate) {
	if !m.told {
		m.told = true
		m.fate <- fate
	}
}

// dropped sets the fate of a message that is or may be lost.
func (m *message) dropped(fate Fate, why string) Drop {
	m.decide(fate)
	return Drop{m.data, m.binary, fate, why}
}

// put keeps a message if there is room, and reports whether there was.
func (o *outbox) put(m *message, open bool) bool {
	waiting, room := len(o.kept)-max(o.sent, o.told), o.capacity
	if open && room < inFlight {
		room = inFlight // the writer will take it soon
	}
	if waiting >= room || o.bytes+len(m.data) > mostBytes {
		return false
	}
	o.kept = append(o.kept, m)
	o.bytes += len(m.data)
	return true
}

// mostAtOnce is how many bytes one write takes. A single message may be larger.
const mostAtOnce = 64 << 10

// handOver appends the frames of the next messages to dst, and a ping if one is
// due.
func (c *Client) handOver(dst []byte) []byte {
	o := &c.outbox
	if o.live {
		dst = c.nextLive(dst)
	} else {
		dst = o.next(dst, c.confirms)
	}
	if o.ping {
		dst, o.ping = ws.AppendMaskedFrame(dst, ws.Ping, newMask(), nil), false
	}
	if len(dst) > 0 {
		o.writing = time.Now()
	}
	return dst
}

// next appends the frames of the next messages to dst.
func (o *outbox) next(dst []byte, confirms bool) []byte {
	for o.sent < min(len(o.kept), inFlight) && len(dst) < mostAtOnce {
		m := o.kept[o.sent]
		if o.once && m.id == 0 && o.sent > 0 && o.count-o.kept[0].id > inFlight-2 {
			break // receivers do not remember more ids
		}
		m.at = time.Now()
		op, data := ws.Text, m.data
		if m.binary {
			op = ws.Binary
		} else if o.once {
			data = o.named(m)
		}
		dst = ws.AppendMaskedFrame(dst, op, newMask(), data)
		if !m.binary && confirms && (o.once || !o.plain) {
			if o.sent++; o.waiting.IsZero() {
				o.waiting = time.Now()
			}
			continue
		}
		o.batch = append(o.batch, m)
		o.remove(o.sent)
	}
	return dst
}

// handed notes that everything was written. Messages that cannot be confirmed
// get their fate.
func (o *outbox) handed() {
	o.writing = time.Time{}
	for _, m := range o.batch {
		switch {
		case !o.live:
			o.bytes -= len(m.data)
		case !m.told:
			o.told++ // it stays in kept
		}
		m.decide(Sent)
	}
	o.batch = nil
}

// pending returns how many messages wait, are being written, or have not come
// back yet.
func (o *outbox) pending() int {
	if o.live {
		return len(o.kept) - o.told
	}
	return len(o.kept) + len(o.batch)
}

// empty reports whether nothing is left to do for the client's messages, on a
// connection that lasts.
func (o *outbox) empty() bool {
	return o.pending() == 0 && (!o.live || o.sent == len(o.kept))
}

// remove removes message i, usually the first, from kept.
func (o *outbox) remove(i int) *message {
	m := o.kept[i]
	if i == 0 {
		o.kept[0] = nil
		o.kept = o.kept[1:]
	} else {
		o.kept = slices.Delete(o.kept, i, i+1)
	}
	return m
}

// take removes message i for good and counts it out.
func (o *outbox) take(i int) *message {
	m := o.remove(i)
	o.bytes -= len(m.data)
	if m.told {
		o.told--
	}
	if i < o.sent {
		o.sent--
	}
	if o.sent == 0 {
		o.waiting = time.Time{}
	}
	return m
}

// confirm notes that the first message that had not come back has come back.
func (o *outbox) confirm() {
	switch {
	case o.firsts > 0:
		o.firsts--
	case o.sent > 0:
		o.take(0).decide(Confirmed)
	}
}

// confirmID notes that the message with that id has come back. When messages
// are skipped, they stay in order, so all before it were published, too.
func (o *outbox) confirmID(id uint64) {
	back := func(m *message) bool { return m.id == id || o.plain && m.id != 0 && m.id < id }
	for i := 0; i < len(o.kept); {
		if back(o.kept[i]) {
			o.take(i).decide(Confirmed)
		} else {
			i++
		}
	}
}

// doubt gives up the first n messages that have not come back.
func (o *outbox) doubt(n int, why string) (drops []Drop) {
	for range min(n, o.sent) {
		drops = append(drops, o.take(0).dropped(Unsure, why))
	}
	return drops
}

// part notes that the connection is over. If settled, messages that have not
// come back were not published.
func (c *Client) part(settled bool) (drops []Drop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.outbox
	switch {
	case o.live:
		c.session.strayed = c.session.strayed || o.held
		o.adjourn(settled)
	case settled:
	case o.once:
		for _, m := range o.kept[:o.sent] {
			m.tried = true
		}
	default:
		drops = o.doubt(o.sent, "lost")
	}
	for _, m := range o.batch {
		o.bytes -= len(m.data)
		drops = append(drops, m.dropped(Unsure, "lost"))
	}
	o.batch, o.sent, o.waiting, o.writing, o.ping, o.plain, o.firsts = nil, 0, time.Time{}, time.Time{}, false, false, 0
	return drops
}

// giveUp drops everything that is kept.
func (o *outbox) giveUp() (drops []Drop) {
	for len(o.kept) > 0 {
		m, fate := o.take(0), Dropped
		if m.tried {
			fate = Unsure
		}
		if !m.told {
			drops = append(drops, m.dropped(fate, "closed"))
		}
	}
	return drops
}

// beat is how a heartbeat of crier.js begins.
const beat = `{"_beat":true`

// account finds out whether a message is one of ours, and reports whether it
// must be delivered.
func (c *Client) account(data []byte, mine *bool) bool {
	var drops []Drop
	deliver := c.o.Confirm == Never || !bytes.HasPrefix(data, []byte(beat))
	if !c.confirms {
		return deliver
	}
	c.mu.Lock()
	// A message without stamps is from the server itself.
	word := (bytes.HasPrefix(data, []byte(`{"_skipped":`)) || bytes.HasPrefix(data, []byte(`{"message":`))) && member(data, "_me") == ""
	switch {
	case word && data[2] == '_':
		c.plain = true // some of the skipped messages may be our own
		if !c.once {
			drops = c.doubt(len(c.kept), "skipped")
		}
	case c.once:
		deliver = c.again(data, mine) && deliver
	case word && member(data, "requestId") != "": // API Gateway reports a failure
		drops = c.doubt(1, "failed")
	case isMine(data):
		*mine = true
		c.confirm()
	}
	empty := c.empty()
	c.mu.Unlock()
	if empty {
		c.signal(c.emptied)
	} else {
		c.signal(c.wake) // there may be room for more
	}
	c.tell(drops)
	return deliver
}

// isMine reports whether a message is stamped as our own. If the sender wrote a
// member _me, the stamp's name is spelled in its way.
func isMine(data []byte) bool {
	return bytes.Contains(data, []byte("true")) && member(data, "_me") == "true"
}

// member returns the JSON text of a member of a JSON object, or "".
func member(data []byte, name string) string {
	var value [1][]byte
	stamp.Object(data, []string{name}, value[:])
	return string(value[0])
}
