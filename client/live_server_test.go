package client

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"crier/ws"
)

// A world is a server of live in memory, without limits. It remembers
// everything, and what it should have forgotten lies below a floor.
type world struct {
	mu       sync.Mutex
	work     func() time.Duration // how long it takes to handle a frame
	sessions map[string]*seat     // by token
	topics   map[string]*place
	count    int // of sessions, and of epochs
	asked    []url.Values
	shown    []string // the header Authorization of each

	taken   map[int]int // how often {"n":…} was published
	order   []int
	refused map[int]bool
	lost    int // sessions with a connection that ended otherwise than by a client's goodbye
}

type seat struct {
	id, user, token string
	said            int
	topics          []string
	echo            bool
	line            *line // nil while it lingers
	ending          *time.Timer
}

type place struct {
	name    string
	epoch   int
	floor   int     // of entries, those before it are forgotten, except state
	entries []entry // in order; an entry's offset is its index and the epoch
	state   map[Key]int
	seats   []*seat
}

type entry struct {
	frame string // without _me and what follows
	from  string
	kind  Kind
	key   Key
	epoch int
	gone  bool // a drop
}

func newWorld() *world {
	return &world{
		work:     func() time.Duration { return 0 },
		sessions: make(map[string]*seat), topics: make(map[string]*place), taken: make(map[int]int), refused: make(map[int]bool),
	}
}

func (p *place) offset(i int, epoch int) string { return fmt.Sprintf("e%04d-%09d", epoch, i) }

func (p *place) head() string { return p.offset(len(p.entries)-1, p.epoch) }

func (w *world) place(name string) *place {
	if w.topics[name] == nil {
		w.topics[name] = &place{name: name, state: make(map[Key]int), epoch: 1}
	}
	return w.topics[name]
}

// linger waits for a session whose connection is over to be resumed.
func (w *world) linger(s *seat) {
	s.line = nil
	s.ending = time.AfterFunc(10*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if s.line == nil && w.sessions[s.token] == s {
			w.lost++
			w.end(s, "lost")
		}
	})
}

func (s *seat) say(format string, a ...any) {
	s.line.frame(ws.Text, fmt.Sprintf(format, a...))
}

// hangUp ends the connection of a session, which lingers, or ends.
func (w *world) hangUp(s *seat, how ws.Close, ends bool) {
	l := s.line
	if l == nil {
		return
	}
	if w.linger(s); ends {
		w.lost++
		w.end(s, "lost")
	}
	l.close(how)
}

// connect begins a session, or continues one.
func (w *world) connect(l *line, q url.Values) {
	w.asked = append(w.asked, q)
	s := w.sessions[q.Get("resume")]
	if s == nil || q.Get("user") != "" && q.Get("user") != s.user {
		w.count++
		s = &seat{id: fmt.Sprintf("id%d", w.count), token: fmt.Sprintf("token%d", w.count), user: q.Get("user"), echo: q.Get("echo") != "0"}
		w.sessions[s.token] = s
	}
	old := s.line
	if s.line, l.seat = l, s; old != nil {
		old.close(ws.Close{Code: ws.PolicyViolation, Reason: "taken-over: another connection continues the session"})
	}
	if s.ending != nil {
		s.ending.Stop()
	}
	named := q["topic"]
	for _, name := range s.topics {
		if !slices.Contains(named, name) {
			named = append(named, name)
		}
	}
	for i, name := range named {
		since := ""
		switch all := q["since"]; {
		case len(all) == 1:
			since = all[0]
		case i < len(all):
			since = all[i]
		}
		w.enter(s, name)
		w.greet(s, name, since, q.Get("last"))
	}
	s.topics = named
}

// enter brings a session into a topic.
func (w *world) enter(s *seat, name string) {
	p := w.place(name)
	if slices.Contains(p.seats, s) {
		return
	}
	p.seats = append(p.seats, s)
	s.topics = append(s.topics, name)
	w.publish(p, entry{kind: Joined, from: s.id, frame: fmt.Sprintf(`{"_join":{"id":%q,"user":%q,"same":0},"_topic":%q`, s.id, s.user, name)})
}

// leave takes a session out of a topic.
func (w *world) leave(s *seat, name, why string) {
	p := w.place(name)
	for _, key := range slices.SortedFunc(maps.Keys(p.state), func(a, b Key) int { return strings.Compare(a.Name, b.Name) }) {
		if key.Scope == Tied && key.Of == s.id {
			w.publish(p, entry{kind: Said, key: key, gone: true, frame: fmt.Sprintf(`{"_key":%q,"_tied":true,"_drop":true,"_topic":%q,"_from":%q`, key.Name, name, s.id)})
		}
	}
	e := entry{kind: Left, from: s.id, frame: fmt.Sprintf(`{"_leave":{"id":%q,"same":0,"why":%q},"_topic":%q`, s.id, why, name)}
	p.seats = slices.DeleteFunc(p.seats, func(other *seat) bool { return other == s })
	s.topics = slices.DeleteFunc(slices.Clone(s.topics), func(other string) bool { return other == name })
	w.publish(p, e)
	s.say(`%s,"_offset":%q,"_now":1}`, e.frame, p.head())
}

func (w *world) end(s *seat, why string) {
	delete(w.sessions, s.token)
	for _, name := range s.topics {
		w.leave(s, name, why)
	}
}

// publish adds an entry to a topic and tells everybody in it.
func (w *world) publish(p *place, e entry) {
	e.epoch = p.epoch
	p.entries = append(p.entries, e)
	i := len(p.entries) - 1
	if (e.key != Key{}) {
		if p.state[e.key] = i; e.gone {
			delete(p.state, e.key)
		}
	}
	for _, s := range p.seats {
		if !e.gone && e.kind != Said && e.from == s.id || e.kind == Said && e.from == s.id && !s.echo {
			continue
		}
		s.say("%s", p.frame(i, s.id))
	}
}

// frame is what a client receives of an entry.
func (p *place) frame(i int, to string) string {
	e := p.entries[i]
	me := ""
	if e.kind == Said {
		me = fmt.Sprintf(`,"_me":%v`, e.from == to)
	}
	return fmt.Sprintf(`%s,"_offset":%q,"_now":1%s}`, e.frame, p.offset(i, e.epoch), me)
}

func (p *place) here() []Member {
	list := []Member{}
	for _, s := range p.seats {
		list = append(list, Member{s.id, s.user})
	}
	return list
}

// greet sends a greeting and a replay.
func (w *world) greet(s *seat, name, since, last string) {
	p := w.place(name)
	epoch, from := 0, -1
	fmt.Sscanf(since, "e%d-%d", &epoch, &from)
	missed := since != "" && (epoch != p.epoch || from+1 < p.floor)
	var here []string
	for _, m := range p.here() {
		here = append(here, fmt.Sprintf(`{"id":%q,"user":%q}`, m.ID, m.User))
	}
	s.say(`{"_hello":{"id":%q,"user":%q,"resume":%q,"offset":%q,"missed":%v,"said":%d,"count":%d,"here":[%s]},"_topic":%q,"_now":1}`,
		s.id, s.user, s.token, p.head(), missed, s.said, len(here), strings.Join(here, ","), name)
	begin := p.floor
	if since == "" {
		n := 0
		fmt.Sscan(last, &n)
		for begin = len(p.entries); begin > p.floor && n > 0; {
			if begin--; p.entries[begin].kind == Said && p.entries[begin].key == (Key{}) {
				n--
			}
		}
	}
	for i, e := range p.entries {
		state := e.kind == Said && e.key != Key{} && !e.gone && p.state[e.key] == i
		kept := i >= begin && e.kind == Said && e.key == Key{}
		if since != "" && !missed {
			if i <= from {
				continue
			}
			kept = true
		}
		if !kept && !state || e.kind != Said && e.from == s.id || e.kind == Said && e.from == s.id && !s.echo {
			continue
		}
		s.say("%s", p.frame(i, s.id))
	}
	s.say(`{"_ready":true,"_topic":%q,"_offset":%q,"_now":1}`, name, p.head())
}

// forget empties a topic, in a new epoch.
func (w *world) forget(p *place) {
	p.epoch++
	p.floor, p.state = len(p.entries), make(map[Key]int)
	for _, s := range p.seats {
		w.greet(s, p.name, "unknown", "")
	}
}

// A request is what a client sends, as far as a world understands it.
type request struct {
	Topic, Key, Join, Leave *string
	N                       int
	Tied, Own, Drop, Refuse bool
	Keep                    *bool
	To                      []string
	Last                    int
	Since                   string

	body map[string]json.RawMessage // the rest
}

func readRequest(data []byte) (m request) {
	object := make(map[string]json.RawMessage)
	if json.Unmarshal(data, &object) != nil {
		object = map[string]json.RawMessage{"data": json.RawMessage(fmt.Sprintf("%q", data))}
	}
	words := make(map[string]json.RawMessage)
	m.body = make(map[string]json.RawMessage)
	for name, value := range object {
		word, own := strings.CutPrefix(name, "_")
		if words[word] = value; !own {
			m.body[name] = value
		}
	}
	text, _ := json.Marshal(words)
	json.Unmarshal(text, &m)
	return m
}

// handle takes a message of a session.
func (w *world) handle(s *seat, data []byte, binary bool) {
	s.said++
	if binary {
		w.binary(s, data)
		return
	}
	m, topic := readRequest(data), ""
	if len(s.topics) > 0 {
		topic = s.topics[0]
	}
	if m.Topic != nil {
		topic = *m.Topic
	}
	refuse := func(why string) {
		w.refused[m.N] = true
		s.say(`{"_error":{"name":%q,"text":"no"},"_now":1}`, why)
	}
	switch {
	case m.Join != nil && strings.HasPrefix(*m.Join, "forbidden"):
		refuse("forbidden")
	case m.Join != nil:
		w.enter(s, *m.Join)
		w.greet(s, *m.Join, m.Since, fmt.Sprint(m.Last))
	case m.Leave != nil && !slices.Contains(s.topics, *m.Leave), m.Leave == nil && !slices.Contains(s.topics, topic):
		refuse("not-in-topic")
	case m.Leave != nil:
		w.leave(s, *m.Leave, "left")
	case m.Refuse:
		refuse("state-full")
	default:
		if m.N > 0 {
			w.taken[m.N]++
			w.order = append(w.order, m.N)
		}
		w.carryOut(s, w.place(topic), m)
	}
}

// carryOut publishes a message, or sends it to some.
func (w *world) carryOut(s *seat, p *place, m request) {
	text, _ := json.Marshal(m.body)
	e := entry{kind: Said, from: s.id, gone: m.Drop, frame: strings.TrimSuffix(string(text), "}")}
	add := func(format string, a ...any) {
		if e.frame != "{" {
			e.frame += ","
		}
		e.frame += fmt.Sprintf(format, a...)
	}
	if m.Key != nil {
		e.key = Key{Name: *m.Key}
		add(`"_key":%q`, *m.Key)
	}
	switch {
	case m.Tied:
		e.key.Scope, e.key.Of = Tied, s.id
		add(`"_tied":true`)
	case m.Own:
		e.key.Scope, e.key.Of = Owned, s.user
		add(`"_own":true`)
	}
	if m.Drop {
		add(`"_drop":true`)
	}
	add(`"_topic":%q,"_user":%q,"_from":%q`, p.name, s.user, s.id)
	if m.To == nil && m.Keep == nil {
		w.publish(p, e)
		return
	}
	for _, other := range p.seats {
		if m.To == nil && other != s || slices.Contains(m.To, other.id) || slices.Contains(m.To, other.user) || other == s && s.echo {
			other.say(`%s,"_now":1,"_me":%v}`, e.frame, other == s)
		}
	}
}

func (w *world) binary(s *seat, data []byte) {
	n := 0
	fmt.Sscan(string(data), &n)
	if len(s.topics) != 1 {
		w.refused[n] = true
		s.say(`{"_error":{"name":"bad-member","text":"no"},"_now":1}`)
		return
	}
	w.taken[n]++
	w.order = append(w.order, n)
	for _, other := range w.place(s.topics[0]).seats {
		if other != s || s.echo {
			other.line.frame(ws.Binary, string(data))
		}
	}
}
