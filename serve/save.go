package serve

import (
	"errors"
	"slices"
	"time"

	"crier/app"
	"crier/cluster"
	"crier/hub"
)

// What all servers know alike is saved in one form: the same bytes on all of
// them. Members of a room are those sessions that say they are in it.
const savedForm = 3

// Save implements cluster.Machine.
func (x replica) Save(dst []byte) []byte {
	h := x.home
	p := packer(dst)
	p.number(savedForm)
	p.terms(h.terms.Load())
	p.number(h.hub.Head())
	rs := h.rooms
	p.flag(rs.seeded)
	p.number(uint64(rs.first))
	p.number(uint64(rs.last.Load() - rs.first))
	p.number(rs.lost)
	p.bytes(h.tickets.shared())
	h.sessions.save(&p)
	all := rs.all()
	for _, r := range all {
		r.mu.Lock()
		if !r.gone && !r.dormant {
			p.flag(true)
			r.save(&p)
		}
		r.mu.Unlock()
	}
	p.flag(false)
	h.absentees.save(&p, h.now())
	return p
}

func (ss *sessions) save(p *packer) {
	all := ss.all()
	p.number(ss.began)
	p.number(uint64(len(all)))
	for _, s := range all {
		s.mu.Lock()
		for _, text := range [...]string{s.id, s.token, s.user, s.why} {
			p.text(text)
		}
		p.flag(s.seen)
		for _, n := range [...]uint64{s.n, s.said.Load(), uint64(s.epoch), uint64(s.server)} {
			p.number(n)
		}
		p.list(s.topics(nil))
		s.mu.Unlock()
	}
	var waiting []*lingerer
	for _, l := range ss.lingering {
		if l.session.waits == l {
			waiting = append(waiting, l)
		}
	}
	p.number(uint64(len(waiting)))
	for _, l := range waiting {
		p.text(l.session.id)
		p.number(uint64(l.until.UnixNano()))
	}
}

func (r *room) save(p *packer) {
	h := r.home.hub
	p.text(r.name)
	p.number(uint64(r.epoch - r.home.rooms.first))
	p.number(r.lost)
	p.flag(r.tells)
	p.number(uint64(max(r.left.UnixMilli(), 0)))
	all, shown := r.guests.Guests()
	p.number(uint64(len(all)))
	for _, g := range all {
		p.text(g.ID)
		p.text(g.User)
	}
	p.number(uint64(shown))
	p.number(r.state.Lost())
	for v := range r.state.After(0) {
		p.flag(true)
		p.key(v.Key)
		p.number(v.Number)
		p.flag(v.Drop)
		p.bytes(v.Frame)
	}
	p.flag(false)
	for _, topic := range [...]hub.Topic{r.topics[0], r.aside[0]} {
		p.number(h.Lost(topic))
		for k := range h.History(topic, 0) {
			p.flag(true)
			p.number(k.Number)
			p.bytes(k.Frame)
		}
		p.flag(false)
	}
}

var errSaved = errors.New("serve: what the other servers know cannot be read")

// Restore implements cluster.Machine.
func (x replica) Restore(data []byte) error {
	h := x.home
	x.clear()
	if h.link != nil {
		h.link.begins()
	}
	if len(data) == 0 {
		return nil
	}
	u := &unpacker{rest: data}
	if u.number() != savedForm {
		return errSaved
	}
	t := u.terms()
	head := u.number()
	rs := h.rooms
	rs.seeded, rs.first = u.flag(), uint32(u.number())
	rs.last.Store(rs.first + uint32(u.number()))
	rs.lost = u.number()
	secret := u.bytes()
	if u.bad {
		return errSaved
	}
	h.tickets.share(secret)
	h.terms.Store(t)
	in := h.sessions.restore(h, u)
	for u.flag() {
		rs.restore(u, in)
	}
	h.absentees.restore(u)
	if u.bad {
		return errSaved
	}
	for s, topics := range in {
		for _, topic := range topics {
			s.rooms = append(s.rooms, rs.byName[topic])
		}
	}
	h.hub.SetHead(head)
	return nil
}

// clear forgets everything.
func (x replica) clear() {
	h := x.home
	h.rooms.close()
	h.absentees.restore(new(unpacker))
	h.rooms.seeded, h.rooms.lost = false, 0
	h.tickets.share(nil)
	ss := h.sessions
	ss.mu.Lock()
	defer ss.mu.Unlock()
	clear(ss.byToken)
	clear(ss.byID)
	ss.lingering, ss.began = nil, 0
}

// restore reads sessions. It returns in which topics each of them is.
func (ss *sessions) restore(h *home, u *unpacker) (in map[*session][]string) {
	in = make(map[*session][]string)
	ss.began = u.number()
	for range u.count() {
		s := &session{home: h, id: u.text(), token: u.text(), user: u.text(), why: u.text(), seen: u.flag(), n: u.number()}
		s.said.Store(u.number())
		s.epoch, s.server = uint32(u.number()), cluster.Server(u.number())
		in[s] = u.list()
		ss.add(s)
	}
	for range u.count() {
		s, until := ss.ofID(u.text()), time.Unix(0, int64(u.number()))
		if s != nil {
			s.waits = &lingerer{s, until}
			ss.lingering = append(ss.lingering, s.waits)
		}
	}
	return in
}

// restore reads a room.
func (rs *rooms) restore(u *unpacker, in map[*session][]string) {
	h := rs.home
	name := u.text()
	r := rs.lock(name, false)
	defer r.mu.Unlock()
	r.begin(rs.first + uint32(u.number()))
	r.lost, r.tells = u.number(), u.flag()
	if left := u.number(); left > 0 {
		r.left = time.UnixMilli(int64(left))
	}
	guests := make([]app.Guest, u.count())
	for i := range guests {
		guests[i] = app.Guest{ID: u.text(), User: u.text()}
	}
	seen := make(map[string]*app.Guest)
	for _, g := range r.guests.Restore(guests, int(u.number())) {
		seen[g.ID] = g
	}
	for s, topics := range in {
		if slices.Contains(topics, name) {
			r.add(s, seen[s.id])
		}
	}
	r.state.Forgot(u.number())
	for u.flag() {
		k, number, drop := u.key(), u.number(), u.flag()
		r.state.Set(k, number, append([]byte(nil), u.bytes()...), drop)
		if m := r.members[k.By]; k.Of == app.Tied && !drop && m != nil {
			m.session.tied.Add(1)
		}
	}
	r.settle()
	if r.tells {
		h.hub.Retain(r.aside[0], h.terms.Load().joinsKept())
	}
	for _, topic := range [...]hub.Topic{r.topics[0], r.aside[0]} {
		lost := u.number()
		var kept []hub.Kept
		for u.flag() {
			kept = append(kept, hub.Kept{Number: u.number(), Frame: u.bytes()})
		}
		h.hub.Restore(topic, slices.Values(kept), lost)
	}
}
