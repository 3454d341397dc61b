package serve

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crier/access"
	"crier/app"
	"crier/cluster"
	"crier/transport"
)

// A session is what a client of live is to others, over several connections: its
// id, its user, and the rooms that it is in.
//
//	       connects             the connection is lost            nobody resumes it
//	(none) --------> connected ------------------------> lingers ------------------> ended
//	                     ^                                  |                          ^
//	                     +----------- resumes --------------+                          |
//	                     +-- resumes: the earlier connection is closed                 |
//	                     +-- the client closes it, or it is kicked --------------------+
type session struct {
	// Set once.
	home  *home
	id    string // of all its connections
	token string // whoever has it can resume the session
	user  string // may be empty
	seen  bool   // the others see it
	// watches says that it only listens. It has no part in what happens, and with
	// several servers the others do not know it.
	watches bool

	said atomic.Uint64 // messages of the client that were handled
	tied atomic.Int32  // keys that are tied to it

	// mu makes sure that the events of a session are handled one at a time.
	// Lock order: connection.mu before session.mu before room.mu.
	mu     sync.Mutex
	at     *endpoint // its connection; nil while it lingers
	silent bool      // the client does not want its own messages
	rooms  []*room
	over   bool      // it cannot be resumed any more
	waits  *lingerer // until when it lingers; nil if it does not
	why    string    // what the others are told when that time is over
	place  bool      // it has a place of its own, besides that of its connection

	// With several servers, all of them know these.
	n      uint64         // how many sessions began up to this one
	epoch  uint32         // how many connections it has had
	server cluster.Server // that has its connection; zero while it lingers
}

// sessions finds sessions, and ends those that linger too long.
type sessions struct {
	home *home // set once

	mu        sync.Mutex // lock order: session.mu before mu
	byToken   map[string]*session
	byID      map[string]*session
	lingering []*lingerer // those that linger, and some that do not any more; the oldest first
	began     uint64      // how many sessions began, with several servers
	wake      chan struct{}
}

// A lingerer is a session that began to linger. If the session waits for another
// one, or for none, it was resumed meanwhile.
type lingerer struct {
	session *session
	until   time.Time
}

func newSessions(h *home) *sessions {
	return &sessions{home: h, byToken: make(map[string]*session), byID: make(map[string]*session), wake: make(chan struct{}, 1)}
}

func (ss *sessions) add(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.byToken[s.token] = s
	ss.byID[s.id] = s
}

func (ss *sessions) remove(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.byToken, s.token)
	delete(ss.byID, s.id)
}

func (ss *sessions) find(token string) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.byToken[token]
}

func (ss *sessions) ofID(id string) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.byID[id]
}

// count returns how many sessions there are.
func (ss *sessions) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.byID)
}

// newSession returns a session for a connection of that id.
func (h *home) newSession(id, user string, a *app.Address) *session {
	var token [16]byte
	rand.Read(token[:])
	return &session{home: h, id: id, user: user, seen: a.Seen, token: base64.RawURLEncoding.EncodeToString(token[:])}
}

// mayBeHeard reports whether a client may hear all the rooms that the session is
// in, so that it can go on with it.
func (s *session) mayBeHeard(may *access.Grant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.rooms, func(r *room) bool { return !may.MayHear(r.name) })
}

// topics appends the names of the rooms that the session is in.
func (s *session) topics(dst []string) []string {
	for _, r := range s.rooms {
		dst = append(dst, r.name)
	}
	return dst
}

// enter enters a room, or is greeted again if it is in it.
func (s *session) enter(e app.Entry) error {
	r := s.home.rooms.lock(e.Topic, s.watches)
	defer r.unlockFor(s.watches)
	if err := r.enter(s, e); err != nil {
		return err
	}
	if !slices.Contains(s.rooms, r) {
		s.rooms = append(s.rooms, r)
	}
	return nil
}

// room returns the room of that topic that the session is in, locked, or nil.
func (s *session) room(topic string) *room {
	for _, r := range s.rooms {
		if r.name == topic {
			r.mu.Lock()
			return r
		}
	}
	return nil
}

// leave leaves a room. text is what the client is told; nil if it is not in it.
// After hub.ErrBusy, leave must be called again.
func (s *session) leave(topic, why string) (text []byte, err error) {
	r := s.room(topic)
	if r == nil {
		return nil, nil
	}
	defer r.unlockFor(s.watches)
	if text, err = r.exit(s, why); err == nil {
		s.rooms = slices.DeleteFunc(s.rooms, func(other *room) bool { return other == r })
	}
	return text, err
}

// detach ends the session's connection to its rooms.
func (s *session) detach() {
	for _, r := range s.rooms {
		r.mu.Lock()
		if m := r.place(s); m != nil && m.at != nil {
			r.deafen(m.at)
			m.at = nil
		}
		r.mu.Unlock()
	}
	s.at = nil
}

// linger lets the session wait for its client. It requires s.mu.
func (s *session) linger(why string) {
	s.detach()
	s.why, s.server = why, 0
	s.waits = &lingerer{s, s.home.lingersUntil()}
	ss := s.home.sessions
	ss.mu.Lock()
	ss.lingering = append(ss.lingering, s.waits)
	ss.mu.Unlock()
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// end ends the session: nobody can resume it any more, and it leaves its rooms.
// If there is no room to say so, it is in the rooms until there is. end requires
// s.mu.
func (s *session) end(why string) {
	if s.over {
		return
	}
	s.over, s.waits, s.server = true, nil, 0
	s.home.sessions.remove(s)
	s.detach()
	leaveAll := func() error {
		for len(s.rooms) > 0 {
			if _, err := s.leave(s.rooms[0].name, why); err != nil {
				return err
			}
		}
		return nil
	}
	alone := s.home.shared == nil
	if alone && s.home.draining.Load() || leaveAll() == nil { // when the only server ends, everybody leaves
		if s.place {
			s.home.connections.dismiss()
		}
		return
	}
	if !s.place {
		s.home.connections.force()
	}
	s.home.farewells.add(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return leaveAll()
	})
}

// run ends sessions whose time is over, until ctx is done.
func (ss *sessions) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ss.wake:
		case <-timer.C:
		}
		if next := ss.endOld(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// endOld ends the sessions whose time is over at that moment. It returns when
// the next one's is, or the zero time.
func (ss *sessions) endOld(now time.Time) (next time.Time) {
	for {
		ss.mu.Lock()
		if len(ss.lingering) == 0 {
			ss.lingering = nil
			ss.mu.Unlock()
			return time.Time{}
		}
		first := ss.lingering[0]
		if first.until.After(now) {
			ss.mu.Unlock()
			return first.until
		}
		ss.lingering = ss.lingering[1:]
		ss.mu.Unlock()
		s := first.session
		s.mu.Lock()
		if s.waits == first { // otherwise it was resumed, or has ended
			s.end(s.why)
		}
		s.mu.Unlock()
	}
}

// whyLost returns what the others are told of a session whose connection ended
// in that way, and whether it lingers.
func whyLost(cause error) (why string, lingers bool) {
	var bye transport.Goodbye
	switch {
	case errors.Is(cause, errKicked), errors.Is(cause, errTopicRemoved), errors.Is(cause, errSignedOut):
		return "kicked", false
	case !errors.As(cause, &bye):
		return "lost", true
	case bye.Code == 1001:
		return "left", true
	case bye.Code == 1000 || bye.Code == 0 || bye.Code == 1005:
		return "left", false
	}
	return "lost", true
}
