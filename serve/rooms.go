package serve

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crier/app"
	"crier/hub"
)

// rooms finds the topics of live. A topic exists while somebody is in it, or
// while it knows something.
type rooms struct {
	// Set once.
	home   *home
	first  uint32 // the first epoch; with several servers, the log sets it once
	seeded bool   // it did

	last atomic.Uint32 // the last epoch; offsets of all from first on are known

	tried atomic.Int64 // when makeRoom last tried to forget topics, as elapsed counts; 0 if that helped
	found atomic.Int32 // how many there were then

	mu     sync.Mutex // lock order: room.mu before mu
	byName map[string]*room
	lost   uint64 // the last number that a removed room had lost
	held   int    // bytes of the state of all rooms; only counted with a shared log
}

func newRooms(h *home) *rooms {
	r := &rooms{home: h, first: rand.Uint32N(epochs), byName: make(map[string]*room)}
	r.last.Store(r.first)
	r.found.Store(1) // as far as is known
	return r
}

// lock returns the room of a topic, locked. If there is none, lock makes one.
// unlock must follow. watch says that it is for somebody who only listens.
func (rs *rooms) lock(name string, watch bool) *room {
	for {
		rs.mu.Lock()
		r := rs.byName[name]
		if r == nil {
			r = rs.add(name)
			r.dormant = watch && rs.home.shared != nil
		}
		rs.mu.Unlock()
		r.mu.Lock()
		if r.gone {
			r.mu.Unlock()
			continue
		}
		if r.dormant && !watch {
			rs.awaken(r)
		}
		return r
	}
}

// awaken makes a dormant room one in which something happens: the same as a new
// one.
func (rs *rooms) awaken(r *room) {
	r.dormant = false
	rs.mu.Lock()
	r.lost = rs.lost
	rs.mu.Unlock()
	r.begin(rs.last.Load())
}

// count returns how many members and listeners a room has, how many rooms there
// are, and whether it is one of them.
func (rs *rooms) count(name string) (members, rooms int, known bool) {
	rs.mu.Lock()
	r, rooms := rs.byName[name], len(rs.byName)
	rs.mu.Unlock()
	if r == nil {
		return 0, rooms, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members) + len(r.watched), rooms, true
}

// find returns the room of a topic, locked, or nil if nothing has happened in
// it.
func (rs *rooms) find(name string) *room {
	rs.mu.Lock()
	r := rs.byName[name]
	rs.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	if r.gone || r.dormant {
		r.mu.Unlock()
		return nil
	}
	return r
}

// add adds a room. It requires rs.mu.
func (rs *rooms) add(name string) *room {
	name = strings.Clone(name) // so that it does not keep a whole query in memory
	topic := hub.Topic{App: liveName, Name: name}
	r := &room{home: rs.home, name: name, lost: rs.lost}
	r.begin(rs.last.Load())
	r.topics[0] = topic
	topic.Aside = true
	r.aside[0] = topic
	topic.App += " passing"
	r.passing[0] = topic
	rs.home.hub.Retain(r.topics[0], rs.home.terms.Load().messagesKept())
	rs.byName[name] = r
	return r
}

// unlock unlocks a room, and removes it if it is blank.
func (r *room) unlock() {
	defer r.mu.Unlock()
	if r.dormant {
		if len(r.watched) == 0 {
			r.home.rooms.remove(r)
		}
		return
	}
	r.tellOwed() // if there was no room for that before
	if len(r.members) > 0 || r.home.shared == nil && len(r.watched) > 0 {
		r.left = time.Time{}
		return
	}
	if r.left.IsZero() {
		r.left = r.home.now()
	}
	if r.blank() {
		r.home.rooms.remove(r)
	}
}

// unlockFor is unlock after something for one server's client alone, who reads or
// listens. If servers share a log, what they know must not change then.
func (r *room) unlockFor(watch bool) {
	if watch && !r.dormant && r.home.shared != nil {
		r.mu.Unlock()
		return
	}
	r.unlock()
}

// remove removes a room, which must be locked. If somebody listens, it becomes
// dormant.
func (rs *rooms) remove(r *room) {
	lost := max(r.lost, rs.home.hub.Lost(r.topics[0]), r.state.Lost())
	rs.home.hub.Unretain(r.topics[0])
	rs.home.hub.Unretain(r.aside[0])
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !r.dormant {
		rs.lost = max(rs.lost, lost)
	}
	if len(r.watched) == 0 {
		r.gone = true
		delete(rs.byName, r.name)
		return
	}
	r.dormant, r.tells, r.left, r.state, r.guests = true, false, time.Time{}, app.State{}, app.Here{}
	rs.home.hub.Retain(r.topics[0], rs.home.terms.Load().messagesKept())
}

// close forgets everything, when all clients have left. Requests may still come,
// and make new rooms.
func (rs *rooms) close() {
	for _, r := range rs.all() {
		r.mu.Lock()
		if !r.gone {
			r.state.Clear()
			r.settle()
			rs.remove(r)
		}
		r.mu.Unlock()
	}
}

// all returns all rooms, in the order of their names.
func (rs *rooms) all() (list []*room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.byName {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *room) int { return cmp.Compare(a.name, b.name) })
	return list
}

// sweepEvery is how often old things are removed. It is not often, because who
// enters a room removes them first.
const sweepEvery = time.Minute

// run sweeps the rooms until ctx is done.
func (rs *rooms) run(ctx context.Context) {
	ticker := time.NewTicker(min(sweepEvery, rs.home.config.IdleTopics, rs.home.config.HistoryAge))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			rs.sweep(now)
		}
	}
}

// sweep removes what is too old, in all rooms.
func (rs *rooms) sweep(now time.Time) {
	for _, r := range rs.all() {
		r.mu.Lock()
		if r.gone || r.dormant {
			r.mu.Unlock()
			continue
		}
		r.expire(now)
		if len(r.members) == 0 && !r.left.IsZero() && now.Sub(r.left) >= rs.home.terms.Load().IdleTopics {
			r.lost = rs.home.hub.Head()
			r.state.Clear()
			r.settle()
		}
		r.unlock()
	}
}

// When there are too many topics, idleShare is which part of them is forgotten at
// once, and idleEvery how often that is tried if there are none, or if the other
// servers do not answer.
const (
	idleShare = 8
	idleEvery = time.Second
)

// makeRoom forgets topics in which nobody is, and that have no state, the oldest
// first, so that nobody keeps others out by making topics. over is how many there
// are too many. It reports whether there is room for another one. With several
// servers there may be some more until all have followed.
func (rs *rooms) makeRoom(over int) bool {
	h := rs.home
	share := max(h.config.Limits.Topics/idleShare, 1)
	now, tried := int64(elapsed()), rs.tried.Load()
	if (tried == 0 || now-tried > int64(idleEvery)) && rs.tried.CompareAndSwap(tried, now) {
		if h.shared == nil {
			rs.noteIdle(rs.forgetIdle(share))
		} else {
			rec := packer{tidied}
			rec.number(uint64(share))
			h.append(rec, nil, nil) // otherwise it is tried again
		}
	}
	return over < int(rs.found.Load())
}

// noteIdle notes how many topics were forgotten.
func (rs *rooms) noteIdle(n int) {
	rs.found.Store(int32(n))
	if n > 0 {
		rs.tried.Store(0)
	}
}

// forgetIdle forgets the n topics that have been without members, listeners and
// state for longest, and returns how many there were.
func (rs *rooms) forgetIdle(n int) int {
	var list []*room
	for _, r := range rs.all() {
		r.mu.Lock()
		if r.idle() {
			list = append(list, r)
		}
		r.mu.Unlock()
	}
	slices.SortStableFunc(list, func(a, b *room) int { return a.left.Compare(b.left) })
	list = list[:min(n, len(list))]
	for _, r := range list {
		r.mu.Lock()
		if !r.idle() { // somebody has come meanwhile
			r.mu.Unlock()
			continue
		}
		r.lost = rs.home.hub.Head()
		rs.home.hub.Forget(r.topics[0], r.lost)
		rs.home.hub.Forget(r.aside[0], r.lost)
		r.unlock()
	}
	return len(list)
}

// idle reports whether a topic can be forgotten. With several servers, those who
// listen are known to one of them only.
func (r *room) idle() bool {
	return !r.gone && !r.dormant && len(r.members) == 0 && !r.left.IsZero() && r.state.Empty() &&
		(r.home.shared != nil || len(r.watched) == 0)
}

// hold takes n bytes of memory for the state of a room, and reports whether there
// were as many. With several servers all of them must come to the same answer, so
// it depends on the rooms alone.
func (rs *rooms) hold(n int) bool {
	if rs.home.shared == nil {
		return rs.home.hub.Hold(n)
	}
	if n > 0 && rs.held+n > rs.home.terms.Load().States {
		return false
	}
	rs.holdAnyway(n)
	return true
}

// holdAnyway is hold for several servers, and is not refused.
func (rs *rooms) holdAnyway(n int) {
	rs.held += n
	rs.home.hub.HoldAnyway(n)
}

// fit drops the oldest messages of the largest histories while all of them
// together have more bytes than they may. With one server, the hub does so when
// it needs the memory.
func (rs *rooms) fit() {
	if rs.home.shared == nil {
		return
	}
	limit := rs.home.terms.Load().Histories
	_, total := rs.home.hub.HistoryBytes(hub.Topic{})
	if total <= limit {
		return
	}
	type history struct {
		topic hub.Topic
		bytes int
	}
	var list []history
	for _, r := range rs.all() {
		for _, topic := range [...]hub.Topic{r.topics[0], r.aside[0]} {
			if n, _ := rs.home.hub.HistoryBytes(topic); n > 0 {
				list = append(list, history{topic, n})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b history) int { return cmp.Compare(b.bytes, a.bytes) })
	enough := limit / 8 * 7 // so that this is not done for each message
	for _, l := range list {
		if total <= enough {
			return
		}
		drop := min(l.bytes/2+1, total-enough)
		total -= drop
		for k := range rs.home.hub.History(l.topic, 0) {
			if drop -= len(k.Frame); drop <= 0 {
				rs.home.hub.Forget(l.topic, k.Number)
				break
			}
		}
	}
}

// seed makes first the first epoch, unless there is one. With several servers,
// all take the one that is first in the log.
func (rs *rooms) seed(first uint32) {
	if rs.seeded {
		return
	}
	rs.seeded, rs.first = true, first%epochs
	rs.last.Store(rs.first)
}

// Epochs are numbers of 25 bits, written as five digits like those of
// hub.AppendNumber. Each server begins with a random one, and takes the next
// whenever a history is forgotten on request.
const (
	epochDigits = 5
	epochs      = 1 << (5 * epochDigits)
)

func (rs *rooms) nextEpoch() uint32 { return rs.last.Add(1) }

// begin makes the room's offsets those of an epoch.
func (r *room) begin(epoch uint32) {
	digits := hub.AppendNumber(nil, uint64(epoch%epochs))
	r.epoch, r.prefix = epoch, string(digits[len(digits)-epochDigits:])+"-"
}

// offset returns the offset with that number.
func (r *room) offset(number uint64) string {
	return string(hub.AppendNumber([]byte(r.prefix), number))
}

// parse returns the number of an offset. ok is false if no room of this server
// can have given it out.
func (rs *rooms) parse(offset string) (epoch uint32, number uint64, ok bool) {
	if len(offset) != app.OffsetSize || offset[epochDigits] != '-' {
		return 0, 0, false
	}
	e, good := hub.ParseNumber("0000"[:hub.NumberDigits-epochDigits] + offset[:epochDigits])
	number, ok = hub.ParseNumber(offset[epochDigits+1:])
	since := (uint32(e) - rs.first) % epochs // how many epochs after the first
	return rs.first + since, number, good && ok && since <= rs.last.Load()-rs.first
}
