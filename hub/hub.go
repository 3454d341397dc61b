package hub

import (
	"errors"
	"sync"
)

// A Topic names an audience. App keeps the topics of different apps apart.
type Topic struct{ App, Name string }

// Limits bound what the hub keeps, in bytes. Zero means the default.
type Limits struct {
	Topic int // one topic's log; at least eight times the largest frame. Default 1 MiB.
	Total int // all logs together. Default 256 MiB.
	Posts int // what is posted to one member and not yet written. Default 256 KiB.
}

var (
	// ErrBehind says that the logs no longer hold what a member has yet to get.
	ErrBehind = errors.New("hub: the member fell behind the log")

	// ErrBusy says that a publish would put members behind that take what they are offered.
	// Nothing was published. Wait for Hub.Relief and try again.
	ErrBusy = errors.New("hub: the topic's members have yet to be offered what was published before")

	// ErrFull says that a member's posts would exceed Limits.Posts. Nothing was posted.
	ErrFull = errors.New("hub: too much is posted to the member already")

	// ErrGone says that a member has left or been finished.
	ErrGone = errors.New("hub: the member is gone")
)

// A Hub holds topics, their logs and their members. All methods may be called from any goroutine.
//
// Lock order: Shard.mu before Hub.mu. No two shards are locked at once.
type Hub struct {
	limits Limits // set once

	mu     sync.Mutex
	seq    uint64 // the number of the last publish or post
	topics map[Topic]*topic
	shards []*Shard
	relief chan struct{} // closed when a shard has caught up; nil if nobody waits
	eager  []*Shard      // to be woken then: members of theirs were refused

	// All chunks by age: the oldest goes first when the logs exceed limits.Total.
	oldest, newest *chunk
	size           int // footprint of all chunks. Invariant: size <= limits.Total, or one chunk is left
}

// A topic is a log and the members who read it, grouped by shard.
type topic struct {
	name   Topic
	log    log
	groups []*group // those that have members
}

// New returns a hub without shards.
func New(limits Limits) *Hub {
	if limits.Topic == 0 {
		limits.Topic = 1 << 20
	}
	if limits.Total == 0 {
		limits.Total = 256 << 20
	}
	if limits.Posts == 0 {
		limits.Posts = 256 << 10
	}
	return &Hub{limits: limits, topics: make(map[Topic]*topic)}
}

// Publish appends a frame to the log of each topic that has members.
//
// If from is a member of one of the topics it gets mine instead: nil means the same as the others,
// an empty frame means nothing at all. from may be nil. Neither slice is kept.
// It returns ErrBusy, ErrGone or nil; it never waits. After ErrBusy from's shard is woken when it is worth trying again.
// After from's last frame nothing of it is published: a client that has got that frame has got its copies of all that was.
func (h *Hub) Publish(from *Member, topics []Topic, others, mine []byte) error {
	if from == nil {
		return h.publish(nil, topics, others, nil)
	}
	from.shard.mu.Lock()
	defer from.shard.mu.Unlock()
	if from.last {
		return ErrGone
	}
	return h.publish(from, topics, others, mine)
}

// refuse returns ErrBusy. It requires the hub to be locked.
func (h *Hub) refuse(from *Member) error {
	if from != nil && !from.shard.eager {
		from.shard.eager = true
		h.eager = append(h.eager, from.shard)
	}
	return ErrBusy
}

// relieve tells those who wait that a shard has caught up. It requires the hub to be locked.
func (h *Hub) relieve() {
	if h.relief != nil {
		close(h.relief)
		h.relief = nil
	}
	for i, s := range h.eager {
		s.eager = false
		s.wake()
		h.eager[i] = nil
	}
	h.eager = h.eager[:0]
}

// publish requires from's shard to be locked.
func (h *Hub) publish(from *Member, topics []Topic, others, mine []byte) error {
	var buf [16]*topic
	h.mu.Lock()
	defer h.mu.Unlock()
	audience := buf[:0]
	for _, name := range topics {
		if t := h.topics[name]; t != nil && !seen(audience, t) {
			if !h.reserve(t, len(others)) {
				return h.refuse(from)
			}
			audience = append(audience, t)
		}
	}
	if len(audience) == 0 {
		return nil
	}
	for _, t := range audience {
		if t.log.room(len(others)) == nil {
			return h.refuse(from) // making room for one took another's: the total limit is smaller than this message needs
		}
	}
	h.seq++
	for _, t := range audience {
		t.log.append(t.log.room(len(others)), h.seq, others)
		t.stir()
	}
	if mine != nil && from != nil && from.inAny(audience) {
		out := from.outbox()
		out.own = append(out.own, private{seq: h.seq, frame: append(make([]byte, 0, len(mine)), mine...)})
	}
	return nil
}

func seen(topics []*topic, t *topic) bool {
	for _, other := range topics {
		if other == t {
			return true
		}
	}
	return false
}

// reserve makes room for a frame of size bytes at the head of the topic's log, dropping the oldest chunks where a limit
// asks for it. It reports false, and drops nothing more, where that would take what a shard has yet to offer its members.
//
// Half the topic's limit is for that; the other half is for members whose sockets are slower than the rest.
func (h *Hub) reserve(t *topic, size int) bool {
	if t.log.room(size) != nil {
		return true
	}
	c := t.log.nextChunk(size, min(maxChunk, h.limits.Topic/8))
	if ahead := t.log.behind(t.offered()); ahead > 0 && ahead+c.footprint() > h.limits.Topic/2 {
		return false
	}
	for len(t.log.chunks) > 0 && t.log.size+c.footprint() > h.limits.Topic {
		h.drop(t.log.chunks[0])
	}
	for h.oldest != nil && h.size+c.footprint() > h.limits.Total {
		other := h.oldest.log.topic
		if other.offered() < h.oldest.end() {
			return false
		}
		other.stir() // let its shards see that the chunk is gone
		h.drop(h.oldest)
	}
	h.add(c)
	return true
}

// offered is the ordinal of the first entry that a shard may have yet to offer its members.
func (t *topic) offered() uint64 {
	ord := t.log.head
	for _, g := range t.groups {
		ord = min(ord, g.offered)
	}
	return ord
}

func (h *Hub) add(c *chunk) {
	l := c.log
	l.chunks = append(l.chunks, c)
	l.size += c.footprint()
	h.size += c.footprint()
	c.older = h.newest
	if h.newest != nil {
		h.newest.newer = c
	} else {
		h.oldest = c
	}
	h.newest = c
}

// drop removes c, which must be the oldest chunk of its log.
func (h *Hub) drop(c *chunk) {
	l := c.log
	l.chunks = append([]*chunk(nil), l.chunks[1:]...)
	l.size -= c.footprint()
	h.size -= c.footprint()
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		h.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		h.newest = c.older
	}
	c.older, c.newer = nil, nil
}

// trim drops the chunks that every member has read, all but the last: the next frame may fit there.
func (h *Hub) trim(t *topic) {
	tail := t.log.head
	for _, g := range t.groups {
		tail = min(tail, g.tail)
	}
	for len(t.log.chunks) > 1 && t.log.chunks[1].first <= tail {
		h.drop(t.log.chunks[0])
	}
}

// stir puts the topic's groups on their shards' lists of those that have news.
func (t *topic) stir() {
	for _, g := range t.groups {
		if !g.dirty {
			g.dirty = true
			g.shard.dirty = append(g.shard.dirty, g)
		}
		g.shard.wake()
	}
}

// join requires m's shard and the hub to be locked.
func (h *Hub) join(m *Member, name Topic) *cursor {
	t := h.topics[name]
	if t == nil {
		t = &topic{name: name}
		t.log.topic = t
		h.topics[name] = t
	}
	g := t.group(m.shard)
	if g == nil {
		g = &group{topic: t, shard: m.shard, view: t.log.view(), offered: t.log.head, seen: t.log.head, tail: t.log.head}
		t.groups = append(t.groups, g)
	}
	c := &cursor{member: m, group: g, next: t.log.head, until: forever, slot: len(g.members)}
	g.members = append(g.members, c)
	return c
}

// part requires c's shard and the hub to be locked.
func (h *Hub) part(c *cursor) {
	g := c.group
	last := len(g.members) - 1
	g.members[c.slot] = g.members[last]
	g.members[c.slot].slot = c.slot
	g.members[last] = nil
	g.members = g.members[:last]
	if last > 0 {
		g.shard.unsettle(g) // the log may have been waiting for this one
		return
	}
	t := g.topic
	for i := range t.groups {
		if t.groups[i] == g {
			t.groups = append(t.groups[:i], t.groups[i+1:]...)
			break
		}
	}
	if len(t.groups) > 0 {
		h.trim(t)
		return
	}
	for len(t.log.chunks) > 0 {
		h.drop(t.log.chunks[0])
	}
	delete(h.topics, t.name)
}

func (t *topic) group(s *Shard) *group {
	for _, g := range t.groups {
		if g.shard == s {
			return g
		}
	}
	return nil
}

// Relief returns a channel that is closed when a shard has next caught up.
func (h *Hub) Relief() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.relief == nil {
		h.relief = make(chan struct{})
	}
	return h.relief
}

// Stats is a picture of the hub.
type Stats struct {
	Topics    int    // that have members
	LogBytes  int    // footprint of all logs
	Delivered uint64 // messages handed to members, posts included
}

// Stats returns the current numbers.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	st := Stats{Topics: len(h.topics), LogBytes: h.size}
	shards := h.shards
	h.mu.Unlock()
	for _, s := range shards {
		s.mu.Lock()
		st.Delivered += s.delivered
		s.mu.Unlock()
	}
	return st
}

// Topics calls yield with every topic that has members and their number, in no order, until it returns false.
func (h *Hub) Topics(yield func(name Topic, members int) bool) {
	counts := make(map[Topic]int)
	h.mu.Lock()
	shards := h.shards
	for name := range h.topics {
		counts[name] = 0
	}
	h.mu.Unlock()
	for _, s := range shards {
		s.mu.Lock()
		h.mu.Lock()
		for name := range counts {
			if t := h.topics[name]; t != nil {
				if g := t.group(s); g != nil {
					counts[name] += g.subscribed()
				}
			}
		}
		h.mu.Unlock()
		s.mu.Unlock()
	}
	for name, n := range counts {
		if n > 0 && !yield(name, n) {
			return
		}
	}
}

// Members calls yield with the members of a topic, in no order, until it returns false.
// yield must not call the hub.
func (h *Hub) Members(name Topic, yield func(Conn) bool) {
	h.eachGroup(name, func(g *group) bool {
		for _, c := range g.members {
			if c.until == forever && !yield(c.member.conn) {
				return false
			}
		}
		return true
	})
}

// eachGroup calls f with the topic's groups, each with its shard and the hub locked.
func (h *Hub) eachGroup(name Topic, f func(*group) bool) {
	h.mu.Lock()
	shards := h.shards
	h.mu.Unlock()
	more := true
	for _, s := range shards {
		s.mu.Lock()
		h.mu.Lock()
		if t := h.topics[name]; t != nil {
			if g := t.group(s); g != nil {
				more = f(g)
			}
		}
		h.mu.Unlock()
		s.mu.Unlock()
		if !more {
			return
		}
	}
}
