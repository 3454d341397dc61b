package hub

import (
	"bytes"
	"math"
)

// A Conn is what the hub needs of the connection behind a member.
type Conn interface {
	// Wake is called during the shard's turn when the member has something to write:
	// soon somebody should call Pending and Advance. It may come once more just after Leave.
	Wake()
}

// forever is the end of a cursor whose subscription lasts.
const forever = math.MaxUint64

// A cursor is how far a member has read one log.
// Guarded by the shard's mu.
type cursor struct {
	member *Member // set once
	group  *group  // set once
	slot   int     // group.members[slot] is this cursor

	// next is the ordinal of the first entry the member has not been given.
	// Invariant: view.tail <= next. Falling below the tail is data loss: tell the client, never skip.
	next uint64
	// until is where the subscription ended: entries from here on are not for the member.
	until uint64
	// plan is where next will be when what Pending returned has been written. Invariant: next <= plan.
	plan uint64
	// seq is the number of the entry at plan, while planning.
	seq uint64
	// news says that the cursor is in member.news.
	news bool
}

// visible is the ordinal behind the last entry that the cursor may read.
func (c *cursor) visible() uint64 { return min(c.group.view.head, c.until) }

// end ends the subscription; the cursor stays until the member has what was published before.
// It requires the shard and the hub to be locked.
func (c *cursor) end(h *Hub) {
	c.until = c.group.topic.log.head
	if c.next >= c.until {
		c.member.forget(c)
		h.part(c)
	}
}

// private is a frame for one member alone: a post, or its own copy of what it published,
// which then has the same number as the entry in the log.
type private struct {
	seq   uint64
	frame []byte
	post  bool // counts against Limits.Posts
	quiet bool // is no message
	last  bool // nothing comes after it
}

// An outbox is what waits for one member alone. Most members have nothing of the kind most of the time.
type outbox struct {
	own   []private
	rest  []byte // what is left of a frame that was written in part
	bytes int    // of posts in own
}

// nothing is the outbox of all members that have nothing in it.
var nothing outbox

// maxOwn is how many frames an outbox has room for that is kept for the next who needs one.
const maxOwn = 64

// outbox returns m's outbox for writing.
func (m *Member) outbox() *outbox {
	if m.out == &nothing {
		s := m.shard
		if n := len(s.boxes); n > 0 {
			m.out, s.boxes = s.boxes[n-1], s.boxes[:n-1]
		} else {
			m.out = new(outbox)
		}
	}
	return m.out
}

// tidy gives the outbox back when there is nothing in it.
func (m *Member) tidy() {
	if m.out == &nothing || len(m.out.own) > 0 || len(m.out.rest) > 0 {
		return
	}
	if s := m.shard; cap(m.out.own) <= maxOwn && len(s.boxes) < maxBoxes {
		m.out.rest = nil
		s.boxes = append(s.boxes, m.out)
	}
	m.out = &nothing
}

// A Member is one connection's place in the hub. The zero Member is ready for Join.
type Member struct {
	shard *Shard // set by Join

	// Guarded by shard.mu.
	conn    Conn // nil before Join and after Leave
	cursors []*cursor
	news    []*cursor // those with something to read, a heap by seq while planning
	out     *outbox   // never nil after Join; what is written to comes from outbox()

	queued   bool // in shard.queue
	posted   bool // in shard.posted
	last     bool // a last frame is in own, or was written
	finished bool // the last frame has been written

	// got is the number of the last message the member was given; everything up to it has been.
	got     uint64
	planned planned
}

// planned is what Pending returned and Advance has yet to confirm.
type planned struct {
	bytes, messages int
	own             int // frames of outbox.own
	got             uint64
}

// Join makes m a member in shard s, in no topic. m must not have joined before.
func (s *Shard) Join(m *Member, conn Conn) {
	m.shard = s
	m.out = &nothing
	s.mu.Lock()
	m.conn = conn
	s.mu.Unlock()
}

// Leave ends the membership at once; what is pending is dropped.
// What was left of a frame is kept for Pending: without it the peer could not read what follows.
func (m *Member) Leave() {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	m.leave()
	m.conn = nil
	m.last = true
}

// leave requires the shard to be locked.
func (m *Member) leave() {
	h := m.shard.hub
	h.mu.Lock()
	for _, c := range m.cursors {
		h.part(c)
	}
	h.mu.Unlock()
	m.cursors, m.news = nil, nil
	if rest := m.out.rest; len(rest) > 0 {
		m.out = &outbox{rest: bytes.Clone(rest)} // no longer part of a chunk
	} else {
		m.out = &nothing
	}
	m.planned = planned{got: m.got}
}

// Subscribe puts m into a topic: it gets what is published from now on.
// It returns false if m is in the topic already or is gone.
func (m *Member) Subscribe(name Topic) bool {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.conn == nil || m.last || m.cursor(name) != nil {
		return false
	}
	s.hub.mu.Lock()
	m.cursors = append(m.cursors, s.hub.join(m, name))
	s.hub.mu.Unlock()
	return true
}

// Unsubscribe takes m out of a topic: it still gets what was published until now.
// It returns false if m is not in the topic.
func (m *Member) Unsubscribe(name Topic) bool {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	c := m.cursor(name)
	if c == nil {
		return false
	}
	s.hub.mu.Lock()
	c.end(s.hub)
	s.hub.mu.Unlock()
	return true
}

// Post appends a frame for m alone. It comes after everything published so far and before everything published later.
// The frame must not be changed afterwards. It returns ErrFull, ErrGone or nil.
func (m *Member) Post(frame []byte) error { return m.postFrame(private{frame: frame, post: true}) }

// PostControl is Post for a frame that is no message and is not counted as one.
func (m *Member) PostControl(frame []byte) error {
	return m.postFrame(private{frame: frame, post: true, quiet: true})
}

func (m *Member) postFrame(p private) error {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if m.conn == nil || m.last {
		return ErrGone
	}
	if m.out.bytes+len(p.frame) > m.shard.hub.limits.Posts {
		return ErrFull
	}
	m.outbox().bytes += len(p.frame)
	m.post(p)
	return nil
}

// Finish posts m's last frame: what was published and posted before is still delivered, nothing after.
// With drop, what is pending is dropped, but for the rest of a frame written in part.
// Only the first call counts.
func (m *Member) Finish(frame []byte, drop bool) {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if m.conn == nil || m.last {
		return
	}
	if drop {
		m.leave()
	}
	m.last = true
	m.post(private{frame: frame, quiet: true, last: true})
}

// post requires the shard to be locked.
func (m *Member) post(p private) {
	s := m.shard
	s.hub.mu.Lock()
	s.hub.seq++
	p.seq = s.hub.seq
	s.hub.mu.Unlock()
	out := m.outbox()
	out.own = append(out.own, p)
	if !m.posted {
		m.posted = true
		s.posted = append(s.posted, m)
	}
	s.wake()
}

// Pending appends to dst what m should write next, in order: all of it, or at least max bytes.
// Nothing appended means that there is nothing now. The slices stay valid and must not be changed.
//
// It returns ErrBehind if a log no longer holds what m needs: then call Finish with drop, or Skip.
// Calls of Pending and Advance must not overlap.
func (m *Member) Pending(dst [][]byte, max int) ([][]byte, error) {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if m.behind() {
		return dst, ErrBehind
	}
	if rest := m.out.rest; len(rest) > 0 {
		dst = append(dst, rest)
		max -= len(rest)
	}
	if m.finished {
		return dst, nil
	}
	dst = m.plan(dst, max)
	if m.planned.bytes == 0 {
		m.commit() // what there was is not for m: its own messages, of which it wants no copy
		m.tidy()
	}
	return dst, nil
}

// Advance says that n bytes of what Pending returned have been written. It returns how many messages began
// among them, and whether the last frame (see Finish) is written now.
func (m *Member) Advance(n int) (messages int, finished bool) {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if rest := m.out.rest; n < len(rest) {
		m.out.rest = rest[n:]
		return 0, false
	} else if len(rest) > 0 {
		n -= len(rest)
		m.out.rest = nil
	}
	if n > 0 {
		messages = m.advance(n)
	}
	m.tidy()
	return messages, m.finished && len(m.out.rest) == 0
}

func (m *Member) advance(n int) (messages int) {
	if n < m.planned.bytes {
		// The socket took a part. Planning again, but only up to n, ends with the frame that was cut.
		var buf [8][]byte
		bufs := m.plan(buf[:0], n)
		if cut := m.planned.bytes - n; cut > 0 {
			last := bufs[len(bufs)-1]
			m.outbox().rest = last[len(last)-cut:]
		}
	}
	messages = m.planned.messages
	m.commit()
	return messages
}

// commit makes the plan the state.
func (m *Member) commit() {
	s := m.shard
	s.delivered += uint64(m.planned.messages)
	if n := m.planned.own; n > 0 {
		out := m.out
		for i := range out.own[:n] {
			p := &out.own[i]
			if p.post {
				out.bytes -= len(p.frame)
			}
			m.finished = m.finished || p.last
			*p = private{}
		}
		if n == len(out.own) {
			out.own = out.own[:0]
		} else {
			out.own = out.own[n:]
		}
	}
	if m.finished {
		m.leave()
		return
	}
	m.got = m.planned.got
	m.planned = planned{got: m.got}

	news := m.news
	m.news = m.news[:0]
	for _, c := range news {
		if c.plan != c.next {
			c.next = c.plan
			s.unsettle(c.group)
		}
		switch {
		case c.next >= c.until:
			c.news = false
			m.remove(c)
			s.hub.mu.Lock()
			s.hub.part(c)
			s.hub.mu.Unlock()
		case c.next >= c.visible():
			c.news = false
		default:
			m.news = append(m.news, c)
		}
	}
	clear(news[len(m.news):])
	if len(m.news) == 0 && cap(m.news) > 4 {
		m.news = nil
	}
}

// Behind reports whether Pending would return ErrBehind.
func (m *Member) Behind() bool {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	return m.behind()
}

// behind reports whether a log has dropped what m has yet to read.
func (m *Member) behind() bool {
	for _, c := range m.news {
		if c.next < c.group.view.tail() {
			return true
		}
	}
	return false
}

// Skip drops what m has yet to get from its topics, except the rest of a frame written in part, and puts the frame
// that say returns for the number of dropped messages in its place. A message to several topics counts for each that m is in.
// Pending has something then. Calls must not overlap with Pending and Advance.
func (m *Member) Skip(say func(messages int) []byte) {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	out := m.outbox()
	out.rest = bytes.Clone(out.rest)
	messages := 0
	for _, c := range m.news {
		messages += int(c.visible() - c.next)
		c.plan = c.visible()
	}
	cut := m.shard.cut
	var posts, later []private
	for _, p := range out.own {
		switch {
		case p.seq > cut:
			later = append(later, p)
		case p.post || p.last:
			posts = append(posts, p)
		}
	}
	m.planned = planned{got: m.got}
	out.own = nil
	m.commit()
	m.got = cut
	out.own = append(append(posts, private{seq: cut, frame: say(messages)}), later...)
}

// Unread returns how many messages wait for m: in its topics, as of its shard's last turn, and its own.
// A message to several topics counts for each that m is in.
func (m *Member) Unread() int {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	n := 0
	for _, c := range m.news {
		n += int(c.visible() - c.next)
	}
	for _, p := range m.out.own {
		if p.post && !p.quiet {
			n++
		}
	}
	return n
}

// Backlog returns how many bytes wait in posts for m.
func (m *Member) Backlog() int {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	return m.out.bytes
}

// hasNews requires the shard to be locked.
func (m *Member) hasNews(c *cursor) {
	if !c.news {
		c.news = true
		m.news = append(m.news, c)
	}
}

func (m *Member) cursor(name Topic) *cursor {
	for _, c := range m.cursors {
		if c.until == forever && c.group.topic.name == name {
			return c
		}
	}
	return nil
}

func (m *Member) inAny(topics []*topic) bool {
	for _, c := range m.cursors {
		if c.until == forever && seen(topics, c.group.topic) {
			return true
		}
	}
	return false
}

// forget takes c out of the member's lists.
func (m *Member) forget(c *cursor) {
	m.remove(c)
	for i := range m.news {
		if m.news[i] == c {
			m.news = append(m.news[:i], m.news[i+1:]...)
			return
		}
	}
}

func (m *Member) remove(c *cursor) {
	for i := range m.cursors {
		if m.cursors[i] == c {
			last := len(m.cursors) - 1
			m.cursors[i] = m.cursors[last]
			m.cursors[last] = nil
			m.cursors = m.cursors[:last]
			return
		}
	}
}
