package serve

import (
	"errors"
	"slices"
	"sync"
	"time"

	"crier/app"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// A room is a topic of live: who is in it, its state, and its history, which is
// the log of its topic in the hub.
//
// Everything that happens in a room happens while mu is held: a message gets its
// number, and what the room knows changes with it. So a greeting and a replay
// fit what is published before and after them without a gap.
type room struct {
	// Set once.
	home    *home
	name    string
	topics  [1]hub.Topic // for messages that are kept
	passing [1]hub.Topic // for those that are not, and for changes of state: they must not push history out
	aside   [1]hub.Topic // for who comes and goes

	mu      sync.Mutex
	gone    bool   // it was removed from rooms
	epoch   uint32 // of its offsets
	prefix  string // of its offsets: the epoch as text
	lost    uint64 // what has a number up to this one was forgotten
	guests  app.Here
	state   app.State
	held    int                    // bytes taken with hub.Hold for the state
	members map[string]*membership // by connection id
	watched map[string]*membership // those who only listen, and are no part of what happened
	dormant bool                   // there is a room for these only: nothing has happened in it
	owed    []*app.Guest           // who is in the list now, and was not announced yet
	tells   bool                   // aside has a history
	left    time.Time              // when the last member left; zero while there is one
}

// A membership is a session's place in a room.
type membership struct {
	session *session
	guest   *app.Guest // nil if the others do not see it
	at      *endpoint  // nil while it has no connection
}

// attached reports whether the session has a connection, here or elsewhere. With
// several servers, session.server is the replica's, and so is the caller.
func (m *membership) attached() bool {
	return m.at != nil || m.session.home.shared != nil && m.session.server != 0
}

// An endpoint is how a session is reached at present.
type endpoint struct {
	session *session
	member  *hub.Member
	close   func(cause error)
	told    bool // it is told who comes and goes
	resumed bool // the session had another one before
}

// post sends an answer to the client alone. If its connection is closing, the
// client does not get it.
func (e *endpoint) post(text []byte) error {
	err := e.member.Post(ws.AppendFrame(nil, ws.Text, text))
	if errors.Is(err, hub.ErrGone) {
		return nil
	}
	return err
}

// A said is what became of a message.
type said struct {
	number uint64 // zero if it is not kept
	heard  int
}

// A fault is why a room does not carry out an order. Its sender is told.
type fault struct{ name, text string }

func (f *fault) Error() string { return f.name + ": " + f.text }

var (
	errTooManyKeys = &fault{"too-many-keys", "a connection may tie 64 keys to itself"}
	errStateFull   = &fault{"state-full", "the topic has as much state as it may have"}
)

// say carries out an order to say something. s is nil if the message came over
// HTTP. It requires r.mu.
func (r *room) say(s *session, o *app.Order, m *scratch) (said, error) {
	if o.Do == app.Tell {
		return r.tell(s, o)
	}
	p := r.publication(s, o, m)
	set := o.Key != app.Key{}
	if set {
		if err := r.makeRoomFor(s, o, len(p.Frame)); err != nil {
			return said{}, err
		}
	}
	if err := r.home.deliver(p); err != nil {
		r.settle()
		return said{}, err
	}
	r.left = time.Time{}
	if o.Keep {
		r.home.rooms.fit()
	}
	if p.NumberAt == 0 {
		return said{}, nil
	}
	if !set {
		return said{number: m.number}, nil
	}
	frame := slices.Clone(p.Frame)
	copy(frame[p.NumberAt:], hub.AppendNumber(nil, m.number))
	r.set(o.Key, m.number, frame, o.Drop)
	return said{number: m.number}, nil
}

// publication makes a publication of an order. Its slices belong to m.
func (r *room) publication(s *session, o *app.Order, m *scratch) hub.Publication {
	m.frame = ws.AppendFrame(m.frame[:0], opcode(o.Binary), o.Frame)
	p := hub.Publication{Topics: r.passing[:], Frame: m.frame, Keep: o.Keep, Number: &m.number}
	if o.Keep {
		p.Topics = r.topics[:]
	}
	if o.OffsetAt > 0 {
		p.NumberAt = r.putEpoch(m.frame, o.Frame, o.OffsetAt)
	}
	if s == nil || s.at == nil {
		return p
	}
	p.From = s.at.member
	if s.silent {
		p.Echo = hub.EchoNone
		return p
	}
	m.copy = ws.AppendFrame(m.copy[:0], opcode(o.Binary), o.Copy)
	p.Echo, p.Copy = hub.EchoCopy, m.copy
	if o.CopyOffsetAt > 0 {
		p.CopyNumberAt = r.putEpoch(m.copy, o.Copy, o.CopyOffsetAt)
	}
	return p
}

// putEpoch writes the first part of an offset into a frame with that text. at is
// where in the text the offset belongs. It returns where in the frame the second
// part belongs.
func (r *room) putEpoch(frame, text []byte, at int) (numberAt int) {
	at += len(frame) - len(text)
	return at + copy(frame[at:], r.prefix)
}

// tell sends a message to some of those who are in the room, and to its sender.
func (r *room) tell(s *session, o *app.Order) (said, error) {
	to := r.named(o.To)
	if len(to) == 0 {
		return said{}, &fault{"nobody", "nobody called " + o.To[0] + " is in this topic"}
	}
	heard := 0
	if s != nil && s.at != nil && !s.silent {
		switch err := s.at.member.Post(frameOf(o.Copy)); {
		case err == nil:
		case r.home.shared == nil:
			return said{}, err
		case errors.Is(err, hub.ErrFull):
			s.at.close(transport.ErrFlooded)
		}
		heard = 1
	}
	frame := frameOf(o.Frame)
	for m := range to {
		if m.session == s || !m.attached() {
			continue
		}
		heard++
		if m.at != nil && errors.Is(m.at.member.Post(frame), hub.ErrFull) {
			m.at.close(hub.ErrBehind) // it would have missed the message
		}
	}
	return said{heard: heard}, nil
}

// named returns those in the room who have one of those names: connection ids or
// users.
func (r *room) named(names []string) map[*membership]bool {
	found, users := make(map[*membership]bool), make(map[string]bool)
	for _, name := range names {
		if m := r.members[name]; m != nil {
			found[m] = true
		} else if name != "" { // which is nobody's name
			users[name] = true
		}
	}
	if len(users) > 0 {
		for _, m := range r.members {
			if users[m.session.user] {
				found[m] = true
			}
		}
	}
	return found
}

// makeRoomFor takes memory for the state that an order sets with a frame of size
// bytes, or returns why there is none.
func (r *room) makeRoomFor(s *session, o *app.Order, size int) error {
	if !o.Drop {
		c := r.home.terms.Load()
		if o.Key.Of == app.Tied && s.tied.Load() >= app.MaxTied && !r.state.Has(o.Key) {
			return errTooManyKeys
		}
		if !r.state.Fits(o.Key, size, c.Keys, c.StateBytes) {
			return errStateFull
		}
	}
	switch more := r.state.Growth(o.Key, size); {
	case r.home.rooms.hold(more):
		r.held += more
	case !o.Drop || !r.state.Has(o.Key): // what is there can be dropped in any case
		return errStateFull
	}
	return nil
}

// settle makes the memory that is taken for the state what the state needs. With
// several servers it is just that, also beyond the limit: a server that starts
// counts what is there, and must come to the same number.
func (r *room) settle() {
	more := r.state.Memory() - r.held
	switch {
	case r.home.shared != nil:
		r.home.rooms.holdAnyway(more)
	case !r.home.rooms.hold(more):
		return
	}
	r.held += more
}

// set changes the state, after the frame that changes it was published.
func (r *room) set(k app.Key, number uint64, frame []byte, drop bool) {
	if k.Of == app.Tied {
		before := r.state.Has(k)
		if m := r.members[k.By]; m != nil && before == drop {
			m.session.tied.Add(map[bool]int32{true: -1, false: 1}[drop])
		}
	}
	r.state.Set(k, number, frame, drop)
	if drop {
		r.state.ForgetMarks(r.home.terms.Load().HistoryBytes, func([]byte) bool { return false })
	}
	r.settle()
}

// drop drops a key that is tied to a session which leaves.
func (r *room) drop(k app.Key, s *session, now int64) error {
	text, at := app.AppendDrop(nil, k, r.name, s.user, s.id, now)
	frame := ws.AppendFrame(nil, ws.Text, text)
	var number uint64
	p := hub.Publication{Topics: r.passing[:], Frame: frame, NumberAt: r.putEpoch(frame, text, at), Number: &number}
	if err := r.home.deliver(p); err != nil {
		return err
	}
	copy(frame[p.NumberAt:], hub.AppendNumber(nil, number))
	r.set(k, number, frame, true)
	return nil
}

// expire forgets what is older than history may be.
func (r *room) expire(now time.Time) {
	oldest := now.Add(-r.home.terms.Load().HistoryAge).UnixMilli()
	for _, topic := range [...]hub.Topic{r.topics[0], r.aside[0]} {
		number := uint64(0)
		for k := range r.home.hub.History(topic, 0) {
			if app.SentAt(k.Frame) >= oldest {
				break
			}
			number = k.Number
		}
		if number > 0 {
			r.home.hub.Forget(topic, number)
		}
	}
	r.state.ForgetMarks(r.home.terms.Load().HistoryBytes, func(frame []byte) bool { return app.SentAt(frame) < oldest })
	r.settle()
}

// forget forgets the history and the state. Those who are in the room are told.
func (r *room) forget() {
	head := r.home.hub.Head()
	r.home.hub.Forget(r.topics[0], head)
	r.home.hub.Forget(r.aside[0], head)
	for id, m := range r.members {
		m.session.tied.Add(-int32(len(r.state.TiedTo(id))))
	}
	r.state.Clear()
	r.settle()
	r.lost = head
	r.begin(r.home.rooms.nextEpoch())
	for _, all := range [...]map[string]*membership{r.members, r.watched} {
		for _, m := range all {
			if m.at != nil {
				r.greet(m)
			}
		}
	}
}

// blank reports whether nobody is in the room, and it knows nothing.
func (r *room) blank() bool {
	if len(r.members) > 0 || !r.state.Empty() || r.home.shared == nil && len(r.watched) > 0 {
		return false
	}
	for range r.home.hub.History(r.topics[0], 0) {
		return false
	}
	for range r.home.hub.History(r.aside[0], 0) {
		return false
	}
	return true
}
