package serve

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/ws"
)

// memory implements door.Memory: what topics of live know, over HTTP.
type memory struct{ home *home }

// Say implements door.Memory.
func (m memory) Say(ctx context.Context, topic, user string, data []byte, state *door.State) (door.Said, *door.Refusal) {
	o, no := order(topic, user, data, state)
	if no != nil {
		return door.Said{}, no
	}
	if no := m.home.newTopic(topic); no != nil {
		return door.Said{}, no
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	done, err := m.home.say(ctx, o)
	if err != nil {
		return door.Said{}, unsaid(err)
	}
	m.home.metrics.messages.Add(1)
	if o.Do == app.Say {
		done.said.heard = m.home.audience(ctx, []hub.Topic{{App: liveName, Name: topic}})
	}
	return door.Said{Offset: done.offset, Heard: done.said.heard}, nil
}

// say carries out an order that came over HTTP, on all servers.
func (h *home) say(ctx context.Context, o *app.Order) (done result, err error) {
	if h.shared == nil {
		err = h.patiently(ctx, func() error {
			done = h.sayHere(o)
			return done.err
		})
		return done, err
	}
	rec := packer{ordered}
	rec.text("") // no session
	rec.number(0)
	rec.order(o)
	return h.runErrand(ctx, rec, o)
}

// sayHere carries out an order that came over HTTP, on this server.
func (h *home) sayHere(o *app.Order) (done result) {
	mem := scratches.Get().(*scratch)
	defer mem.free()
	r := h.rooms.lock(o.Topic, false)
	defer r.unlock()
	done.said, done.err = r.say(nil, o, mem)
	if done.err == nil && done.said.number > 0 {
		done.offset = r.offset(done.said.number)
	}
	return done
}

// unsaid returns the answer to a message over HTTP that a room has refused.
func unsaid(err error) *door.Refusal {
	var refused *fault
	switch {
	case errors.As(err, &refused) && refused == errStateFull:
		return &door.StateFull
	case errors.As(err, &refused):
		no := door.BadMessage.Saying(refused.Error())
		return &no
	}
	return unpublished(err)
}

// order reads a message that came over HTTP.
func order(topic, user string, data []byte, state *door.State) (*app.Order, *door.Refusal) {
	o := new(app.Order)
	from := &app.Conn{Topics: []string{topic}, Identity: app.Identity{User: user}}
	ev := app.Event{Kind: app.Message, Conn: from, Now: time.Now().UnixMilli(), Data: data, Binary: !utf8.Valid(data)}
	// A token may name anybody, and a client of a WebSocket would be refused, too.
	_, wrong := app.Live{}.Identify(url.Values{"user": {user}}, nil)
	switch {
	case wrong != "":
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
	defer r.unlockFor(true)
	if m.home.shared == nil {
		r.expire(time.Now())
	}
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
	if m.home.shared != nil {
		done, _ := m.home.runErrand(context.Background(), m.home.request(forgotten, topic), nil)
		return done.count > 0
	}
	r := m.home.rooms.find(topic)
	if r == nil {
		return false
	}
	defer r.unlock()
	r.forget()
	return true
}

// Listen implements door.Memory.
func (m memory) Listen(w http.ResponseWriter, r *http.Request, may *access.Grant) *door.Refusal {
	return m.home.listen(w, r, may)
}

// removeRoom takes everybody out of a topic. It returns how many topics of that
// name there were: 1 or 0.
func (h *home) removeRoom(topic string) int {
	if h.shared != nil {
		done, _ := h.runErrand(context.Background(), h.request(evicted, topic), nil)
		return done.count
	}
	list := h.inRoom(topic)
	for _, s := range list {
		s.evict(topic)
	}
	return min(len(list), 1)
}

// request returns the record of what a request asks for.
func (h *home) request(kind byte, name string) []byte {
	rec := packer{kind}
	rec.text(name)
	return rec
}

// inRoom returns the sessions in a topic, in the order in which they began.
func (h *home) inRoom(topic string) (list []*session) {
	r := h.rooms.find(topic)
	if r == nil {
		return nil
	}
	defer r.unlock()
	for _, all := range [...]map[string]*membership{r.members, r.watched} {
		for _, m := range all {
			list = append(list, m.session)
		}
	}
	slices.SortFunc(list, func(a, b *session) int { return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.id, b.id)) })
	return list
}

// evictNow takes the session out of a topic. If it was its last one, the session
// ends. After hub.ErrBusy it must be called again.
func (s *session) evictNow(topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := s.leave(topic, "kicked")
	if err != nil || text == nil {
		return err
	}
	s.answer(text)
	if len(s.rooms) == 0 {
		s.endNow(errTopicRemoved)
	}
	return nil
}

// evict takes the session out of a topic. If it was its last one, the session
// ends. If there is no room to say so in time, that is done later.
func (s *session) evict(topic string) {
	try := func() error { return s.evictNow(topic) }
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	if s.home.patiently(ctx, try) != nil && !s.home.draining.Load() {
		s.home.connections.force() // the session is half way out
		s.home.farewells.add(try)
	}
}
