package serve

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"crier/door"
)

// absentees are users that were signed out and have to stay out for a while. With
// several servers, all of them know the same ones.
type absentees struct {
	mu    sync.RWMutex
	until map[string]int64 // by user, in milliseconds since 1970
}

// maxAbsentees is how many users are kept out at once.
const maxAbsentees = 10_000

var errTooManyAbsentees = errors.New("serve: as many users are kept out as there can be")

// keep keeps a user out for the time d from now on. With zero or a negative d, the
// user may come back at once.
func (a *absentees) keep(user string, now time.Time, d time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.until, func(_ string, until int64) bool { return until <= now.UnixMilli() })
	delete(a.until, user)
	switch {
	case d <= 0:
		return nil
	case len(a.until) >= maxAbsentees:
		return errTooManyAbsentees
	case a.until == nil:
		a.until = make(map[string]int64)
	}
	a.until[user] = now.Add(d).UnixMilli()
	return nil
}

// include reports whether a user has to stay out.
func (a *absentees) include(user string, now time.Time) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.until[user] > now.UnixMilli()
}

// save appends those who have to stay out, in the order of their names.
func (a *absentees) save(p *packer, now time.Time) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var names []string
	for name, until := range a.until {
		if until > now.UnixMilli() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	p.number(uint64(len(names)))
	for _, name := range names {
		p.text(name)
		p.number(uint64(a.until[name]))
	}
}

func (a *absentees) restore(u *unpacker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = make(map[string]int64)
	for range u.count() {
		name := u.text()
		a.until[name] = int64(u.number())
	}
}

// users implements door.Users.
type users struct{ home *home }

// SignOut implements door.Users.
func (u users) SignOut(ctx context.Context, user string, keep time.Duration) *door.Refusal {
	h := u.home
	var err error
	if h.shared == nil {
		err = h.signOut(user, keep)
	} else {
		rec := packer{signedOut}
		rec.text(user)
		rec.number(uint64(max(keep, 0).Milliseconds()))
		if _, err = h.runErrand(ctx, rec, nil); err == nil {
			h.ask(ctx, &question{About: aboutNothing}) // the user may knock at any of them
		}
	}
	switch {
	case errors.Is(err, errTooManyAbsentees):
		return &door.TooManyOut
	case err != nil:
		return &door.Busy
	}
	return nil
}

// KeptOut implements door.Users.
func (u users) KeptOut(user string) bool { return u.home.keptOut(user) }

func (h *home) keptOut(user string) bool { return user != "" && h.absentees.include(user, h.now()) }

// signOut ends the sessions of a user, and its connections to this server, and
// keeps it out for a while.
func (h *home) signOut(user string, keep time.Duration) error {
	if err := h.absentees.keep(user, h.now(), keep); err != nil {
		return err
	}
	for _, s := range h.sessions.all() {
		if s.user == user {
			s.kick(errSignedOut)
		}
	}
	for _, s := range h.connections.of("") {
		if s.who.name() == user && s.mount.Name != liveName {
			s.close(errSignedOut)
		}
	}
	h.listeners.cut() // the others come back
	return nil
}
