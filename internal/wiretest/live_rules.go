package wiretest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A liveQuery is the address of a client of /live.
type liveQuery struct {
	topics   []string
	user     string
	last     int
	since    []string // none, one for all topics, or one for each
	presence string
	echo     bool
}

// readQuery reads an address such as /live?topic=a.
func readQuery(path string) (liveQuery, error) {
	u, err := url.Parse(path)
	if err != nil {
		return liveQuery{}, err
	}
	v := u.Query()
	q := liveQuery{topics: v["topic"], user: v.Get("user"), since: v["since"], presence: v.Get("presence"), echo: v.Get("echo") != "0"}
	if text := v.Get("last"); text != "" {
		if q.last, err = strconv.Atoi(text); err != nil || q.last < 0 {
			return q, fmt.Errorf("last=%s is no number", text)
		}
	}
	switch n := len(q.since); {
	case len(q.topics) == 0 || len(q.topics) > 64:
		return q, fmt.Errorf("there are %d topics", len(q.topics))
	case n > 1 && n != len(q.topics):
		return q, fmt.Errorf("%d offsets for %d topics", n, len(q.topics))
	case len(q.user) > 64 || isID(q.user) || strings.ContainsFunc(q.user, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return q, fmt.Errorf("no name: %q", q.user)
	case !slices.Contains([]string{"", "0", "1", "seen", "told"}, q.presence):
		return q, fmt.Errorf("presence=%s", q.presence)
	}
	if q.presence == "" && q.user != "" {
		q.presence = "1"
	}
	return q, nil
}

// isID reports whether a name has the shape of a connection id.
func isID(name string) bool {
	value, ok := candidate("id", name, true)
	return ok && value == name && strings.HasSuffix(name, "=")
}

// An ask says where a client wants to begin in a topic.
type ask struct {
	topic string
	last  int
	since string // nothing: last counts
}

// open begins a connection, or goes on with the session of another one unless
// that has ended or is somebody else's. It returns the topics to greet.
func (w *world) open(conn int, q liveQuery, resumes string) (asks []ask) {
	s := w.sessions[resumes]
	if s == nil || s.ended || q.user != "" && q.user != s.user {
		w.created++
		s = &liveSession{
			name: fmt.Sprint("s", w.created), user: q.user, echo: q.echo,
			seen: q.presence == "1" || q.presence == "seen", told: q.presence == "1" || q.presence == "told",
		}
		w.sessions[s.name] = s
	} else if !s.gone {
		w.send(output{conn: s.conn, stream: "close", frame: "close 1008 taken-over: <any>"})
	}
	delete(w.conns, s.conn)
	s.conn, s.gone, s.why = conn, false, ""
	w.conns[conn] = s.name
	old := s.topics
	s.waits = slices.Clone(old)
	s.topics = slices.Clone(q.topics)
	for i, topic := range q.topics {
		a := ask{topic: topic, last: q.last}
		switch len(q.since) {
		case 0:
		case 1:
			a.since = q.since[0]
		default:
			a.since = q.since[i]
		}
		asks = append(asks, a)
	}
	for _, topic := range old {
		if !slices.Contains(q.topics, topic) {
			s.topics = append(s.topics, topic)
			a := ask{topic: topic, last: q.last}
			if len(q.since) == 1 {
				a.since = q.since[0]
			}
			asks = append(asks, a)
		}
	}
	return asks
}

// greet brings a connection into a topic, if it is not there yet, and sends it
// the greeting, the replay and _ready.
func (w *world) greet(conn int, a ask, answer bool) {
	s, r := w.of(conn), w.room(a.topic)
	joins := !slices.Contains(r.members, s.name)
	if joins {
		w.join(s, r)
	}
	head := w.head(r, joins && s.seen)
	s.waits = slices.DeleteFunc(s.waits, func(topic string) bool { return topic == r.name })
	list, missed := r.kept(a.last), false
	if a.since != "" {
		complete := false
		if list, complete = w.after(r, a.since); !complete {
			list, missed = r.kept(w.history), true
		}
	}
	here, count := w.here(r)
	w.send(output{conn: conn, stream: r.name, answer: answer, frame: fmt.Sprintf(
		`{"_hello":{%s,"resume":"<token>","offset":"%s","missed":%t,"said":%d,"count":%d,"here":%s},"_topic":"%s","_now":<now>}`,
		s.face(), head, missed, s.said, count, here, r.name)})
	for _, e := range list {
		w.replay(s, r, e)
	}
	w.send(output{conn: conn, stream: r.name, frame: fmt.Sprintf(`{"_ready":true,"_topic":"%s","_offset":"%s","_now":<now>}`, r.name, head)})
}

// replay sends an entry once more.
func (w *world) replay(s *liveSession, r *liveRoom, e entry) {
	o := output{conn: s.conn, stream: r.name, frame: e.frame}
	switch presence := e.kind == joined || e.kind == left; {
	case presence && (!s.told || e.from == s.name):
		return
	case e.from == s.name && !presence:
		if !s.echo {
			return
		}
		o.frame = strings.TrimSuffix(e.frame, "false}") + "true}"
	}
	w.send(o)
}

// join brings a session into a topic.
func (w *world) join(s *liveSession, r *liveRoom) {
	same := w.same(r, s)
	r.members = append(r.members, s.name)
	if !slices.Contains(s.topics, r.name) {
		s.topics = append(s.topics, r.name)
	}
	if s.seen {
		w.announce(r, s, joined, fmt.Sprintf(`{"_join":{%s,"same":%d}`, s.face(), same), false)
	}
}

// depart takes a session out of a topic, and drops what it has tied there.
func (w *world) depart(d departure, answer bool) {
	s, r := w.sessions[d.session], w.room(d.topic)
	w.leaving = slices.DeleteFunc(w.leaving, func(o departure) bool { return o == d })
	for _, e := range r.states() {
		if key, tied := strings.CutPrefix(e.state, "tied by "+s.name+": "); tied {
			w.dropTied(r, s, key, e.state)
		}
	}
	r.members = slices.DeleteFunc(r.members, func(name string) bool { return name == s.name })
	s.topics = slices.DeleteFunc(s.topics, func(topic string) bool { return topic == r.name })
	head := fmt.Sprintf(`{"_leave":{%s,"same":%d,"why":"%s"}`, s.face(), w.same(r, s), d.why)
	switch {
	case s.seen:
		w.announce(r, s, left, head, answer)
	case answer: // for nobody else
		w.send(output{conn: s.conn, stream: r.name, answer: true, frame: fmt.Sprintf(
			`%s,"_topic":"%s","_offset":"%s","_now":<now>}`, head, r.name, w.head(r, false))})
	}
}

// announce publishes a _join or a _leave, to the session itself as an answer
// only.
func (w *world) announce(r *liveRoom, s *liveSession, kind entryKind, head string, answer bool) {
	r.count++
	frame := fmt.Sprintf(`%s,"_topic":"%s","_offset":"%s",%s}`, head, r.name, r.at(r.count), r.now(r.count))
	w.record(r, entry{kind: kind, from: s.name, frame: frame})
	for _, l := range w.listeners(r) {
		if l.told && l != s {
			w.send(output{conn: l.conn, stream: r.name, frame: frame})
		}
	}
	if answer {
		w.send(output{conn: s.conn, stream: r.name, frame: frame, answer: true})
	}
}

// dropTied drops what a session that leaves has tied.
func (w *world) dropTied(r *liveRoom, s *liveSession, key, state string) {
	r.count++
	stamps := fmt.Sprintf(`"_topic":"%s",%%s"_from":"<id:%s>","_offset":"%s",%s,"_me":false}`, r.name, s.name, r.at(r.count), r.now(r.count))
	start := fmt.Sprintf(`{"_key":"%s","_tied":true,"_drop":true,`, key)
	frame := start + fmt.Sprintf(stamps, userStamp(s.user))
	w.record(r, entry{kind: dropped, from: s.name, state: state, frame: frame})
	for _, l := range w.listeners(r) {
		w.send(output{conn: l.conn, stream: r.name, frame: frame, maybe: l == s})
	}
}

func userStamp(user string) string {
	if user == "" {
		return ""
	}
	quoted, _ := json.Marshal(user)
	return fmt.Sprintf(`"_user":%s,`, quoted)
}

// end ends a session: from now on it cannot be resumed. It leaves its topics
// one after the other.
func (w *world) end(s *liveSession, why string) {
	s.ended, s.gone = true, true
	delete(w.conns, s.conn)
	for _, topic := range s.topics {
		w.leaving = append(w.leaving, departure{s.name, topic, why})
	}
}

// forget deletes a topic's history and state.
func (w *world) forget(topic string) {
	r := w.room(topic)
	r.epoch, r.count, r.floor, r.entries, r.all = r.epoch+1, 0, 0, nil, nil
	for _, s := range w.listeners(r) {
		w.greet(s.conn, ask{topic: topic, since: "unknown"}, false)
	}
}
