package serve

import (
	"errors"
	"slices"
	"sync"
	"time"

	"crier/app"
	"crier/hub"
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

// say carries out an order to say something. g is nil if the message came over
// HTTP. It requires r.mu.
func (r *room) say(g *endpoint, o *app.Order, m *scratch) (said, error) {
	if o.Do == app.Tell {
		return r.tell(g, o)
	}
	p := r.publication(g, o, m)
	set := o.Key != app.Key{}
	if set {
		if err := r.makeRoomFor(g, o, len(p.Frame)); err != nil {
			return said{}, err
		}
	}
	if err := r.home.publish(p); err != nil {
		r.settle()
		return said{}, err
	}
	r.left = time.Time{}
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
func (r *room) publication(g *endpoint, o *app.Order, m *scratch) hub.Publication {
	m.frame = ws.AppendFrame(m.frame[:0], opcode(o.Binary), o.Frame)
	p := hub.Publication{Topics: r.passing[:], Frame: m.frame, Keep: o.Keep, Number: &m.number}
	if o.Keep {
		p.Topics = r.topics[:]
	}
	if o.OffsetAt > 0 {
		p.NumberAt = r.putEpoch(m.frame, o.Frame, o.OffsetAt)
	}
	if g == nil {
		return p
	}
	p.From = g.member
	if g.session.silent {
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
func (r *room) tell(g *endpoint, o *app.Order) (said, error) {
	to := r.named(o.To)
	if len(to) == 0 {
		return said{}, &fault{"nobody", "nobody called " + o.To[0] + " is in this topic"}
	}
	heard := 0
	if g != nil && !g.session.silent {
		if err := g.member.Post(frameOf(o.Copy)); err != nil {
			return said{}, err
		}
		heard = 1
	}
	frame := frameOf(o.Frame)
	for m := range to {
		if m.at == nil || g != nil && m.session == g.session {
			continue
		}
		heard++
		if errors.Is(m.at.member.Post(frame), hub.ErrFull) {
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
func (r *room) makeRoomFor(g *endpoint, o *app.Order, size int) error {
	if !o.Drop {
		c := &r.home.config
		if o.Key.Of == app.Tied && g.session.tied.Load() >= app.MaxTied && !r.state.Has(o.Key) {
			return errTooManyKeys
		}
		if !r.state.Fits(o.Key, size, c.Keys, c.StateBytes) {
			return errStateFull
		}
	}
	switch more := r.state.Growth(o.Key, size); {
	case r.home.hub.Hold(more):
		r.held += more
	case !o.Drop || !r.state.Has(o.Key): // what is there can be dropped in any case
		return errStateFull
	}
	return nil
}

// settle makes the memory that is taken for the state what the state needs.
func (r *room) settle() {
	if more := r.state.Memory() - r.held; r.home.hub.Hold(more) {
		r.held += more
	}
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
		r.state.ForgetMarks(r.home.config.HistoryBytes, func([]byte) bool { return false })
	}
	r.settle()
}

// announce publishes that somebody has come or left, to those who want to know.
func (r *room) announce(text []byte, offsetAt int) (number uint64, err error) {
	if err := r.tellOwed(); err != nil {
		return 0, err
	}
	return r.publishAside(text, offsetAt)
}

func (r *room) publishAside(text []byte, offsetAt int) (number uint64, err error) {
	if !r.tells {
		r.tells = true
		r.home.hub.Retain(r.aside[0], r.home.config.joinsKept())
	}
	frame := ws.AppendFrame(nil, ws.Text, text)
	err = r.home.publish(hub.Publication{
		Topics: r.aside[:], Frame: frame, Keep: true,
		NumberAt: r.putEpoch(frame, text, offsetAt), Number: &number,
	})
	return number, err
}

// enter lets a session in, or greets it again if it is in already.
func (r *room) enter(g *endpoint, e app.Entry) error {
	s := g.session
	now := time.Now()
	r.expire(now)
	in := r.members[s.id]
	var came *app.Guest
	tell := false
	if in == nil && s.seen {
		came, tell = r.guests.Add(s.id, s.user)
	}
	err := g.member.PostAll(r.welcome(g, e, now), func() error {
		if !tell {
			return nil
		}
		text, at := app.AppendJoin(nil, came, r.guests.Others(s.user), r.name, now.UnixMilli())
		_, err := r.announce(text, at)
		return err
	})
	if err != nil && !errors.Is(err, hub.ErrGone) { // a connection that is gone has come, and leaves as others do
		if came != nil {
			r.guests.Remove(came)
		}
		return err
	}
	if in == nil {
		in = &membership{session: s, guest: came}
		if r.members == nil {
			r.members = make(map[string]*membership)
		}
		r.members[s.id] = in
	}
	in.at = g
	in.at.member.Subscribe(r.topics[0])
	in.at.member.Subscribe(r.passing[0])
	if g.told {
		in.at.member.Subscribe(r.aside[0])
	}
	return nil
}

// greet greets a session once more: what it knows of the room is out of date.
func (r *room) greet(m *membership) {
	hello := r.hello(m.session, true, time.Now())
	if err := m.at.member.PostAll(framed(hello.Append(nil), hello.AppendReady(nil)), nil); err != nil {
		m.at.close(hub.ErrBehind)
	}
}

func framed(texts ...[]byte) *hub.Series {
	var series hub.Series
	for _, text := range texts {
		series.Add(ws.AppendFrame(nil, ws.Text, text))
	}
	return &series
}

func (r *room) hello(s *session, missed bool, now time.Time) *app.Hello {
	return &app.Hello{
		ID: s.id, User: s.user, Resume: s.token, Offset: r.offset(r.home.hub.Head()), Missed: missed,
		Said: s.said.Load(), Here: &r.guests, Topic: r.name, Now: now.UnixMilli(),
	}
}

// deafen makes a connection get nothing more of what happens in the room.
func (r *room) deafen(e *endpoint) {
	e.member.Unsubscribe(r.topics[0])
	e.member.Unsubscribe(r.passing[0])
	e.member.Unsubscribe(r.aside[0])
}

// exit takes a session out. It may have to be called again after hub.ErrBusy,
// and goes on then. frame is what the session is told.
func (r *room) exit(s *session, why string) (text []byte, err error) {
	in := r.members[s.id]
	if in == nil {
		return nil, nil
	}
	if in.at != nil {
		r.deafen(in.at)
	}
	now := time.Now().UnixMilli()
	if s.tied.Load() > 0 {
		for _, k := range r.state.TiedTo(s.id) {
			if err := r.drop(k, s, now); err != nil {
				return nil, err
			}
		}
	}
	g := in.guest
	if g == nil {
		g = &app.Guest{ID: s.id, User: s.user}
	}
	same := r.guests.Same(s.user)
	if in.guest != nil {
		same = r.guests.Others(s.user)
	}
	text, at := app.AppendLeave(nil, g, same, why, r.name, now)
	number := r.home.hub.Head()
	if in.guest != nil {
		if r.guests.Told(in.guest) {
			if number, err = r.announce(text, at); err != nil {
				return nil, err
			}
		}
		_, more := r.guests.Remove(in.guest)
		r.owed = append(r.owed, more...)
		r.tellOwed()
	}
	delete(r.members, s.id)
	copy(text[at:], r.offset(number))
	return text, nil
}

// tellOwed announces those who are in the list from now on. If there is no room
// for that, it is done when the room is next unlocked, or swept.
func (r *room) tellOwed() error {
	for len(r.owed) > 0 {
		g := r.owed[0]
		text, at := app.AppendJoin(nil, g, r.guests.Others(g.User), r.name, time.Now().UnixMilli())
		if _, err := r.publishAside(text, at); err != nil {
			return err
		}
		r.owed = r.owed[1:]
	}
	return nil
}

// drop drops a key that is tied to a session which leaves.
func (r *room) drop(k app.Key, s *session, now int64) error {
	text, at := app.AppendDrop(nil, k, r.name, s.user, s.id, now)
	frame := ws.AppendFrame(nil, ws.Text, text)
	var number uint64
	p := hub.Publication{Topics: r.passing[:], Frame: frame, NumberAt: r.putEpoch(frame, text, at), Number: &number}
	if err := r.home.publish(p); err != nil {
		return err
	}
	copy(frame[p.NumberAt:], hub.AppendNumber(nil, number))
	r.set(k, number, frame, true)
	return nil
}

// expire forgets what is older than history may be.
func (r *room) expire(now time.Time) {
	oldest := now.Add(-r.home.config.HistoryAge).UnixMilli()
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
	r.state.ForgetMarks(r.home.config.HistoryBytes, func(frame []byte) bool { return app.SentAt(frame) < oldest })
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
	for _, m := range r.members {
		if m.at != nil {
			r.greet(m)
		}
	}
}

// blank reports whether nobody is in the room, and it knows nothing.
func (r *room) blank() bool {
	if len(r.members) > 0 || !r.state.Empty() {
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
