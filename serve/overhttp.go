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
	"crier/ws"
)

// memory implements door.Memory: what topics of live know, over HTTP.
type memory struct{ home *home }

// Say implements door.Memory.
func (m memory) Say(ctx context.Context, topic string, data []byte, state *door.State) (door.Said, *door.Refusal) {
	o, no := order(topic, data, state)
	if no != nil {
		return door.Said{}, no
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	mem := scratches.Get().(*scratch)
	defer mem.free()
	var what said
	var offset string
	err := m.home.patiently(ctx, func() (err error) {
		r := m.home.rooms.lock(topic)
		defer r.unlock()
		if what, err = r.say(nil, o, mem); err == nil && what.number > 0 {
			offset = r.offset(what.number)
		}
		return err
	})
	var refused *fault
	switch {
	case errors.As(err, &refused) && refused == errStateFull:
		return door.Said{}, &door.StateFull
	case errors.As(err, &refused):
		no := door.BadMessage.Saying(refused.Error())
		return door.Said{}, &no
	case err != nil:
		return door.Said{}, unpublished(err)
	}
	m.home.metrics.messages.Add(1)
	if o.Do == app.Say {
		what.heard = m.home.hub.Audience([]hub.Topic{{App: liveName, Name: topic}})
	}
	return door.Said{Offset: offset, Heard: what.heard}, nil
}

// order reads a message that came over HTTP.
func order(topic string, data []byte, state *door.State) (*app.Order, *door.Refusal) {
	o := new(app.Order)
	from := &app.Conn{Topics: []string{topic}}
	ev := app.Event{Kind: app.Message, Conn: from, Now: time.Now().UnixMilli(), Data: data, Binary: !utf8.Valid(data)}
	wrong := ""
	switch {
	case len(topic) > app.MaxName || !utf8.ValidString(topic) || topic == "":
		wrong = "a topic's name has 1 to 256 bytes of UTF-8"
	case state != nil && ev.Binary:
		wrong = "state is text: UTF-8"
	case state != nil:
		app.Live{}.Set(o, ev, state.Key, state.Drop)
	default:
		app.Live{}.Message(o, ev)
	}
	switch {
	case wrong != "":
	case o.Do == app.Refuse:
		_, wrong = o.Why()
	case o.Do == app.Enter || o.Do == app.Exit:
		wrong = "only a WebSocket can join or leave"
	case o.Key.Of == app.Tied:
		wrong = "state is tied to a connection, and a request is none"
	}
	if wrong != "" {
		no := door.BadMessage.Saying(wrong)
		return nil, &no
	}
	return o, nil
}

// Read implements door.Memory.
func (m memory) Read(topic string, last int) (texts [][]byte) {
	r := m.home.rooms.find(topic)
	if r == nil {
		return nil
	}
	defer r.unlock()
	r.expire(time.Now())
	if last >= 0 {
		for _, e := range lastOf(m.home.hub.History(r.topics[0], 0), last) {
			texts = append(texts, oneLine(ws.Payload(e.kept.Frame)))
		}
		return texts
	}
	for v := range r.state.After(0) {
		if !v.Drop {
			texts = append(texts, oneLine(ws.Payload(v.Frame)))
		}
	}
	return texts
}

// Forget implements door.Memory.
func (m memory) Forget(topic string) bool {
	r := m.home.rooms.find(topic)
	if r == nil {
		return false
	}
	defer r.unlock()
	r.forget()
	return true
}

// Listen implements door.Memory.
func (m memory) Listen(w http.ResponseWriter, r *http.Request) *door.Refusal {
	return m.home.listen(w, r)
}

// removeRoom takes everybody out of a topic. It returns how many topics of that
// name there were: 1 or 0.
func (h *home) removeRoom(topic string) int {
	r := h.rooms.find(topic)
	if r == nil {
		return 0
	}
	var list []*session
	for _, m := range r.members {
		list = append(list, m.session)
	}
	r.unlock()
	if len(list) == 0 {
		return 0
	}
	for _, s := range list {
		s.evict(topic)
	}
	return 1
}

// evict takes the session out of a topic. If it was its last one, the session
// ends. If there is no room to say so in time, that is done later.
func (s *session) evict(topic string) {
	try := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		text, err := s.leave(topic, "kicked")
		if err != nil || text == nil {
			return err
		}
		if s.at != nil {
			s.at.post(text)
		}
		if len(s.rooms) == 0 {
			s.endNow(errTopicRemoved)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	if s.home.patiently(ctx, try) != nil && !s.home.draining.Load() {
		s.home.connections.force() // the session is half way out
		s.home.farewells.add(try)
	}
}
