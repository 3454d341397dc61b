package serve

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unique"
	"unsafe"

	"crier/app"
	"crier/gateway"
	"crier/transport"
)

// A session is one client's connection, with what everybody may know of it. It
// belongs to a player or to a caller, which says what becomes of its messages.
type session struct {
	conn transport.Conn

	// Set once.
	mount     *mount // of its app
	key       key
	identity  *app.Identity // nil: nobody in particular
	address   [16]byte      // of the client, or of a proxy; zero if it is not known
	userAgent unique.Handle[string]
	connected int64 // milliseconds since 1970

	// mu makes the events of a session follow each other. It comes before the
	// hub's locks.
	mu sync.Mutex

	// Of a player's, guarded by mu.
	silent  bool  // as app.Conn has it
	arrived bool  // Connect's effects were carried out, so Disconnect's must be
	listed  int32 // bytes of lists that it got since it was last held
}

// open notes what a handshake says of its client.
func (s *session) open(r *http.Request, m *mount, id string) {
	s.mount, s.key = m, keyOf(id)
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		s.address = from.Addr().As16()
	}
	s.userAgent = unique.Make(r.UserAgent())
	s.connected = time.Now().UnixMilli()
}

// A key is a connection's id, as gateway.NewID makes them. It is not a string,
// which would be an object of its own for each connection.
type key [16]byte

// keyOf returns the key of an id. One that nobody can have is the zero key.
func keyOf(id string) (k key) {
	if len(id) == len(k) {
		copy(k[:], id)
	}
	return k
}

// id returns the session's id. The string is the key itself, which never
// changes; whoever keeps it keeps the session.
func (s *session) id() string { return unsafe.String(&s.key[0], len(s.key)) }

func (s *session) sourceIP() string {
	if s.address == [16]byte{} {
		return ""
	}
	return netip.AddrFrom16(s.address).Unmap().String()
}

// info returns what is told of the session.
func (s *session) info() gateway.Info {
	i := gateway.Info{
		ID:         strings.Clone(s.id()),
		App:        s.mount.Name,
		Topics:     s.conn.Member.Topics(nil),
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
	s.mount.home.sessions.remove(s.key)
	how := endName(cause)
	s.mount.home.metrics.closed(how)
	s.mount.home.config.Log.Debug("disconnected", "connection", s.id(), "why", how, "cause", cause)
}

// A registry knows the sessions by their keys, and how many there may be.
type registry struct {
	max int // set once

	mu       sync.RWMutex
	byKey    map[key]*session
	admitted int // sessions, also those on their way in, and ends that others have yet to be told
}

func newRegistry(max int) *registry {
	return &registry{max: max, byKey: make(map[key]*session)}
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
	r.byKey[s.key] = s
}

// remove takes back add. It returns the session, or nil if others cannot find it
// anyway.
func (r *registry) remove(k key) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.byKey[k]
	delete(r.byKey, k)
	return s
}

// find returns the session with that key, or nil.
func (r *registry) find(k key) *session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byKey[k]
}

// of returns the sessions of an app; all of them if the name is empty.
func (r *registry) of(appName string) (list []*session) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.byKey {
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
	for _, s := range r.byKey {
		open[s.mount.Name]++
	}
	return open
}
