package wiretest

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// An attempt is a command carried out: what it sends is what was received.
type attempt struct {
	command command
	after   *explanation
	seen    int    // frames
	hint    string // of the first of them
	learnt  []string

	topic, head string // of the greeting, if it is one
}

// try carries out a command, or says what is wrong with that.
func (x *explanation) try(c command) (a attempt, wrong string) {
	a = attempt{command: c, after: x.clone(), hint: "~"}
	a.after.apply(c)
	passed, sightings := 0, 0
	for _, o := range a.after.world.out {
		if x.readings[c.conn] != nil && x.readings[c.conn].cut && c.kind == "say" && o.conn != c.conn && strings.Contains(c.text, `"_to"`) {
			o.maybe = true // it may have been handled earlier than anybody can tell, when others were here
		}
		learnt, got, wrong := a.after.takes(o)
		if wrong != "" {
			x.world.values.forget(a.learnt)
			return a, wrong
		}
		a.learnt = append(a.learnt, learnt...)
		if got != nil {
			a.seen++
			a.hint = min(a.hint, got.hint)
			if strings.HasPrefix(got.text, `{"_hello"`) {
				a.topic, a.head = o.stream, strings.TrimSuffix(hintOf(got.text), "+")
			}
			if passing(received{o.stream, got.text}) {
				passed, sightings = passed+1, x.sightings[neutral(got.text)]
			}
		}
	}
	a.after.world.out = nil
	if passed != sightings {
		wrong = fmt.Sprintf("%d connections got it", sightings)
	} else {
		wrong = x.objection(&a)
	}
	if wrong != "" {
		x.world.values.forget(a.learnt)
	}
	return a, wrong
}

// objection finds what cannot come after an attempt any more, though it was
// received, so that the search need not find that out much later.
func (x *explanation) objection(a *attempt) string {
	c := a.command
	if wrong := a.after.overtaken(x.world); wrong != "" {
		return wrong
	}
	if wrong := a.after.ahead(a.topic, a.head); wrong != "" {
		return wrong
	}
	if c.kind == "kick" || c.kind == "expire" || c.kind == "open" {
		if wrong := x.gaveUp(a.after); wrong != "" {
			return wrong
		}
	}
	if s := a.after.world.of(c.conn); s != nil && (c.kind == "say" || c.kind == "binary") {
		if wrong := x.tooMuch(c.conn, s); wrong != "" {
			return wrong
		}
	}
	for conn := range x.world.conns {
		over := a.after.world.conns[conn] == "" || c.kind == "close" && c.conn == conn
		if wrong := a.after.unfinished(conn); over && wrong != "" {
			return wrong
		}
	}
	if r := x.readings[c.conn]; c.kind == "open" && r.hint != "" { // the greeting comes next
		a.seen, a.hint = 1, r.hint
		if said := fmt.Sprintf(`"said":%d,`, a.after.world.of(c.conn).said); !strings.Contains(r.first, said) {
			return fmt.Sprintf("the greeting must contain %s\n    got %s", said, r.first)
		}
	}
	return ""
}

// unfinished finds what a connection has received that has no explanation.
func (x *explanation) unfinished(conn int) string {
	r := x.readings[conn]
	for _, stream := range slices.Sorted(maps.Keys(r.streams)) {
		if at := r.next[stream]; at < len(r.streams[stream]) {
			return fmt.Sprintf("connection %d got before its end, and should not have:\n    %s", conn, r.streams[stream][at].text)
		}
	}
	return ""
}

// overtaken finds a frame that must have an explanation before what has been
// published since: in its topic it was received next, with a lower offset.
func (x *explanation) overtaken(before *world) string {
	for _, topic := range slices.Sorted(maps.Keys(x.world.rooms)) {
		r, old := x.world.rooms[topic], before.rooms[topic]
		if r.count == 0 || old != nil && old.count == r.count {
			continue
		}
		offset := x.world.values.value[strings.Trim(r.at(r.count), "<>")]
		for conn, reading := range x.readings {
			if at := reading.next[topic]; at < len(reading.streams[topic]) {
				next := reading.streams[topic][at].text
				if hint := strings.TrimSuffix(hintOf(next), "+"); hint != "" && hint < offset {
					return fmt.Sprintf("connection %d got something before that:\n    %s", conn, next)
				}
			}
		}
	}
	return ""
}

// ahead finds a frame that was published before a greeting's offset, and has no
// explanation yet.
func (x *explanation) ahead(topic, head string) string {
	for conn, r := range x.readings {
		if at := r.next[topic]; at < len(r.streams[topic]) {
			next := r.streams[topic][at].text
			if hint := hintOf(next); hint != "" && hint < head && !strings.HasPrefix(next, `{"_hello"`) {
				return fmt.Sprintf("connection %d got something before that:\n    %s", conn, next)
			}
		}
	}
	return ""
}

// gaveUp finds a message that the end of a session, or its going on elsewhere,
// says was never handled, and that somebody received.
func (x *explanation) gaveUp(after *explanation) string {
	for conn, q := range x.queues {
		if after.queues[conn] != nil || x.names[conn] == "" {
			continue
		}
		for _, c := range q {
			if after.pending(c.text) {
				continue // it was sent again
			}
			_, number, _ := strings.Cut(c.text, `"n":`)
			number, _, _ = strings.Cut(strings.TrimSuffix(number, "}"), ",")
			for _, r := range x.readings {
				for stream, items := range r.streams {
					for _, i := range items[r.next[stream]:] {
						if number != "" && strings.HasPrefix(i.text, `{"n":`+number+`,`) {
							return fmt.Sprintf("this was received:\n    %s", i.text)
						}
					}
				}
			}
		}
	}
	return ""
}

// pending reports whether a client has sent a text that is not explained yet.
func (x *explanation) pending(text string) bool {
	for _, q := range x.queues {
		if slices.ContainsFunc(q, func(c command) bool { return c.text == text }) {
			return true
		}
	}
	return false
}

// passing reports whether a frame is somebody's message that is not kept.
func passing(f received) bool {
	return f.stream != "error" && f.stream != "close" && f.stream != "http" && !strings.Contains(f.text, `"_offset":"`) &&
		!strings.HasPrefix(f.text, `{"_hello"`) && !strings.HasPrefix(f.text, `{"_leave"`)
}

// hintOf returns the offset of a frame, and for greetings a little more.
func hintOf(frame string) string {
	for _, member := range []string{`"_offset":"`, `"offset":"`} {
		if _, rest, found := strings.Cut(frame, member); found {
			hint, _, _ := strings.Cut(rest, `"`)
			if strings.HasPrefix(frame, `{"_hello"`) {
				hint += "+"
			}
			return hint
		}
	}
	return ""
}

// takes matches a frame of the model with the next one of its stream that was
// received.
func (x *explanation) takes(o output) (learnt []string, got *item, wrong string) {
	r := x.readings[o.conn]
	if r == nil {
		return nil, nil, ""
	}
	at := r.next[o.stream]
	if at >= len(r.streams[o.stream]) {
		if r.cut || o.maybe {
			return nil, nil, ""
		}
		return nil, nil, fmt.Sprintf("connection %d got nothing more in %q, want\n    %s", o.conn, o.stream, x.world.values.fill(o.frame))
	}
	got = &r.streams[o.stream][at]
	values := x.world.values
	learnt, ok := values.match(o.frame, got.text)
	if !ok && o.other != "" {
		learnt, ok = values.match(o.other, got.text)
	}
	if !ok && o.maybe {
		return nil, nil, ""
	}
	if !ok || o.answer && got.place < r.answer {
		values.forget(learnt)
		return nil, nil, fmt.Sprintf("connection %d, stream %q, frame %d\n     got %s\n    want %s", o.conn, o.stream, got.place, got.text, values.fill(o.frame))
	}
	copied := *r
	copied.next = maps.Clone(r.next)
	copied.next[o.stream]++
	if o.answer {
		copied.answer = got.place
	}
	x.readings[o.conn] = &copied
	return learnt, got, ""
}

// A search looks for an explanation.
type search struct {
	tries    int
	dead     map[uint64]bool // fingerprints from where it does not go on
	furthest int
	stuck    []string // what is wrong with each command that could have come next there
	path     []string // how it got there
}

const maxTries = 20_000

// solve returns the explanation in which everything has happened.
func (s *search) solve(x *explanation) *explanation {
	if x.done() {
		return x
	}
	id := x.fingerprint()
	if s.dead[id] {
		return nil
	}
	s.dead[id] = true // unless it is found below, and then nobody asks
	var attempts []attempt
	var stuck []string
	for _, c := range x.candidates() {
		a, wrong := x.try(c)
		if wrong != "" {
			stuck = append(stuck, fmt.Sprintf("%v\n  but %s", c, wrong))
			continue
		}
		x.world.values.forget(a.learnt)
		if hint := x.resumed(c.conn); a.seen == 0 && hint != "" && c.kind != "depart" {
			a.seen, a.hint = 1, hint
		}
		if a.seen == 0 && (c.kind == "depart" || c.number == x.oldest() && !x.readings[c.conn].cut) {
			a.seen, a.hint = 1, "" // the sender wants no copy, and nobody else got one
		}
		attempts = append(attempts, a)
	}
	slices.SortStableFunc(attempts, func(a, b attempt) int { // what nobody sees, only if nothing else helps
		if (a.seen == 0) != (b.seen == 0) {
			return cmp.Compare(b.seen, a.seen)
		}
		return strings.Compare(a.hint, b.hint)
	})
	for _, a := range attempts {
		if s.tries++; s.tries > maxTries {
			return nil
		}
		a, _ = x.try(a.command)
		a.after.path = append(slices.Clip(x.path), a.command.String())
		if end := s.solve(a.after); end != nil {
			return end
		}
		x.world.values.forget(a.learnt)
	}
	if n := x.explained(); n > s.furthest {
		s.furthest, s.stuck, s.path = n, stuck, x.path
	}
	return nil
}

// tooMuch finds the greeting by which a session goes on elsewhere, if that says
// that less was taken.
func (x *explanation) tooMuch(conn int, s *liveSession) string {
	id := `{"_hello":{"id":"` + x.world.values.value["id:"+s.name] + `"`
	for other, q := range x.queues {
		first := x.readings[other].first
		if q[0].kind != "open" || x.names[q[0].resumes] != x.names[conn] || !strings.HasPrefix(first, id) {
			continue
		}
		_, rest, _ := strings.Cut(first, `"said":`)
		text, _, _ := strings.Cut(rest, ",")
		if said, err := strconv.Atoi(text); err == nil && s.said > said {
			return fmt.Sprintf("%d messages were taken:\n    %s", said, first)
		}
	}
	return ""
}

// oldest is the number of the command that clients did first.
func (x *explanation) oldest() int {
	first := math.MaxInt
	for _, q := range x.queues {
		first = min(first, q[0].number)
	}
	return first
}

// resumed returns the hint of the greeting by which the session of a connection
// goes on: what the connection did, it did before that.
func (x *explanation) resumed(conn int) string {
	for _, q := range x.queues {
		if c := q[0]; c.kind == "open" && c.conn != conn && c.resumes > 0 && x.names[c.resumes] == x.names[conn] && x.names[conn] != "" {
			return strings.TrimSuffix(x.readings[c.conn].hint, "+")
		}
	}
	return ""
}

// fingerprint is the same for states from which the same can follow: commands
// that have nothing to do with each other lead there in any order.
func (x *explanation) fingerprint() uint64 {
	var h maphash.Hash
	h.SetSeed(fingerprints)
	for _, conn := range slices.Sorted(maps.Keys(x.readings)) {
		r := x.readings[conn]
		fmt.Fprintln(&h, conn, len(x.queues[conn]), r.answer, x.names[conn], x.world.conns[conn])
		for _, stream := range slices.Sorted(maps.Keys(r.next)) {
			fmt.Fprintln(&h, stream, r.next[stream])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.world.sessions)) {
		s := x.world.sessions[name]
		fmt.Fprintln(&h, *s)
	}
	for _, name := range slices.Sorted(maps.Keys(x.world.rooms)) {
		r := x.world.rooms[name]
		fmt.Fprintln(&h, name, r.members, r.count, len(r.all))
		for _, e := range r.entries {
			fmt.Fprintln(&h, e.n, e.frame)
		}
	}
	return h.Sum64()
}

var fingerprints = maphash.MakeSeed()

// explained counts the frames that are.
func (x *explanation) explained() (n int) {
	for _, r := range x.readings {
		for _, k := range r.next {
			n += k
		}
	}
	return n
}

// leftover finds what was received and must have an explanation by now, and
// has none.
func (x *explanation) leftover() error {
	for _, conn := range slices.Sorted(maps.Keys(x.readings)) {
		r, s := x.readings[conn], x.world.of(conn)
		for stream, items := range r.streams {
			over := s == nil || s.conn != conn || stream == "error" || !slices.Contains(s.topics, stream)
			if at := r.next[stream]; over && at < len(items) && !(r.cut && len(x.queues[conn]) > 0) {
				return fmt.Errorf("connection %d got, and should not have:\n    %s", conn, items[at].text)
			}
		}
	}
	return nil
}
