package wiretest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// An explanation is an order of everything that clients did, in which the
// model sends exactly what they received. Clients act at the same time, so
// the order is not known: it is searched for. Each client's own commands stay
// in order, and frames of one topic arrive everywhere in one order.
type explanation struct {
	world     *world
	readings  map[int]*reading
	queues    map[int][]command // of each connection, what it did and is not explained yet
	names     map[int]string    // the sessions that connections have or had
	sightings map[string]int    // how many received each frame that is not kept
	linger    time.Duration
	path      []string // commands, in their order, for reports
	added     int      // commands
}

// A reading is what one connection received.
type reading struct {
	streams map[string][]item
	next    map[string]int // items that are explained
	needs   map[string]int // items that must be explained by now
	first   string         // frame
	hint    string         // of that
	answer  int            // place of the latest answer
	cut     bool           // it may have been sent more, and not all of what it sent was read
	goneAt  time.Time
}

// An item is a frame, and its place among all frames of the connection.
type item struct {
	place int
	text  string
	hint  string // sorts frames more or less as the server sent them
}

// A command is what a client did.
type command struct {
	number  int // in the order in which clients did them
	kind    string
	conn    int
	text    string
	query   liveQuery
	resumes int // a connection of the session to go on with
	ask     ask
	depart  departure
	session string
}

func (c command) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %d %s%s%s%s", c.kind, c.conn, c.text, c.ask.topic, c.depart.topic, c.session))
}

func newExplanation(history int, linger time.Duration) *explanation {
	return &explanation{
		world: newWorld(history), linger: linger,
		readings: make(map[int]*reading), queues: make(map[int][]command), names: make(map[int]string),
	}
}

func (x *explanation) clone() *explanation {
	c := *x
	c.world, c.queues = x.world.clone(), maps.Clone(x.queues)
	c.readings, c.names = maps.Clone(x.readings), maps.Clone(x.names)
	return &c
}

// add adds what a client did.
func (x *explanation) add(c command) {
	x.added++
	c.number = x.added
	x.queues[c.conn] = append(slices.Clip(x.queues[c.conn]), c)
}

// read takes in what peers have received. All that those who are gone have
// taken must have happened, and everything up to the marks.
func (x *explanation) read(peers []*peer, mark string) {
	x.sightings = make(map[string]int)
	for _, p := range peers {
		r := &reading{
			streams: make(map[string][]item), next: make(map[string]int), needs: make(map[string]int),
			answer: -1, cut: p.cut || !p.alive() && !p.closed, goneAt: p.goneAt,
		}
		if old := x.readings[p.number]; old != nil {
			r.next, r.answer = old.next, old.answer
		}
		hint := ""
		for i, f := range p.frames() {
			hint = max(hint, hintOf(f.text))
			if f.stream == "close" || f.stream == "http" && hint == "" {
				hint += "~"
			}
			if passing(f) {
				x.sightings[neutral(f.text)]++
			}
			if i == 0 {
				r.hint, r.first = hint, f.text
			}
			r.streams[f.stream] = append(r.streams[f.stream], item{i, f.text, hint})
			if r.cut || strings.HasPrefix(f.text, mark) {
				r.needs[f.stream] = len(r.streams[f.stream])
			}
		}
		x.readings[p.number] = r
	}
}

// candidates are the commands that may be next.
func (x *explanation) candidates() (list []command) {
	answered := math.MaxInt // the first request: it was answered before clients did what comes after it
	for _, q := range x.queues {
		if q[0].kind == "request" || q[0].kind == "kick" {
			answered = min(answered, q[0].number)
		}
	}
	for _, conn := range slices.Sorted(maps.Keys(x.queues)) {
		c := x.queues[conn][0]
		if early := (c.kind == "open" || c.kind == "kick") && c.resumes > 0 && x.names[c.resumes] == ""; c.number <= answered && !early {
			list = append(list, c)
		}
	}
	for _, d := range x.world.leaving {
		list = append(list, command{kind: "depart", depart: d})
	}
	for _, conn := range slices.Sorted(maps.Keys(x.world.conns)) {
		s := x.world.of(conn)
		r := x.readings[conn]
		if (s.gone || r.cut) && !r.goneAt.IsZero() && time.Since(r.goneAt) > x.linger-50*time.Millisecond {
			list = append(list, command{kind: "expire", conn: conn, session: s.name})
		}
	}
	return list
}

// done reports whether everything is explained that must have happened.
func (x *explanation) done() bool {
	for conn := range x.queues {
		if !x.readings[conn].cut {
			return false
		}
	}
	for _, r := range x.readings {
		for stream, n := range r.needs {
			if r.next[stream] < n {
				return false
			}
		}
	}
	return true
}

// apply carries out a command in the model.
func (x *explanation) apply(c command) {
	w := x.world
	if q := x.queues[c.conn]; c.kind != "depart" && c.kind != "expire" {
		x.queues[c.conn] = q[1:]
		if len(q) == 1 {
			delete(x.queues, c.conn)
		}
	}
	switch c.kind {
	case "open":
		x.open(c)
	case "greet":
		w.greet(c.conn, c.ask, false)
	case "say":
		w.say(c.conn, c.text)
	case "binary":
		w.sayBinary(c.conn, c.text)
	case "depart":
		w.depart(c.depart, false)
	case "expire":
		s := w.of(c.conn)
		delete(x.queues, c.conn)
		w.end(s, orLost(s.why))
	case "close":
		w.send(output{conn: c.conn, stream: "close", frame: "close " + c.text, answer: true})
		s := w.of(c.conn)
		if c.text == "1001" {
			s.gone, s.why = true, "left"
		} else {
			w.end(s, "left")
		}
	case "kick":
		x.kick(c)
	case "request":
		x.request(c)
	}
}

func orLost(why string) string {
	if why == "" {
		return "lost"
	}
	return why
}

// open begins a connection. What the session's earlier connection has not got
// through by now, it never will.
func (x *explanation) open(c command) {
	resumes := x.names[c.resumes]
	before := -1
	if s := x.world.sessions[resumes]; s != nil {
		before = s.conn
	}
	asks := x.world.open(c.conn, c.query, resumes)
	x.names[c.conn] = x.world.conns[c.conn]
	if x.names[c.conn] == resumes {
		delete(x.queues, before)
	}
	var greets []command
	for _, a := range asks {
		greets = append(greets, command{number: c.number, kind: "greet", conn: c.conn, ask: a})
	}
	x.queues[c.conn] = append(greets, x.queues[c.conn]...)
}

// kick ends the session that a connection has.
func (x *explanation) kick(c command) {
	s := x.world.sessions[x.names[c.resumes]]
	status := "410"
	if !s.ended {
		status = "204"
		x.world.send(output{conn: s.conn, stream: "close", frame: "close 1000 kicked: <any>"})
		delete(x.queues, s.conn)
		x.world.end(s, "kicked")
	}
	x.world.send(output{conn: c.conn, stream: "http", frame: status, other: "204"}) // as long as its end is on the way
}

// request publishes what came over HTTP. Its text is the message with the
// topic in it.
func (x *explanation) request(c command) {
	m := readLive(c.text)
	x.world.publish(nil, m)
	r := x.world.room(m.topic)
	offset := r.at(r.count)
	if m.unkept {
		offset = x.world.head(r, false)
	}
	x.world.send(output{conn: c.conn, stream: "http", frame: fmt.Sprintf(`200 {"ok":true,"offset":"%s","heard":<any>`, offset)})
}
