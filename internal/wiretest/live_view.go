package wiretest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A view is what a client knows of a topic, by nothing but what it received:
// what a page of an application would show.
type view struct {
	in       bool
	replays  bool     // between _hello and _ready
	session  string   // whose greeting it was
	start    string   // what it has seen is complete after this offset
	last     string   // the latest offset
	messages []string // with an offset, as offset and frame
	state    map[string]string
	here     []face
	count    int
}

// A liveClient is who uses connections, one after the other, for as long as
// it lives.
type liveClient struct {
	name    string
	query   liveQuery
	address string // its topics and the rest of its query, without since and resume
	peer    *peer  // nil: it is not connected
	id      string
	token   string
	tokenOf int      // the connection whose greeting told the token
	sent    []string // the session's data messages that were not confirmed by said
	started int      // how many were confirmed
	views   map[string]*view
	asked   map[string][]bool // of each topic, which of the next greetings go on after what it knows
	resumes bool              // it has not seen what became of its session yet
	wanders bool              // it has joined or left topics besides those of its address
	unsure  bool              // its connection ended before it was greeted in a topic that it may be in now
}

// take looks at the next frames that have arrived, at most n.
func (c *liveClient) take(n int) error {
	frames := c.peer.frames()
	for ; n > 0 && c.peer.taken < len(frames); n-- {
		r := frames[c.peer.taken]
		c.peer.taken++
		if r.stream == "close" || r.stream == "error" || !strings.HasPrefix(r.text, "{") {
			continue
		}
		var f liveFrame
		if err := json.Unmarshal([]byte(r.text), &f); err != nil {
			return fmt.Errorf("%s got %s: %v", c.name, r.text, err)
		}
		if err := c.learn(r.text, f); err != nil {
			return fmt.Errorf("%s got %s\n%v", c.name, r.text, err)
		}
	}
	return nil
}

// learn takes in a frame.
func (c *liveClient) learn(text string, f liveFrame) error {
	v := c.views[f.Topic]
	if v == nil {
		v = &view{state: make(map[string]string)}
		c.views[f.Topic] = v
	}
	switch {
	case f.Hello != nil:
		c.greeted(v, f)
	case f.Ready:
		v.replays = false
		v.last = max(v.last, f.Offset)
	case f.Join != nil:
		v.joins(*f.Join)
	case f.Leave != nil:
		v.leaves(*f.Leave, c.id)
	case f.Key != nil:
		v.keeps(f, text)
	case f.Offset != "":
		if slices.ContainsFunc(v.messages, func(m string) bool { return strings.HasPrefix(m, f.Offset) }) {
			return fmt.Errorf("%s had this already", c.name)
		}
		v.messages = append(v.messages, f.Offset+" "+text)
		slices.Sort(v.messages) // what last asked for is older than what it knows
	}
	v.last = max(v.last, f.Offset)
	return nil
}

// greeted is a greeting: unless it goes on where the client was, it begins
// anew.
func (c *liveClient) greeted(v *view, f liveFrame) {
	goesOn := false
	if asked := c.asked[f.Topic]; len(asked) > 0 {
		goesOn = asked[0] && !f.Hello.Missed && (c.query.echo || f.Hello.ID == v.session)
		c.asked[f.Topic] = asked[1:]
	}
	if !goesOn {
		*v = view{state: make(map[string]string), start: f.Hello.Offset}
	}
	v.session = f.Hello.ID
	v.in, v.replays, v.here, v.count = true, true, f.Hello.Here, f.Hello.Count
	c.id, c.token, c.tokenOf = f.Hello.ID, f.Hello.Resume, c.peer.number
}

// joins and leaves change the list. In a replay they do not: the greeting's
// list is right already.
func (v *view) joins(f face) {
	if !v.replays && !slices.Contains(v.here, f) {
		v.here = append(v.here, f)
		v.count++
	}
}

func (v *view) leaves(f face, own string) {
	if f.ID == own { // which nobody tells it what that drops
		v.in = false
		maps.DeleteFunc(v.state, func(name, _ string) bool { return strings.HasPrefix(name, "tied by "+own+": ") })
	}
	if i := slices.Index(v.here, f); !v.replays && i >= 0 {
		v.here = slices.Delete(v.here, i, i+1)
		v.count--
	}
}

// keeps takes in state.
func (v *view) keeps(f liveFrame, text string) {
	name := "shared: " + *f.Key
	switch {
	case f.Tied:
		name = "tied by " + f.From + ": " + *f.Key
	case f.Own:
		name = "owned by " + f.User + ": " + *f.Key
	}
	if f.Drop {
		delete(v.state, name)
		return
	}
	v.state[name] = neutral(text)
}

// neutral is a frame without what differs between its copies.
func neutral(text string) string {
	text = strings.Replace(text, `"_me":true}`, `"_me":false}`, 1)
	if at := strings.Index(text, `"_id":`); at >= 0 {
		end := strings.Index(text[at:], ",")
		text = text[:at] + text[at+end+1:]
	}
	return text
}

// compare compares what a client knows of a topic with the model.
func (c *liveClient) compare(w *world, topic string, v *view) error {
	r, b := w.room(topic), w.values
	s := w.of(c.peer.number)
	member := s != nil && slices.Contains(r.members, s.name)
	if v.in != member {
		return fmt.Errorf("%s thinks %t of being in %s, and the model %t", c.name, v.in, topic, member)
	}
	if !member {
		return nil
	}
	if s.told {
		var here []face
		for _, name := range r.members {
			if o := w.sessions[name]; o.seen {
				here = append(here, face{b.value["id:"+name], o.user})
			}
		}
		if !slices.Equal(v.here, here) || v.count != len(here) {
			return fmt.Errorf("%s's list of %s\n got %v (%d)\nwant %v", c.name, topic, v.here, v.count, here)
		}
	}
	if s.echo {
		if err := v.sameState(w, r); err != nil {
			return fmt.Errorf("%s's state of %s: %v", c.name, topic, err)
		}
	}
	var want []string
	for _, e := range r.all {
		offset := b.fill(r.at(e.n))
		if offset > v.start && (s.echo || e.from != s.name) && sameEpoch(offset, v.start) {
			want = append(want, offset+" "+neutral(b.fill(e.frame)))
		}
	}
	return c.sameMessages(topic, v, want)
}

// sameMessages compares what came after the start.
func (c *liveClient) sameMessages(topic string, v *view, want []string) error {
	var got []string
	for _, m := range v.messages {
		if offset, _, _ := strings.Cut(m, " "); offset > v.start {
			got = append(got, neutral(m))
		}
	}
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Errorf("%s's messages of %s after %s, number %d of %d\n got %s\nwant %s", c.name, topic, v.start, i, len(want), g, w)
		}
	}
	return nil
}

// sameState compares all keys.
func (v *view) sameState(w *world, r *liveRoom) error {
	want := make(map[string]string)
	for _, e := range r.states() {
		name := e.state
		if tied, key, found := strings.Cut(strings.TrimPrefix(name, "tied by "), ": "); found && strings.HasPrefix(name, "tied by ") {
			name = "tied by " + w.values.value["id:"+tied] + ": " + key
		}
		want[name] = w.values.fill(e.frame)
		if v.state[name] != want[name] {
			return fmt.Errorf("%s\n got %s\nwant %s", name, v.state[name], want[name])
		}
	}
	for name, text := range v.state {
		if want[name] == "" {
			return fmt.Errorf("%s\n got %s\nwant nothing", name, text)
		}
	}
	return nil
}
