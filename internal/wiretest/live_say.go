package wiretest

import (
	"fmt"
	"slices"
	"strings"
)

// say is a message of a connection.
func (w *world) say(conn int, text string) {
	s := w.of(conn)
	s.said++
	m := readLive(text)
	if m.topic == "" && len(s.topics) > 0 {
		m.topic = s.topics[0]
	}
	topic := m.topic
	if m.known["_leave"] {
		topic = m.leave
	}
	in := slices.Contains(s.topics, topic)
	switch {
	case m.bad != "" && (m.twice || in || m.known["_join"] || m.known["_leave"]):
		w.refuse(s, m, "bad-member")
	case m.known["_join"]:
		w.greet(conn, ask{topic: m.join, last: m.last, since: m.since}, true)
	case !in:
		w.refuse(s, m, "not-in-topic")
	case m.known["_leave"]:
		w.depart(departure{s.name, topic, "left"}, true)
	case m.known["_to"]:
		w.whisper(s, m)
	case m.own && s.user == "":
		w.refuse(s, m, "no-user")
	case m.tied && !m.drop && w.tied(s, m) >= 64:
		w.refuse(s, m, "too-many-keys")
	default:
		w.publish(s, m)
	}
}

// refuse answers with an error.
func (w *world) refuse(s *liveSession, m *liveMessage, name string) {
	id := ""
	if m.known["_id"] {
		id = `"_id":` + m.id + ","
	}
	text := "<any>"
	if name == "nobody" && len(m.to) == 1 {
		text = fmt.Sprintf("nobody called %s is in this topic", m.to[0])
	}
	frame := fmt.Sprintf(`{"_error":{"name":"%s","text":"%s"},%s"_now":<now>}`, name, text, id)
	w.send(output{conn: s.conn, stream: "error", frame: frame, answer: true})
}

// tied counts a session's tied keys apart from that of the message.
func (w *world) tied(s *liveSession, m *liveMessage) (n int) {
	for _, r := range w.rooms {
		for _, e := range r.states() {
			if strings.HasPrefix(e.state, "tied by "+s.name+": ") && (r.name != m.topic || e.state != m.stateOf(s)) {
				n++
			}
		}
	}
	return n
}

// stateOf names the state that a message is about.
func (m *liveMessage) stateOf(s *liveSession) string {
	switch {
	case m.tied:
		return "tied by " + s.name + ": " + m.key
	case m.own:
		return "owned by " + s.user + ": " + m.key
	}
	return "shared: " + m.key
}

// publish sends a message to a topic. Without a session it came over HTTP.
func (w *world) publish(s *liveSession, m *liveMessage) {
	r := w.room(m.topic)
	middle := fmt.Sprintf(`"_topic":"%s"`, r.name)
	from, now := "", w.passingNow()
	if s != nil {
		from = s.name
		if !m.unkept {
			middle += "," + strings.TrimSuffix(userStamp(s.user), ",")
		}
		middle = strings.TrimSuffix(middle, ",") + fmt.Sprintf(`,"_from":"<id:%s>"`, from)
	}
	if !m.unkept {
		r.count++
		middle += fmt.Sprintf(`,"_offset":"%s"`, r.at(r.count))
		now = r.now(r.count)
	}
	others, mine := m.frame(middle, now, false), m.frame(middle, now, true)
	if !m.unkept {
		e := entry{kind: message, from: from, frame: others}
		if m.known["_key"] {
			e.kind, e.state = state, m.stateOf(s)
		}
		if m.drop {
			e.kind = dropped
		}
		w.record(r, e)
	}
	w.spread(r, s, w.listeners(r), mine, others)
}

// passingNow is the time of a message that is not kept, in all its copies.
func (w *world) passingNow() string {
	w.passed++
	return fmt.Sprintf(`"_now":<now:passing %d>`, w.passed)
}

// spread sends a message to listeners, and to its sender if that wants it.
func (w *world) spread(r *liveRoom, s *liveSession, to []*liveSession, mine, others string) {
	if s != nil && s.echo {
		w.send(output{conn: s.conn, stream: r.name, frame: mine, answer: true})
	}
	for _, l := range to {
		if l != s {
			w.send(output{conn: l.conn, stream: r.name, frame: others})
		}
	}
}

// whisper sends a message to some.
func (w *world) whisper(s *liveSession, m *liveMessage) {
	r := w.room(m.topic)
	somebody := false
	for _, name := range r.members {
		somebody = somebody || m.isTo(w, w.sessions[name])
	}
	if !somebody {
		w.refuse(s, m, "nobody")
		return
	}
	middle := fmt.Sprintf(`"_topic":"%s",%s"_from":"<id:%s>"`, r.name, userStamp(s.user), s.name)
	to := slices.DeleteFunc(w.listeners(r), func(l *liveSession) bool { return !m.isTo(w, l) })
	now := w.passingNow()
	w.spread(r, s, to, m.frame(middle, now, true), m.frame(middle, now, false))
}

// isTo reports whether a message is to a session, by its id or its user.
func (m *liveMessage) isTo(w *world, s *liveSession) bool {
	return slices.Contains(m.to, w.values.value["id:"+s.name]) || s.user != "" && slices.Contains(m.to, s.user)
}

// sayBinary is a binary message of a connection.
func (w *world) sayBinary(conn int, data string) {
	s := w.of(conn)
	s.said++
	if len(s.topics) != 1 {
		w.refuse(s, &liveMessage{}, "bad-member")
		return
	}
	r := w.room(s.topics[0])
	w.spread(r, s, w.listeners(r), "binary:"+data, "binary:"+data)
}
