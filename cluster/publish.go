package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// An incarnation is one life of this server in the log, from its hello to its bye
// or death, and what it has to write. Log.mu guards it.
type incarnation struct {
	id   Server
	live bool   // its hello has been applied
	came uint64 // the place of its hello, once that is acknowledged

	// What is not in a batch yet.
	drafts []*draft // of records; only the last is appended to
	hello  bool
	tick   time.Time // since when a tick is due, or zero
	noop   bool
	begin  bool   // a checkpoint
	chunks []byte // the rest of the state that this server saves
	hash   []byte // of that state; nil when its end has been written
	slow   bool   // a server lags: chunks wait
	bye    bool

	n       uint64  // of the last batch that was made
	sent    []*sent // batches that are made and not applied, in order
	applied uint64  // n of the last one applied. Invariant: applied <= n
	// bytes is how much is appended and not applied. Append refuses records from
	// maxQueue on.
	bytes int

	writing  bool      // a checkpoint, from its beginning to its end
	ticked   time.Time // the last time
	reported uint64    // what it had applied when it last wrote,
	read     uint64    // and how many bytes of log these were
}

// A draft is the records of a batch that is not made yet.
type draft struct {
	data []byte // room for the header, and items
	owns []any  // of each record
}

// A sent is a batch that has been made and is not applied.
type sent struct {
	inc     *incarnation
	n       uint64
	data    []byte // nil once it is stored
	size    int
	records int // bytes of them
	owns    []any
	tick    time.Time // since when the tick in it is due, or zero
	stored  bool
	// ctx is done when nothing needs to be stored any more: the batch is applied,
	// or its incarnation has ended.
	ctx  context.Context
	done context.CancelFunc
}

func newServer() Server {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return Server(binary.BigEndian.Uint64(b[:]) | 1)
}

// append adds a record to the next batch, or to one after it.
func (inc *incarnation) append(data []byte, own any) {
	size := itemHeader + len(data)
	var d *draft
	if len(inc.drafts) > 0 {
		d = inc.drafts[len(inc.drafts)-1]
	}
	if d == nil || len(d.data)-headerSize+size > maxBatch {
		d = &draft{data: make([]byte, headerSize, headerSize+size+extraItems)}
		inc.drafts = append(inc.drafts, d)
	}
	d.data = appendItem(d.data, itemRecord, data)
	d.owns = append(d.owns, own)
	inc.bytes += size
}

// due reports whether there is something to write.
func (inc *incarnation) due() bool {
	return len(inc.drafts) > 0 || inc.hello || !inc.tick.IsZero() || inc.noop || inc.begin ||
		inc.hash != nil && !inc.slow || inc.bye
}

// waiting returns how many bytes are not stored.
func (inc *incarnation) waiting() int {
	n := len(inc.chunks)
	for _, d := range inc.drafts {
		n += len(d.data)
	}
	for _, s := range inc.sent {
		if !s.stored {
			n += s.size
		}
	}
	return n
}

// lost returns what was appended and is not applied, in order.
func (inc *incarnation) lost() []any {
	var owns []any
	for _, s := range inc.sent {
		owns = append(owns, s.owns...)
	}
	for _, d := range inc.drafts {
		owns = append(owns, d.owns...)
	}
	return owns
}

// publish is the publisher: it stores a batch after the other. So the batches of
// an incarnation are stored in order.
func (l *Log) publish() {
	for {
		s := l.nextBatch()
		if s != nil {
			l.store(s)
			continue
		}
		select {
		case <-l.work:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *Log) wakePublisher() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// nextBatch makes a batch of what there is to write; nil if there is nothing.
func (l *Log) nextBatch() *sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	inc := l.inc
	if inc == nil || !inc.due() {
		return nil
	}
	inc.n++
	s := &sent{inc: inc, n: inc.n, tick: inc.tick}
	s.ctx, s.done = context.WithCancel(l.ctx)
	b := batch{epoch: l.epoch, server: inc.id, n: inc.n, clock: time.Now().UnixMilli(), applied: l.applied.Load()}
	if inc.hello { // alone: all others count from here
		inc.hello = false
		s.data = appendItem(make([]byte, headerSize), itemHello, []byte(l.config.Name))
	} else {
		inc.take(s)
	}
	b.putHeader(s.data)
	s.size = len(s.data)
	inc.sent = append(inc.sent, s)
	inc.reported, inc.read = b.applied, l.read
	return s
}

// take takes the items of the next batch off what there is to write.
func (inc *incarnation) take(s *sent) {
	data := make([]byte, headerSize, headerSize+extraItems)
	if len(inc.drafts) > 0 {
		data, s.owns = inc.drafts[0].data, inc.drafts[0].owns
		s.records = len(data) - headerSize
		inc.drafts[0] = nil
		inc.drafts = inc.drafts[1:]
	}
	if !inc.tick.IsZero() {
		data = appendItem(data, itemTick)
		inc.tick = time.Time{}
	}
	if inc.noop {
		data = appendItem(data, itemNoop)
		inc.noop = false
	}
	if inc.begin {
		data = appendItem(data, itemBegin)
		inc.begin = false
	}
	if size := min(len(inc.chunks), maxChunk); size > 0 && !inc.slow && len(data)-headerSize <= maxBatch {
		data = appendItem(data, itemChunk, inc.chunks[:size])
		inc.chunks = inc.chunks[size:]
	}
	if inc.hash != nil && len(inc.chunks) == 0 {
		data = appendItem(data, itemEnd, inc.hash)
		inc.hash, inc.chunks = nil, nil
	}
	if inc.bye && len(inc.drafts) == 0 {
		data = appendItem(data, itemBye)
		inc.bye = false
	}
	s.data = data
}

// store stores a batch. It goes on, always with the same bytes, until the stream
// has acknowledged it, or there is no need: the batch has been applied, so it was
// stored although nobody said so; or its incarnation has ended.
func (l *Log) store(s *sent) {
	defer s.done()
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		ctx, cancel := context.WithTimeout(s.ctx, storeTime)
		seq, err := l.backend.Store(ctx, s.data, anyLast)
		cancel()
		if err == nil {
			l.acknowledged(s, seq)
			return
		}
		l.log.Debug("a batch could not be stored", "n", s.n, "err", err)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return
		}
		l.mu.Lock()
		l.stats.Resent++
		l.mu.Unlock()
	}
}

// acknowledged is told the place of a batch. It is also how far the log has got at
// least: what is before it and has not come is loaded.
func (l *Log) acknowledged(s *sent, seq uint64) {
	l.mu.Lock()
	s.stored, s.data = true, nil
	l.stats.Written++
	if s.n == 1 {
		s.inc.came = seq
	}
	if l.inc == s.inc && s.n > s.inc.applied && seq <= l.applied.Load() {
		// Everything up to seq is applied, and the batch is not: the stream that
		// has it is not the one that this server has applied, or not any more.
		l.replaced, l.shrunk = true, true
	}
	l.mu.Unlock()
	l.ahead.know(seq)
}

// incarnate begins a new incarnation. The applier calls it.
func (l *Log) incarnate() {
	l.mu.Lock()
	l.inc = &incarnation{id: newServer(), hello: true, ticked: time.Now()}
	l.held, l.cut = false, nil
	l.stats.Incarnations++
	l.look()
	l.mu.Unlock()
	l.wakePublisher()
}
