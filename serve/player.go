package serve

import (
	"bytes"
	"errors"
	"hash/maphash"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// A player is a client of one app. It asks the app what should happen and
// carries it out.
//
// Its life is the same however it ends:
//
//	Connect's effects ──▶ the 101 ──▶ messages ──▶ Disconnect's effects ──▶ it leaves the hub
//
// A handshake that is refused, by the app or because there is no room, has no
// effects.
type player struct{ connection connection }

// The call tree of a player. The door calls join, the transport the rest.
//
//	join                     a handshake that has been admitted
//	└─ newPlayer
//	   ├─ Identify           who the client is
//	   ├─ ask                the app's Handle(Connect): what should happen
//	   └─ arrive
//	      ├─ fullFor         whether there is place for it
//	      ├─ Transport.Open  the client becomes a member of the hub
//	      ├─ apply           subscribes it, posts to it
//	      └─ begin           others can find it by its id
//	Message                  a complete message of the client
//	├─ ask                   Handle(Message)
//	├─ apply, do             each effect, in order
//	│  ├─ home.publish       Hub.Publish
//	│  ├─ Subscribe, Unsubscribe
//	│  └─ post, postMembers  frames for this client alone
//	└─ spend                 a client that is too fast is held up
//	Closed                   the connection has ended
//	├─ connection.ended         others cannot find it any more
//	└─ sayFarewell           Handle(Disconnect): what the others get
//	   └─ farewells.add      if there is no room for it now

// join asks an app about a handshake that has been admitted.
func (h *home) join(r *http.Request, at door.Mount, id string, may *access.Grant) (door.Socket, *door.Refusal) {
	cuts := h.cuts.Load()
	// What was published before it came, it must not hear.
	no := h.upToDate(r.Context())
	if no == nil {
		var p *player
		if p, no = h.newPlayer(r, at, id, may); no == nil {
			if h.cuts.Load() != cuts { // it may have come too late to be sent away
				p.connection.conn.Close(errCutOff)
			}
			return p, nil
		}
	}
	h.connections.dismiss()
	return nil, no
}

func (h *home) newPlayer(r *http.Request, at door.Mount, id string, may *access.Grant) (*player, *door.Refusal) {
	m := h.mountNamed(at.Name)
	query, client, no := m.identify(r, may)
	if no != nil {
		return nil, no
	}
	p := new(player)
	s := &p.connection
	s.open(r, m, id, client)

	mem := scratches.Get().(*scratch)
	defer mem.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	p.ask(mem, app.Event{Kind: app.Connect, Query: query})
	s.silent = mem.conn.Silent
	near := m.Name
	for i := range mem.effects {
		switch e := &mem.effects[i]; e.Do {
		case app.Reject:
			return nil, rejected(string(e.Data))
		case app.Forbid:
			return nil, forbidden(string(e.Data))
		case app.Subscribe:
			near = m.Name + "/" + e.Topic
		}
	}
	if no := p.arrive(mem, maphash.String(h.seed, near)); no != nil {
		return nil, no
	}
	h.config.Log.Debug("connected", "connection", id, "app", m.Name, "remote", r.RemoteAddr)
	return p, nil
}

// arrive makes the client a member of the hub, and carries out the effects of
// Connect. It requires the connection to be locked.
func (p *player) arrive(m *scratch, near uint64) *door.Refusal {
	s := &p.connection
	h := s.mount.home
	defer h.lockPlaces()()
	if no := h.fullFor(s.mount, m.effects, &m.conn); no != nil {
		return no
	}
	if err := h.transport.Open(&s.conn, p, near); err != nil {
		return &door.ShuttingDown
	}
	if err := p.apply(m); err != nil {
		h.transport.Forget(&s.conn)
		return &door.Busy
	}
	s.arrived = true
	s.begin()
	return nil
}

// Protocol implements door.Socket: the apps have no subprotocols.
func (p *player) Protocol() string { return "" }

// Serve implements door.Socket.
func (p *player) Serve(nc net.Conn, early []byte) {
	p.connection.mount.home.serve(&p.connection, nc, early)
}

// Abandon implements door.Socket.
func (p *player) Abandon() { p.connection.mount.home.transport.Abandon(&p.connection.conn) }

// Message implements transport.Receiver.
func (p *player) Message(data []byte, binary bool) error {
	mem := scratches.Get().(*scratch)
	defer mem.free()
	s := &p.connection
	s.mu.Lock()
	defer s.mu.Unlock()
	p.ask(mem, app.Event{Kind: app.Message, Data: data, Binary: binary})
	err := p.applyIfPlace(mem)
	if !errors.Is(err, hub.ErrBusy) {
		s.mount.home.metrics.messages.Add(1)
		s.spend(reach(mem.effects, &mem.conn), len(data))
	}
	if errors.Is(err, hub.ErrFull) {
		return transport.ErrFlooded
	}
	return err
}

// Leaving implements transport.Receiver: all answers are posted already, except
// those that follow something in the shared log.
func (p *player) Leaving(cause error) bool { return p.connection.endLater(cause) }

// Explain implements transport.Receiver.
func (p *player) Explain(cause error) ws.Close { return explain(cause).Close() }

// Closed implements transport.Receiver.
func (p *player) Closed(cause error) {
	s := &p.connection
	s.ended(cause)
	if !p.sayFarewell() {
		s.mount.home.connections.dismiss()
	}
}

// sayFarewell carries out what the app wants when a client has left: it may
// publish to the clients that remain. It returns true if some of that has to
// wait; farewells then dismisses the connection.
func (p *player) sayFarewell() (waits bool) {
	mem := scratches.Get().(*scratch)
	defer mem.free()
	s := &p.connection
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.arrived {
		return false
	}
	p.ask(mem, app.Event{Kind: app.Disconnect})
	var waiting []hub.Publication
	for i := range mem.effects {
		e := &mem.effects[i]
		if e.Do != app.Publish {
			continue // posts to the client and its subscriptions end with it
		}
		if e.Topics == nil {
			e.Topics = mem.conn.Topics
		}
		e.Echo = app.EchoSame
		publication := mem.publication(s.mount.Name, e)
		if waiting == nil && !errors.Is(s.mount.home.publish(publication), hub.ErrBusy) {
			continue
		}
		publication.Topics, publication.Frame = slices.Clone(publication.Topics), bytes.Clone(publication.Frame)
		waiting = append(waiting, publication)
	}
	if waiting != nil {
		s.mount.home.farewells.add(func() error { return s.mount.home.publishAll(&waiting) })
	}
	return waiting != nil
}

// publishAll publishes a list, and removes from it what is published.
func (h *home) publishAll(list *[]hub.Publication) error {
	for len(*list) > 0 {
		if err := h.publish((*list)[0]); err != nil {
			return err
		}
		*list = (*list)[1:]
	}
	return nil
}

// ask asks the app about an event and puts the effects into m. It requires the
// connection to be locked.
func (p *player) ask(m *scratch, ev app.Event) {
	s := &p.connection
	m.names = s.conn.Member.Topics(m.names[:0])
	m.conn = app.Conn{ID: s.id(), Topics: m.names, Silent: s.silent}
	if s.who != nil {
		m.conn.Identity, m.conn.Mute = s.who.Identity, s.who.mute
	}
	ev.Conn = &m.conn
	ev.Now = time.Now().UnixMilli()
	m.effects = s.mount.app.Handle(m.effects[:0], ev)
	if may := s.who.grant(); may != nil {
		m.effects = app.Restrict(m.effects, ev, may)
	}
}

// apply carries out the effects in m. It returns nil, hub.ErrBusy, or another
// error of the hub or of a post, such as hub.ErrFull. After hub.ErrBusy nothing
// has happened yet. It requires the connection to be locked.
func (p *player) apply(m *scratch) error {
	s := &p.connection
	if s.flight != nil && (changes(m.effects) || s.crowded()) {
		if err := s.block(); err != nil {
			return err
		}
	}
	if s.arrived && s.mount.home.shared != nil && moves(m.effects) {
		if err := s.catchUp(); err != nil {
			return err
		}
	}
	for i := range m.effects {
		if err := p.do(m, &m.effects[i]); err != nil {
			return err
		}
	}
	return nil
}

// applyIfPlace is apply, or refuses a client that wants to be in topics that have
// no place for it.
func (p *player) applyIfPlace(m *scratch) error {
	h := p.connection.mount.home
	if !moves(m.effects) {
		return p.apply(m)
	}
	defer h.lockPlaces()()
	if no := h.fullFor(p.connection.mount, m.effects, &m.conn); no != nil {
		m.effects = h.ofFull(m.effects, no)
	}
	return p.apply(m)
}

// changes reports whether effects change what the client hears, or ask what
// there is.
func changes(effects []app.Effect) bool {
	return moves(effects) || slices.ContainsFunc(effects, func(e app.Effect) bool { return e.Do == app.PostMembers })
}

// moves reports whether effects change what the client hears.
func moves(effects []app.Effect) bool {
	return slices.ContainsFunc(effects, func(e app.Effect) bool { return e.Do == app.Subscribe || e.Do == app.Unsubscribe })
}

func (p *player) do(m *scratch, e *app.Effect) error {
	s := &p.connection
	switch e.Do {
	case app.Publish:
		publication := m.publication(s.mount.Name, e)
		publication.From = &s.conn.Member
		if s.mount.home.shared != nil {
			return s.send(publication)
		}
		return s.mount.home.publish(publication)
	case app.Subscribe:
		s.conn.Member.Subscribe(hub.Topic{App: s.mount.Name, Name: strings.Clone(e.Topic)}) // a clone, so that it does not keep the whole query in memory
	case app.Unsubscribe:
		s.conn.Member.Unsubscribe(hub.Topic{App: s.mount.Name, Name: e.Topic})
	case app.Post:
		return p.post(e.Data)
	case app.PostMembers:
		return p.postMembers(e.Topic)
	case app.Mute:
		s.who.mute = append(s.who.mute, strings.Clone(e.Topic))
	case app.Reject, app.Forbid:
		return p.post(app.AppendErrorFrame(nil, string(e.Data), s.id(), door.NewID()))
	}
	return nil
}

// post sends a message to the client alone.
func (p *player) post(data []byte) error {
	frame := frameOf(data)
	if p.connection.later(frame, false) {
		return nil
	}
	err := p.connection.conn.Member.Post(frame)
	if errors.Is(err, hub.ErrGone) {
		return nil // it is leaving, so the message does not matter any more
	}
	return err
}

// A list of members is expensive: a few bytes of a request cause up to 125 kB,
// and a walk through all members. So a client gets listRate bytes of lists a
// second. If it asks for more, it is not read for a while.
const (
	listRate  = 1 << 20
	listBurst = 32 << 10 // bytes that it gets before it has to wait
)

func (p *player) postMembers(topic string) error {
	s := &p.connection
	list, err := s.memberList(topic)
	if err != nil {
		return err
	}
	if s.listed += int32(len(list)); s.listed >= listBurst {
		s.conn.Hold(time.Duration(s.listed) * time.Second / listRate)
		s.listed = 0
	}
	return p.post(list)
}

// memberList returns the list of the members of a topic. With several servers it
// returns hub.ErrBusy until all of them have answered.
func (s *connection) memberList(topic string) ([]byte, error) {
	h, of := s.mount.home, hub.Topic{App: s.mount.Name, Name: topic}
	if h.shared == nil {
		return listOf(h.memberIDs(of)), nil
	}
	f := s.flying()
	if list := f.list; list != nil {
		f.list = nil
		s.settle()
		return list, nil
	}
	f.asking = true
	h.asking.Go(func() { s.askMembers(of) })
	return nil, s.block()
}

// listOf returns the list of members with those ids, as far as it may be long.
func listOf(ids []string) []byte {
	return app.AppendMembers(nil, ids[:min(len(ids), app.MaxMembers)], len(ids) > app.MaxMembers)
}

// memberIDs returns the ids of the members of a topic, at most one more than a
// list may have.
func (h *home) memberIDs(topic hub.Topic) (ids []string) {
	h.hub.Members(topic, func(conn hub.Conn) bool {
		if c := connectionOf(conn); c != nil {
			ids = append(ids, c.id())
		}
		return len(ids) <= app.MaxMembers
	})
	return ids
}

// connectionOf returns the connection of a member; nil if it is none of a
// WebSocket.
func connectionOf(member hub.Conn) *connection {
	conn, ok := member.(*transport.Conn)
	if !ok {
		return nil
	}
	return conn.Receiver().(interface{ facts() *connection }).facts()
}

func (p *player) facts() *connection { return &p.connection }
