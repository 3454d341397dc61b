package hub

import (
	"bytes"
	"math"
	"slices"
)

// A Conn is the part of a member's connection that the hub needs.
type Conn interface {
	// Wake is called during the shard's turn when the member has something
	// to write. [Member.Pending] and [Member.Advance] should then be called
	// soon. Wake may be called once more just after Leave.
	Wake()
}

// forever is the end of a cursor whose member is still subscribed.
const forever = math.MaxUint64

// A cursor marks how far a member has read one log. Guarded by the shard's mu.
type cursor struct {
	member *Member // nil when the cursor is detached
	group  *group  // set once

	// next is the ordinal of the first entry that the member has not been
	// given. Invariant: view.tail <= next. If it falls below the tail,
	// messages are lost: tell the client, never skip them silently.
	next uint64
	// until is where the subscription ended: the member does not get the
	// entries from here on.
	until uint64

	slot int32 // group.cursors[slot] is this cursor
	news bool  // it is in member.news
}

// visible is the ordinal after the last entry that the cursor may read.
func (c *cursor) visible() uint64 { return min(c.group.view.head, c.until) }

// A stage is how far a member's life has got.
//
//	        Join            Finish            Advance past the last frame
//	(none) ------> present --------> leaving ----------------------------> left
//	                  |                 |                                   ^
//	                  +-----------------+------------- Leave ---------------+
type stage uint8

const (
	_ stage = iota // not in the hub yet
	// present: it may publish, subscribe and receive posts.
	present
	// leaving: its last frame is queued. What was published and posted
	// before is still written; nothing is added.
	leaving
	// left: it has been given its last frame, or Leave took it out. The end of
	// a last frame may still have to be written. It is in no topic.
	left
)

// A Member is the place of one connection in the hub. The zero Member is ready
// for [Shard.Join].
type Member struct {
	shard *Shard // set by Join

	// Guarded by shard.mu.
	conn  Conn      // nil before Join and after Leave
	first cursor    // of the first subscription only, because most members have just one
	news  []*cursor // cursors with something to read
	out   *outbox   // never nil after Join; use boxed() to write to it

	got    uint64 // the seq of the last frame it was given; it was given all before, too
	missed int32  // messages that it missed and has not been told of
	places uint32 // how many private frames it has had so far

	stage    stage
	queued   bool // in shard.queue
	posted   bool // in shard.posted
	behind   bool // a log does not hold what it needs, or the member was expelled
	stuck    bool // its socket did not take all of the last batch
	expelled bool // counted in Hub.expelled
	exact    bool // it is told ErrBehind rather than Config.Skipped

	more   []*cursor         // of the other subscriptions
	byName map[Topic]*cursor // the cursors without an end; nil while they are few
}

// Join makes m a member in shard s. It is in no topic yet. m must not have
// joined before.
func (s *Shard) Join(m *Member, conn Conn) {
	m.shard = s
	m.out = &nothing
	s.mu.Lock()
	m.conn = conn
	m.stage = present
	s.mu.Unlock()
}

// Exact makes Pending return ErrBehind to m also with [Config].Skipped: it must
// not miss a message in silence, nor with a notice.
func (m *Member) Exact() {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	m.exact = true
}

// skips reports whether m continues with the newest message when it falls
// behind.
func (m *Member) skips() bool { return m.shard.hub.config.Skipped != nil && !m.exact }

// Leave ends the membership at once and drops what is pending.
func (m *Member) Leave() {
	s := m.shard
	s.mu.Lock()
	m.drop()
	m.conn = nil
	m.stage = left
	s.mu.Unlock()
}

// drop takes m out of all topics and drops what is pending. It keeps the end of
// a frame that was written in part: without it the peer could not read what
// follows. drop requires the shard to be locked.
func (m *Member) drop() {
	h := m.shard.hub
	h.mu.Lock()
	for c := range m.cursors {
		h.detach(c)
	}
	h.settle(m)
	h.unlock()
	m.byName, m.news = nil, nil
	m.missed, m.behind = 0, false
	m.discard(m.out.control)
	m.discard(m.out.own)
	if rest := m.out.rest; len(rest) > 0 {
		m.out = &outbox{rest: bytes.Clone(rest)} // a copy, so that it keeps no chunk in memory
	} else {
		m.out = &nothing
	}
}

// discard gives back the memory of private frames of m.out. It requires the hub
// not to be locked.
func (m *Member) discard(list []private) {
	if len(list) == 0 {
		return
	}
	n := 0
	for i := range list {
		p := &list[i]
		n += p.size()
		switch {
		case p.series != nil:
			m.out.series -= p.size()
		case p.post:
			m.out.posts -= len(p.frame)
		case !p.last:
			m.out.copies -= p.size()
		}
	}
	m.shard.hub.giveBack(n)
}

// settle notes that m no longer holds the memory that it was expelled for. It
// requires the shard and the hub to be locked.
func (h *Hub) settle(m *Member) {
	if m.expelled {
		m.expelled = false
		h.expelled--
		h.reconsider()
	}
}

// Subscribe adds m to a topic: m gets what is published from now on. It returns
// false if m is in the topic already, or if m has left or is leaving.
func (m *Member) Subscribe(name Topic) bool {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.stage != present || m.find(name) != nil {
		return false
	}
	c := &m.first
	if c.group != nil {
		c = new(cursor)
		m.more = append(m.more, c)
	}
	s.hub.mu.Lock()
	s.hub.attach(c, m, name)
	s.hub.mu.Unlock()
	if m.byName != nil {
		m.byName[name] = c
	} else if len(m.more) > fewCursors {
		m.index()
	}
	return true
}

// cursors yields all of m's attached cursors. It requires the shard to be
// locked.
func (m *Member) cursors(yield func(*cursor) bool) {
	if m.first.member != nil && !yield(&m.first) {
		return
	}
	for _, c := range m.more {
		if c.member != nil && !yield(c) {
			return
		}
	}
}

// forget removes a detached cursor from m's list of cursors.
func (m *Member) forget(c *cursor) {
	if i := slices.Index(m.more, c); i >= 0 {
		m.more = slices.Delete(m.more, i, i+1)
	}
}

// Topics appends to dst the names of the topics that m is subscribed to, in the
// order in which it subscribed. After m has left, they are the topics that it
// was subscribed to then. Before Join there are none.
func (m *Member) Topics(dst []string) []string {
	if m.shard == nil {
		return dst
	}
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if c := &m.first; c.group != nil && c.until == forever && !c.group.topic.name.Aside {
		dst = append(dst, c.group.topic.name.Name)
	}
	for _, c := range m.more {
		if c.until == forever && !c.group.topic.name.Aside {
			dst = append(dst, c.group.topic.name.Name)
		}
	}
	return dst
}

// fewCursors is up to how many cursors are searched one by one. With more,
// byName is used.
const fewCursors = 8

func (m *Member) index() {
	m.byName = make(map[Topic]*cursor, 2*len(m.more))
	for c := range m.cursors {
		if c.until == forever {
			m.byName[c.group.topic.name] = c
		}
	}
}

// find returns m's cursor in a topic that it is subscribed to, or nil.
func (m *Member) find(name Topic) *cursor {
	if m.byName != nil {
		return m.byName[name]
	}
	for c := range m.cursors {
		if c.until == forever && c.group.topic.name == name {
			return c
		}
	}
	return nil
}

// Unsubscribe removes m from a topic. m still gets what was published until
// now. It returns false if m is not in the topic.
func (m *Member) Unsubscribe(name Topic) bool {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	c := m.find(name)
	if c == nil {
		return false
	}
	delete(m.byName, name)
	h := s.hub
	h.mu.Lock()
	c.until = c.group.topic.log.head
	c.group.topic.members--
	ended := c.next >= c.until
	if ended {
		h.detach(c)
	}
	h.unlock()
	if ended {
		m.forget(c)
		m.news = remove(m.news, c)
	}
	return true
}

// remove removes c from a list whose order does not matter.
func remove(list []*cursor, c *cursor) []*cursor {
	for i := range list {
		if list[i] == c {
			last := len(list) - 1
			list[i] = list[last]
			list[last] = nil
			return list[:last]
		}
	}
	return list
}

// publish is [Hub.Publish] for a member. It appends to due the shards that the
// caller must wake. It requires m's shard to be locked.
func (m *Member) publish(p *Publication, spare *spares, due []*Shard) ([]*Shard, error) {
	var buf [16]*topic
	known, inside := buf[:0], false
	if p.Topics != nil || !p.Force {
		known, inside = m.audience(known, p.Topics)
	}
	h := m.shard.hub
	echo := private{}
	copied := inside && p.Echo != EchoSame
	if copied {
		if p.Echo == EchoCopy {
			echo.frame = bytes.Clone(p.Copy)
		}
		switch n := echo.size(); {
		case p.Force:
			h.private.force(n)
		case int64(n) > h.private.limit:
			return due, ErrTooLarge
		case !m.takePrivate(n):
			return h.starve(m, n, due), ErrBusy
		}
	}
	h.mu.Lock()
	err := h.append(p, known, spare)
	number := h.number
	due = h.takeDue(due)
	h.mu.Unlock()
	if !copied {
		return due, err
	}
	if err != nil {
		h.giveBack(echo.size())
		return due, err
	}
	echo.seq = seqOf(number)
	if p.CopyNumberAt > 0 && p.Echo == EchoCopy {
		putNumber(echo.frame[p.CopyNumberAt:], number)
	}
	out := m.boxed()
	out.copies += echo.size()
	out.own = append(out.own, m.placed(echo))
	return due, nil
}

// audience appends to dst the topic of each name, or nil if m is not in it. If
// names is nil, it appends all topics that m is in. inside reports whether m is
// in at least one of them.
func (m *Member) audience(dst []*topic, names []Topic) (_ []*topic, inside bool) {
	if names == nil {
		for c := range m.cursors {
			if c.until == forever {
				dst = append(dst, c.group.topic)
			}
		}
		return dst, len(dst) > 0
	}
	for _, name := range names {
		var t *topic
		if c := m.find(name); c != nil {
			t, inside = c.group.topic, true
		}
		dst = append(dst, t)
	}
	return dst, inside
}

// Post appends a frame for m alone. m receives it after everything that was
// published before this call, and before everything that is published later.
// The frame must not be changed afterwards. Post returns ErrFull, ErrGone or
// nil.
func (m *Member) Post(frame []byte) error {
	return m.post(private{frame: frame, post: true})
}

// PostControl is like Post, for a frame that is not a message, such as a pong.
// It is not counted as a message, and if m's socket is slow, it overtakes the
// messages that wait.
func (m *Member) PostControl(frame []byte) error {
	return m.post(private{frame: frame, post: true, quiet: true})
}

func (m *Member) post(p private) error {
	s := m.shard
	s.mu.Lock()
	if m.stage != present {
		s.mu.Unlock()
		return ErrGone
	}
	if m.out.posts+len(p.frame) > s.hub.config.Posts || !m.takePrivate(p.size()) {
		s.mu.Unlock()
		return ErrFull
	}
	m.append(p)
	s.mu.Unlock()
	s.wake()
	return nil
}

// Finish posts m's last frame. What was published and posted before is still
// delivered; nothing is delivered after it. If drop is true, what is pending is
// dropped, except the end of a frame that was written in part. Only the first
// call has an effect.
func (m *Member) Finish(frame []byte, drop bool) {
	s := m.shard
	s.mu.Lock()
	if m.stage != present {
		s.mu.Unlock()
		return
	}
	if drop {
		m.drop()
	}
	m.stage = leaving
	p := private{frame: frame, quiet: true, last: true}
	s.hub.private.force(p.size())
	m.append(p)
	s.mu.Unlock()
	s.wake()
}

// append adds a frame to those for m alone. It requires the shard to be locked.
func (m *Member) append(p private) {
	s := m.shard
	out := m.boxed()
	if p.post {
		out.posts += len(p.frame)
	}
	if p.series != nil {
		out.series += p.size()
	}
	s.hub.mu.Lock()
	p.seq = seqAfter(s.hub.number)
	s.hub.mu.Unlock()
	if p.quiet && !p.last {
		out.control = append(out.control, m.placed(p))
	} else {
		out.own = append(out.own, m.placed(p))
	}
	if !m.posted {
		m.posted = true
		s.posted = append(s.posted, m)
	}
}
