package serve

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unique"
	"unsafe"

	"crier/access"
	"crier/door"
	"crier/transport"
)

// A connection is the WebSocket of one client, with what is known about it. It
// belongs to a player or a caller, which handles its messages.
type connection struct {
	conn transport.Conn

	// Set once.
	mount     *mount // of its app
	key       key
	who       *who     // nil if the client has no name, and may do everything
	address   [16]byte // of the client, or of a proxy; zero if not known
	userAgent unique.Handle[string]
	connected int64 // milliseconds since 1970
	pace      *pace // nil: it may be as fast as it can

	// mu makes sure that the events of a connection are handled one at a time.
	// Lock order: mu before the hub's locks.
	mu sync.Mutex

	// For players only, guarded by mu.
	silent  bool  // as in app.Conn
	arrived bool  // Connect's effects were carried out, so Disconnect's must be, too
	leaving bool  // it is closing, or will be: nothing more of it is published
	listed  int32 // bytes of lists that it got since it last had to wait
	flight  *flight
}

// open notes what a handshake tells about its client.
func (s *connection) open(r *http.Request, m *mount, id string, client *who) {
	s.mount, s.key, s.who = m, keyOf(id), client
	if from := access.From(r); from.IsValid() {
		s.address = from.As16()
	}
	s.userAgent = unique.Make(r.UserAgent())
	s.connected = time.Now().UnixMilli()
	if l := &m.home.config.Limits; l.Rate > 0 || l.ByteRate > 0 {
		s.pace = new(pace)
	}
}

// A key is a connection's id, in the form that door.NewID gives it. It is an
// array and not a string, because a string would be a separate object for each
// connection.
type key [16]byte

// keyOf returns the key of an id. For an id that no connection can have, it
// returns the zero key.
func keyOf(id string) (k key) {
	if len(id) == len(k) {
		copy(k[:], id)
	}
	return k
}

// id returns the connection's id. The string shares the memory of the key, which
// never changes. As long as the string is in use, so is the memory of the
// connection.
func (s *connection) id() string { return unsafe.String(&s.key[0], len(s.key)) }

// from returns the client's address; the zero address if it is not known.
func (s *connection) from() netip.Addr {
	if s.address == [16]byte{} {
		return netip.Addr{}
	}
	return netip.AddrFrom16(s.address).Unmap()
}

func (s *connection) sourceIP() string {
	if from := s.from(); from.IsValid() {
		return from.String()
	}
	return ""
}

// info returns what the management API reports about the connection.
func (s *connection) info() door.Info {
	i := door.Info{
		ID:         strings.Clone(s.id()),
		App:        s.mount.Name,
		Topics:     s.conn.Member.Topics(nil),
		Connected:  time.UnixMilli(s.connected),
		LastActive: s.conn.Active(),
		SourceIP:   s.sourceIP(),
		UserAgent:  s.userAgent.Value(),
		Unread:     s.conn.Member.Unread(),
		Throttled:  s.throttled(),
	}
	if s.who != nil {
		i.User = s.who.User
	}
	if c := s.mount.home.config.Cluster; c != nil {
		i.Server = c.Name
	}
	return i
}

// begin makes a connection findable, and ends it when its client's rights do. Its
// user may have been signed out just before it could be found.
func (s *connection) begin() {
	h := s.mount.home
	h.connections.add(s)
	h.expiries.add(s)
	if h.keptOut(s.who.name()) {
		s.conn.Close(errSignedOut)
	}
}

// ended removes a connection from the registry, and counts and logs why it ended.
func (s *connection) ended(cause error) {
	s.mount.home.connections.remove(s)
	s.mount.home.expiries.remove(s)
	s.mount.home.addresses.Leave(s.from())
	how := endName(cause)
	s.mount.home.metrics.closed(how)
	s.mount.home.config.Log.Debug("disconnected", "connection", s.id(), "why", how, "cause", cause)
}

// A registry finds connections by their keys and limits their number.
type registry struct {
	max int // set once

	mu       sync.RWMutex
	byKey    map[key]*connection
	admitted int // connections, handshakes under way, and ends not announced yet
}

func newRegistry(max int) *registry {
	return &registry{max: max, byKey: make(map[key]*connection)}
}

// admit takes a place for a connection and reports whether there was one. dismiss
// gives it back.
func (r *registry) admit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.admitted >= r.max {
		return false
	}
	r.admitted++
	return true
}

// force takes a place even if there is none.
func (r *registry) force() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted++
}

func (r *registry) dismiss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted--
}

// free is how many more connections there may be.
func (r *registry) free() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.max - r.admitted
}

// add makes a connection findable.
func (r *registry) add(s *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byKey[s.key] = s
}

// remove makes a connection unfindable. It reports whether it could be found.
func (r *registry) remove(s *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey[s.key] != s { // in live, another connection may have the key now
		return false
	}
	delete(r.byKey, s.key)
	return true
}

// find returns the connection with that key, or nil.
func (r *registry) find(k key) *connection {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byKey[k]
}

// of returns the connections of an app; all of them if the name is empty.
func (r *registry) of(appName string) (list []*connection) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.byKey {
		if appName == "" || s.mount.Name == appName {
			list = append(list, s)
		}
	}
	return list
}

// count returns how many connections each app has.
func (r *registry) count() map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	open := make(map[string]int)
	for _, s := range r.byKey {
		open[s.mount.Name]++
	}
	return open
}
