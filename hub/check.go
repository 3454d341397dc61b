package hub

import "fmt"

// Check returns an error if the hub's own bookkeeping is inconsistent, and nil
// otherwise. It is meant for the end of tests: while members publish or read,
// the values that it compares may change in between.
func (h *Hub) Check() error {
	h.mu.Lock()
	shards, topics := h.shards, make([]*topic, 0, len(h.topics))
	for _, t := range h.topics {
		topics = append(topics, t)
	}
	err := h.checkMemory(topics)
	h.mu.Unlock()
	for _, s := range shards {
		for _, t := range topics {
			if err == nil {
				err = s.check(t)
			}
		}
	}
	return err
}

func (h *Hub) checkMemory(topics []*topic) error {
	bytes, history, spent, listed := 0, 0, 0, 0
	for _, t := range topics {
		if err := t.check(); err != nil {
			return fmt.Errorf("topic %v: %w", t.name, err)
		}
		bytes += t.log.size
		if t.spent {
			spent++
		}
		if t.history != nil {
			if err := t.history.check(); err != nil {
				return fmt.Errorf("topic %v: %w", t.name, err)
			}
			history += t.history.bytes
		}
		if len(t.groups) > 0 && !t.name.Aside {
			listed++
		}
	}
	for t := h.spentFirst; t != nil; t = t.spentNext {
		spent--
	}
	switch {
	case bytes != h.logBytes:
		return fmt.Errorf("the logs have %d bytes, and %d are counted", bytes, h.logBytes)
	case history != h.historyBytes:
		return fmt.Errorf("the histories have %d bytes, and %d are counted", history, h.historyBytes)
	case listed != h.listed:
		return fmt.Errorf("%d topics have members, and %d are counted", listed, h.listed)
	case spent != 0:
		return fmt.Errorf("the list of spent topics is off by %d", spent)
	}
	return nil
}

func (t *topic) check() error {
	size, next := 0, uint64(0)
	for i, c := range t.log.chunks {
		if i > 0 && c.first != next {
			return fmt.Errorf("a chunk begins with entry %d after entry %d", c.first, next)
		}
		size += c.footprint()
		next = c.end()
	}
	switch {
	case size != t.log.size:
		return fmt.Errorf("the log has %d bytes, and %d are counted", size, t.log.size)
	case size > 0 && next != t.log.head:
		return fmt.Errorf("the log ends with entry %d, and its head is %d", next, t.log.head)
	case len(t.groups) == 0 && t.history == nil:
		return fmt.Errorf("there are no members")
	case t.spent != (size > 0 && t.needed() == t.log.head):
		return fmt.Errorf("spent is %v with tail %d and head %d", t.spent, t.tail(), t.log.head)
	}
	for _, g := range t.groups {
		if g.tail > g.offered || g.offered > g.seen || g.seen > t.log.head {
			return fmt.Errorf("tail %d, offered %d, seen %d, head %d", g.tail, g.offered, g.seen, t.log.head)
		}
	}
	return nil
}

// check checks the cursors of the shard's members in t.
func (s *Shard) check(t *topic) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	g := t.group(s)
	if g == nil {
		return nil
	}
	if chunks := g.view.from(g.tail).chunks; !g.moved && len(chunks) < len(g.view.chunks) {
		return fmt.Errorf("topic %v: a shard keeps %d chunks alive, and its members need %d", t.name, len(g.view.chunks), len(chunks))
	}
	for i, c := range g.cursors {
		switch {
		case int(c.slot) != i || c.group != g || c.member == nil || c.member.shard != s:
			return fmt.Errorf("topic %v: cursor %d is not where it says", t.name, i)
		case c.next < g.tail || c.next > t.log.head:
			return fmt.Errorf("topic %v: a cursor is at %d; tail %d, head %d", t.name, c.next, g.tail, t.log.head)
		case c.member.out.wrong():
			return fmt.Errorf("topic %v: a member's outbox counts %d bytes of posts and %d of copies", t.name, c.member.out.posts, c.member.out.copies)
		case c.next < c.visible() && !c.news:
			return fmt.Errorf("topic %v: a cursor at %d can read up to %d, and is not said to have news", t.name, c.next, c.visible())
		}
	}
	return nil
}

// wrong reports whether the counts of an outbox are not those of its frames.
func (o *outbox) wrong() bool {
	posts, copies, series := 0, 0, 0
	for _, list := range [][]private{o.control, o.own} {
		for i := range list {
			switch p := &list[i]; {
			case p.series != nil:
				series += p.size()
			case p.post:
				posts += len(p.frame)
			case !p.last:
				copies += p.size()
			}
		}
	}
	return posts != o.posts || copies != o.copies || series != o.series
}

// check checks the counts of a history against the log.
func (hist *history) check() error {
	messages, bytes, v := 0, 0, hist.topic.log.view()
	for ord := v.tail(); ord < v.head; ord++ {
		c, i := v.find(ord)
		if c.index[i].kept && hist.messages > 0 && ord >= hist.first {
			messages++
			bytes += int(c.index[i].end) - c.start(i)
		}
	}
	switch {
	case messages != hist.messages || bytes != hist.bytes:
		return fmt.Errorf("the history has %d messages of %d bytes, and %d of %d are counted", messages, bytes, hist.messages, hist.bytes)
	case hist.listed != (messages > 0) || hist.listed && hist.class != classOf(hist.topic.log.size):
		return fmt.Errorf("the history of %d messages is listed: %v, in class %d", messages, hist.listed, hist.class)
	}
	return nil
}
