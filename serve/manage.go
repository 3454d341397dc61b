package serve

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"crier/app"
	"crier/gateway"
	"crier/hub"
	"crier/ws"
)

// peer returns the connection with that id, or nil.
func (s *Server) peer(id string) peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.connections[id]
}

// Post implements gateway.Connections.
func (s *Server) Post(id string, data []byte) *gateway.Refusal {
	c := s.peer(id)
	if c == nil {
		return &gateway.Gone
	}
	switch err := c.socket().Post(frameOf(data)); {
	case errors.Is(err, hub.ErrFull):
		return &gateway.Full
	case err != nil:
		return &gateway.Gone
	}
	return nil
}

// Info implements gateway.Connections.
func (s *Server) Info(id string) (gateway.Info, bool) {
	c := s.peer(id)
	if c == nil {
		return gateway.Info{}, false
	}
	return c.info(), true
}

func (c *connection) info() gateway.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return gateway.Info{
		ID:         c.state.ID,
		App:        c.mount.Name,
		User:       c.state.User,
		Topics:     c.state.Topics,
		Connected:  time.UnixMilli(c.connected),
		LastActive: c.Active(),
		SourceIP:   c.sourceIP,
		UserAgent:  c.userAgent,
		Unread:     c.Unread(),
	}
}

// Close implements gateway.Connections. Nobody finds the connection any more, while it takes its leave.
func (s *Server) Close(id string) bool {
	c := s.take(id)
	if c == nil {
		return false
	}
	c.socket().Close(errDeleted)
	return true
}

// take returns a connection and has others not find it.
func (s *Server) take(id string) peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.connections[id]
	delete(s.connections, id)
	return c
}

// Connections implements gateway.Topics.
func (s *Server) Connections(appName string, topic *string) []gateway.Info {
	var list []peer
	if topic == nil {
		list = s.all(appName)
	} else {
		for _, m := range s.mountsNamed(appName) {
			for _, c := range s.members(m, *topic) {
				list = append(list, c)
			}
		}
	}
	infos := make([]gateway.Info, len(list))
	for i, c := range list {
		infos[i] = c.info()
	}
	return infos
}

func (s *Server) all(appName string) (list []peer) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.connections {
		if appName == "" || c.app() == appName {
			list = append(list, c)
		}
	}
	return list
}

func (s *Server) members(m *mount, topic string) (list []*connection) {
	s.hub.Members(hub.Topic{App: m.Name, Name: topic}, func(conn hub.Conn) bool {
		list = append(list, connectionOf(conn))
		return true
	})
	return list
}

// Topics implements gateway.Topics.
func (s *Server) Topics(appName string) []gateway.Topic {
	var list []gateway.Topic
	for name, members := range s.hub.Topics {
		if appName == "" || name.App == appName {
			list = append(list, gateway.Topic{App: name.App, Topic: name.Name, Members: members})
		}
	}
	return list
}

// Remove implements gateway.Topics.
func (s *Server) Remove(appName, topic string) int {
	removed := 0
	for _, m := range s.mountsNamed(appName) {
		members := s.members(m, topic)
		for _, c := range members {
			c.mu.Lock()
			c.unsubscribe(topic)
			deaf := m.fixed && len(c.state.Topics) == 0
			c.mu.Unlock()
			if deaf {
				c.socket().Close(errTopicRemoved)
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

// Publish implements gateway.Topics: it says data as a client of the broadcast app would that connects with the
// request's query.
func (s *Server) Publish(r *http.Request, data []byte) (heard int, no *gateway.Refusal) {
	m := s.mountsNamed("broadcast")[0]
	stranger := &app.Conn{}
	var topics []string
	for _, e := range m.app.Handle(nil, app.Event{Kind: app.Connect, Conn: stranger, Query: r.URL.Query()}) {
		switch e.Do {
		case app.Reject:
			no := gateway.BadQuery.Saying(string(e.Data))
			return 0, &no
		case app.Subscribe:
			topics = append(topics, e.Topic)
		}
	}
	stranger.Topics = topics

	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	now := time.Now().UnixMilli()
	for _, e := range m.app.Handle(nil, app.Event{Kind: app.Message, Conn: stranger, Now: now, Data: data, Binary: !utf8.Valid(data)}) {
		if e.Do == app.Reject {
			no := gateway.BadQuery.Saying(string(e.Data))
			return 0, &no
		}
		p := hub.Publication{
			Topics: appendTopics(nil, m, e.Topics),
			Frame:  ws.AppendFrame(nil, opcode(e.Binary), e.Data),
		}
		switch err := s.publishPatiently(ctx, p); {
		case errors.Is(err, hub.ErrTooLarge):
			no := gateway.TooLarge.Saying(noMemoryEver)
			return 0, &no
		case err != nil:
			return 0, &gateway.Busy
		}
		heard = s.hub.Audience(p.Topics)
	}
	s.metrics.messages.Add(1)
	return heard, nil
}

// publishPatiently publishes, again while the hub is busy.
func (s *Server) publishPatiently(ctx context.Context, p hub.Publication) error {
	for {
		retry := s.hub.Retry()
		err := s.hub.Publish(p)
		if !errors.Is(err, hub.ErrBusy) {
			return err
		}
		select {
		case <-retry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stats is what /stats tells.
func (s *Server) stats() gateway.Stats {
	hub, transport := s.hub.Stats(), s.transport.Stats()
	return gateway.Stats{
		Now:         time.Now().UnixMilli(),
		Connections: s.openByApp(),
		Topics:      hub.Topics,
		Messages:    s.metrics.messages.Load(),
		Deliveries:  hub.Delivered,
		BytesIn:     transport.BytesIn,
		BytesOut:    transport.BytesOut,
		Backlog:     hub.LogBytes,
	}
}

// openByApp counts the connections of each app.
func (s *Server) openByApp() map[string]int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	open := make(map[string]int)
	for _, c := range s.connections {
		open[c.app()]++
	}
	return open
}
