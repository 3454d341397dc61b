package hub

import "iter"

// Restore fills the history of a topic with messages that have numbers already,
// in ascending order. lost is what [Hub.Lost] says, if none of these messages
// exceeds the limit of the history. The topic must have a history (see
// [Hub.Retain]), which must be empty, and must have no members. The messages are
// not published: nothing is counted, and nobody is woken. They are not refused
// either; see [Publication].Force.
//
// The numbers of the next publishes are higher than theirs.
func (h *Hub) Restore(name Topic, kept iter.Seq[Kept], lost uint64) {
	h.setLost(name, lost)
	for k := range kept {
		var spare spares
		for h.restore(name, k, &spare) == errNoChunk {
			spare.allocate()
		}
	}
}

func (h *Hub) setLost(name Topic, number uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil && t.history != nil {
		t.history.lost = number
	}
}

// restore adds a message to a topic's history. It returns errNoChunk or nil.
func (h *Hub) restore(name Topic, k Kept, spare *spares) error {
	h.mu.Lock()
	defer h.unlock()
	var buf [1]*topic
	audience := h.audience(buf[:0], []Topic{name}, nil)
	if len(audience) == 0 || audience[0].history == nil {
		return nil
	}
	if err := h.makeRoomIn(audience, len(k.Frame), true, spare); err != nil {
		return err
	}
	h.number = max(h.number, k.Number)
	t := audience[0]
	t.log.append(seqOf(k.Number), k.Frame)
	h.keep(t, len(k.Frame))
	return nil
}

// SetHead makes the next publish get the number after number. Numbers must not
// go back for anybody: the hub must have no members, and its histories no higher
// numbers.
func (h *Hub) SetHead(number uint64) {
	h.mu.Lock()
	h.number = number
	shards := h.shards
	h.mu.Unlock()
	for _, s := range shards {
		s.mu.Lock()
		s.cut = min(s.cut, seqAfter(number))
		s.mu.Unlock()
	}
}
