package serve

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"crier/app"
	"crier/door"
	"crier/hub"
)

// sockets implements door.Sockets: it decides about handshakes.
type sockets struct{ home *home }

// Connect implements door.Sockets.
func (s sockets) Connect(r *http.Request, at door.Mount, id string) (door.Socket, *door.Refusal) {
	switch h := s.home; {
	case !h.connections.admit():
		return nil, &door.TooManyConnections
	case at.Name == ownMount:
		return h.call(r, id)
	case at.Name == liveName:
		return h.visit(r, at, id)
	default:
		return h.join(r, at, id)
	}
}

// connections implements door.Connections: it finds connections by their
// ids.
type connections struct{ home *home }

// Post implements door.Connections.
func (c connections) Post(id string, data []byte) *door.Refusal {
	s := c.home.connections.find(keyOf(id))
	if s == nil {
		return &door.Gone
	}
	switch err := s.conn.Member.Post(frameOf(data)); {
	case errors.Is(err, hub.ErrFull):
		return &door.Full
	case err != nil:
		return &door.Gone
	}
	return nil
}

// Info implements door.Connections.
func (c connections) Info(id string) (door.Info, bool) {
	s := c.home.connections.find(keyOf(id))
	if s == nil {
		return door.Info{}, false
	}
	return s.info(), true
}

// Close implements door.Connections. The connection cannot be found any more
// while it is closing.
func (c connections) Close(id string) bool {
	session := c.home.sessions.ofID(id)
	s := c.home.connections.find(keyOf(id))
	if s != nil && !c.home.connections.remove(s) {
		s = nil
	}
	switch {
	case session != nil: // of live, with or without a connection
		session.kick(errKicked)
	case s != nil:
		s.conn.Close(errDeleted)
	}
	return session != nil || s != nil
}

// topics implements door.Topics.
type topics struct{ home *home }

// Connections implements door.Topics.
func (t topics) Connections(appName string, topic *string) []door.Info {
	var list []*connection
	if topic == nil {
		list = t.home.connections.of(appName)
	} else {
		for _, m := range t.home.mountsNamed(appName) {
			list = append(list, t.home.members(m, *topic)...)
		}
	}
	infos := make([]door.Info, len(list))
	for i, s := range list {
		infos[i] = s.info()
	}
	return infos
}

// members returns the connections that are subscribed to a topic.
func (h *home) members(m *mount, topic string) (list []*connection) {
	h.hub.Members(hub.Topic{App: m.Name, Name: topic}, func(conn hub.Conn) bool {
		if c := connectionOf(conn); c != nil {
			list = append(list, c)
		}
		return true
	})
	return list
}

// Topics implements door.Topics.
func (t topics) Topics(appName string) []door.Topic {
	var list []door.Topic
	for name, members := range t.home.hub.Topics {
		if appName == "" || name.App == appName {
			list = append(list, door.Topic{App: name.App, Topic: name.Name, Members: members})
		}
	}
	return list
}

// Remove implements door.Topics.
func (t topics) Remove(appName, topic string) int {
	removed := 0
	for _, m := range t.home.mountsNamed(appName) {
		if m.Name == liveName {
			removed += t.home.removeRoom(topic)
			continue
		}
		members := t.home.members(m, topic)
		for _, s := range members {
			s.conn.Member.Unsubscribe(hub.Topic{App: m.Name, Name: topic})
			if m.fixed && len(s.conn.Member.Topics(nil)) == 0 {
				s.conn.Close(errTopicRemoved)
			}
		}
		if len(members) > 0 {
			removed++
		}
	}
	return removed
}

// publishTimeout is how long a publish over HTTP waits for readers to catch up.
const publishTimeout = 5 * time.Second

// Publish implements door.Topics. It publishes data like a client of the
// broadcast app that connects with the request's query.
func (t topics) Publish(r *http.Request, data []byte) (heard int, no *door.Refusal) {
	h := t.home
	m := h.mountNamed("broadcast")
	stranger := &app.Conn{}
	for _, e := range m.app.Handle(nil, app.Event{Kind: app.Connect, Conn: stranger, Query: r.URL.Query()}) {
		switch e.Do {
		case app.Reject:
			no := door.BadQuery.Saying(string(e.Data))
			return 0, &no
		case app.Subscribe:
			stranger.Topics = append(stranger.Topics, e.Topic)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	message := app.Event{Kind: app.Message, Conn: stranger, Now: time.Now().UnixMilli(), Data: data, Binary: !utf8.Valid(data)}
	for _, e := range m.app.Handle(nil, message) {
		if e.Do == app.Reject {
			no := door.BadQuery.Saying(string(e.Data))
			return 0, &no
		}
		if e.Topics == nil {
			e.Topics = stranger.Topics
		}
		e.Echo = app.EchoSame // there is no sender that could get a copy
		p := new(scratch).publication(m.Name, &e)
		if err := h.patiently(ctx, func() error { return h.publish(p) }); err != nil {
			return 0, unpublished(err)
		}
		heard = h.hub.Audience(p.Topics)
	}
	h.metrics.messages.Add(1)
	return heard, nil
}

// unpublished returns the answer to a message over HTTP that was not published
// because of err.
func unpublished(err error) *door.Refusal {
	if errors.Is(err, hub.ErrTooLarge) {
		no := door.TooLarge.Saying(noMemoryEver)
		return &no
	}
	return &door.Busy
}
