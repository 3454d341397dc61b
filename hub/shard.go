package hub

import "sync"

// A Shard is the part of a hub that one goroutine serves: some members and
// their cursors.
type Shard struct {
	hub  *Hub   // set once
	wake func() // set once; called without Hub.mu, but perhaps with mu held

	mu        sync.Mutex
	cut       uint64    // members get nothing that was numbered after this
	queue     []*Member // to be woken, in order
	next      int       // in queue: those before have been woken
	posted    []*Member // have frames of their own numbered after the cut
	moved     []*group  // members have read on, or left, since the last cut
	tails     []tail    // of moved, during a cut
	delivered uint64
	missed    int       // messages that members had to skip
	boxes     []*outbox // empty, for the next members that need one

	woken [64]Conn // owned by Turn

	// Guarded by Hub.mu.
	fresh    []*group // have entries after their view
	spare    []*group // memory for fresh
	refused  bool     // in Hub.refused
	called   bool     // in Hub.due
	expelled []*Member
}

// maxBoxes is how many empty outboxes a shard keeps.
const maxBoxes = 1024

// NewShard adds a shard. wake is called, possibly often and from any goroutine,
// when the shard should take a turn. It must neither block nor call the hub.
func (h *Hub) NewShard(wake func()) *Shard {
	s := &Shard{hub: h, wake: wake}
	h.mu.Lock()
	h.shards = append(h.shards[:len(h.shards):len(h.shards)], s)
	h.mu.Unlock()
	return s
}

// Turn wakes up to max members that have something to write and reports whether
// more are waiting. One goroutine at a time may run it. When all have been
// woken it makes the next cut, so calling it until it returns false leaves
// nobody with news.
func (s *Shard) Turn(max int) (more bool) {
	s.mu.Lock()
	if s.next == len(s.queue) {
		s.advanceCut()
	}
	for max > 0 && s.next < len(s.queue) {
		n := s.pop(max)
		max -= n
		s.mu.Unlock()
		for i, conn := range s.woken[:n] {
			if conn != nil {
				conn.Wake()
			}
			s.woken[i] = nil
		}
		s.mu.Lock()
	}
	more = s.next < len(s.queue) || len(s.posted) > 0 || len(s.moved) > 0
	s.mu.Unlock()
	if more {
		return true
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.fresh) > 0 || len(s.expelled) > 0
}

// pop removes up to max members from the queue and stores their connections in
// s.woken; the connection of a member that has left is nil. It returns how
// many, and requires the shard to be locked.
func (s *Shard) pop(max int) (n int) {
	n = min(max, len(s.queue)-s.next, len(s.woken))
	for i, m := range s.queue[s.next:][:n] {
		m.queued = false
		s.woken[i] = m.conn
		s.queue[s.next+i] = nil
	}
	s.next += n
	return n
}

// A tail is the ordinal of the first entry that a group's members may need, and
// one of those that do.
type tail struct {
	ord     uint64
	slowest *Member
}

// advanceCut makes what was published until now visible to the shard's members,
// and tells the logs how far those have read. It requires an empty queue:
// everybody has been offered what was visible before.
func (s *Shard) advanceCut() {
	h := s.hub
	s.tails = s.tails[:0]
	for _, g := range s.moved {
		t := g.findTail()
		g.view = g.view.from(t.ord)
		s.tails = append(s.tails, t)
	}

	h.mu.Lock()
	for i, g := range s.moved {
		g.moved = false
		g.offered = g.seen
		g.tail, g.slowest = s.tails[i].ord, s.tails[i].slowest
		if len(g.cursors) > 0 {
			h.trim(g.topic)
		}
		s.moved[i] = nil
	}
	changed := len(s.moved) > 0 || len(s.fresh) > 0
	s.moved = s.moved[:0]
	fresh := s.fresh
	s.fresh, s.spare = s.spare[:0], nil
	for _, g := range fresh {
		g.fresh = false
		g.offered, g.seen = g.seen, g.topic.log.head
		g.view = g.topic.log.view()
	}
	expelled := s.expelled
	s.expelled = nil
	s.cut = h.seq
	if changed {
		h.reconsider()
	}
	h.unlock()

	s.queue, s.next = s.queue[:0], 0
	for i, g := range fresh {
		s.noteMoved(g)
		for _, c := range g.cursors {
			if c.next < c.visible() {
				c.member.noteNews(c)
				s.enqueue(c.member)
			}
		}
		fresh[i] = nil
	}
	s.spare = fresh[:0]
	for i, m := range s.posted {
		m.posted = false
		s.enqueue(m)
		s.posted[i] = nil
	}
	s.posted = s.posted[:0]
	for _, m := range expelled {
		m.expel()
	}
}

func (s *Shard) enqueue(m *Member) {
	if !m.queued {
		m.queued = true
		s.queue = append(s.queue, m)
	}
}

// noteMoved puts g on the list of those whose tail the next cut looks at. It
// reports whether the shard must be woken for that.
func (s *Shard) noteMoved(g *group) (first bool) {
	if g.moved {
		return false
	}
	g.moved = true
	s.moved = append(s.moved, g)
	return len(s.moved) == 1
}

// findTail looks for the member that has the most to read.
func (g *group) findTail() tail {
	t := tail{ord: g.view.head}
	for _, c := range g.cursors {
		if c.next < t.ord {
			t = tail{c.next, c.member}
		}
	}
	return t
}
