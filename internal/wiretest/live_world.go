package wiretest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A world is the slow model of /live: topics and sessions, and the rules of
// the wire applied to one command after another. What it sends are templates:
// it does not know which ids, offsets, tokens and times the server chooses. It
// knows no sockets and no clock. Commands are in live_rules.go.
type world struct {
	rooms    map[string]*liveRoom
	sessions map[string]*liveSession
	conns    map[int]string // the session of each connection
	history  int            // --history
	values   *bindings      // of what was sent so far
	leaving  []departure
	created  int      // sessions
	passed   int      // messages that are not kept
	heads    int      // greetings
	out      []output // of the latest command
}

// A liveSession is what a resume token stands for.
type liveSession struct {
	name   string // <id:name> is its id
	user   string
	topics []string
	waits  []string // topics that its connection has not been greeted in yet
	said   int
	conn   int
	gone   bool   // its connection has ended, and it lingers
	why    string // it is gone
	ended  bool

	seen, told, echo bool
}

// A liveRoom is a topic.
type liveRoom struct {
	name    string
	epoch   int
	members []string // sessions, oldest first
	count   int      // entries that there have been
	entries []entry
	all     []entry // messages that there have been, also forgotten ones
	floor   int     // entries below this number may have been forgotten
}

// An entry is what has a place in a topic's order.
type entry struct {
	n     int
	kind  entryKind
	from  string // session; nothing for what came over HTTP
	state string // which state: unique among all keys, users and sessions
	frame string // the others' copy
}

type entryKind string

const (
	message entryKind = "message"
	state   entryKind = "state"
	dropped entryKind = "drop"
	joined  entryKind = "join"
	left    entryKind = "leave"
)

// An output is a frame to a connection.
type output struct {
	conn   int
	stream string // the topic, or "error", or "close": streams have an order each
	frame  string
	other  string // another template that will do, if any
	answer bool   // it answers what the connection sent
	maybe  bool   // it need not come
}

// A departure is a session's way out of a topic.
type departure struct{ session, topic, why string }

func newWorld(history int) *world {
	return &world{
		rooms: make(map[string]*liveRoom), sessions: make(map[string]*liveSession), conns: make(map[int]string),
		history: history, values: newBindings(),
	}
}

// clone copies everything but the values.
func (w *world) clone() *world {
	c := *w
	c.rooms, c.sessions, c.conns = maps.Clone(w.rooms), maps.Clone(w.sessions), maps.Clone(w.conns)
	for name, r := range c.rooms {
		copied := *r
		copied.members, copied.entries = slices.Clone(r.members), slices.Clip(r.entries)
		copied.all = slices.Clip(r.all)
		c.rooms[name] = &copied
	}
	for name, s := range c.sessions {
		copied := *s
		copied.topics, copied.waits = slices.Clone(s.topics), slices.Clone(s.waits)
		c.sessions[name] = &copied
	}
	c.leaving, c.out = slices.Clone(w.leaving), nil
	return &c
}

func (w *world) room(name string) *liveRoom {
	r := w.rooms[name]
	if r == nil {
		r = &liveRoom{name: name}
		w.rooms[name] = r
	}
	return r
}

// of returns the session of a connection.
func (w *world) of(conn int) *liveSession { return w.sessions[w.conns[conn]] }

// send sends a frame to a connection.
func (w *world) send(o output) { w.out = append(w.out, o) }

// listeners are the sessions in a room that have a connection, which has been
// greeted there.
func (w *world) listeners(r *liveRoom) (list []*liveSession) {
	for _, name := range r.members {
		if s := w.sessions[name]; !s.gone && !s.ended && !slices.Contains(s.waits, r.name) {
			list = append(list, s)
		}
	}
	return list
}

// at is the placeholder of an entry's offset, now that of its time.
func (r *liveRoom) at(n int) string  { return fmt.Sprintf("<at:%s/%d>", r.label(), n) }
func (r *liveRoom) now(n int) string { return fmt.Sprintf(`"_now":<now:%s/%d>`, r.label(), n) }

// label is the room's name and epoch.
func (r *liveRoom) label() string { return fmt.Sprintf("%s.%d", r.name, r.epoch) }

// head is the placeholder of a greeting's offset, after the room's latest
// entry. If that is the session's own join, it may also be before it.
func (w *world) head(r *liveRoom, joins bool) string {
	w.heads++
	kind := "head"
	if joins {
		kind = "mid"
	}
	return fmt.Sprintf("<%s:%s/%d/%d>", kind, r.label(), r.count, w.heads)
}

// record gives an entry its place: it is number r.count then. State takes the
// place of what it replaces, and so does its drop.
func (w *world) record(r *liveRoom, e entry) {
	e.n = r.count
	if e.state != "" {
		r.entries = slices.DeleteFunc(slices.Clone(r.entries), func(old entry) bool { return old.state == e.state })
	}
	r.entries = append(r.entries, e)
	if e.kind == message {
		r.all = append(r.all, e)
	}
	w.trim(r)
}

// trim forgets the oldest messages beyond the history, and the joins, leaves
// and drops that are older than all that is left of it.
func (w *world) trim(r *liveRoom) {
	messages := 0
	for i := len(r.entries) - 1; i >= 0; i-- {
		if r.entries[i].kind != message {
			continue
		}
		if messages++; messages <= w.history {
			continue
		}
		r.floor = r.entries[i].n + 1
		r.entries = slices.DeleteFunc(slices.Clone(r.entries), func(e entry) bool { return e.n < r.floor && e.kind != state })
		return
	}
}

// after returns the entries after an offset, and whether nothing was forgotten
// of them.
func (w *world) after(r *liveRoom, offset string) (list []entry, complete bool) {
	first := 1 // the number of the first entry after the offset
	for _, p := range w.values.order[r.label()] {
		switch {
		case p.text > offset:
		case p.kind == "mid" && w.values.value[strings.Trim(r.at(p.entry), "<>")] > offset:
			first = max(first, p.entry)
		default:
			first = max(first, p.entry+1)
		}
	}
	if !w.knows(r, offset) || first < r.floor {
		return nil, false
	}
	for _, e := range r.entries {
		if e.n >= first {
			list = append(list, e)
		}
	}
	return list, true
}

// knows reports whether an offset is of a room's epoch. All rooms that nobody
// has deleted the history of have one epoch.
func (w *world) knows(r *liveRoom, offset string) bool {
	for label, places := range w.values.order {
		if len(places) > 0 && (label == r.label() || r.epoch == 0 && strings.HasSuffix(label, ".0")) {
			return sameEpoch(places[0].text, offset)
		}
	}
	return false
}

func sameEpoch(a, b string) bool {
	a, _, _ = strings.Cut(a, "-")
	b, _, _ = strings.Cut(b, "-")
	return a == b
}

// kept are a room's state and history, without the messages but for the last
// of them.
func (r *liveRoom) kept(last int) (list []entry) {
	for _, e := range slices.Backward(r.entries) {
		if e.kind == message {
			last--
		}
		if e.kind == state || e.kind == message && last >= 0 {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.n, b.n) })
	return list
}

// states are the entries of state.
func (r *liveRoom) states() []entry { return r.kept(0) }

// here is a room's list of those who are seen, and how many they are.
func (w *world) here(r *liveRoom) (list string, count int) {
	var faces []string
	for _, name := range r.members {
		if s := w.sessions[name]; s.seen {
			faces = append(faces, "{"+s.face()+"}")
		}
	}
	return "[" + strings.Join(faces, ",") + "]", len(faces)
}

// face is what others see of a session.
func (s *liveSession) face() string {
	if s.user == "" {
		return fmt.Sprintf(`"id":"<id:%s>"`, s.name)
	}
	quoted, _ := json.Marshal(s.user)
	return fmt.Sprintf(`"id":"<id:%s>","user":%s`, s.name, quoted)
}

// same counts the other sessions of a session's user in a room.
func (w *world) same(r *liveRoom, s *liveSession) (n int) {
	for _, name := range r.members {
		if o := w.sessions[name]; o != s && s.user != "" && o.user == s.user && o.seen {
			n++
		}
	}
	return n
}
