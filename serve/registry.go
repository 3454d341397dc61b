package serve

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
	"unique"

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
	mount     *mount // of its app
	id        string
	identity  *app.Identity // nil: nobody in particular
	address   [16]byte      // of the client, or of a proxy; zero if it is not known
	userAgent unique.Handle[string]
	connected int64 // milliseconds since 1970

	mu     sync.Mutex // before the hub's locks
	topics []string   // that it is subscribed to; never changed, but for what is appended

	// Of a player's, guarded by mu.
	silent  bool  // as app.Conn has it
	arrived bool  // Connect's effects were carried out, so Disconnect's must be
	listed  int32 // bytes of lists that it got since it was last held
}

// open notes what a handshake says of its client.
func (s *session) open(h *home, r *http.Request, m *mount, id string) {
	s.home, s.mount, s.id = h, m, id
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		s.address = from.Addr().As16()
	}
	s.userAgent = unique.Make(r.UserAgent())
	s.connected = time.Now().UnixMilli()
}

func (s *session) sourceIP() string {
	if s.address == [16]byte{} {
		return ""
	}
	return netip.AddrFrom16(s.address).Unmap().String()
}

// info returns what is told of the session.
func (s *session) info() gateway.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := gateway.Info{
		ID:         s.id,
		App:        s.mount.Name,
		Topics:     s.topics,
		Connected:  time.UnixMilli(s.connected),
		LastActive: s.conn.Active(),
		SourceIP:   s.sourceIP(),
		UserAgent:  s.userAgent.Value(),
		Unread:     s.conn.Member.Unread(),
	}
	if s.identity != nil {
		i.User = s.identity.User
	}
	return i
}

// ended takes a session that was open out of the registry, and tells why.
func (s *session) ended(cause error) {
	s.home.sessions.remove(s.id)
	how := endName(cause)
	s.home.metrics.closed(how)
	s.home.config.Log.Debug("disconnected", "connection", s.id, "why", how, "cause", cause)
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
	r.byID[s.id] = s
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
		if appName == "" || s.mount.Name == appName {
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
		open[s.mount.Name]++
	}
	return open
}
