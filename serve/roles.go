package serve

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
)

// sockets implements door.Sockets: it decides about handshakes.
type sockets struct{ home *home }

// Connect implements door.Sockets.
func (s sockets) Connect(r *http.Request, at door.Mount, id string, may *access.Grant) (door.Socket, *door.Refusal) {
	switch h := s.home; {
	case !h.readySoon(r.Context()):
		return nil, &door.NotReady
	case !h.connections.admit():
		return nil, &door.TooManyConnections
	case at.Name == ownMount:
		return h.call(r, id, may)
	case at.Name == liveName:
		return h.visit(r, at, id, may)
	default:
		return h.join(r, at, id, may)
	}
}

// connections implements door.Connections: it finds connections by their
// ids.
type connections struct{ home *home }

// Post implements door.Connections.
func (c connections) Post(id string, data []byte) *door.Refusal {
	no := c.home.postHere(id, data)
	if no != &door.Gone {
		return no
	}
	replies, servers := c.home.ask(context.Background(), &question{About: aboutPost, ID: id, Data: data})
	for _, r := range replies {
		switch {
		case r.Full:
			return &door.Full
		case r.Found:
			return nil
		}
	}
	return notFound(len(replies), servers)
}

// notFound returns the answer about a connection that neither this server has, nor
// one of those that have answered.
func notFound(replies, servers int) *door.Refusal {
	if replies+1 < servers {
		return &door.Busy // one that has not answered may have it
	}
	return &door.Gone
}

// postHere posts to a connection of this server.
func (h *home) postHere(id string, data []byte) *door.Refusal {
	s := h.connections.find(keyOf(id))
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
func (c connections) Info(id string) (door.Info, *door.Refusal) {
	if info, ok := c.home.infoHere(id); ok {
		return info, nil
	}
	replies, servers := c.home.ask(context.Background(), &question{About: aboutInfo, ID: id})
	for _, r := range replies {
		if r.Info != nil {
			return *r.Info, nil
		}
	}
	return door.Info{}, notFound(len(replies), servers)
}

func (h *home) infoHere(id string) (door.Info, bool) {
	s := h.connections.find(keyOf(id))
	if s == nil {
		return door.Info{}, false
	}
	return s.info(), true
}

// Close implements door.Connections. The connection cannot be found any more
// while it is closing.
func (c connections) Close(id string) *door.Refusal {
	h := c.home
	if h.shared != nil && h.sessions.ofID(id) != nil {
		done, err := h.runErrand(context.Background(), h.request(kicked, id), nil)
		switch {
		case err != nil:
			return &door.Busy
		case done.count == 0:
			return &door.Gone
		}
		return nil
	}
	if h.closeHere(id) {
		return nil
	}
	replies, servers := h.ask(context.Background(), &question{About: aboutClose, ID: id})
	if slices.ContainsFunc(replies, func(r reply) bool { return r.Found }) {
		return nil
	}
	return notFound(len(replies), servers)
}

// closeHere closes a connection of this server. With several servers, it is none
// of live.
func (h *home) closeHere(id string) bool {
	var session *session
	if h.shared == nil {
		session = h.sessions.ofID(id)
	}
	s := h.connections.find(keyOf(id))
	if s != nil && !h.connections.remove(s) {
		s = nil
	}
	switch {
	case session != nil: // of live, with or without a connection
		session.kick(errKicked)
	case s != nil:
		s.close(errDeleted)
	}
	return session != nil || s != nil
}

// close closes the connection, after all that it has in the shared log.
func (s *connection) close(cause error) {
	if !s.endLater(cause) {
		s.conn.Close(cause)
	}
}

// topics implements door.Topics.
type topics struct{ home *home }

// Connections implements door.Topics.
func (t topics) Connections(appName string, topic *string) ([]door.Info, door.Asked) {
	list := t.home.connectionsHere(appName, topic)
	if t.home.shared == nil {
		return list, door.Asked{}
	}
	replies, servers := t.home.ask(context.Background(), &question{About: aboutConnections, App: appName, Topic: topic})
	for _, r := range replies {
		list = append(list, r.List...)
	}
	return list, door.Asked{Servers: servers, Answered: 1 + len(replies)}
}

func (h *home) connectionsHere(appName string, topic *string) []door.Info {
	var list []*connection
	if topic == nil {
		list = h.connections.of(appName)
	} else {
		for _, m := range h.mountsNamed(appName) {
			list = append(list, h.members(m, *topic)...)
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
func (t topics) Topics(appName string) ([]door.Topic, door.Asked) {
	list := t.home.topicsHere(appName)
	if t.home.shared == nil {
		return list, door.Asked{}
	}
	replies, servers := t.home.ask(context.Background(), &question{About: aboutTopics, App: appName})
	type name struct{ app, topic string }
	at := make(map[name]int)
	for i, topic := range list {
		at[name{topic.App, topic.Topic}] = i
	}
	for _, r := range replies {
		for _, topic := range r.Topics {
			key := name{topic.App, topic.Topic}
			if i, ok := at[key]; ok {
				list[i].Members += topic.Members
				continue
			}
			at[key] = len(list)
			list = append(list, topic)
		}
	}
	return list, door.Asked{Servers: servers, Answered: 1 + len(replies)}
}

func (h *home) topicsHere(appName string) (list []door.Topic) {
	for name, members := range h.hub.Topics {
		if appName == "" || name.App == appName {
			list = append(list, door.Topic{App: name.App, Topic: name.Name, Members: members})
		}
	}
	return list
}

// Remove implements door.Topics.
func (t topics) Remove(appName, topic string) (removed int) {
	h := t.home
	for _, m := range h.mountsNamed(appName) {
		if m.Name == liveName {
			removed += h.removeRoom(topic)
			continue
		}
		most := h.removeHere(m, topic)
		replies, _ := h.ask(context.Background(), &question{About: aboutRemove, App: m.Name, Topic: &topic})
		for _, r := range replies {
			most = max(most, r.Count)
		}
		removed += most
	}
	return removed
}

// removeHere takes everybody on this server out of a topic of an app other than
// live. It returns how many topics of that name there were: 1 or 0.
func (h *home) removeHere(m *mount, topic string) int {
	members := h.members(m, topic)
	for _, s := range members {
		s.conn.Member.Unsubscribe(hub.Topic{App: m.Name, Name: topic})
		if m.fixed && len(s.conn.Member.Topics(nil)) == 0 {
			s.close(errTopicRemoved)
		}
	}
	return min(len(members), 1)
}

// publishTimeout is how long a publish over HTTP waits for readers to catch up.
const publishTimeout = 5 * time.Second

// Publish implements door.Topics. It publishes data like a client of the
// broadcast app that connects with the request's query.
func (t topics) Publish(r *http.Request, data []byte, may *access.Grant) (heard int, no *door.Refusal) {
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
	effects := m.app.Handle(nil, message)
	if may != nil {
		effects = app.Restrict(effects, message, may)
	}
	for _, e := range effects {
		switch e.Do {
		case app.Reject:
			no := door.BadQuery.Saying(string(e.Data))
			return 0, &no
		case app.Forbid:
			return 0, forbidden(string(e.Data))
		}
		if e.Topics == nil {
			e.Topics = stranger.Topics
		}
		e.Echo = app.EchoSame // there is no sender that could get a copy
		p := new(scratch).publication(m.Name, &e)
		if err := h.publishSoon(ctx, p); err != nil {
			return 0, unpublished(err)
		}
		heard = h.audience(ctx, p.Topics)
	}
	h.metrics.messages.Add(1)
	return heard, nil
}

// publishSoon publishes a message for a request, which waits until it is
// published here.
func (h *home) publishSoon(ctx context.Context, p hub.Publication) error {
	if h.shared == nil {
		return h.patiently(ctx, func() error { return h.publish(p) })
	}
	done := make(chan error, 1)
	own := &sent{done: done}
	if err := h.patiently(ctx, func() error { return h.appendPublication(p, own, nil) }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errUnknown
	}
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
