package serve

import (
	"errors"
	"hash/maphash"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// liveName is the name of the app that guests are clients of.
const liveName = "live"

// A guest is a connection of a client of live. What the client is to others is
// its session.
type guest struct {
	connection connection
	endpoint   endpoint
	session    *session // set once
	served     bool     // its client got the 101; guarded by session.mu
	abroad     *abroad  // what it has in the log of several servers; nil if there is none
}

// The call tree of a guest. The door calls visit, the transport the rest.
//
//	visit                    a handshake that has been admitted
//	├─ Live.Address          what the client asks for
//	├─ arrive                a session: the one that is resumed, or a new one
//	├─ Transport.Open        the client becomes a member of the hub
//	└─ session.enter         for each topic
//	   └─ room.enter         the greeting, the replay; the others are told
//	Message                  a complete message of the client
//	├─ Live.Message          what it asks for
//	└─ obey                  carries that out
//	   ├─ room.say           publishes it, and changes the topic's state
//	   ├─ session.enter
//	   └─ session.leave
//	Closed                   the connection has ended
//	├─ session.linger        its client may come back
//	└─ session.end           or not: it leaves its rooms
//	   └─ farewells.add      if there is no room for that now

// visit asks live about a handshake that has been admitted.
func (h *home) visit(r *http.Request, at door.Mount, id string, may *access.Grant) (door.Socket, *door.Refusal) {
	g, no := h.newGuest(r, at, id, may)
	if no != nil {
		h.connections.dismiss()
		return nil, no
	}
	return g, nil
}

func (h *home) newGuest(r *http.Request, at door.Mount, id string, may *access.Grant) (*guest, *door.Refusal) {
	m := h.mountNamed(at.Name)
	query, client, no := m.identify(r, may)
	if no != nil {
		return nil, no
	}
	s, busy := h.resumed(query.Get("resume"))
	if busy {
		return nil, &door.Busy
	}
	user := client.name()
	if s != nil && (user == "" && may == nil || user == s.user) && s.mayBeHeard(may) {
		user = s.user
	} else {
		s = nil
	}
	address, wrong := app.Live{}.Address(query, user != "")
	if wrong != "" {
		return nil, rejected(wrong)
	}
	if may != nil {
		if wrong := address.Unheard(may); wrong != "" {
			return nil, forbidden(wrong)
		}
	}
	if user != "" {
		client = &who{Identity: app.Identity{User: user}, may: may}
	}
	for {
		g := &guest{session: s}
		if s == nil {
			g.session = h.newSession(id, user, &address)
		}
		g.endpoint = endpoint{g.session, &g.connection.conn.Member, g.connection.conn.Close, address.Told, s != nil}
		g.connection.open(r, m, g.session.id, client)
		arrive := g.arrive
		if h.shared != nil {
			arrive = g.arriveAll
		}
		no, over := arrive(&address)
		if !over {
			return g, no
		}
		s = nil // it ended just now
	}
}

// arrive gives the session its new connection, and lets it into the topics of
// the address. over is true if the session cannot be resumed any more.
func (g *guest) arrive(a *app.Address) (no *door.Refusal, over bool) {
	s := g.session
	h := s.home
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, true
	}
	defer h.lockPlaces()()
	if no := h.placesIn(a.Entries, s); no != nil {
		return no, false
	}
	if g.open(a) != nil {
		return &door.ShuttingDown, false
	}
	s.takeOver()
	s.at, s.silent, s.waits = &g.endpoint, a.Silent, nil
	if err := s.enterAll(a); err != nil {
		h.transport.Forget(&g.connection.conn)
		if g.endpoint.resumed {
			if !s.place { // that of its earlier connection goes with that connection
				s.place = true
				h.connections.force()
			}
			s.linger("lost")
		} else {
			s.end("lost")
		}
		return &door.Busy, false
	}
	s.givePlace()
	if !g.endpoint.resumed {
		h.sessions.add(s)
	}
	g.connection.begin()
	h.config.Log.Debug("connected", "connection", s.id, "app", liveName, "resumed", g.endpoint.resumed)
	return nil, false
}

// open makes the client a member of the hub.
func (g *guest) open(a *app.Address) error {
	h := g.session.home
	near := maphash.String(h.seed, liveName+"/"+a.Entries[0].Topic)
	if err := h.transport.Open(&g.connection.conn, g, near); err != nil {
		return err
	}
	g.connection.conn.Member.Exact()
	return nil
}

// takeOver ends the session's earlier connection, if it has one. It must be
// called first, so that the connection ends at one place in the order of all
// topics.
func (s *session) takeOver() {
	if s.at != nil {
		s.at.close(errTakenOver)
		s.detach()
	}
}

// givePlace gives back the place of its own, if the session has one, because it
// has that of a connection now.
func (s *session) givePlace() {
	if s.place {
		s.place = false
		s.home.connections.dismiss()
	}
}

// enterAll enters the topics of the address, and then those that the session
// has joined besides.
func (s *session) enterAll(a *app.Address) error {
	asked := make(map[string]bool)
	for _, e := range a.Entries {
		asked[e.Topic] = true
		if err := s.enter(e); err != nil {
			return err
		}
	}
	for _, topic := range s.topics(nil) {
		if !asked[topic] {
			if err := s.enter(app.Entry{Topic: topic, Since: a.Since}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Protocol implements door.Socket.
func (g *guest) Protocol() string { return "" }

// Serve implements door.Socket.
func (g *guest) Serve(nc net.Conn, early []byte) {
	g.session.mu.Lock()
	g.served = true
	g.session.mu.Unlock()
	g.session.home.serve(&g.connection, nc, early)
}

// Abandon implements door.Socket.
func (g *guest) Abandon() { g.session.home.transport.Abandon(&g.connection.conn) }

// orders are for reading messages.
var orders = sync.Pool{New: func() any { return new(app.Order) }}

// Message implements transport.Receiver.
func (g *guest) Message(data []byte, binary bool) error {
	if g.abroad != nil {
		return g.submit(data, binary)
	}
	mem := scratches.Get().(*scratch)
	defer mem.free()
	o := orders.Get().(*app.Order)
	defer func() {
		if len(data) <= maxScratch {
			orders.Put(o)
		}
	}()
	s := g.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != &g.endpoint { // the session goes on without this connection
		return nil
	}
	mem.names = s.topics(mem.names[:0])
	mem.conn = app.Conn{ID: s.id, Identity: app.Identity{User: s.user}, Topics: mem.names}
	app.Live{}.Message(o, app.Event{Kind: app.Message, Conn: &mem.conn, Now: time.Now().UnixMilli(), Data: data, Binary: binary})
	if o.Do == app.Enter {
		defer s.home.lockPlaces()()
	}
	g.restrict(o)
	s.said.Add(1)
	err := s.obey(o, mem)
	switch {
	case errors.Is(err, hub.ErrBusy):
		s.said.Add(^uint64(0))
		return err
	case errors.Is(err, hub.ErrGone): // the connection is closing, and the client says it again on the next one
		s.said.Add(^uint64(0))
		return nil
	case errors.Is(err, hub.ErrFull):
		err = transport.ErrFlooded
	}
	s.home.metrics.messages.Add(1)
	g.connection.spend(1, len(data))
	return err
}

// restrict refuses what the client has no right to, or there is no place for. It
// requires session.mu.
func (g *guest) restrict(o *app.Order) {
	if may := g.connection.who.grant(); may != nil {
		o.Restrict(may)
	}
	if o.Do != app.Enter {
		return
	}
	h := g.session.home
	if no := h.placesIn([]app.Entry{o.Entry}, g.session); no != nil {
		h.metrics.refused(*no)
		o.Refuse(no.Name, no.Say)
	}
}

// placesIn returns how to refuse a session that enters topics; nil if there is
// place for it in all of them. It requires s.mu.
func (h *home) placesIn(entries []app.Entry, s *session) *door.Refusal {
	more := 0
	for _, e := range entries {
		if slices.ContainsFunc(s.rooms, func(r *room) bool { return r.name == e.Topic }) {
			continue
		}
		if no := h.full(hub.Topic{App: liveName, Name: e.Topic}, more); no != nil {
			return no
		}
		more++
	}
	return nil
}

// obey carries out what the client asks for. After hub.ErrBusy it must be called
// again, and after hub.ErrGone nothing has happened.
func (s *session) obey(o *app.Order, mem *scratch) error {
	switch o.Do {
	case app.Enter:
		return s.enter(o.Entry)
	case app.Exit:
		text, err := s.leave(o.Topic, "left")
		if err != nil || text == nil {
			return err
		}
		return s.answer(text)
	case app.Say, app.Tell:
		r := s.room(o.Topic)
		if r == nil { // it was taken out of the topic meanwhile
			o.Refuse("not-in-topic", "you are not in this topic any more")
			break
		}
		_, err := r.say(s, o, mem)
		r.unlock()
		var no *fault
		if !errors.As(err, &no) {
			return err
		}
		o.Refuse(no.name, no.text)
	}
	return s.answer(o.Frame)
}

// answer posts an answer to the client, if its connection is here.
func (s *session) answer(text []byte) error {
	if s.at == nil {
		return nil
	}
	return s.at.post(text)
}

// Leaving implements transport.Receiver: all answers are posted already. A
// session that does not linger ends before its client gets the answer to its
// close frame, so that it cannot be resumed any more.
func (g *guest) Leaving(cause error) bool {
	if g.abroad != nil {
		return g.depart(cause)
	}
	s := g.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if why, lingers := whyLost(cause); !lingers && s.at == &g.endpoint {
		s.end(why)
	}
	return false
}

// Explain implements transport.Receiver.
func (g *guest) Explain(cause error) ws.Close { return explain(cause).Close() }

// Closed implements transport.Receiver.
func (g *guest) Closed(cause error) {
	g.connection.ended(cause)
	s := g.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != &g.endpoint { // the session goes on without this connection, or has ended
		s.home.connections.dismiss()
		return
	}
	s.place = true
	if g.abroad != nil {
		g.gone(cause)
		return
	}
	why, lingers := whyLost(cause)
	if lingers && (g.served || g.endpoint.resumed) && !s.home.draining.Load() {
		s.linger(why)
		return
	}
	s.end(why)
}

func (g *guest) facts() *connection { return &g.connection }

// kick ends the session of a connection, and the connection.
func (s *session) kick(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endNow(cause)
}

// endNow is kick. It requires s.mu.
func (s *session) endNow(cause error) {
	if s.at != nil {
		s.at.close(cause)
	}
	s.end("kicked")
}
