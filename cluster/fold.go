package cluster

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// A fold is what the log itself knows from its batches, apart from the machine.
// It is the same on all servers that have applied the same batches: it asks no
// clock, and nothing of this server.
type fold struct {
	epoch uint64 // of this log; 0: no batch has been applied
	// now is the time of the log. It never goes back. See advance.
	now int64
	// beat counts the log's seconds. See tick.
	beat    uint64
	servers []*member // the live ones, in the order in which they came
	ended   []Server  // the last that were live: a late hello of theirs counts no more

	since    uint64     // bytes of log since the last checkpoint began
	begun    checkpoint // that is being written; its writer is 0 if there is none
	halfDone bool       // a checkpoint's writer has gone before its end
	complete uint64     // the place of the last complete checkpoint
	lastSize uint64     // its bytes

	// Not saved.
	seed  *seeding // the first messages of the log, until all parts are there
	event Event    // the one that is given out, so that none is made per record
}

// A member is a live server.
type member struct {
	id   Server
	name string
	came uint64 // the place of its hello
	// n is its last batch that was applied. Its next is n+1, or is skipped.
	n       uint64
	clock   int64  // its clock in that batch
	applied uint64 // what it had applied then
	// beats counts its ticks. Invariant: beats <= fold.beat.
	beats uint64
	wrote uint64 // the beat of its last batch. Invariant: beat - wrote < deadAfter
}

// ready reports whether m had applied its own hello when it last wrote: before,
// it has no clients, and nobody needs to wait for it.
func (m *member) ready() bool { return m.applied >= m.came }

// A checkpoint is one that is being written.
type checkpoint struct {
	writer Server
	place  uint64 // the state is the one after this batch
	size   uint64
}

// A seeding is a log whose first messages bring a state from another log.
type seeding struct {
	part, parts uint64
	state       []byte
}

const (
	// deadAfter is how many beats after its last batch a server is dead.
	deadAfter = 8
	// freshFor is for how many beats a server's clock says something about now.
	freshFor = 3
	// maxClockAhead is how far a clock may be ahead of the others.
	maxClockAhead = 10_000
	maxEnded      = 256
)

// An outcome is what a batch asks the server to do, after its events.
type outcome struct {
	skipped bool // it did not count: a duplicate, or from a dead server
	foreign bool // it means another log than this one
	deaths  int
	bye     Server // that has left with it
	begun   bool   // save the state, as it is after this batch
	ended   uint64 // the place of a checkpoint that is complete now
	hash    []byte // of that checkpoint
	seed    []byte // a checkpoint of another log, that this log begins with
}

// apply applies a message of the stream. Its events go to emit.
func (f *fold) apply(b *batch, seq uint64, size int, emit func(*Event)) (out outcome) {
	if f.epoch == 0 || f.seed != nil {
		return f.start(b)
	}
	f.since += uint64(size)
	k, data := b.first()
	m := f.member(b.server)
	switch {
	case b.epoch != f.epoch:
		return outcome{skipped: true, foreign: true}
	case m != nil && b.n == m.n+1:
	case m == nil && b.n == 1 && k == itemHello && b.server != 0 && !slices.Contains(f.ended, b.server):
		m = &member{id: b.server, name: string(data), came: seq, beats: f.beat}
		f.servers = append(f.servers, m)
	default:
		return outcome{skipped: true}
	}
	m.n, m.clock, m.wrote = b.n, b.clock, f.beat
	m.applied = max(m.applied, b.applied)
	f.advance(b.clock)
	for k, items := kind(0), b.items; len(items) > 0 && k != itemBye; {
		k, data, items = next(items)
		f.item(m, k, data, seq, &out, emit)
	}
	return out
}

// item applies an item of m's batch.
func (f *fold) item(m *member, k kind, data []byte, seq uint64, out *outcome, emit func(*Event)) {
	switch k {
	case itemRecord:
		f.emit(emit, Record, m.id, data)
	case itemTick:
		out.deaths += f.tick(m, emit)
	case itemHello:
		if m.n == 1 {
			f.emit(emit, Came, m.id, nil)
		}
	case itemBye:
		f.remove(m, emit)
		out.bye = m.id
	case itemBegin:
		f.begun, f.halfDone, f.since = checkpoint{writer: m.id, place: seq}, false, 0
		out.begun = true
	case itemChunk:
		if f.begun.writer == m.id {
			f.begun.size += uint64(len(data))
		}
	case itemEnd:
		if f.begun.writer == m.id {
			f.complete, f.lastSize = f.begun.place, f.begun.size
			f.begun = checkpoint{}
			out.ended, out.hash = f.complete, data
		}
	}
}

func (f *fold) emit(emit func(*Event), k Kind, id Server, data []byte) {
	f.event = Event{Kind: k, Server: id, Now: f.now, Beat: f.beat, Data: data}
	emit(&f.event)
}

// tick counts a tick of m. The log has a beat when the server with the most
// ticks has one more. A server that has fewer, because it came later or was
// frozen, is lifted to the others by its next tick, which is no beat. So another
// server's beat is followed by m's no sooner than m's second tick after it: beats
// are never closer together than the ticks of each server are.
//
// Servers whose last batch is deadAfter beats ago are dead, in the order in which
// they came.
func (f *fold) tick(m *member, emit func(*Event)) (deaths int) {
	m.beats = max(m.beats+1, f.beat)
	if m.beats == f.beat {
		return 0
	}
	f.beat = m.beats
	m.wrote = f.beat
	f.emit(emit, Beat, m.id, nil)
	for _, other := range slices.Clone(f.servers) {
		if f.beat-other.wrote >= deadAfter {
			f.remove(other, emit)
			deaths++
		}
	}
	return deaths
}

// remove ends a server, of its own will or not.
func (f *fold) remove(m *member, emit func(*Event)) {
	i := slices.Index(f.servers, m)
	if i < 0 {
		return
	}
	f.servers = slices.Delete(f.servers, i, i+1)
	f.ended = append(f.ended, m.id)
	f.ended = f.ended[max(0, len(f.ended)-maxEnded):]
	if f.begun.writer == m.id {
		f.begun, f.halfDone = checkpoint{}, true
	}
	f.emit(emit, Left, m.id, nil)
}

// advance moves now to the clock of the batch that is being applied, unless that
// is back, or more than 10 s ahead of what the live servers' clocks say: the
// median of those that have written lately, the lower one if they are even.
//
// So with three servers or more, a single wrong clock moves the log's time by 10 s
// at most. With two nobody knows which is wrong: the log's time follows the slower
// one. A server that is alone is believed: if its clock is ahead, the log's time
// stands still from when the clock is right again until it has been caught up.
// Where all servers were down for a while, the clocks of those before count for
// freshFor beats, so the log's time follows after as many seconds.
func (f *fold) advance(clock int64) {
	var room [16]int64
	clocks := room[:0]
	for _, m := range f.servers {
		if f.beat-m.wrote < freshFor {
			clocks = append(clocks, m.clock)
		}
	}
	slices.Sort(clocks)
	if len(clocks) > 0 {
		clock = min(clock, clocks[(len(clocks)-1)/2]+maxClockAhead)
	}
	f.now = max(f.now, clock)
}

// start applies the first messages of a log: its epoch, and in as many parts as
// the epoch says the state that it begins with.
func (f *fold) start(b *batch) outcome {
	k, data := b.first()
	if f.epoch == 0 {
		if k != itemEpoch || b.server != 0 {
			return outcome{skipped: true}
		}
		f.epoch, f.now = b.epoch, b.clock
		f.seed = &seeding{parts: epochParts(data)}
	}
	if b.server != 0 || b.epoch != f.epoch || b.n != f.seed.part+1 {
		return outcome{skipped: true}
	}
	var hash []byte
	for items := b.items; len(items) > 0; {
		k, data, items = next(items)
		switch k {
		case itemChunk:
			f.seed.state = append(f.seed.state, data...)
		case itemEnd:
			hash = data
		}
	}
	f.seed.part++
	if f.seed.part < f.seed.parts {
		return outcome{}
	}
	state := f.seed.state
	f.seed = nil
	if sum := sha256.Sum256(state); slices.Equal(sum[:], hash) {
		return outcome{seed: state}
	}
	return outcome{}
}

// plant continues what another log knew. None of its servers lives in this one.
func (f *fold) plant(other *fold, emit func(*Event)) {
	f.now, f.beat = max(f.now, other.now), other.beat
	f.ended = other.ended
	for _, m := range other.servers {
		f.servers = append(f.servers, m)
		f.remove(m, emit)
	}
	f.halfDone = false
}

// member returns a live server, or nil.
func (f *fold) member(id Server) *member {
	for _, m := range f.servers {
		if m.id == id {
			return m
		}
	}
	return nil
}

// smallest returns the ready server with the smallest number, or 0: the one that
// writes checkpoints and removes what is before them.
func (f *fold) smallest() Server {
	var ready []Server
	for _, m := range f.servers {
		if m.ready() {
			ready = append(ready, m.id)
		}
	}
	slices.SortFunc(ready, cmp.Compare)
	return append(ready, 0)[0]
}

// slowest returns what all live servers had applied when they last wrote.
func (f *fold) slowest() uint64 {
	applied := ^uint64(0)
	for _, m := range f.servers {
		applied = min(applied, m.applied)
	}
	return applied
}

// due reports whether it is time for a checkpoint.
func (f *fold) due(every int) bool {
	return f.begun.writer == 0 && (f.halfDone || f.since > max(uint64(every), 8*f.lastSize))
}
