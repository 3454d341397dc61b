package app

import (
	"bytes"
	"strconv"

	"crier/stamp"
)

// A writer appends members to an object that is open.
type writer struct {
	out     []byte
	members bool // there are some already
}

func (w *writer) name(name string) {
	if w.members {
		w.out = append(w.out, ',')
	}
	w.members = true
	w.out = append(w.out, '"')
	w.out = append(w.out, name...)
	w.out = append(w.out, '"', ':')
}

func (w *writer) raw(name, value string) {
	w.name(name)
	w.out = append(w.out, value...)
}

func (w *writer) text(name, value string) {
	w.name(name)
	w.out = stamp.AppendString(w.out, value)
}

func (w *writer) number(name string, n int64) {
	w.name(name)
	w.out = strconv.AppendInt(w.out, n, 10)
}

// names writes names as a list, or the first one as a text.
func (w *writer) names(name string, list []string, asList bool) {
	w.name(name)
	if !asList {
		w.out = stamp.AppendString(w.out, list[0])
		return
	}
	for i, s := range list {
		w.out = append(w.out, "[,"[min(i, 1)])
		w.out = stamp.AppendString(w.out, s)
	}
	w.out = append(w.out, ']')
}

func (w *writer) end() []byte { return append(w.out, '}') }

// open returns a writer for an object at the end of dst.
func open(dst []byte) writer { return writer{out: append(dst, '{')} }

// write writes the frame and the copy. The message without its end is
// o.buf[:open].
func (o *Order) write(ev Event, open int, members bool) {
	others, at := o.appendEnd(o.buf, members, ev.Conn.Identity.User, ev.Conn.ID, false)
	n := len(others)
	mine, mineAt := o.appendEnd(append(others, others[:open]...), members, ev.Conn.Identity.User, ev.Conn.ID, true)
	o.buf, o.Frame, o.Copy = mine, mine[:n:n], mine[n:]
	if at > 0 {
		o.OffsetAt, o.CopyOffsetAt = at, mineAt-n
	}
}

// appendEnd appends the members that the server writes, and the brace. offsetAt
// is where in the result the offset belongs; zero if there is none.
func (o *Order) appendEnd(dst []byte, members bool, user, from string, mine bool) (frame []byte, offsetAt int) {
	w := writer{dst, members}
	state := o.Key != Key{}
	if state {
		w.text("_key", o.Key.Name)
	}
	switch o.Key.Of {
	case Tied:
		w.raw("_tied", "true")
	case Owned:
		w.raw("_own", "true")
	}
	if o.Drop {
		w.raw("_drop", "true")
	}
	shy := o.Do == Say && !o.Keep && !state
	if shy {
		w.raw("_keep", "false")
	}
	if o.Do == Tell {
		w.names("_to", o.To, o.toList)
	}
	if mine && o.id != nil {
		w.raw("_id", string(o.id))
	}
	w.text("_topic", o.Topic)
	if user != "" && !shy {
		w.text("_user", user)
	}
	if from != "" {
		w.text("_from", from)
	}
	if o.Do == Say && !shy {
		offsetAt = w.offset()
	}
	w.number("_now", o.now)
	w.raw("_me", strconv.FormatBool(mine))
	return w.end(), offsetAt
}

// offset writes an offset that is not known yet, and returns where it belongs.
func (w *writer) offset() (at int) {
	w.text("_offset", "000000000000000")
	return len(w.out) - 1 - OffsetSize
}

// AppendError appends the frame that tells a client why its message was
// refused. id is the message's _id, as JSON; nil if it has none.
//
//	{"_error":{"name":"nobody","text":"nobody called ben is in this topic"},"_id":7,"_now":1561016329388}
func AppendError(dst []byte, name, text string, id []byte, now int64) []byte {
	w := open(dst)
	w.name("_error")
	inner := open(w.out)
	inner.text("name", name)
	inner.text("text", text)
	w.out = inner.end()
	if id != nil {
		w.raw("_id", string(id))
	}
	w.number("_now", now)
	return w.end()
}

// A Hello is what a client is told when it joins a topic.
type Hello struct {
	ID, User string
	Resume   string // the session's token; empty for clients that have none
	Offset   string // of the topic, now
	Missed   bool   // what the client asked for is not kept any more
	Said     uint64 // messages that the session has sent
	Here     *Here
	Topic    string
	Now      int64 // milliseconds since 1970
}

// Append appends the greeting.
func (h *Hello) Append(dst []byte) []byte {
	w := open(dst)
	w.name("_hello")
	in := open(w.out)
	in.text("id", h.ID)
	if h.User != "" {
		in.text("user", h.User)
	}
	if h.Resume != "" {
		in.text("resume", h.Resume)
	}
	in.text("offset", h.Offset)
	in.raw("missed", strconv.FormatBool(h.Missed))
	in.number("said", int64(h.Said))
	in.number("count", int64(h.Here.Count()))
	in.name("here")
	in.out = h.Here.append(in.out)
	w.out = in.end()
	w.text("_topic", h.Topic)
	w.number("_now", h.Now)
	return w.end()
}

// AppendReady appends the frame that ends a replay.
func (h *Hello) AppendReady(dst []byte) []byte {
	w := open(dst)
	w.raw("_ready", "true")
	w.text("_topic", h.Topic)
	w.text("_offset", h.Offset)
	w.number("_now", h.Now)
	return w.end()
}

// AppendJoin appends the frame that tells that a guest has come. same is how
// many other connections its user has. offsetAt is where in the result the
// offset belongs.
func AppendJoin(dst []byte, g *Guest, same int, topic string, now int64) (frame []byte, offsetAt int) {
	return appendGuest(dst, "_join", g, same, "", topic, now)
}

// AppendLeave appends the frame that tells that a guest has left, and why.
func AppendLeave(dst []byte, g *Guest, same int, why, topic string, now int64) (frame []byte, offsetAt int) {
	return appendGuest(dst, "_leave", g, same, why, topic, now)
}

func appendGuest(dst []byte, name string, g *Guest, same int, why, topic string, now int64) (frame []byte, offsetAt int) {
	w := open(dst)
	w.name(name)
	in := open(w.out)
	in.text("id", g.ID)
	if g.User != "" {
		in.text("user", g.User)
	}
	in.number("same", int64(same))
	if why != "" {
		in.text("why", why)
	}
	w.out = in.end()
	w.text("_topic", topic)
	offsetAt = w.offset()
	w.number("_now", now)
	return w.end(), offsetAt
}

// AppendDrop appends the frame that drops a state.
func AppendDrop(dst []byte, k Key, topic, user, from string, now int64) (frame []byte, offsetAt int) {
	o := Order{Do: Say, Key: k, Drop: true, Topic: topic, now: now}
	return o.appendEnd(append(dst, '{'), false, user, from, false)
}

// The ends of messages with an offset: from whom, the offset, when, and to whom.
var (
	fromName   = []byte(`"_from":"`)
	offsetName = []byte(`","_offset":"`)
	nowName    = []byte(`","_now":`)
	notMine    = []byte(`,"_me":false}`)
)

// SentAt returns when a frame with an offset was written, in milliseconds since
// 1970; 0 if it is not such a frame.
func SentAt(frame []byte) int64 {
	i := bytes.LastIndex(frame, nowName)
	if i < 0 {
		return 0
	}
	digits := frame[i+len(nowName):]
	if end := bytes.IndexAny(digits, ",}"); end >= 0 {
		digits = digits[:end]
	}
	n, _ := strconv.ParseInt(string(digits), 10, 64)
	return n
}

// OffsetOf returns the offset of a frame; empty if it has none. What the client
// has written into its message does not count.
func OffsetOf(frame []byte) string {
	rest := frame
	for _, end := range [...]string{`,"_me":false`, `,"_me":true`} {
		rest = bytes.TrimSuffix(bytes.TrimSuffix(rest, []byte{'}'}), []byte(end))
	}
	rest = bytes.TrimRight(rest, "0123456789")
	rest, ok := bytes.CutSuffix(rest, nowName)
	at := len(rest) - OffsetSize
	if !ok || at < 0 || !bytes.HasSuffix(rest[:at], []byte(`,"_offset":"`)) {
		return ""
	}
	return string(rest[at:])
}

// From reports whether a frame with an offset tells what the connection of that
// id has said, or that it has come or left.
func From(frame []byte, id string) bool {
	i := bytes.LastIndex(frame, offsetName)
	if i < 0 {
		return false
	}
	before := frame[:i]
	if n := len(before) - len(id); n >= len(fromName) && string(before[n:]) == id && bytes.HasSuffix(before[:n], fromName) {
		return true
	}
	for _, name := range [...]string{`{"_join":{"id":"`, `{"_leave":{"id":"`} {
		if rest, ok := bytes.CutPrefix(frame, []byte(name)); ok {
			return bytes.HasPrefix(rest, []byte(id+`"`))
		}
	}
	return false
}

// AppendMine appends the sender's copy of a message, as others get it.
func AppendMine(dst, frame []byte) []byte {
	frame, ok := bytes.CutSuffix(frame, notMine)
	dst = append(dst, frame...)
	if ok {
		dst = append(dst, `,"_me":true}`...)
	}
	return dst
}
