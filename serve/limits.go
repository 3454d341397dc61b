package serve

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
)

// Limits are for clients that one does not know. The zero Limits has none. Each
// server of several has its own.
type Limits struct {
	// Rate is how many messages a connection may send, after a burst of one
	// second. A message to several topics counts once for each. ByteRate is how
	// many bytes. Nothing is read from a client that is faster, until it is not.
	Rate, ByteRate access.Rate
	// PerAddress is how many connections an address may have, and ConnectRate how
	// many new ones, after a burst of one second.
	PerAddress  int
	ConnectRate access.Rate
	// Members is how many members a topic may have, and Topics how many topics
	// there may be: of live, which remembers them, and of the other apps, where
	// somebody is subscribed to them.
	Members, Topics int
}

func (l Limits) check() error {
	if l.Rate < 0 || l.ByteRate < 0 || l.PerAddress < 0 || l.ConnectRate < 0 || l.Members < 0 || l.Topics < 0 {
		return errors.New("a limit must not be negative")
	}
	return nil
}

// A pace is how fast a client is.
type pace struct {
	messages, bytes access.Spent // of Limits.Rate and ByteRate; owned by Message
	held            atomic.Int64 // until when it was last held up, as elapsed counts, in nanoseconds
}

var began = time.Now()

// elapsed is the time by which paces are kept. Nobody sets it.
func elapsed() time.Duration { return time.Since(began) }

// spend notes that the client has sent a message of some bytes to so many topics.
// If that was too fast, nothing more is read from it for a while. Only Message may
// call it.
func (s *connection) spend(topics, bytes int) {
	if s.pace == nil {
		return
	}
	h := s.mount.home
	l := &h.config.Limits
	now := elapsed()
	wait := max(s.pace.messages.Spend(now, max(topics, 1), l.Rate), s.pace.bytes.Spend(now, bytes, l.ByteRate))
	if wait <= 0 {
		return
	}
	s.conn.Hold(wait + time.Millisecond - 1) // which counts whole ones
	if before := s.pace.held.Swap(int64(now + wait)); before == 0 || before < int64(now-throttledFor) {
		h.metrics.throttled.Add(1)
	}
}

// throttledFor is how long a client counts as throttled after it was held up.
const throttledFor = time.Second

// throttled reports whether the client was lately faster than it may be.
func (s *connection) throttled() bool {
	return s.pace != nil && s.pace.held.Load() > 0 && elapsed() < time.Duration(s.pace.held.Load())+throttledFor
}

// reach returns how many topics effects publish to.
func reach(effects []app.Effect, conn *app.Conn) (topics int) {
	for i := range effects {
		switch e := &effects[i]; {
		case e.Do != app.Publish:
		case e.Topics == nil:
			topics += len(conn.Topics)
		default:
			topics += len(e.Topics)
		}
	}
	return topics
}

// lockPlaces makes sure that no two clients take the same last place of a topic.
// unlock must be called when the client is in it. Lock order: connection.mu and
// session.mu before.
func (h *home) lockPlaces() (unlock func()) {
	if l := h.config.Limits; l.Members == 0 && l.Topics == 0 {
		return func() {}
	}
	h.places.Lock()
	return h.places.Unlock
}

// full returns how to refuse a client that is not in a topic; nil if there is
// place for it. more is how many topics are new because of it already.
func (h *home) full(name hub.Topic, more int) *door.Refusal {
	l := h.config.Limits
	if l.Members == 0 && l.Topics == 0 {
		return nil
	}
	members, topics, known := h.count(name)
	switch {
	case l.Members > 0 && members >= l.Members:
		return &door.TopicFull
	case l.Topics == 0 || known || topics+more < l.Topics:
		return nil
	case name.App == liveName && h.rooms.makeRoom(topics+more-l.Topics):
		return nil
	}
	return &door.TooManyTopics
}

// newTopic is full for a topic of live that somebody says something in, and is not
// a member of.
func (h *home) newTopic(topic string) *door.Refusal {
	if _, _, known := h.rooms.count(topic); known {
		return nil
	}
	return h.full(hub.Topic{App: liveName, Name: topic}, 0)
}

// count returns how many members a topic has, how many topics there are that count
// together with it, and whether it is one of them.
func (h *home) count(name hub.Topic) (members, topics int, known bool) {
	if name.App == liveName {
		return h.rooms.count(name.Name)
	}
	members, topics = h.hub.Count(name)
	return members, topics, members > 0
}

// ofFull returns the sentence for a message that asks for what there is no place
// for, as the only effect.
func (h *home) ofFull(effects []app.Effect, no *door.Refusal) []app.Effect {
	h.metrics.refused(*no)
	return append(effects[:0], app.Effect{Do: app.Reject, Data: []byte(no.Say)})
}

// fullFor is full for those topics of effects that the client is not in.
func (h *home) fullFor(m *mount, effects []app.Effect, conn *app.Conn) *door.Refusal {
	more := 0
	for i := range effects {
		e := &effects[i]
		if e.Do != app.Subscribe || slices.Contains(conn.Topics, e.Topic) {
			continue
		}
		if no := h.full(hub.Topic{App: m.Name, Name: e.Topic}, more); no != nil {
			return no
		}
		more++
	}
	return nil
}
