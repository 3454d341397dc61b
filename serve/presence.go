package serve

import (
	"errors"
	"time"

	"crier/app"
	"crier/hub"
	"crier/ws"
)

// How sessions come into a room and leave it, and who is told. All of it requires
// room.mu.

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
		r.home.hub.Retain(r.aside[0], r.home.terms.Load().joinsKept())
	}
	frame := ws.AppendFrame(nil, ws.Text, text)
	err = r.home.deliver(hub.Publication{
		Topics: r.aside[:], Frame: frame, Keep: true,
		NumberAt: r.putEpoch(frame, text, offsetAt), Number: &number,
	})
	r.home.rooms.fit()
	return number, err
}

// enter lets a session in, or greets it again if it is in already.
func (r *room) enter(s *session, e app.Entry) error {
	now := r.home.now()
	if !s.watches || r.home.shared == nil {
		r.expire(now)
	}
	in := r.place(s)
	var came *app.Guest
	tell := false
	if in == nil && s.seen {
		came, tell = r.guests.Add(s.id, s.user)
	}
	announce := func() error {
		if !tell {
			return nil
		}
		text, at := app.AppendJoin(nil, came, r.guests.Others(s.user), r.name, now.UnixMilli())
		_, err := r.announce(text, at)
		return err
	}
	if err := r.welcomeThen(s.at, e, now, announce); err != nil {
		if came != nil {
			r.guests.Remove(came)
		}
		return err
	}
	if in == nil {
		in = r.add(s, came)
	}
	if in.at = s.at; in.at != nil {
		in.at.member.Subscribe(r.topics[0])
		in.at.member.Subscribe(r.passing[0])
		if in.at.told {
			in.at.member.Subscribe(r.aside[0])
		}
	}
	return nil
}

// welcomeThen welcomes a session to the room, if it has a connection here, and
// calls announce when nothing can hinder that any more.
func (r *room) welcomeThen(g *endpoint, e app.Entry, now time.Time, announce func() error) error {
	if g == nil {
		return announce()
	}
	announced := false
	err := g.member.PostAll(r.welcome(g, e, now), func() error {
		announced = true
		return announce()
	})
	switch {
	case errors.Is(err, hub.ErrGone): // a connection that is gone has come, and leaves as others do
		return nil
	case err == nil || r.home.shared == nil || g.session.watches:
		return err
	}
	g.close(hub.ErrBehind) // what has happened has happened; its client comes back for it
	if !announced {
		return announce()
	}
	return nil
}

// place returns a session's place in the room, or nil.
func (r *room) place(s *session) *membership {
	if s.watches {
		return r.watched[s.id]
	}
	return r.members[s.id]
}

// add adds a session, which the others see as guest, or not if that is nil.
func (r *room) add(s *session, guest *app.Guest) *membership {
	places := &r.members
	if s.watches {
		places = &r.watched
	}
	if *places == nil {
		*places = make(map[string]*membership)
	}
	m := &membership{session: s, guest: guest}
	(*places)[s.id] = m
	return m
}

// greet greets a session once more: what it knows of the room is out of date.
func (r *room) greet(m *membership) {
	hello := r.hello(m.session, true, r.home.now())
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
	in := r.place(s)
	if in == nil {
		return nil, nil
	}
	if in.at != nil {
		r.deafen(in.at)
	}
	now := r.home.now().UnixMilli()
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
	delete(r.watched, s.id)
	copy(text[at:], r.offset(number))
	return text, nil
}

// tellOwed announces those who are in the list from now on. If there is no room
// for that, it is done when the room is next unlocked, or swept.
func (r *room) tellOwed() error {
	for len(r.owed) > 0 {
		g := r.owed[0]
		text, at := app.AppendJoin(nil, g, r.guests.Others(g.User), r.name, r.home.now().UnixMilli())
		if _, err := r.publishAside(text, at); err != nil {
			return err
		}
		r.owed = r.owed[1:]
	}
	return nil
}
