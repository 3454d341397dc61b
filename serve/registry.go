package serve

import (
	"sync"
	"time"

	"crier/app"
	"crier/gateway"
	"crier/transport"
)

// A session is one client's connection, with what everybody may know of it. It
// belongs to a player or to a caller, which says what becomes of its messages.
type session struct {
	conn transport.Conn

	// Set once.
	home      *home
	app       string // the name of its mount
	sourceIP  string
	userAgent string
	connected int64 // milliseconds since 1970

	mu    sync.Mutex // before the hub's locks
	state app.Conn
}

func (s *session) id() string { return s.state.ID }

// info returns what is told of the session.
func (s *session) info() gateway.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gateway.Info{
		ID:         s.state.ID,
		App:        s.app,
		User:       s.state.Identity.User,
		Topics:     s.state.Topics,
		Connected:  time.UnixMilli(s.connected),
		LastActive: s.conn.Active(),
		SourceIP:   s.sourceIP,
		UserAgent:  s.userAgent,
		Unread:     s.conn.Unread(),
	}
}

// ended takes a session that was open out of the registry, and tells why.
func (s *session) ended(cause error) {
	s.home.sessions.remove(s.id())
	how := endName(cause)
	s.home.metrics.closed(how)
	s.home.config.Log.Debug("disconnected", "connection", s.id(), "why", how, "cause", cause)
}

// A registry knows the sessions by their ids, and how many there may be.
type registry struct {
	max int // set once

	mu       sync.RWMutex
	byID     map[string]*session
	admitted int // sessions, also those on their way in, and ends that others have yet to be told
}

func newRegistry(max int) *registry {
	return &registry{max: max, byID: make(map[string]*session)}
}

// admit makes room for a session, if there is any. dismiss gives it back.
func (r *registry) admit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.admitted >= r.max {
		return false
	}
	r.admitted++
	return true
}

func (r *registry) dismiss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted--
}

// free is how many more sessions there may be.
func (r *registry) free() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.max - r.admitted
}

// add lets others find a session.
func (r *registry) add(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[s.id()] = s
}

// remove takes back add. It returns the session, or nil if others cannot find it
// anyway.
func (r *registry) remove(id string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.byID[id]
	delete(r.byID, id)
	return s
}

// find returns the session with that id, or nil.
func (r *registry) find(id string) *session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// of returns the sessions of an app; all of them if the name is empty.
func (r *registry) of(appName string) (list []*session) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.byID {
		if appName == "" || s.app == appName {
			list = append(list, s)
		}
	}
	return list
}

// count returns how many sessions each app has.
func (r *registry) count() map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	open := make(map[string]int)
	for _, s := range r.byID {
		open[s.app]++
	}
	return open
}
