package client

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"crier/stamp"
	"crier/ws"
)

// A server of live counts the messages that it takes from a session, in order,
// and a greeting says how many there are. So messages stay in the outbox after
// they were written, until an answer or a greeting shows that they were taken,
// and the rest is written again on the next connection.
//
// Every text message has one answer, and answers come in the order of the
// messages. A mute message is one whose answer cannot be told from other
// frames, or that has none. Its fate is Sent as soon as it is written, but it
// is kept like the others. When too many mute messages are kept, the client
// asks for a greeting: it joins a topic that it is in.
//
// All this is part of the outbox, and guarded by Client.mu.
type ledger struct {
	live   bool
	silent bool // with echo=0, all messages are mute

	// held says that nothing may be written before the greeting.
	held   bool
	opened time.Time // when the connection was made
	// done is how many messages of the session were taken. The first message
	// that is kept is the one after them.
	done uint64
	told int // kept messages whose fate has been reported, and checks

	mutes    int  // mute messages in kept[:sent]
	checking bool // a check is in kept[:sent]
}

// mute reports whether nothing that the server sends answers a message.
func (o *outbox) mute(m *message) bool { return (m.binary || o.silent) && !m.check }

// open notes that there is a connection, which has not been greeted yet.
func (c *Client) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.opened = true, time.Now()
}

// nextLive appends the frames of the next messages for a server of live to dst.
func (c *Client) nextLive(dst []byte) []byte {
	o := &c.outbox
	for !o.held && o.sent < min(len(o.kept), inFlight) && len(dst) < mostAtOnce {
		m := o.kept[o.sent]
		// After a mute message, the answer of another would be ambiguous: an
		// error may belong to either.
		ambiguous := o.mutes > 0 && !o.mute(m)
		if ambiguous || o.mutes >= inFlight/2 || o.mutes > 0 && o.bytes > mostBytes/4 {
			check := c.newCheck()
			if check == nil && ambiguous && o.checking {
				break
			}
			if check != nil {
				m, o.checking = check, true
				o.kept = slices.Insert(o.kept, o.sent, m)
				o.bytes += len(m.data)
				o.told++
			}
		}
		op := ws.Text
		if m.binary {
			op = ws.Binary
		}
		m.at = time.Now()
		dst = ws.AppendMaskedFrame(dst, op, newMask(), m.data)
		if o.mute(m) {
			o.mutes++
			o.batch = append(o.batch, m)
		}
		o.sent++
	}
	return dst
}

// newCheck returns a message that makes the server tell how many messages it
// has taken, unless one is on its way or there is no topic to ask about.
func (c *Client) newCheck() *message {
	if c.checking {
		return nil
	}
	leaving := c.leaves()
	for _, r := range c.session.rooms {
		if since := cmp.Or(r.offset, r.head); since != "" && !r.stray && !slices.Contains(leaving, r.name) {
			return &message{check: true, told: true, data: []byte(`{"_join":` + quote(r.name) + `,"_since":` + quote(since) + `}`)}
		}
	}
	return nil
}

// leaves returns the topics that messages ask to leave which the server has or
// may have.
func (o *outbox) leaves() (topics []string) {
	for i, m := range o.kept {
		if name, ok := m.names("_leave"); ok && (i < o.sent || m.tried) {
			topics = append(topics, name)
		}
	}
	return topics
}

// names returns the topic that a message asks to join or leave.
func (m *message) names(word string) (topic string, ok bool) {
	if m.binary || !bytes.Contains(m.data, []byte(word)) {
		return "", false
	}
	return stamp.String([]byte(member(m.data, word)))
}

// accept removes the first kept message, which the server has taken.
func (o *outbox) accept() *message {
	if o.mute(o.kept[0]) && o.sent > 0 {
		o.mutes--
	}
	if o.kept[0].check {
		o.checking = false
	}
	o.done++
	return o.take(0)
}

// adjourn notes that the connection is over. What was taken is known when the
// next one is greeted. If settled, messages that have not been answered were
// not taken.
func (o *outbox) adjourn(settled bool) {
	for _, m := range o.kept[:o.sent] {
		m.tried = m.tried || !settled || o.mute(m)
	}
	o.batch, o.held = nil, true
}

// settle reports the fate of a message that the server has taken.
func (o *outbox) settle(m *message) {
	if o.mute(m) {
		m.decide(Sent)
	} else {
		m.decide(Confirmed)
	}
}

// greeted notes what the first greeting of a connection says. If the session is
// the same, the first messages of it were taken, and no others. Otherwise, what
// was on its way is in doubt.
func (o *outbox) greeted(said uint64, same bool) (drops []Drop) {
	var again []*message
	for same && o.done < said && len(o.kept) > 0 && !o.kept[0].at.IsZero() {
		m := o.accept()
		topic, joins := m.names("_join")
		left, leaves := m.names("_leave")
		switch {
		case m.check:
		case joins && topic != "":
			again = append(again, m) // its greeting was lost; to ask twice does no harm
		case leaves:
			again = slices.DeleteFunc(again, func(m *message) bool {
				topic, _ := m.names("_join")
				if topic == left {
					m.decide(Confirmed)
				}
				return topic == left
			})
			fallthrough
		default:
			o.settle(m)
		}
	}
	kept := append(again, o.kept...)
	o.kept, o.bytes, o.told = nil, 0, 0
	for _, m := range kept {
		switch {
		case m.check, !same && m.told && !m.at.IsZero():
		case !same && m.tried:
			drops = append(drops, m.dropped(Unsure, "lost"))
		default: // it was not taken
			m.tried, m.at = false, time.Time{}
			o.kept = append(o.kept, m)
			o.bytes += len(m.data)
			if m.told {
				o.told++
			}
		}
	}
	o.done, o.held, o.checking, o.mutes = said, false, false, 0
	return drops
}

// taken notes what a later greeting says. It reports whether the greeting is an
// answer, and whether it answers a check. Messages that have answers of their
// own wait for these.
func (o *outbox) taken(said uint64) (asked, checked bool) {
	for o.done < said && o.sent > 0 {
		m := o.kept[0]
		if _, joins := m.names("_join"); !joins && !o.mute(m) {
			break
		}
		o.settle(o.accept())
		asked, checked = true, m.check
	}
	return asked, checked
}

// answer notes that the server has answered the first message that is on its
// way, unless that is mute.
func (o *outbox) answer(fate Fate, why string) (drops []Drop) {
	if o.sent == 0 || o.mute(o.kept[0]) {
		return nil
	}
	switch m := o.accept(); {
	case m.told:
	case fate == Confirmed:
		m.decide(fate)
	default:
		drops = append(drops, m.dropped(fate, why))
	}
	return drops
}

// owed returns since when the server owes an answer, or the zero time.
func (o *outbox) owed() time.Time {
	switch {
	case !o.live:
		return o.waiting
	case o.held:
		return o.opened
	}
	for _, m := range o.kept[:o.sent] {
		if !o.mute(m) {
			return m.at
		}
	}
	return time.Time{}
}
