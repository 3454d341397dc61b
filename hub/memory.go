package hub

import "sync/atomic"

// Config.Memory is divided: half is for logs, a quarter for private frames, a
// quarter for what Reserve takes. So neither posts nor half-sent messages can
// take the memory of the logs, and the logs cannot take theirs.

// A budget is one of the two quarters.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes if that many are left, and reports whether it did.
// Otherwise it takes none, not even for a moment, because other callers would
// be refused in that moment.
func (b *budget) take(n int) bool {
	for {
		used := b.used.Load()
		if used+int64(n) > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// fits reports whether n bytes are left.
func (b *budget) fits(n int) bool { return b.used.Load()+int64(n) <= b.limit }

// allowance is how many bytes of private frames a member may have even though
// the budget is used up. So members that do not read cannot stop those that do
// from publishing small messages, or from getting their answers and pongs.
const allowance = 1 << 10

// takePrivate takes n bytes of private memory for m and reports whether m may
// have them. It requires the shard to be locked.
func (m *Member) takePrivate(n int) bool {
	h := m.shard.hub
	if m.out.size()+n <= allowance {
		h.private.force(n)
		return true
	}
	return h.private.take(n)
}

// force takes n bytes even if fewer are left.
func (b *budget) force(n int) { b.used.Add(int64(n)) }

func (b *budget) give(n int) { b.used.Add(-int64(n)) }

// Reserve takes n bytes of the hub's memory for something that the hub does not
// hold itself, such as the beginning of a message. It returns false if fewer
// are left. [Hub.Release] gives them back.
func (h *Hub) Reserve(n int) bool { return h.reserved.take(n) }

// ReserveAnyway takes n bytes even if fewer are left. It is for callers that
// have made others release as many.
func (h *Hub) ReserveAnyway(n int) { h.reserved.force(n) }

// Release gives back n bytes that Reserve or ReserveAnyway took.
func (h *Hub) Release(n int) { h.reserved.give(n) }

// spares are chunks that were allocated for a publish while no lock was held.
type spares struct {
	chunks []*chunk
	wanted []int // capacities
}

func (s *spares) allocate() {
	for _, capacity := range s.wanted {
		s.chunks = append(s.chunks, newChunk(capacity))
	}
	s.wanted = s.wanted[:0]
}

// take returns a chunk of that capacity. If there is none, it returns nil and
// notes that such a chunk is wanted.
func (s *spares) take(capacity int) *chunk {
	for i, c := range s.chunks {
		if len(c.buf) == capacity {
			s.chunks[i] = s.chunks[len(s.chunks)-1]
			s.chunks = s.chunks[:len(s.chunks)-1]
			return c
		}
	}
	s.wanted = append(s.wanted, capacity)
	return nil
}

// add adds c to t's log. It requires h.mu, as do all functions below.
func (h *Hub) add(t *topic, c *chunk) {
	l := &t.log
	c.first = l.head
	l.chunks = append(l.chunks, c)
	l.size += c.footprint()
	h.logBytes += c.footprint()
	h.classify(t)
}

// drop removes the oldest chunk of t's log and wakes what waits for memory.
func (h *Hub) drop(t *topic) {
	h.remove(t)
	h.reconsider()
}

// remove removes the oldest chunk of t's log.
func (h *Hub) remove(t *topic) {
	l := &t.log
	n := l.chunks[0].footprint()
	if t.history != nil {
		h.dropBefore(t.history, l.chunks[0].end())
		defer h.classify(t)
	}
	l.chunks = append([]*chunk(nil), l.chunks[1:]...)
	l.size -= n
	h.logBytes -= n
	h.dropped += n
}

// dropRead removes the chunks that nobody needs. It wakes nothing: no publisher
// waits for this memory, because whichever needs it can remove the chunks
// itself (see dropSpent).
func (h *Hub) dropRead(t *topic) {
	needed := t.needed()
	for len(t.log.chunks) > 0 && t.log.chunks[0].end() <= needed {
		h.remove(t)
	}
}

// trim drops the chunks that nobody needs, except the last one: the next frame
// may fit there.
func (h *Hub) trim(t *topic) {
	needed := t.needed()
	for len(t.log.chunks) > 1 && t.log.chunks[1].first <= needed {
		h.drop(t)
	}
	h.noteSpent(t)
}

// dropSpent removes chunks that nobody needs until n bytes are free for a log,
// or there are no such chunks.
func (h *Hub) dropSpent(n int) {
	for h.free() < n && h.spentFirst != nil {
		first := h.spentFirst
		h.unspend(first)
		h.dropRead(first)
	}
}

// expelHeaviest makes the member that holds most of the logs' memory give it
// up, if it holds at least least bytes. It reports whether a member is giving
// up memory, because of this call or an earlier one. If so, there is memory
// soon.
func (h *Hub) expelHeaviest(least int) bool {
	if h.expelled > 0 {
		return true
	}
	if least > 0 && h.dropped-h.weighed < h.logLimit/32 {
		return false // no member holds much more than when they were last compared
	}
	h.weighed = h.dropped
	m, holds := h.heaviest()
	if m == nil || holds < least {
		return false
	}
	h.expelled++
	m.shard.expelled = append(m.shard.expelled, m)
	h.call(m.shard)
	return true
}

// free is how many bytes the logs may still take.
func (h *Hub) free() int { return h.logLimit - h.logBytes - h.retained }

// heaviest returns the member that holds most of the logs' memory, and how many
// bytes it holds. A member holds only what it has been offered and has not
// taken. What the slowest reader of a topic has not read yet counts as held by
// that reader alone.
func (h *Hub) heaviest() (m *Member, holds int) {
	held := make(map[*Member]int)
	for _, t := range h.topics {
		tail, slowest := t.log.head, (*Member)(nil)
		for _, g := range t.groups {
			if g.tail < min(tail, g.offered) {
				tail, slowest = g.tail, g.slowest
			}
		}
		if slowest == nil {
			continue
		}
		held[slowest] += t.log.sizeFrom(tail)
		if held[slowest] > holds {
			m, holds = slowest, held[slowest]
		}
	}
	return m, holds
}

// noteSpent puts t into the list of topics whose chunks nobody needs, if that
// is the case.
func (h *Hub) noteSpent(t *topic) {
	if t.spent || len(t.log.chunks) == 0 {
		return
	}
	if t.needed() < t.log.head {
		return
	}
	t.spent = true
	t.spentPrev = h.spentLast
	if h.spentLast != nil {
		h.spentLast.spentNext = t
	} else {
		h.spentFirst = t
	}
	h.spentLast = t
}

// unspend takes t out of that list, if it is in it.
func (h *Hub) unspend(t *topic) {
	if !t.spent {
		return
	}
	if t.spentPrev != nil {
		t.spentPrev.spentNext = t.spentNext
	} else {
		h.spentFirst = t.spentNext
	}
	if t.spentNext != nil {
		t.spentNext.spentPrev = t.spentPrev
	} else {
		h.spentLast = t.spentPrev
	}
	t.spent, t.spentPrev, t.spentNext = false, nil, nil
}
