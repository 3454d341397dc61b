package hub

import (
	"slices"
	"sort"
)

const (
	minChunk = 1 << 10
	maxChunk = 64 << 10

	// bytesPerEntry is how much of a chunk an average frame is expected to
	// fill. Shorter frames use up the index first; the chunk is then closed
	// early.
	bytesPerEntry = 64
	entrySize     = 16
)

// A member receives its frames in the order of their seqs. The seq of a message
// is twice its number. A frame that was posted has the seq after that of the last
// publish. So posts between the same two publishes have the same seq; they are
// for one member alone, and its outbox has them in order.

// seqOf returns the seq of the message with that number.
func seqOf(number uint64) uint64 { return number << 1 }

// seqAfter returns the seq of what is posted between that message and the next.
func seqAfter(number uint64) uint64 { return number<<1 | 1 }

// numberOf returns the number of the message with that seq, or of the last one
// before the post with that seq.
func numberOf(seq uint64) uint64 { return seq >> 1 }

// An entry says where a frame ends in its chunk, and which place it has in the
// order of the hub.
type entry struct {
	seq  uint64
	end  uint32
	kept bool // for the topic's history
}

// A chunk is a part of a log: frames back to back, ready to be written. Bytes
// and index entries below the head of any view never change, so views read them
// without a lock.
type chunk struct {
	// Set before the chunk is part of a log.
	first uint64 // ordinal of the first entry
	buf   []byte
	index []entry

	// Guarded by Hub.mu.
	n    int // entries
	used int // bytes
}

func newChunk(capacity int) *chunk {
	return &chunk{buf: make([]byte, capacity), index: make([]entry, entries(capacity))}
}

// entries is how many entries a chunk of that capacity has room for.
func entries(capacity int) int { return max(capacity/bytesPerEntry, 1) }

// footprint is how many bytes of memory a chunk of that capacity takes.
func footprint(capacity int) int { return capacity + entries(capacity)*entrySize }

func (c *chunk) footprint() int { return footprint(len(c.buf)) }

// end is the ordinal after the last entry so far.
func (c *chunk) end() uint64 { return c.first + uint64(c.n) }

// start returns where entry i begins in buf.
func (c *chunk) start(i int) int {
	if i == 0 {
		return 0
	}
	return int(c.index[i-1].end)
}

// A log holds the frames of one topic that some member may still need, and
// those of the topic's history. An entry
// is identified by its ordinal: the first frame ever published has 0. Guarded
// by Hub.mu.
type log struct {
	chunks []*chunk // shared with views: it is replaced when chunks are removed, never changed
	head   uint64   // ordinal of the next entry
	size   int      // footprint of chunks
}

// room returns the chunk that can take size more bytes, or nil.
func (l *log) room(size int) *chunk {
	if len(l.chunks) == 0 {
		return nil
	}
	c := l.chunks[len(l.chunks)-1]
	if c.used+size > len(c.buf) || c.n == len(c.index) {
		return nil
	}
	return c
}

// nextCapacity returns how large the chunk after the last one should be, with
// room for size bytes. A log that holds a backlog doubles its chunks, up to
// limit. A log that is read as fast as it is written keeps them small.
func (l *log) nextCapacity(size, limit int) int {
	capacity := minChunk
	if n := len(l.chunks); n > 0 {
		capacity = len(l.chunks[n-1].buf)
		if n > 1 {
			capacity *= 2
		}
	}
	return max(min(capacity, limit), minChunk, size)
}

// sizeFrom returns the footprint of the chunks that hold entries from ord on.
func (l *log) sizeFrom(ord uint64) int {
	size := 0
	for i := len(l.chunks) - 1; i >= 0 && l.chunks[i].end() > ord; i-- {
		size += l.chunks[i].footprint()
	}
	return size
}

// sizeOf returns the footprint of the n oldest chunks.
func (l *log) sizeOf(n int) int {
	size := 0
	for _, c := range l.chunks[:n] {
		size += c.footprint()
	}
	return size
}

// append appends a copy of a frame, and returns the copy. It requires room for
// it.
func (l *log) append(seq uint64, frame []byte) []byte {
	c := l.chunks[len(l.chunks)-1]
	start := c.used
	copy(c.buf[start:], frame)
	c.used += len(frame)
	c.index[c.n] = entry{seq: seq, end: uint32(c.used)}
	c.n++
	l.head++
	return c.buf[start:c.used:c.used]
}

func (l *log) view() view { return view{l.chunks, l.head} }

// A view is a log as it was at one moment. It is a value; reading it takes no
// lock.
type view struct {
	chunks []*chunk
	head   uint64
}

// from returns v without the chunks that only hold entries before ord, so that
// the view does not keep them in memory.
func (v view) from(ord uint64) view {
	if ord == v.head {
		return view{head: v.head}
	}
	i := 0
	for i+1 < len(v.chunks) && v.chunks[i+1].first <= ord {
		i++
	}
	if i > 0 {
		v.chunks = slices.Clone(v.chunks[i:])
	}
	return v
}

func (v view) tail() uint64 {
	if len(v.chunks) == 0 {
		return v.head
	}
	return v.chunks[0].first
}

// find returns the chunk that holds entry ord, and the entry's index there. It
// requires tail <= ord < head.
func (v view) find(ord uint64) (*chunk, int) {
	i := len(v.chunks) - 1
	if v.chunks[i].first > ord {
		i = sort.Search(i, func(i int) bool { return v.chunks[i].first > ord }) - 1
	}
	c := v.chunks[i]
	return c, int(ord - c.first)
}

// entries returns how many entries chunk c has in this view.
func (v view) entries(c *chunk) int {
	last := v.chunks[len(v.chunks)-1]
	if c == last {
		return int(v.head - c.first)
	}
	return c.n // a chunk that has a successor is closed, so n is final
}

// seq returns the seq of entry ord.
func (v view) seq(ord uint64) uint64 {
	c, i := v.find(ord)
	return c.index[i].seq
}

// run returns the frames that the cursor reads from ordinal at on, and
// describes them in p. They are entries of one chunk with seqs below limit.
// The first entry is always taken; more follow until max bytes are reached.
func (c *cursor) run(at uint64, p *piece, limit uint64, max int) (frames []byte) {
	chunk, i := c.group.view.find(at)
	n := c.group.view.entries(chunk)
	if until := c.visible(); chunk.first+uint64(n) > until {
		n = int(until - chunk.first)
	}
	start := chunk.start(i)
	more := chunk.index[i+1 : n]
	if len(more) > 0 && more[len(more)-1].seq >= limit {
		more = more[:sort.Search(len(more), func(k int) bool { return more[k].seq >= limit })]
	}
	if len(more) > 0 && int(more[len(more)-1].end)-start > max {
		// k is the first entry that begins at the maximum or after it.
		k := sort.Search(len(more), func(k int) bool { return chunk.start(i+1+k)-start >= max })
		more = more[:k]
	}
	last := i + len(more)
	p.chunk, p.from, p.to = chunk, uint32(i), uint32(last)+1
	p.seq = chunk.index[last].seq
	end := chunk.index[last].end
	return chunk.buf[start:end:end]
}
