package hub

import "bytes"

// A Series is a list of frames for one member. It shares memory with the
// histories that its frames are from. The zero Series is empty and ready to
// use.
type Series struct {
	parts    []part
	bytes    int
	messages int
}

// A part is one or more frames that lie one after the other in memory.
type part struct {
	frames   []byte
	messages uint32
	from     *chunk // nil if they are not from a history
	next     int    // of from: the index of the entry after the last one
}

// partSize is how much memory a part takes in addition to its frames, in bytes.
const partSize = 48

// maxPart is the size beyond which no more frames are put into a part.
const maxPart = 32 << 10

// Add adds a frame, which must not be changed afterwards.
func (f *Series) Add(frame []byte) { f.add(part{frames: frame, messages: 1}) }

// AddKept adds the frame of a message that is kept.
func (f *Series) AddKept(k Kept) {
	if n := len(f.parts); n > 0 {
		last := &f.parts[n-1]
		if last.from == k.chunk && last.next == k.entry && len(last.frames) < maxPart {
			end := int(k.chunk.index[k.entry].end)
			start := end - len(k.Frame) - len(last.frames)
			last.frames = k.chunk.buf[start:end:end]
			last.messages++
			last.next++
			f.bytes += len(k.Frame)
			f.messages++
			return
		}
	}
	f.add(part{frames: k.Frame, messages: 1, from: k.chunk, next: k.entry + 1})
}

func (f *Series) add(p part) {
	f.parts = append(f.parts, p)
	f.bytes += len(p.frames)
	f.messages++
}

// size is how much of the budget the series takes, in bytes.
func (f *Series) size() int { return f.bytes + len(f.parts)*partSize }

// loosen copies the parts that are small in comparison with the memory that they
// share, so that they do not keep it from being freed.
func (f *Series) loosen() {
	for i := range f.parts {
		if p := &f.parts[i]; p.from != nil {
			if 4*len(p.frames) < len(p.from.buf) {
				p.frames = bytes.Clone(p.frames)
			}
			p.from = nil
		}
	}
}

// PostAll posts a series of frames, with nothing in between. They do not count
// against [Config].Posts. If before is not nil, PostAll calls it when there is
// memory for the frames; if it returns an error, PostAll posts nothing and
// returns that error.
//
// PostAll returns ErrBusy if there is no memory now. m's shard is then woken
// when it is worth trying again. It returns ErrTooLarge if there never is, and
// ErrGone if m is gone; it has called before then.
func (m *Member) PostAll(frames *Series, before func() error) error {
	frames.loosen()
	s, p := m.shard, private{series: frames}
	n := p.size()
	if int64(n) > s.hub.private.limit {
		return ErrTooLarge
	}
	if !s.hub.private.take(n) {
		var buf [wakeable]*Shard
		wake(s.hub.starve(m, n, buf[:0]))
		return ErrBusy
	}
	if before != nil {
		if err := before(); err != nil {
			s.hub.giveBack(n)
			return err
		}
	}
	s.mu.Lock()
	if m.stage != present {
		s.mu.Unlock()
		s.hub.giveBack(n)
		return ErrGone
	}
	m.append(p)
	s.mu.Unlock()
	s.wake()
	return nil
}

// addSeries adds what is left of the series p, or as much as makes the batch
// max bytes long. It reports whether that was all.
func (b *batcher) addSeries(p *private, max int) (all bool) {
	parts := p.series.parts
	for i := range parts {
		if b.bytes >= max {
			return false
		}
		part := piece{kind: seriesPart, place: p.place, count: parts[i].messages}
		if i == len(parts)-1 {
			part.seq = p.seq
		}
		b.add(parts[i].frames, &part)
	}
	return true
}

// takePart removes the first part of the series at a place, unless the series
// was dropped.
func (m *Member) takePart(place uint32) {
	if len(m.out.own) == 0 || m.out.own[0].place != place {
		return
	}
	series := m.out.own[0].series
	if len(series.parts) == 1 {
		m.out.own = m.taken(m.out.own, place)
		return
	}
	before := series.size()
	series.bytes -= len(series.parts[0].frames)
	series.messages -= int(series.parts[0].messages)
	series.parts[0] = part{}
	series.parts = series.parts[1:]
	freed := before - series.size()
	m.out.series -= freed
	m.shard.hub.giveBack(freed)
}
