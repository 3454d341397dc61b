package hub

import "sync"

// A Shard is the part of a hub that one goroutine serves: some members and their cursors.
type Shard struct {
	hub  *Hub   // set once
	wake func() // set once; called with locks held, so it must not block nor call the hub

	mu        sync.Mutex
	cut       uint64    // members get nothing that was numbered after this
	queue     []*Member // to be woken, in order
	posted    []*Member // have posts numbered after the cut
	unsettled []*group  // members have read on, or left, since the last cut
	delivered uint64
	boxes     []*outbox // for the next who need one

	woken [64]Conn // owned by Turn

	// Guarded by hub.mu.
	dirty []*group // have entries behind their view
	eager bool     // in hub.eager
}

// maxBoxes is how many empty outboxes a shard keeps.
const maxBoxes = 1024

// A group is the members of one topic in one shard.
type group struct {
	topic *topic // set once
	shard *Shard // set once

	// Guarded by shard.mu.
	members   []*cursor
	view      view // the log at the last cut
	unsettled bool

	// Guarded by hub.mu.
	dirty bool
	// Ordinals: every member has been offered the entries below offered and is being offered those below seen;
	// none needs those below tail. Invariant: tail <= offered <= seen <= log.head.
	tail, offered, seen uint64
}

// NewShard adds a shard. wake is called, possibly often and from any goroutine, when the shard should take a turn;
// it must neither block nor call the hub.
func (h *Hub) NewShard(wake func()) *Shard {
	s := &Shard{hub: h, wake: wake}
	h.mu.Lock()
	h.shards = append(h.shards[:len(h.shards):len(h.shards)], s)
	h.mu.Unlock()
	return s
}

// Turn wakes up to max members that have something to write and reports whether more are waiting.
// One goroutine at a time may run it. When all have been woken it makes the next cut, so calling it until it
// returns false leaves nobody with news.
func (s *Shard) Turn(max int) (more bool) {
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.advanceCut()
	}
	for max > 0 && len(s.queue) > 0 {
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
	more = len(s.queue) > 0 || len(s.posted) > 0 || len(s.unsettled) > 0
	s.mu.Unlock()
	if more {
		return true
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.dirty) > 0
}

// pop takes up to max members out of the queue and puts their connections, nil for who has left, into s.woken.
// It returns how many, and requires the shard to be locked.
func (s *Shard) pop(max int) (n int) {
	n = min(max, len(s.queue), len(s.woken))
	for i, m := range s.queue[:n] {
		m.queued = false
		s.woken[i] = m.conn
		s.queue[i] = nil
	}
	s.queue = s.queue[n:]
	return n
}

// advanceCut makes what was published until now visible to the shard's members, and tells the logs how far they have read.
// It requires an empty queue: everybody has been offered what was visible before.
func (s *Shard) advanceCut() {
	h := s.hub
	tails := make([]uint64, 0, 8)
	for _, g := range s.unsettled {
		tails = append(tails, g.slowest())
	}

	h.mu.Lock()
	for i, g := range s.unsettled {
		g.unsettled = false
		g.offered = g.seen
		g.tail = tails[i]
		h.trim(g.topic)
		s.unsettled[i] = nil
	}
	s.unsettled = s.unsettled[:0]
	dirty := s.dirty
	s.dirty = nil
	for _, g := range dirty {
		g.dirty = false
		g.offered, g.seen = g.seen, g.topic.log.head
		g.view = g.topic.log.view()
	}
	s.cut = h.seq
	if len(tails) > 0 || len(dirty) > 0 {
		h.relieve()
	}
	h.mu.Unlock()

	s.queue = s.queue[:0]
	for _, g := range dirty {
		s.unsettle(g)
		for _, c := range g.members {
			if c.next < c.visible() {
				c.member.hasNews(c)
				s.enqueue(c.member)
			}
		}
	}
	for i, m := range s.posted {
		m.posted = false
		s.enqueue(m)
		s.posted[i] = nil
	}
	s.posted = s.posted[:0]
}

func (s *Shard) enqueue(m *Member) {
	if !m.queued {
		m.queued = true
		s.queue = append(s.queue, m)
	}
}

func (s *Shard) unsettle(g *group) {
	if g.unsettled {
		return
	}
	g.unsettled = true
	s.unsettled = append(s.unsettled, g)
	if len(s.unsettled) == 1 {
		s.wake()
	}
}

// slowest returns the ordinal of the first entry that a member has yet to read.
func (g *group) slowest() uint64 {
	tail := g.view.head
	for _, c := range g.members {
		tail = min(tail, c.next)
	}
	return tail
}

func (g *group) subscribed() int {
	n := 0
	for _, c := range g.members {
		if c.until == forever {
			n++
		}
	}
	return n
}
