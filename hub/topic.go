package hub

import "math/bits"

// A topic is a log and the members that read it, grouped by shard. Guarded by
// Hub.mu.
type topic struct {
	name    Topic // set once
	log     log
	groups  []*group // one for each shard that has members
	members int      // number of subscribed members
	mark    uint64   // Hub.mark of the last publish that found the topic
	history *history // nil: it keeps nothing that everybody has read

	// Links of Hub.spentFirst. Invariant: a topic is in that list if its log
	// has chunks, every member has read all of them, and nothing in them is
	// history. The topics that a publish is working on are the exception.
	spent                bool
	spentPrev, spentNext *topic
}

// A group holds the members of one topic in one shard.
type group struct {
	topic *topic // set once
	shard *Shard // set once

	// Guarded by shard.mu.
	cursors []*cursor
	view    view // the log at the last cut
	moved   bool // in shard.moved

	// Guarded by Hub.mu. tail, offered, seen and slowest are changed only with
	// shard.mu locked, too.
	fresh bool // in shard.fresh
	// Ordinals. Every member has been offered the entries before offered,
	// and is being offered those before seen. No member needs the entries
	// before tail. Invariant: tail <= offered <= seen <= log.head.
	tail, offered, seen uint64
	slowest             *Member // one that needs the entry at tail; nil if none is known
}

func (t *topic) group(s *Shard) *group {
	for _, g := range t.groups {
		if g.shard == s {
			return g
		}
	}
	return nil
}

// offered is the ordinal of the first entry that some shard may not have
// offered to its members yet.
func (t *topic) offered() uint64 {
	ord := t.log.head
	for _, g := range t.groups {
		ord = min(ord, g.offered)
	}
	return ord
}

// tail is the ordinal of the first entry that a member may still need.
func (t *topic) tail() uint64 {
	ord := t.log.head
	for _, g := range t.groups {
		ord = min(ord, g.tail)
	}
	return ord
}

// needed is the ordinal of the first entry that a member may still need, or
// that is history.
func (t *topic) needed() uint64 {
	ord := t.tail()
	if t.history != nil && t.history.messages > 0 {
		ord = min(ord, t.history.first)
	}
	return ord
}

// nextCapacity returns how large the next chunk of t's log should be, with room
// for size bytes. A history is divided among at least four chunks, so that not
// much more is kept than it may have.
func (t *topic) nextCapacity(size, limit int) int {
	if t.history == nil || t.log.sizeFrom(t.tail()) > minChunk {
		return t.log.nextCapacity(size, limit)
	}
	capacity := 1 << bits.Len(uint(t.history.bytes/8))
	return max(min(capacity, maxHistoryChunk, limit), minHistoryChunk, size)
}

// minHistoryChunk and maxHistoryChunk are how small and how large the chunks of
// a history are, unless the log has a backlog.
const (
	minHistoryChunk = 256
	maxHistoryChunk = 16 << 10
)

// attach makes c, a new cursor, m's cursor in the topic of that name. It
// requires m's shard and the hub to be locked.
func (h *Hub) attach(c *cursor, m *Member, name Topic) {
	t := h.topics[name]
	if t == nil {
		t = &topic{name: name}
		h.topics[name] = t
	}
	g := t.group(m.shard)
	if g == nil {
		if len(t.groups) == 0 && !name.Aside {
			h.listed++
		}
		head := t.log.head
		g = &group{topic: t, shard: m.shard, view: view{head: head}, offered: head, seen: head, tail: head}
		t.groups = append(t.groups, g)
	}
	*c = cursor{member: m, group: g, next: t.log.head, until: forever, slot: int32(len(g.cursors))}
	g.cursors = append(g.cursors, c)
	t.members++
}

// detach takes c out of its topic. It requires c's shard and the hub to be
// locked.
func (h *Hub) detach(c *cursor) {
	g := c.group
	t := g.topic
	if c.until == forever {
		t.members--
	}
	last := len(g.cursors) - 1
	g.cursors[c.slot] = g.cursors[last]
	g.cursors[c.slot].slot = c.slot
	g.cursors[last] = nil
	g.cursors = g.cursors[:last]
	if g.slowest == c.member {
		g.slowest = nil
	}
	c.member = nil
	if last > 0 {
		if g.shard.noteMoved(g) { // the log may have been waiting for this member
			h.call(g.shard)
		}
		return
	}
	for i := range t.groups {
		if t.groups[i] == g {
			t.groups = append(t.groups[:i], t.groups[i+1:]...)
			break
		}
	}
	if len(t.groups) == 0 && !t.name.Aside {
		h.listed--
	}
	h.reconsider() // publishers need not wait for this shard any more
	if len(t.groups) > 0 || t.history != nil {
		h.trim(t)
		return
	}
	h.removeTopic(t)
}

// removeTopic removes a topic that has neither members nor a history.
func (h *Hub) removeTopic(t *topic) {
	h.unspend(t)
	for len(t.log.chunks) > 0 {
		h.drop(t)
	}
	delete(h.topics, t.name)
}
