package hub

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A sent is a frame that a member should get, in the model: the hub written the
// dumb way, where every member has a list of all it shall receive.
type sent struct {
	frame  string
	topics int  // of the member's, that it was published to: as often it counts as missed
	post   bool // is never missed
	copy   bool // is the sender's own copy
}

// A modelled is a reader, and what the model knows of it.
type modelled struct {
	reader
	topics map[string]bool
	sent   []sent
	got    int // of sent, what the stream has been compared with

	lazy     bool // reads a little now and then; may fall behind
	offered  bool // has a batch
	finished bool // its last frame is queued
	dropped  bool // and what was pending may be gone
	gone     bool // has left
	missed   int  // messages of which a notice told
	passed   int  // messages that did not come
	unsure   int  // that nobody saw come or not
	messages int  // that Advance counted
	came     int  // that came
}

// A world is a hub, its members, and chance.
type world struct {
	*testing.T
	rnd     *rand.Rand
	hub     *Hub
	shards  []*Shard
	members []*modelled
	step    int
	frames  int    // that were ever sent
	turning *Shard // takes its turn: nobody else may have it
	echoes  int    // kinds of Echo that there are
	reach   int    // topics that a message goes to, at most
	replay  uint64 // number of the last message of the history that was in a series
	kept    []string
	limit   Retention
	number  uint64 // of the last publish
	forces  int    // 0: no publish is forced; 1: those that are refused; 2: any
	pressed bool   // a publish was forced: whoever keeps up may have fallen behind
}

// remembered is a topic with a history, which nobody is in.
var remembered = Topic{App: "app", Name: "remembered"}

// TestModel runs random interleavings of everything a hub can do beside the
// model.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		runModel(t, rand.New(rand.NewPCG(seed, 1)), 1500)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzModel lets the fuzzer choose what happens.
func FuzzModel(f *testing.F) {
	f.Add([]byte("\x00\x30\x60\x90 who does what to which topic, and how much of it"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		runModel(t, rand.New(&chooser{choices, rand.NewPCG(1, 1)}), min(len(choices), 1500))
	})
}

// A chooser makes random numbers of bytes, as long as there are any: each
// decides where in a range its number lies.
type chooser struct {
	choices []byte
	rest    rand.Source
}

func (c *chooser) Uint64() uint64 {
	n := c.rest.Uint64()
	if len(c.choices) > 0 {
		n = n>>8 | uint64(c.choices[0])<<56
		c.choices = c.choices[1:]
	}
	return n
}

var modelTopics = []string{"a", "b", "c", "d"}

func runModel(t *testing.T, rnd *rand.Rand, steps int) {
	config := Config{Backlog: 16 << 10, Posts: 4 << 10, Memory: 40 << 10}
	if rnd.IntN(2) == 0 {
		config.Memory = 1 << 20
	}
	if rnd.IntN(2) == 0 {
		config.Skipped = missed
	}
	config.KeepHistory = rnd.IntN(2) == 0
	w := &world{T: t, rnd: rnd, hub: New(config), echoes: 2 + rnd.IntN(2), reach: 1 + rnd.IntN(4), forces: max(rnd.IntN(4)-1, 0)}
	for range 3 {
		w.shards = append(w.shards, newShard(w.hub))
	}
	for i := range 12 {
		m := &modelled{topics: map[string]bool{}, lazy: i%4 == 0}
		m.name = fmt.Sprint("m", i)
		w.shards[i%3].Join(&m.Member, m)
		if i%5 == 0 {
			m.Exact()
		}
		w.members = append(w.members, m)
	}
	w.limit = Retention{Messages: 1 + w.rnd.IntN(50), Bytes: 4 << 10}
	w.hub.Retain(remembered, w.limit)
	for w.step = range steps {
		w.do(w.rnd.IntN(24))
		w.checkBounds(config.Memory)
		if t.Failed() {
			return
		}
	}
	w.end()
}

// do takes one step. Steps that can be interleaved in life are steps of their
// own: a batch is offered in one, and taken in another.
func (w *world) do(choice int) {
	m := w.members[w.rnd.IntN(len(w.members))]
	topic := modelTopics[w.rnd.IntN(len(modelTopics))]
	switch choice {
	case 0, 1:
		if m.Subscribe(Topic{App: "app", Name: topic}) != (!m.topics[topic] && !m.finished && !m.gone) {
			w.Errorf("Subscribe disagrees with the model")
		}
		m.topics[topic] = true
	case 2:
		m.Unsubscribe(Topic{App: "app", Name: topic})
		delete(m.topics, topic)
	case 3:
		w.post(m, w.rnd.IntN(4) == 0)
	case 4:
		w.series(m)
	case 5:
		if w.rnd.IntN(60) == 0 {
			w.finish(m, w.rnd.IntN(2) == 0)
		}
	case 6:
		if w.rnd.IntN(100) == 0 && !m.offered { // the writer is the one who leaves
			m.Leave()
			m.gone, m.topics = true, map[string]bool{}
		}
	case 7, 8:
		if m.lazy {
			w.offer(m, w.rnd.IntN(500))
		}
	case 9, 10:
		if m.lazy {
			w.take(m, w.rnd.IntN(500))
		}
	case 11, 12, 13, 14:
		w.turn(w.shards[w.rnd.IntN(len(w.shards))])
	default:
		w.publish(m)
	}
}

func (w *world) publish(m *modelled) {
	if in := m.Topics(nil); !m.gone && !m.finished {
		slices.Sort(in)
		if want := slices.Sorted(maps.Keys(m.topics)); !slices.Equal(in, want) {
			w.Errorf("a member is in %v, want %v", in, want)
		}
	}
	to := modelTopics[w.rnd.IntN(len(modelTopics)):]
	to = to[:1+w.rnd.IntN(min(len(to), w.reach))]
	w.frames++
	frame := fmt.Appendf(nil, "[%d%s]", w.frames, bytes.Repeat([]byte("o"), w.rnd.IntN(1<<w.rnd.IntN(12))))
	p := Publication{From: &m.Member, Topics: names(to...), Frame: frame, Echo: Echo(w.rnd.IntN(w.echoes))}
	if p.Echo == EchoCopy {
		p.Copy = fmt.Appendf(nil, "[%d mine]", w.frames)
	}
	if w.rnd.IntN(4) == 0 { // to wherever it is
		p.Topics, to = nil, slices.Collect(maps.Keys(m.topics))
	}
	var err error = ErrBusy
	if w.forces < 2 || w.rnd.IntN(2) == 0 {
		err = w.hub.Publish(p)
	}
	if err != nil && w.forces > 0 {
		if p.Topics == nil {
			p.Topics = names(to...)
		}
		p.Force, w.pressed = true, true
		if err := w.hub.Publish(p); err != nil {
			w.Errorf("a publish that is forced says %v", err)
		}
	}
	switch {
	case err == nil || p.Force:
		w.number++
		for _, other := range w.members {
			other.expect(p, to, other == m)
		}
	case (err == ErrGone) != (m.finished || m.gone) && err != ErrBusy:
		w.Errorf("a publish says %v; the last frame is posted: %v", err, m.finished)
	}
}

// expect notes a publication in the model of a member.
func (m *modelled) expect(p Publication, to []string, sender bool) {
	s := sent{frame: string(p.Frame)}
	for _, topic := range to {
		if m.topics[topic] {
			s.topics++
		}
	}
	if s.topics == 0 || m.finished || m.gone {
		return
	}
	if sender && p.Echo == EchoCopy {
		s.frame = string(p.Copy)
		s.copy = true
	}
	if sender && p.Echo == EchoNone {
		s.frame = ""
	}
	m.sent = append(m.sent, s)
}

func (w *world) post(m *modelled, control bool) {
	w.frames++
	if control {
		m.PostControl(fmt.Appendf(nil, "<%d>", w.frames)) // the model does not say when
		return
	}
	post := fmt.Sprintf("[%d post]", w.frames)
	if m.Post([]byte(post)) == nil {
		m.sent = append(m.sent, sent{frame: post, post: true})
	}
}

func (w *world) finish(m *modelled, drop bool) {
	if m.finished || m.gone {
		return
	}
	m.Finish([]byte("[last]"), drop)
	m.finished, m.dropped = true, drop || m.lazy || w.pressed // which may be behind already
	m.topics = map[string]bool{}
	m.sent = append(m.sent, sent{frame: "[last]", post: true})
}

func (w *world) offer(m *modelled, max int) {
	if m.offered || m.gone || m.shard == w.turning && m.lazy {
		return
	}
	switch err := m.offer(max); {
	case err == nil:
		m.offered = m.batch.Bytes > 0 // nothing need not be taken
	case !m.lazy && !w.pressed:
		w.Errorf("%s takes all it is offered and fell behind", m.name)
	default:
		w.finish(m, true)
	}
}

func (w *world) take(m *modelled, n int) {
	if !m.offered {
		return
	}
	m.offered = false
	messages, _ := m.take(n)
	m.messages += messages
	w.compare(m)
}

// turn lets a shard take a turn. Members that are not lazy take everything, but
// others are not idle in the meantime.
func (w *world) turn(s *Shard) {
	if w.turning != nil {
		return
	}
	w.turning = s
	defer func() { w.turning = nil }()
	s.Turn(1 + w.rnd.IntN(5))
	for _, m := range w.members {
		if m.shard != s || !m.woken || m.lazy || m.gone {
			continue
		}
		m.woken = false
		for m.More() && !m.gone {
			if w.offer(m, 1+w.rnd.IntN(2000)); w.Failed() {
				return
			}
			for range w.rnd.IntN(3) {
				w.do(w.rnd.IntN(24))
			}
			if m.offered {
				w.take(m, 1+w.rnd.IntN(2000))
			}
		}
	}
}

// compare checks what came since against the model.
func (w *world) compare(m *modelled) {
	s := m.stream
	for len(s) > 0 {
		end := bytes.IndexAny(s, "]>")
		if end < 0 {
			break // the frame is not complete
		}
		frame := string(s[:end+1])
		var n int
		switch _, err := fmt.Sscanf(frame, "[%d missed]", &n); {
		case frame[0] == '<':
		case err == nil && bytes.HasSuffix(s[:end+1], []byte(" missed]")):
			m.missed += n
		case !m.find(frame):
			w.Errorf("%s got %.30q…, which is not due; finished %v dropped %v skip %v", m.name, frame, m.finished, m.dropped, w.hub.config.Skipped != nil)
			return
		}
		s = s[end+1:]
	}
	m.stream = append(m.stream[:0], s...)
}

// find looks for a frame in what is due, and passes over what did not come.
func (m *modelled) find(frame string) bool {
	for i := m.got; i < len(m.sent); i++ {
		if m.sent[i].frame == frame {
			for _, s := range m.sent[m.got:i] {
				if s.post && !m.dropped {
					return false
				}
				m.passOver(s)
			}
			if m.sent[i].copy {
				m.unsure++ // its entry in the log may have been dropped between offer and take
			}
			m.unsure += max(m.sent[i].topics-1, 0) // it may have been on its way when the others were missed
			m.got = i + 1
			if frame != "[last]" {
				m.came++
			}
			return true
		}
	}
	return false
}

// end reads everything, and compares.
func (w *world) end() {
	for _, m := range w.members {
		w.take(m, 1<<20)
	}
	for range 3 {
		settle(w.shards...)
		for _, m := range w.members {
			for m.More() && !m.gone {
				w.offer(m, 1000)
				w.take(m, 1000)
			}
		}
	}
	for _, m := range w.members {
		w.compareEnd(m)
		m.Leave()
	}
	settle(w.shards...)
	w.hub.Unretain(remembered)
	if st := w.hub.Stats(); st.Topics != 0 || st.Memory != 0 {
		w.Errorf("when all have left: %+v", st)
	}
	if err := w.hub.Check(); err != nil {
		w.Error(err)
	}
}

// compareEnd checks what never came: nothing, unless the member has left or
// fallen behind, or was told of it.
func (w *world) compareEnd(m *modelled) {
	if m.gone {
		return
	}
	if len(m.stream) > 0 {
		w.Errorf("%s was left with a part of a frame: %.30q…", m.name, m.stream)
	}
	for _, s := range m.sent[m.got:] {
		m.passOver(s)
		if s.frame == "[last]" || s.post && !m.dropped {
			w.Errorf("%s did not get %.30q…", m.name, s.frame)
		}
	}
	switch {
	case m.messages != m.came:
		w.Errorf("%s got %d messages, and %d were counted", m.name, m.came, m.messages)
	case m.finished: // what it was to be told it may not have been
	case m.missed < m.passed, m.missed > m.passed+m.unsure:
		w.Errorf("%s was told that it missed %d messages; %d did not come, and perhaps %d more", m.name, m.missed, m.passed, m.unsure)
	}
}

// passOver notes that s did not come.
func (m *modelled) passOver(s sent) {
	if s.frame == "" {
		m.unsure += s.topics
	} else if !s.post {
		m.passed += s.topics
	}
}
