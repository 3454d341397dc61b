package hub

import "sync"

// A Shard is the part of a hub that one goroutine serves: some members and
// their cursors.
type Shard struct {
	hub  *Hub   // set once
	wake func() // set once; called without Hub.mu, but perhaps with mu held

	mu        sync.Mutex
	cut       uint64    // members get no frame with a higher seq
	queue     []*Member // to be woken, in order
	next      int       // queue[:next] have been woken
	posted    []*Member // something was posted to them since the last cut
	moved     []*group  // members have read on, or left, since the last cut
	tails     []tail    // of moved, during a cut
	delivered uint64
	missed    int       // messages that members had to skip
	boxes     []*outbox // empty ones, for the next members that need one

	woken [64]Conn // owned by Turn

	// Guarded by Hub.mu.
	fresh    []*group // groups with entries after their view
	spare    []*group // memory for fresh
	refused  bool     // in Hub.refused
	called   bool     // in Hub.due
	expelled []*Member
}

// maxBoxes is how many empty outboxes a shard keeps.
const maxBoxes = 1024

// NewShard adds a shard. wake is called when the shard should take a turn,
// possibly often and from any goroutine. It must not block and must not call
// the hub.
func (h *Hub) NewShard(wake func()) *Shard {
	s := &Shard{hub: h, wake: wake}
	h.mu.Lock()
	h.shards = append(h.shards[:len(h.shards):len(h.shards)], s)
	h.mu.Unlock()
	return s
}

// The call tree of Turn.
//
//	Turn
//	├─ advanceCut            once all members in the queue have been woken
//	│  ├─ findTail           how far the members of a group have read
//	│  ├─ Hub.trim           drops chunks that every member has read
//	│  ├─ Hub.reconsider     wakes refused publishers: there may be room
//	│  ├─ Member.noteNews    the cursors that have something to read
//	│  ├─ enqueue            their members, and those with posts
//	│  └─ Member.expel       members that must give up what they hold
//	├─ pop                   the next members of the queue
//	└─ Conn.Wake             without locks; leads to Pending and Advance

// Turn wakes up to max members that have something to write and reports whether
// more are waiting. Only one goroutine at a time may call it. When all members
// have been woken, it makes the next cut. So after calling it until it returns
// false, every member with news has been woken.
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
// s.woken; the connection of a member that has left is nil. It returns the
// number of members. It requires the shard to be locked.
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

// A tail is the ordinal of the first entry that a member of a group may need,
// and one of the members that need it.
type tail struct {
	ord     uint64
	slowest *Member
}

// advanceCut makes what was published until now visible to the shard's members,
// and tells the logs how far these members have read. It requires the shard to
// be locked and its queue to be empty: every member has been offered what was
// visible before.
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
	s.cut = seqAfter(h.number)
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

// noteMoved puts g on the list of groups whose tail the next cut looks at. It
// reports whether the shard must be woken for that. It requires the shard to be
// locked.
func (s *Shard) noteMoved(g *group) (first bool) {
	if g.moved {
		return false
	}
	g.moved = true
	s.moved = append(s.moved, g)
	return len(s.moved) == 1
}

// findTail finds the member that has the most to read.
func (g *group) findTail() tail {
	t := tail{ord: g.view.head}
	for _, c := range g.cursors {
		if c.next < t.ord {
			t = tail{c.next, c.member}
		}
	}
	return t
}
