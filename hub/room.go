package hub

// makeRoomIn makes room for a frame of size bytes at the head of each topic's
// log. It returns ErrBusy if there is no room now, ErrTooLarge if there never
// will be, and errNoChunk if spare lacks chunks; they are then noted in spare.
// With force it returns errNoChunk or nil. It requires h.mu, as do all functions
// below.
func (h *Hub) makeRoomIn(audience []*topic, size int, force bool, spare *spares) (err error) {
	for _, t := range audience {
		h.unspend(t) // so that no topic loses its chunk to another of the audience
	}
	for _, t := range audience {
		if e := h.makeRoom(t, size, force, spare); e != nil {
			err = e
		}
		if err == ErrBusy {
			break
		}
	}
	if err == ErrBusy {
		for _, t := range audience {
			h.dropRead(t) // its spare chunk may be larger than what is needed
		}
		if len(audience)*footprint(max(size, minChunk)) > h.logLimit-h.retained {
			err = ErrTooLarge
		}
	}
	if err != nil {
		for _, t := range audience {
			h.noteSpent(t)
		}
	}
	return err
}

// The call tree of makeRoom: where the memory for a chunk comes from, in order.
//
//	makeRoom
//	├─ dropSpent             what nobody needs, of any topic
//	├─ forgetLargest         histories of topics with larger logs
//	├─ clearing.older        the topic's own history
//	├─ forgetLargest         other histories
//	├─ clearing.readersPay   what the topic's own slow readers need, or what the
//	│                        heaviest member gives up soon; otherwise ErrBusy
//	└─ clearing.insist       with force, instead of ErrBusy

// makeRoom makes room for a frame of size bytes at the head of t's log.
//
// Half of the topic's backlog is for what shards have not offered to their
// members yet. The other half is for members whose sockets are slower than the
// rest. If there is no other room, the oldest chunks are dropped, and members
// that still need them have fallen behind.
//
// With force, all of the backlog may be for what shards have not offered yet.
// Beyond that members fall behind even though they keep up.
func (h *Hub) makeRoom(t *topic, size int, force bool, spare *spares) error {
	l := &t.log
	if l.room(size) != nil {
		return nil
	}
	limit := min(maxChunk, h.config.Backlog/8)
	capacity := t.nextCapacity(size, limit)
	if h.free() < footprint(capacity) {
		h.dropRead(t)
		capacity = t.nextCapacity(size, limit)
	}
	c := clearing{hub: h, topic: t, need: footprint(capacity), force: force}
	if ahead := l.sizeFrom(t.offered()); ahead > 0 && ahead+c.need > h.config.Backlog/2 && !force {
		return ErrBusy
	}
	for l.size-c.freed+c.need > h.config.Backlog && c.older(forever) {
	}
	if !c.giveUp() {
		if err := c.readersPay(); err != nil && !force {
			return err
		}
		if c.short() {
			capacity = max(minChunk, size)
			c.need = footprint(capacity)
			c.insist()
		}
	}
	chunk := spare.take(capacity)
	if chunk == nil {
		return errNoChunk
	}
	for range c.old {
		h.drop(t)
	}
	h.add(t, chunk)
	return nil
}

// A clearing is the search for the memory of a new chunk in a topic's log. What
// the log itself gives up is only counted at first, because the chunk may have
// to be allocated before.
type clearing struct {
	hub   *Hub
	topic *topic
	need  int  // footprint of the new chunk
	force bool // it is for a forced publish

	old   int // how many of the topic's oldest chunks are to be dropped
	freed int // their footprint
}

// short reports whether there is too little memory.
func (c *clearing) short() bool { return c.hub.free()+c.freed < c.need }

// older gives up one more chunk of the topic, if all of its entries have lower
// ordinals than before and none of them is pinned. It reports whether it did.
func (c *clearing) older(before uint64) bool {
	chunks := c.topic.log.chunks
	if c.old == len(chunks) || chunks[c.old].end() > min(before, c.hub.pinned(c.topic)) {
		return false
	}
	c.freed += chunks[c.old].footprint()
	c.old++
	return true
}

// giveUp drops what no member needs, and reports whether that is enough.
func (c *clearing) giveUp() bool {
	h, t := c.hub, c.topic
	h.dropSpent(c.need - c.freed)
	for c.short() && h.forgetLargest(t.log.size) {
	}
	for tail := t.tail(); c.short() && c.older(tail); {
	}
	for c.short() && h.forgetLargest(0) {
	}
	return !c.short()
}

// readersPay drops what has been offered to the topic's own slow readers, unless
// somebody who holds very much more is giving it up. It returns ErrBusy if there
// is no memory yet.
func (c *clearing) readersPay() error {
	h, l := c.hub, &c.topic.log
	little := func() bool { return l.size-c.freed <= maxChunk }
	if !little() && h.expelHeaviest(h.logLimit/8) {
		return ErrBusy
	}
	for offered := c.topic.offered(); c.short(); {
		if little() {
			least := 0
			if c.force {
				least = 1 // members are not compared each time, because nobody waits in between
			}
			h.expelHeaviest(least)
			return ErrBusy
		}
		if !c.older(offered) {
			return ErrBusy
		}
	}
	return nil
}

// insist finds memory for a forced publish, where others would wait. While
// members are giving up what they hold, the logs may take an eighth more than
// their limit. Then the topic drops its own chunks, also those that are not
// offered yet. If the topic has nothing left, the logs may take that eighth in
// any case. If it is used up, the largest logs of others drop their oldest
// chunks. So the logs never take more than that eighth and, of each topic of
// the publish, one chunk with room for the frame; unless histories that must be
// kept take the memory.
func (c *clearing) insist() {
	h := c.hub
	slack := h.logLimit / 8
	fits := func() bool { return h.free()+c.freed >= c.need-slack }
	if h.expelled == 0 || !fits() {
		for c.short() && c.older(forever) {
		}
	}
	if !fits() && h.logBytes+h.retained >= h.strained {
		h.squeeze(c.topic, c.need-c.freed-slack/2)
		if h.strained = 0; !fits() && h.config.KeepHistory {
			h.strained = h.logBytes + h.retained + slack/2
		}
	}
	if c.short() {
		h.weighed -= c.need // after some more of these, members are compared again
	}
}

// squeeze drops chunks of the largest logs, whoever needs them, until n bytes
// are free for a log. It spares except, and the last chunks of the audience of
// the present publish. It looks at all topics, and is not called again until the
// logs have grown by a sixteenth.
func (h *Hub) squeeze(except *topic, n int) {
	var bytes [sizeClasses]int // that can be dropped
	for _, t := range h.topics {
		if t != except {
			bytes[classOf(t.log.size)] += t.log.sizeOf(h.droppable(t))
		}
	}
	least := sizeClasses
	for sum := h.free(); least > 0 && sum < n; {
		least--
		sum += bytes[least]
	}
	for _, t := range h.topics {
		if t == except || classOf(t.log.size) < least {
			continue
		}
		chunks := h.droppable(t)
		if chunks == 0 || h.free() >= n {
			continue
		}
		for ; chunks > 0 && h.free() < n; chunks-- {
			h.drop(t)
		}
		h.announce(t) // so that its shards notice which members fell behind
		if t.mark != h.mark {
			h.noteSpent(t) // nothing may be left that is needed
		}
	}
}

// droppable returns how many of the oldest chunks of t's log can be dropped. The
// last chunk of a topic of the present publish cannot, because the frame may go
// there.
func (h *Hub) droppable(t *topic) (n int) {
	chunks, pinned := t.log.chunks, h.pinned(t)
	if len(chunks) > 0 && t.mark == h.mark {
		chunks = chunks[:len(chunks)-1]
	}
	for n < len(chunks) && chunks[n].end() <= pinned {
		n++
	}
	return n
}
