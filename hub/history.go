package hub

import (
	"iter"
	"math/bits"
)

// A Retention says how much of a topic's messages the hub keeps for those who
// come later. Zero means none.
type Retention struct {
	Messages int // how many
	Bytes    int // how many bytes they may have together
}

// A history is the part of a topic's log that is kept although every member has
// read it: the last messages that were published with Keep. It has no memory of
// its own, for it is the log. Guarded by Hub.mu.
type history struct {
	topic *topic // set once
	limit Retention

	first    uint64 // ordinal of the oldest message kept, if there is one
	messages int
	bytes    int
	lost     uint64 // number of the last message that was kept and is no more

	// Links of Hub.histories[class]. Invariant: a history with messages is in
	// the list of its log's size, others are in none.
	listed     bool
	class      int
	prev, next *history
}

// sizeClasses is the number of classes of logs by their size.
const sizeClasses = 40

// classOf returns the class of a log of that size.
func classOf(size int) int { return min(bits.Len(uint(size)), sizeClasses-1) }

// Retain makes a topic keep its last messages. They are kept while the topic has
// no members, too, until [Hub.Unretain]. If other logs need the memory, histories
// are what is given up first, except with [Config].KeepHistory.
func (h *Hub) Retain(name Topic, limit Retention) {
	h.mu.Lock()
	defer h.unlock()
	t := h.topics[name]
	if t == nil {
		t = &topic{name: name}
		h.topics[name] = t
	}
	if t.history == nil {
		h.unspend(t)
		t.history = &history{topic: t}
		h.noteSpent(t)
	}
	t.history.limit = limit
	h.limit(t)
}

// Unretain ends what Retain began.
func (h *Hub) Unretain(name Topic) {
	h.mu.Lock()
	defer h.unlock()
	t := h.topics[name]
	if t == nil || t.history == nil {
		return
	}
	h.forget(t, forever)
	t.history = nil
	if len(t.groups) == 0 {
		h.removeTopic(t)
	}
}

// Forget drops the history of a topic up to and including the message of that
// number.
func (h *Hub) Forget(name Topic, number uint64) {
	h.mu.Lock()
	defer h.unlock()
	if t := h.topics[name]; t != nil && t.history != nil {
		h.forget(t, number)
	}
}

// A Kept is a message of a history.
type Kept struct {
	Number uint64
	Frame  []byte // must not be changed; it stays valid

	chunk *chunk
	entry int // its index in chunk
}

// History yields the messages of a topic's history whose numbers are greater
// than after, in order.
func (h *Hub) History(name Topic, after uint64) iter.Seq[Kept] {
	return func(yield func(Kept) bool) {
		v, ord := h.historyOf(name)
		for ; ord < v.head; ord++ {
			c, i := v.find(ord)
			e := c.index[i]
			n := numberOf(e.seq)
			if e.kept && n > after && !yield(Kept{n, c.buf[c.start(i):e.end:e.end], c, i}) {
				return
			}
		}
	}
}

// historyOf returns a view of a topic's log, and the ordinal at which its
// history begins.
func (h *Hub) historyOf(name Topic) (v view, first uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil || t.history == nil {
		return view{}, 0
	}
	if t.history.messages == 0 {
		return view{}, 0
	}
	return t.log.view(), t.history.first
}

// Lost returns the number of the last message that was in a topic's history and
// is no more; 0 if there is none.
func (h *Hub) Lost(name Topic) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil && t.history != nil {
		return t.history.lost
	}
	return 0
}

// HistoryBytes returns how many bytes the messages of a topic's history have, and
// those of all histories together. It does not depend on how they are stored.
func (h *Hub) HistoryBytes(name Topic) (topic, all int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[name]; t != nil && t.history != nil {
		topic = t.history.bytes
	}
	return topic, h.historyBytes
}

// Head returns the number of the last publish.
func (h *Hub) Head() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.number
}

// Hold takes n bytes of the logs' memory for something that is kept beside
// them, and reports whether there were as many, if necessary in exchange for
// histories, except with [Config].KeepHistory. It takes at most half of that memory, because nobody can make the
// caller give it back. A negative n gives bytes back.
func (h *Hub) Hold(n int) bool {
	h.mu.Lock()
	defer h.unlock()
	if n > 0 {
		if h.retained+n > h.logLimit/2 {
			return false
		}
		h.mark++ // every history may have to make room
		h.dropSpent(n)
		for h.free() < n && h.forgetLargest(0) {
		}
		if h.free() < n {
			return false
		}
	}
	h.retained += n
	if n < 0 {
		h.reconsider()
	}
	return true
}

// keep adds the last entry of t's log, which has n bytes, to t's history. It
// requires h.mu, as do all functions below.
func (h *Hub) keep(t *topic, n int) {
	hist := t.history
	c := t.log.chunks[len(t.log.chunks)-1]
	c.index[c.n-1].kept = true
	if hist.messages == 0 {
		hist.first = t.log.head - 1
	}
	hist.messages++
	hist.bytes += n
	h.historyBytes += n
	h.limit(t)
	if len(t.groups) == 0 { // otherwise that is done when the members have read
		h.trim(t)
	}
}

// limit drops what is more than t's history may have.
func (h *Hub) limit(t *topic) {
	hist := t.history
	for hist.messages > hist.limit.Messages || hist.bytes > hist.limit.Bytes {
		h.dropFirst(hist)
	}
	h.classify(t)
}

// forget drops the messages of t's history up to that number.
func (h *Hub) forget(t *topic, number uint64) {
	hist := t.history
	for hist.messages > 0 && numberOf(t.log.view().seq(hist.first)) <= number {
		h.dropFirst(hist)
	}
	h.classify(t)
	h.unspend(t)
	h.trim(t)
}

// dropFirst drops the oldest message of a history. It requires that there is
// one.
func (h *Hub) dropFirst(hist *history) {
	v := hist.topic.log.view()
	c, i := v.find(hist.first)
	n := int(c.index[i].end) - c.start(i)
	hist.messages--
	hist.bytes -= n
	h.historyBytes -= n
	hist.lost = numberOf(c.index[i].seq)
	hist.first++
	for ; hist.first < v.head; hist.first++ {
		if c, i := v.find(hist.first); c.index[i].kept {
			return
		}
	}
}

// dropBefore drops the messages with lower ordinals. Their chunk must still be
// in the log.
func (h *Hub) dropBefore(hist *history, ord uint64) {
	for hist.messages > 0 && hist.first < ord {
		h.dropFirst(hist)
	}
}

// pinned returns the ordinal of the first entry of t's log that must not be
// dropped, whatever the memory is needed for.
func (h *Hub) pinned(t *topic) uint64 {
	if h.config.KeepHistory && t.history != nil && t.history.messages > 0 {
		return t.history.first
	}
	return forever
}

// forgetLargest removes the oldest chunk of the largest log that has chunks for
// its history only, unless that log is at most about as large as size, or the
// topic belongs to the audience of the present publish. It reports whether
// there was one. With KeepHistory there is none.
func (h *Hub) forgetLargest(size int) bool {
	if h.config.KeepHistory {
		return false
	}
	for class := sizeClasses - 1; class > classOf(size) || size == 0 && class >= 0; class-- {
		for hist := h.histories[class]; hist != nil; hist = hist.next {
			t := hist.topic
			if t.mark != h.mark && len(t.log.chunks) > 0 && t.log.chunks[0].end() <= t.tail() {
				h.unspend(t)
				h.remove(t)
				h.noteSpent(t)
				return true
			}
		}
	}
	return false
}

// classify puts the history of t, if it has one, into the list of its log's
// size.
func (h *Hub) classify(t *topic) {
	hist := t.history
	if hist == nil {
		return
	}
	class := classOf(t.log.size)
	if hist.listed && hist.messages > 0 && class == hist.class {
		return
	}
	if hist.listed {
		if hist.prev != nil {
			hist.prev.next = hist.next
		} else {
			h.histories[hist.class] = hist.next
		}
		if hist.next != nil {
			hist.next.prev = hist.prev
		}
		hist.listed, hist.prev, hist.next = false, nil, nil
	}
	if hist.messages == 0 {
		return
	}
	hist.listed, hist.class, hist.next = true, class, h.histories[class]
	if hist.next != nil {
		hist.next.prev = hist
	}
	h.histories[class] = hist
}

// NumberDigits is the length of a number in the form of [AppendNumber].
const NumberDigits = 9

const numerals = "0123456789abcdefghijklmnopqrstuv"

// AppendNumber appends a number of at most 45 bits in base 32, with a fixed
// number of digits. So the texts are in the order of the numbers.
func AppendNumber(dst []byte, number uint64) []byte {
	var digits [NumberDigits]byte
	putNumber(digits[:], number)
	return append(dst, digits[:]...)
}

func putNumber(at []byte, number uint64) {
	for i := NumberDigits - 1; i >= 0; i-- {
		at[i] = numerals[number%32]
		number /= 32
	}
}

// ParseNumber returns the number that a text of [AppendNumber] stands for.
func ParseNumber(text string) (number uint64, ok bool) {
	if len(text) != NumberDigits {
		return 0, false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'v':
			c -= 'a' - 10
		default:
			return 0, false
		}
		number = number*32 + uint64(c)
	}
	return number, true
}
