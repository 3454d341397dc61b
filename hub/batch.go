package hub

import "sort"

// A Batch is what a member should write next. It is a value: whatever happens
// to the member before Advance, the batch still says what was handed out.
type Batch struct {
	// Frames must be written in this order. They must not be changed.
	Frames [][]byte
	// Bytes is the length of all frames together.
	Bytes int

	pieces []piece
}

// A Memory holds the slices of batches. When none of its batches is needed any
// more, Reset makes it ready for new ones.
type Memory struct {
	frames [][]byte
	pieces []piece
	logs   logHeap // for one merge
}

// Reset forgets all batches.
func (mem *Memory) Reset() {
	clear(mem.frames)
	clear(mem.pieces)
	clear(mem.logs)
	mem.frames, mem.pieces, mem.logs = mem.frames[:0], mem.pieces[:0], mem.logs[:0]
}

// A kind says where the bytes of a piece come from.
type kind uint8

const (
	rest         kind = iota // the end of a frame that was written in part
	notice                   // says how many messages were missed
	controlFrame             // of outbox.control
	ownFrame                 // of outbox.own
	seriesPart               // of a series in outbox.own
	run                      // frames of a log
)

// A piece is the part of a batch that comes from one place. There is at least
// one for each delivery, so it is small.
type piece struct {
	kind    kind
	last    bool   // of ownFrame: it is the member's last frame
	message bool   // of ownFrame: it is a message
	copy    bool   // of ownFrame: it is a copy of what the member published
	bytes   uint32 // its length
	place   uint32 // of controlFrame, ownFrame and seriesPart
	count   uint32 // of a notice: the missed messages that it reports; of seriesPart: its messages

	seq      uint64  // of ownFrame, run and the last seriesPart: that of the last frame
	cursor   *cursor // of a run
	chunk    *chunk  // of a run: the chunk that holds it
	from, to uint32  // of a run: chunk.index[from:to] are its entries
}

// The call tree of Pending and Advance. The owner of the socket calls Pending,
// writes the batch, and calls Advance with what the socket took.
//
//	Pending
//	├─ isBehind              a log dropped what m needs, or m was expelled
//	│  ├─ skip               with Config.Skipped: continue at the head
//	│  └─ dropButLast        if m is leaving
//	├─ add                   the end of a frame; the notice of what was missed
//	├─ addControl            first if the socket was full: pongs overtake
//	├─ merge                 logs and private frames, by seq
//	│  ├─ openLogs           a heap of the cursors that have news
//	│  └─ cursor.run         frames of one chunk, as one slice
//	└─ settleSilence         if there is nothing to write
//
//	Advance
//	├─ piece.cut             where in a piece the written bytes end
//	├─ give                  moves cursors on, drops private frames
//	├─ setRest               what is left of a frame
//	└─ updateNews            the cursors that have more; notes that m read on

// Pending returns what m should write next, in order: everything there is, or
// at least max bytes of it. An empty batch means that there is nothing to write
// now. The batch is kept in mem, in addition to those that are there already.
//
// Pending returns ErrBehind if a log no longer holds what m needs. The caller
// should then call [Member.Finish] with drop. With [Config].Skipped it never
// returns ErrBehind: the batch begins with the frame that Skipped returns.
//
// A batch that is not empty must be given to [Member.Advance] before the next
// call of Pending.
func (m *Member) Pending(mem *Memory, max int) (Batch, error) {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if m.isBehind() {
		switch {
		case m.stage == leaving:
			m.dropButLast()
		case !m.skips():
			return Batch{}, ErrBehind
		default:
			m.skip()
		}
	}
	b := batcher{mem: mem, frames: len(mem.frames), pieces: len(mem.pieces)}
	if frame := m.out.rest; len(frame) > 0 {
		b.add(frame, &piece{kind: rest})
	}
	if m.stage == left {
		return b.batch(), nil
	}
	if m.missed > 0 {
		b.add(m.shard.hub.config.Skipped(int(m.missed)), &piece{kind: notice, count: uint32(m.missed)})
	}
	left := m.out.control
	if m.stuck {
		left = b.addControl(left)
	}
	left = m.merge(&b, left, max)
	if b.bytes >= max {
		b.addControl(left) // the next batch may take long to come
	}
	if b.bytes == 0 {
		m.settleSilence(&b)
	}
	return b.batch(), nil
}

// settleSilence handles a batch without bytes. Such a batch is not given to
// Advance. It can hold messages that m published and wants no copy of;
// settleSilence notes that m was given them.
func (m *Member) settleSilence(b *batcher) {
	for i := range b.mem.pieces[b.pieces:] {
		m.give(&b.mem.pieces[b.pieces+i])
	}
	b.mem.pieces = b.mem.pieces[:b.pieces]
	if m.updateNews() {
		m.shard.wake()
	}
	m.unbox()
}

// A batcher collects the pieces of a batch.
type batcher struct {
	mem            *Memory
	frames, pieces int // how many in mem belong to other batches
	bytes          int
}

func (b *batcher) add(frame []byte, p *piece) {
	p.bytes = uint32(len(frame))
	b.bytes += len(frame)
	b.mem.pieces = append(b.mem.pieces, *p)
	if len(frame) > 0 {
		b.mem.frames = append(b.mem.frames, frame)
	}
}

// addControl adds all control frames of a list. It returns an empty list.
func (b *batcher) addControl(list []private) []private {
	for i := range list {
		b.add(list[i].frame, &piece{kind: controlFrame, place: list[i].place})
	}
	return nil
}

func (b *batcher) batch() Batch {
	return Batch{b.mem.frames[b.frames:], b.bytes, b.mem.pieces[b.pieces:]}
}

// Advance notes that n bytes of a batch have been written. It returns how many
// messages began among these bytes, and whether the last frame (see
// [Member.Finish]) is completely written.
func (m *Member) Advance(b Batch, n int) (messages int, finished bool) {
	s := m.shard
	s.mu.Lock()
	m.stuck = n < b.Bytes
	frames := b.Frames
	for i := range b.pieces {
		p := &b.pieces[i]
		if n == 0 && p.bytes > 0 {
			break
		}
		if p.bytes == 0 {
			messages += m.give(p)
			continue
		}
		whole := n >= int(p.bytes)
		left := p.cut(frames[0], n)
		messages += m.give(p)
		m.setRest(left)
		if !whole {
			break
		}
		n -= int(p.bytes)
		frames = frames[1:]
	}
	if m.stage == left {
		m.drop()
	}
	s.delivered += uint64(messages)
	moved := m.updateNews()
	finished = m.stage == left && len(m.out.rest) == 0
	m.unbox()
	s.mu.Unlock()
	if moved {
		s.wake()
	}
	return messages, finished
}

// cut shortens p so that it ends with the frame in which its first n bytes end.
// It returns the unwritten part of that frame. frames holds the bytes of the
// whole piece.
func (p *piece) cut(frames []byte, n int) (left []byte) {
	if n >= len(frames) {
		return nil
	}
	if p.kind != run {
		return frames[n:]
	}
	index := p.chunk.index[p.from:p.to]
	end := index[len(index)-1].end - uint32(len(frames)-n) // in the chunk, of the n bytes
	k := sort.Search(len(index), func(k int) bool { return index[k].end >= end })
	p.to, p.seq = p.from+uint32(k)+1, index[k].seq
	return p.chunk.buf[end:index[k].end]
}

// give notes that m was given p, whose last frame may be written only in part.
// It returns the number of messages in p.
func (m *Member) give(p *piece) (messages int) {
	m.got = max(m.got, p.seq)
	switch p.kind {
	case notice:
		m.missed = max(m.missed-int32(p.count), 0)
	case controlFrame:
		m.out.control = m.taken(m.out.control, p.place)
	case ownFrame:
		before := len(m.out.own)
		m.out.own = m.taken(m.out.own, p.place)
		if p.copy && len(m.out.own) == before { // m skipped in the meantime, but has not missed this one
			m.miss(-1)
		}
		if p.last {
			m.stage = left
		}
		if p.message {
			messages = 1
		}
	case seriesPart:
		m.takePart(p.place)
		messages = int(p.count)
	case run:
		messages = int(p.to - p.from)
		if c, to := p.cursor, p.chunk.first+uint64(p.to); c.next < to {
			c.next = to
		} else { // m skipped in the meantime, but has not missed these
			m.miss(-messages)
		}
	}
	return messages
}

// miss counts n messages as missed by m. A negative n takes back as many.
func (m *Member) miss(n int) {
	n = max(n, -int(m.missed))
	m.missed += int32(n)
	m.shard.missed += n
}

// taken removes the frames up to and including a place from the beginning of
// list. Some of them may be gone already.
func (m *Member) taken(list []private, place uint32) []private {
	n := 0
	for n < len(list) && int32(list[n].place-place) <= 0 {
		n++
	}
	m.discard(list[:n])
	clear(list[:n])
	if n == len(list) {
		return list[:0]
	}
	return list[n:]
}

// setRest notes the unwritten part of a frame that was written in part.
func (m *Member) setRest(left []byte) {
	if len(left) > 0 || len(m.out.rest) > 0 {
		m.boxed().rest = left
	}
}

// noteNews notes that c has something to read. It requires the shard to be
// locked.
func (m *Member) noteNews(c *cursor) {
	if !c.news {
		c.news = true
		m.news = append(m.news, c)
	}
}

// updateNews moves the cursors in m.news past what m was given in another way.
// Then it keeps only those in m.news that have something to read. It reports
// whether the shard must be woken to tell the logs how far m has read.
func (m *Member) updateNews() (moved bool) {
	s := m.shard
	news := m.news
	m.news = m.news[:0]
	for _, c := range news {
		view := c.group.view
		for view.tail() <= c.next && c.next < c.visible() && view.seq(c.next) <= m.got {
			c.next++
		}
		if s.noteMoved(c.group) {
			moved = true
		}
		switch {
		case c.next >= c.until:
			c.news = false
			m.forget(c)
			s.hub.mu.Lock()
			s.hub.detach(c)
			s.hub.unlock()
		case c.next >= c.visible():
			c.news = false
		default:
			m.news = append(m.news, c)
		}
	}
	clear(news[len(m.news):])
	if len(m.news) == 0 && cap(m.news) > 4 {
		m.news = nil
	}
	return moved
}

// isBehind reports whether a log has dropped entries that m still needs, or m
// was expelled. It requires the shard to be locked.
func (m *Member) isBehind() bool {
	if m.behind {
		return true
	}
	for _, c := range m.news {
		if c.next < c.group.view.tail() {
			return true
		}
	}
	return false
}

// Behind reports whether Pending would return ErrBehind.
func (m *Member) Behind() bool {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	return m.stage == present && !m.skips() && m.isBehind()
}

// skip drops what m has not read of its topics, including its copies among
// that, and counts it as missed. It requires the shard to be locked.
func (m *Member) skip() {
	for _, c := range m.news {
		if n := c.visible(); n > c.next {
			m.miss(int(n - c.next))
			c.next = n
		}
	}
	cut := m.shard.cut
	m.got = max(m.got, cut)
	if own := m.out.own; len(own) > 0 {
		kept := make([]private, 0, len(own))
		for i := range own {
			if p := own[i]; p.post || p.last || p.series != nil || p.seq > cut {
				kept = append(kept, p)
			} else {
				m.discard(own[i : i+1])
			}
		}
		m.out.own = kept
	}
	m.behind = false
	h := m.shard.hub
	h.mu.Lock()
	h.settle(m)
	h.unlock()
	if m.updateNews() {
		m.shard.wake()
	}
}

// dropButLast drops everything that is pending, except the last frame. It
// requires m to be leaving and the shard to be locked.
func (m *Member) dropButLast() {
	last := m.out.own[len(m.out.own)-1]
	m.out.own = m.out.own[:len(m.out.own)-1]
	m.drop()
	m.boxed().own = append(m.boxed().own, last)
}

// expel makes m give up what it holds of the logs, because others need the
// memory. It requires the shard to be locked.
func (m *Member) expel() {
	m.expelled = true
	h := m.shard.hub
	if !m.holds() { // it has read, or left, since it was chosen
		h.mu.Lock()
		h.settle(m)
		h.unlock()
		return
	}
	m.behind = true
	m.shard.enqueue(m)
	switch {
	case m.stage == leaving:
		m.dropButLast()
	case m.skips():
		m.skip()
	}
}

// holds reports whether m has not taken something yet that it was offered
// before the last cut. It requires the shard to be locked.
func (m *Member) holds() bool {
	for _, c := range m.news {
		if c.next < c.group.offered {
			return true
		}
	}
	return false
}

// Unread returns how many messages wait for m: those in its topics, as of its
// shard's last turn, and its own posts. A message to several topics counts once
// for each of them that m is in.
func (m *Member) Unread() int {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	n := int(m.missed)
	for _, c := range m.news {
		n += int(c.visible() - c.next)
	}
	for i := range m.out.own {
		switch p := &m.out.own[i]; {
		case p.series != nil:
			n += p.series.messages
		case p.post:
			n++
		}
	}
	return n
}

// Waiting returns how many bytes wait for m alone: posts, series, and its copies
// of what it published.
func (m *Member) Waiting() int {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	return m.out.posts + m.out.copies + m.out.series
}
