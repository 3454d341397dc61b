package serve

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"crier/app"
	"crier/cluster"
	"crier/hub"
	"crier/transport"
)

// A replica applies what happens on all servers: it is a [cluster.Machine]. What
// the rooms know changes nowhere else, so it is the same on all servers.
//
//	Apply                    the next event of the log
//	├─ published             a message of an app without rooms goes to the hub
//	├─ arrived               a session begins, or is resumed
//	│  └─ session.enter      as with one server, but its client may be elsewhere
//	├─ ordered               a message of live
//	│  └─ session.obey
//	├─ departed              a connection has ended: its session lingers, or ends
//	├─ kicked, evicted, forgotten, signedOut
//	├─ (a beat)              sessions that linger too long end; old things are removed
//	└─ (a server has left)   its sessions linger
type replica struct{ home *home }

// sweepBeats is how often old things are removed, in beats of the log.
const sweepBeats = 60

// Apply implements cluster.Machine.
func (x replica) Apply(e *cluster.Event) {
	h := x.home
	h.clock.now.Store(e.Now)
	h.clock.beat.Store(e.Beat)
	switch e.Kind {
	case cluster.Record:
		x.record(e)
	case cluster.Beat:
		h.sessions.endOld(h.pulse())
		if e.Beat%sweepBeats == 0 {
			h.rooms.sweep(h.now())
		}
	case cluster.Left:
		h.sessions.orphan(e.Server)
	case cluster.Lost:
		lose(e.Own)
	}
}

// record applies a record. One that nobody can read changes nothing, on all
// servers alike.
func (x replica) record(e *cluster.Event) {
	if len(e.Data) == 0 {
		return
	}
	u := unpacker{rest: e.Data[1:]}
	switch e.Data[0] {
	case published:
		x.published(e, &u)
	case agreed:
		x.home.agree(&u)
	case arrived:
		x.arrived(e, &u)
	case ordered:
		x.ordered(e, &u)
	case departed:
		x.departed(e, &u)
	case kicked, evicted, forgotten:
		x.managed(e, &u)
	case signedOut:
		x.signedOut(e, &u)
	case tidied:
		x.tidied(&u)
	}
}

// lose tells those who wait for a record that it will never be applied.
func lose(own any) {
	switch o := own.(type) {
	case *sent:
		o.land(hub.ErrBusy)
	case *arrival:
		o.done <- failed
	case *errand:
		o.done <- result{err: errUnknown}
	case *departure:
		o.guest.connection.conn.Close(o.cause)
	}
}

func (x replica) published(e *cluster.Event, u *unpacker) {
	x.home.lastTopics = u.topics(x.home.lastTopics)
	p := hub.Publication{Topics: x.home.lastTopics, Frame: u.bytes()}
	if u.bad {
		return
	}
	own, _ := e.Own.(*sent)
	if own != nil && own.from != nil {
		p.From, p.Echo, p.Copy = &own.from.conn.Member, own.echo, own.copy
	}
	x.home.deliver(p)
	if own != nil {
		own.land(nil)
	}
}

func (x replica) arrived(e *cluster.Event, u *unpacker) {
	h := x.home
	resumes := u.flag()
	s := &session{home: h, id: u.text(), token: u.text(), user: u.text(), seen: u.flag()}
	address := &app.Address{Entries: u.entries(), Since: u.text()}
	if u.bad {
		return
	}
	own, _ := e.Own.(*arrival)
	switch {
	case resumes:
		s = h.sessions.find(s.token)
	case own != nil:
		s = own.guest.session
	}
	if s == nil {
		if own != nil {
			own.done <- over
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !resumes {
		h.sessions.began++
		s.n = h.sessions.began
		h.sessions.add(s)
	}
	s.takeOver()
	s.epoch++
	s.server, s.waits = e.Server, nil
	s.givePlace()
	if own != nil {
		g := own.guest
		s.at, s.silent = &g.endpoint, own.address.Silent
		g.abroad.epoch = s.epoch
		g.connection.begin()
	}
	s.enterAll(address)
	if own != nil {
		own.done <- inside
	}
}

// speaker returns the session of a record of a connection, locked; nil if that
// connection is not the session's any more.
func (x replica) speaker(e *cluster.Event, u *unpacker) *session {
	s := x.home.sessions.ofBytes(u.bytes())
	epoch := uint32(u.number())
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if s.over || s.epoch != epoch || s.server != e.Server {
		s.mu.Unlock()
		return nil
	}
	return s
}

func (x replica) ordered(e *cluster.Event, u *unpacker) {
	var o *app.Order
	var own *utterance
	switch mine := e.Own.(type) {
	case *errand:
		x.said(u, mine)
		return
	case *utterance:
		own, o = mine, mine.order
	}
	if len(u.rest) > 0 && u.rest[0] == 0 { // no session
		x.said(u, nil)
		return
	}
	s := x.speaker(e, u)
	if s == nil {
		return
	}
	defer s.mu.Unlock()
	if o == nil {
		o = orders.Get().(*app.Order)
		defer orders.Put(o)
		if u.order(o); u.bad {
			return
		}
	}
	mem := scratches.Get().(*scratch)
	defer mem.free()
	s.said.Add(1)
	if errors.Is(s.obey(o, mem), hub.ErrFull) && s.at != nil {
		s.at.close(transport.ErrFlooded)
	}
	if own == nil {
		return
	}
	if a := own.guest.abroad; o.Do == app.Enter || o.Do == app.Exit {
		a.moving = false
		if a.blocked {
			a.blocked = false
			x.home.hub.Resume()
		}
	}
}

// said applies a message of live that came over HTTP.
func (x replica) said(u *unpacker, own *errand) {
	h := x.home
	u.bytes() // no session
	u.number()
	o := new(app.Order)
	if own != nil {
		o = own.order
	} else if u.order(o); u.bad {
		return
	}
	done := h.sayHere(o)
	if own != nil {
		own.done <- done
	}
}

func (x replica) departed(e *cluster.Event, u *unpacker) {
	if own, ok := e.Own.(*departure); ok {
		defer func() { own.guest.connection.conn.Close(own.cause) }()
	}
	s := x.speaker(e, u)
	if s == nil {
		return
	}
	defer s.mu.Unlock()
	why, lingers := u.text(), u.flag()
	if lingers {
		s.linger(why)
		return
	}
	s.end(why)
}

// managed applies what a request asked for.
func (x replica) managed(e *cluster.Event, u *unpacker) {
	h := x.home
	name := u.text()
	count := 0
	switch e.Data[0] {
	case kicked:
		if s := h.sessions.ofID(name); s != nil {
			s.kick(errKicked)
			count = 1
		}
	case evicted:
		count = h.evictAll(name)
	case forgotten:
		if r := h.rooms.find(name); r != nil {
			r.forget()
			r.unlock()
			count = 1
		}
	}
	if own, ok := e.Own.(*errand); ok {
		own.done <- result{count: count}
	}
}

func (x replica) signedOut(e *cluster.Event, u *unpacker) {
	user, keep := u.text(), u.number()
	if u.bad {
		return
	}
	err := x.home.signOut(user, time.Duration(min(keep, maxKeep))*time.Millisecond)
	if own, ok := e.Own.(*errand); ok {
		own.done <- result{err: err}
	}
}

func (x replica) tidied(u *unpacker) {
	n := u.number()
	if u.bad || n > math.MaxInt32 {
		return
	}
	x.home.rooms.noteIdle(x.home.rooms.forgetIdle(int(n)))
}

// maxKeep is how many milliseconds a duration can have.
const maxKeep = uint64(math.MaxInt64 / time.Millisecond)

// evictAll takes everybody out of a topic. It returns how many topics of that
// name there were: 1 or 0.
func (h *home) evictAll(topic string) int {
	list := h.inRoom(topic)
	for _, s := range list {
		s.evictNow(topic)
	}
	return min(len(list), 1)
}

// orphan lets the sessions linger whose server has left, in the order in which
// they began.
func (ss *sessions) orphan(server cluster.Server) {
	for _, s := range ss.all() {
		s.mu.Lock()
		if s.server == server {
			s.linger("lost")
		}
		s.mu.Unlock()
	}
}

// all returns all sessions, in the order in which they began.
func (ss *sessions) all() (list []*session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.byID {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *session) int { return cmp.Compare(a.n, b.n) })
	return list
}

// ofBytes is ofID.
func (ss *sessions) ofBytes(id []byte) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.byID[string(id)]
}

// agree applies new terms.
func (h *home) agree(u *unpacker) {
	first, secret, t := uint32(u.number()), u.bytes(), u.terms()
	if u.bad || len(secret) != secretSize {
		return
	}
	h.rooms.seed(first)
	h.tickets.seed(secret)
	if *t != *h.config.terms() {
		h.config.Log.Warn("the servers are configured differently: what the last one wants holds for all", "terms", *t)
	}
	h.terms.Store(t)
	for _, r := range h.rooms.all() {
		r.mu.Lock()
		if !r.gone {
			h.hub.Retain(r.topics[0], t.messagesKept())
			if r.tells {
				h.hub.Retain(r.aside[0], t.joinsKept())
			}
		}
		r.mu.Unlock()
	}
}

// CutOff implements cluster.Machine.
func (x replica) CutOff(why error) {
	h := x.home
	h.config.Log.Warn("cut off: the clients must go to other servers", "why", why)
	h.cuts.Add(1) // first: see home.join
	for _, s := range h.sessions.all() {
		s.mu.Lock()
		s.detach()
		s.mu.Unlock()
	}
	h.listeners.cut()
	h.sendAway(h.connections.of(""))
}
