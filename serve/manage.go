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

func (s *Server) connection(id string) *connection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.connections[id]
}

// Post implements gateway.Connections.
func (s *Server) Post(id string, data []byte) *gateway.Refusal {
	c := s.connection(id)
	if c == nil {
		return &gateway.Gone
	}
	switch err := c.Member.Post(frameOf(data)); {
	case errors.Is(err, hub.ErrFull):
		return &gateway.Full
	case err != nil:
		return &gateway.Gone
	}
	return nil
}

// Info implements gateway.Connections.
func (s *Server) Info(id string) (gateway.Info, bool) {
	c := s.connection(id)
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
		LastActive: time.UnixMilli(c.Active()),
		SourceIP:   c.sourceIP,
		UserAgent:  c.userAgent,
		Unread:     c.Unread(),
	}
}

// Close implements gateway.Connections.
func (s *Server) Close(id string) bool {
	c := s.connection(id)
	if c == nil {
		return false
	}
	c.Conn.Close(errDeleted)
	return true
}

// Connections implements gateway.Topics.
func (s *Server) Connections(appName string, topic *string) []gateway.Info {
	var list []*connection
	if topic == nil {
		list = s.all(appName)
	} else {
		for _, m := range s.mountsNamed(appName) {
			list = append(list, s.members(m, *topic)...)
		}
	}
	infos := make([]gateway.Info, len(list))
	for i, c := range list {
		infos[i] = c.info()
	}
	return infos
}

func (s *Server) all(appName string) (list []*connection) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.connections {
		if appName == "" || c.mount.Name == appName {
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
			c.mu.Unlock()
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
func (s *Server) Publish(r *http.Request, data []byte) *gateway.Refusal {
	m := s.mountsNamed("broadcast")[0]
	stranger := &app.Conn{}
	var topics []string
	for _, e := range m.app.Handle(nil, app.Event{Kind: app.Connect, Conn: stranger, Query: r.URL.Query()}) {
		switch e.Do {
		case app.Reject:
			no := gateway.BadQuery.Saying(string(e.Data))
			return &no
		case app.Subscribe:
			topics = append(topics, e.Topic)
		}
	}
	stranger.Topics = topics

	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	now := time.Now().UnixMilli()
	for _, e := range m.app.Handle(nil, app.Event{Kind: app.Message, Conn: stranger, Now: now, Data: data, Binary: !utf8.Valid(data)}) {
		frame := ws.AppendFrame(nil, opcode(e.Binary), e.Data)
		if err := s.publishPatiently(ctx, appendTopics(nil, m, e.Topics), frame); err != nil {
			return &gateway.Busy
		}
	}
	return nil
}

// publishPatiently publishes, again while the hub is busy.
func (s *Server) publishPatiently(ctx context.Context, topics []hub.Topic, frame []byte) error {
	for {
		relief := s.hub.Relief()
		err := s.hub.Publish(nil, topics, frame, nil)
		if !errors.Is(err, hub.ErrBusy) {
			return err
		}
		select {
		case <-relief:
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
		open[c.mount.Name]++
	}
	return open
}
