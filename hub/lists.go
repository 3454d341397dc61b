package hub

// Stats is a snapshot of the hub.
type Stats struct {
	Topics    int    // topics that have members
	LogBytes  int    // bytes that the logs take
	Memory    int    // bytes that everything takes of Config.Memory
	Delivered uint64 // messages handed to members, including posts
	Missed    int    // messages that members had to skip
}

// Stats returns the current numbers.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	st := Stats{Topics: h.listed, LogBytes: h.logBytes, Memory: h.logBytes + int(h.private.used.Load()+h.reserved.used.Load())}
	shards := h.shards
	h.mu.Unlock()
	for _, s := range shards {
		s.mu.Lock()
		st.Delivered += s.delivered
		st.Missed += s.missed
		s.mu.Unlock()
	}
	return st
}

// Count returns how many members a topic has, and how many topics have members.
func (h *Hub) Count(name Topic) (members, topics int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil {
		members = t.members
	}
	return members, h.listed
}

// Topics calls yield with every topic that has subscribers and with their
// number, in no particular order, until yield returns false.
func (h *Hub) Topics(yield func(name Topic, members int) bool) {
	type row struct {
		name    Topic
		members int
	}
	h.mu.Lock()
	rows := make([]row, 0, len(h.topics))
	for name, t := range h.topics {
		if t.members > 0 && !name.Aside {
			rows = append(rows, row{name, t.members})
		}
	}
	h.mu.Unlock()
	for _, r := range rows {
		if !yield(r.name, r.members) {
			return
		}
	}
}

// Members calls yield with the connections of a topic's subscribers, in no
// particular order, until yield returns false. yield must not call the hub.
func (h *Hub) Members(name Topic, yield func(Conn) bool) {
	h.mu.Lock()
	shards := h.shards
	h.mu.Unlock()
	for _, s := range shards {
		if !s.members(name, yield) {
			return
		}
	}
}

func (s *Shard) members(name Topic, yield func(Conn) bool) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.mu.Lock()
	var g *group
	if t := s.hub.topics[name]; t != nil {
		g = t.group(s)
	}
	s.hub.mu.Unlock()
	if g == nil {
		return true
	}
	for _, c := range g.cursors { // the list changes only while the shard is locked
		if c.until == forever && !yield(c.member.conn) {
			return false
		}
	}
	return true
}

// Audience returns how many members are subscribed to at least one of the
// topics.
func (h *Hub) Audience(topics []Topic) int {
	if len(topics) == 1 {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t := h.topics[topics[0]]; t != nil {
			return t.members
		}
		return 0
	}
	all := make(map[Conn]struct{})
	for _, name := range topics {
		h.Members(name, func(c Conn) bool {
			all[c] = struct{}{}
			return true
		})
	}
	return len(all)
}
