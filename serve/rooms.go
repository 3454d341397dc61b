package serve

import (
	"context"
	"math/rand/v2"
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
	home  *home
	first uint32 // the first epoch

	last atomic.Uint32 // the last epoch; offsets of all from first on are known

	mu     sync.Mutex // lock order: room.mu before mu
	byName map[string]*room
	lost   uint64 // the last number that a removed room had lost
}

func newRooms(h *home) *rooms {
	r := &rooms{home: h, first: rand.Uint32N(epochs), byName: make(map[string]*room)}
	r.last.Store(r.first)
	return r
}

// lock returns the room of a topic, locked. If there is none, lock makes one.
// unlock must follow.
func (rs *rooms) lock(name string) *room {
	for {
		rs.mu.Lock()
		r := rs.byName[name]
		if r == nil {
			r = rs.add(name)
		}
		rs.mu.Unlock()
		r.mu.Lock()
		if !r.gone {
			return r
		}
		r.mu.Unlock()
	}
}

// find returns the room of a topic, locked, or nil if there is none.
func (rs *rooms) find(name string) *room {
	rs.mu.Lock()
	r := rs.byName[name]
	rs.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	if r.gone {
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
	rs.home.hub.Retain(r.topics[0], rs.home.config.messagesKept())
	rs.byName[name] = r
	return r
}

// unlock unlocks a room, and removes it if it is blank.
func (r *room) unlock() {
	defer r.mu.Unlock()
	r.tellOwed() // if there was no room for that before
	if len(r.members) > 0 {
		r.left = time.Time{}
		return
	}
	if r.left.IsZero() {
		r.left = time.Now()
	}
	if r.blank() {
		r.home.rooms.remove(r)
	}
}

// remove removes a room, which must be locked.
func (rs *rooms) remove(r *room) {
	r.gone = true
	lost := max(r.lost, rs.home.hub.Lost(r.topics[0]), r.state.Lost())
	rs.home.hub.Unretain(r.topics[0])
	rs.home.hub.Unretain(r.aside[0])
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.lost = max(rs.lost, lost)
	delete(rs.byName, r.name)
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

// all returns all rooms.
func (rs *rooms) all() (list []*room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.byName {
		list = append(list, r)
	}
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
		if r.gone {
			r.mu.Unlock()
			continue
		}
		r.expire(now)
		if len(r.members) == 0 && !r.left.IsZero() && now.Sub(r.left) >= rs.home.config.IdleTopics {
			r.lost = rs.home.hub.Head()
			r.state.Clear()
			r.settle()
		}
		r.unlock()
	}
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
