package hub

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// reader is a connection that reads as much as a test lets it.
type reader struct {
	Member
	name   string
	woken  bool
	stream []byte // all bytes it was given
	bufs   [][]byte
}

func (r *reader) Wake() { r.woken = true }

// read takes at most n bytes, as a socket that is almost full would.
func (r *reader) read(n int) error {
	var err error
	r.bufs, err = r.Pending(r.bufs[:0], n)
	if err != nil {
		return err
	}
	took := 0
	for _, b := range r.bufs {
		b = b[:min(len(b), n-took)]
		r.stream = append(r.stream, b...)
		took += len(b)
	}
	r.Advance(took)
	return nil
}

func (r *reader) readAll() error {
	for r.More() {
		if err := r.read(1 << 20); err != nil {
			return err
		}
	}
	return nil
}

func newShard(h *Hub) *Shard { return h.NewShard(func() {}) }

func join(s *Shard, name string, topics ...string) *reader {
	r := &reader{name: name}
	s.Join(&r.Member, r)
	for _, t := range topics {
		r.Subscribe(Topic{"app", t})
	}
	return r
}

func names(topics ...string) []Topic {
	var ts []Topic
	for _, t := range topics {
		ts = append(ts, Topic{"app", t})
	}
	return ts
}

func settle(shards ...*Shard) {
	for _, s := range shards {
		for s.Turn(1000) {
		}
	}
}

func (r *reader) want(t *testing.T, why, stream string) {
	t.Helper()
	if err := r.readAll(); err != nil {
		t.Fatalf("%s: %s: %v", why, r.name, err)
	}
	if string(r.stream) != stream {
		t.Errorf("%s: %s got %q, want %q", why, r.name, r.stream, stream)
	}
	r.stream = r.stream[:0]
}

func TestPublish(t *testing.T) {
	h := New(Limits{})
	s, other := newShard(h), newShard(h)
	ann := join(s, "ann", "a", "b")
	bob := join(s, "bob", "a", "b")
	cat := join(other, "cat", "b")
	publish := func(from *reader, others, mine string, topics ...string) {
		t.Helper()
		var m *Member
		if from != nil {
			m = &from.Member
		}
		own := []byte(mine)
		if mine == "same" {
			own = nil
		}
		if err := h.Publish(m, names(topics...), []byte(others), own); err != nil {
			t.Fatal(err)
		}
		settle(s, other)
	}

	publish(ann, "[hi]", "[mine]", "a")
	ann.want(t, "the sender gets its own copy", "[mine]")
	bob.want(t, "others get theirs", "[hi]")
	cat.want(t, "not in a", "")

	publish(ann, "[hi]", "", "b")
	ann.want(t, "an empty copy is silence", "")
	bob.want(t, "others hear it all the same", "[hi]")
	cat.want(t, "in another shard too", "[hi]")

	publish(ann, "[hi]", "same", "b")
	ann.want(t, "no copy of its own means everybody's", "[hi]")
	bob.want(t, "", "[hi]")
	cat.want(t, "", "[hi]")

	publish(ann, "[both]", "[mine]", "a", "b", "a")
	ann.want(t, "two topics, one message", "[mine]")
	bob.want(t, "two topics, one message", "[both]")
	cat.want(t, "one of them", "[both]")

	publish(cat, "[x]", "[mine]", "a")
	bob.want(t, "the sender need not be a member", "[x]")
	cat.want(t, "and then has no copy", "")
	ann.want(t, "", "[x]")

	publish(nil, "[y]", "[mine]", "nobody is here")
	publish(nil, "[1]", "same", "a")
	bob.Unsubscribe(Topic{"app", "a"})
	publish(nil, "[2]", "same", "a")
	bob.Subscribe(Topic{"app", "a"})
	publish(nil, "[3]", "same", "a")
	bob.want(t, "what was published while subscribed", "[1][3]")
	ann.want(t, "", "[1][2][3]")
}

func TestPostsKeepTheirPlace(t *testing.T) {
	h := New(Limits{Posts: 10})
	s := newShard(h)
	ann := join(s, "ann", "a")
	h.Publish(&ann.Member, names("a"), []byte("others"), []byte("[mine]"))
	ann.Post([]byte("[ack]"))
	h.Publish(nil, names("a"), []byte("[later]"), nil)
	if err := ann.Post([]byte("123456")); err != ErrFull {
		t.Errorf("a post beyond the limit: %v, want ErrFull", err)
	}
	settle(s)
	ann.want(t, "a post comes after what was published before it", "[mine][ack][later]")
	if err := ann.Post([]byte("123456")); err != nil {
		t.Errorf("after reading there is room again: %v", err)
	}
	ann.Finish([]byte("[bye]"), false)
	if err := h.Publish(&ann.Member, names("a"), []byte("others"), []byte("[mine]")); err != ErrGone {
		t.Errorf("a publish after the last frame: %v, want ErrGone", err)
	}
	h.Publish(nil, names("a"), []byte("[too late]"), nil)
	if err := ann.Post(nil); err != ErrGone {
		t.Errorf("a post after the last frame: %v, want ErrGone", err)
	}
	settle(s)
	ann.want(t, "nothing comes after the last frame", "123456[bye]")
	if _, finished := ann.Advance(0); !finished {
		t.Error("the last frame is written, and Advance does not say so")
	}
}

// TestUnread counts what a member has yet to be given: of its topics what its shard has seen, and posts.
func TestUnread(t *testing.T) {
	h := New(Limits{})
	s := newShard(h)
	ann := join(s, "ann", "a", "b")
	if n := ann.Unread(); n != 0 {
		t.Errorf("at first %d messages are unread", n)
	}
	h.Publish(nil, names("a"), []byte("[1]"), nil)
	h.Publish(nil, names("b"), []byte("[2]"), nil)
	ann.Post([]byte("[3]"))
	ann.PostControl([]byte("[no message]"))
	settle(s)
	if n := ann.Unread(); n != 3 {
		t.Errorf("%d messages are unread, want 3", n)
	}
	ann.want(t, "all of it", "[1][2][3][no message]")
	if n := ann.Unread(); n != 0 {
		t.Errorf("at last %d messages are unread", n)
	}
}

func TestFallingBehind(t *testing.T) {
	h := New(Limits{Topic: 8 << 10})
	s := newShard(h)
	slow, fast := join(s, "slow", "a"), join(s, "fast", "a")
	frame := bytes.Repeat([]byte("x"), 100)
	h.Publish(nil, names("a"), frame, nil)
	settle(s)
	slow.read(30) // stuck in the middle of a frame
	for range 200 {
		if err := h.Publish(nil, names("a"), frame, nil); err != nil {
			t.Fatal(err)
		}
		settle(s)
		if err := fast.readAll(); err != nil {
			t.Fatalf("the fast one: %v", err)
		}
	}
	if err := slow.read(1); err != ErrBehind {
		t.Fatalf("the slow one: %v, want ErrBehind", err)
	}
	if h.Stats().LogBytes > 8<<10 {
		t.Errorf("the logs hold %d bytes, more than the limit", h.Stats().LogBytes)
	}
	slow.Finish([]byte("[1013]"), true)
	settle(s)
	slow.want(t, "the frame under way is completed, then the last one comes", string(frame)+"[1013]")
	if got := len(fast.stream); got != 201*100 {
		t.Errorf("the fast one got %d bytes, want %d", got, 201*100)
	}
}

func TestSkip(t *testing.T) {
	h := New(Limits{Topic: 8 << 10})
	s := newShard(h)
	slow := join(s, "slow", "a")
	frame := bytes.Repeat([]byte("x"), 100)
	h.Publish(&slow.Member, names("a"), frame, []byte("[mine]"))
	settle(s)
	slow.read(3)
	for range 100 {
		h.Publish(nil, names("a"), frame, nil)
		settle(s)
	}
	if err := slow.read(1); err != ErrBehind {
		t.Fatalf("got %v, want ErrBehind", err)
	}
	slow.Post([]byte("[post]"))
	settle(s)
	slow.Post([]byte("[later]")) // behind the cut
	h.Publish(nil, names("a"), []byte("[next]"), nil)
	slow.Skip(func(messages int) []byte { return fmt.Appendf(nil, "[%d skipped]", messages) })
	settle(s)
	slow.want(t, "it goes on at the head, after the frame under way", "[mine][post][100 skipped][later][next]")
}

func TestBusy(t *testing.T) {
	h := New(Limits{Topic: 8 << 10})
	woken := 0
	s, lazy := h.NewShard(func() { woken++ }), newShard(h)
	ann, bob := join(s, "ann", "a"), join(lazy, "bob", "a")
	frame := bytes.Repeat([]byte("x"), 1000)
	sent := 0
	for h.Publish(nil, names("a"), frame, nil) == nil {
		sent++
		settle(s)
		ann.readAll()
	}
	settle(s)
	if err := h.Publish(&ann.Member, names("a"), frame, nil); err != ErrBusy {
		t.Fatalf("the second refusal is %v", err)
	}
	relief, before := h.Relief(), woken
	settle(s)
	if woken != before {
		t.Error("the refused member's shard is woken for nothing")
	}
	settle(lazy)
	<-relief
	if woken == before {
		t.Error("the refused member's shard is not woken when the lazy one has caught up")
	}
	if err := h.Publish(nil, names("a"), frame, nil); err != nil {
		t.Errorf("after the lazy shard caught up: %v", err)
	}
	settle(lazy)
	bob.want(t, "a member that takes what it is offered loses nothing", string(bytes.Repeat(frame, sent+1)))
}

func TestTotalLimit(t *testing.T) {
	h := New(Limits{Topic: 8 << 10, Total: 64 << 10})
	s := newShard(h)
	var stuck []*reader
	for i := range 100 {
		r := join(s, fmt.Sprint(i), fmt.Sprint(i))
		h.Publish(nil, names(r.name), make([]byte, 2000), nil)
		settle(s)
		stuck = append(stuck, r)
	}
	if got := h.Stats().LogBytes; got > 64<<10 {
		t.Errorf("the logs hold %d bytes, more than the limit", got)
	}
	if err := stuck[0].read(1); err != ErrBehind {
		t.Errorf("the oldest reader: %v, want ErrBehind", err)
	}
	if err := stuck[99].read(1); err != nil {
		t.Errorf("the newest reader: %v", err)
	}
	for _, r := range stuck {
		r.Leave()
	}
	if st := h.Stats(); st.LogBytes != 0 || st.Topics != 0 {
		t.Errorf("when all have left: %+v", st)
	}
}

func TestReadersLeaveNoBacklog(t *testing.T) {
	h := New(Limits{})
	s := newShard(h)
	ann := join(s, "ann", "a")
	for range 50 {
		for range 50 {
			h.Publish(nil, names("a"), make([]byte, 3000), nil)
		}
		settle(s)
		ann.readAll()
		settle(s)
		if got := h.Stats().LogBytes; got > 2*maxChunk {
			t.Fatalf("everything is read, and the log holds %d bytes", got)
		}
	}
}

// model is the hub written the dumb way: every member has a list of all it shall receive.
type model struct {
	topics map[string]map[*reader]bool
	want   map[*reader][]byte
	last   map[*reader]bool
}

func (m *model) publish(from *reader, topics []string, others, mine []byte) {
	heard := map[*reader]bool{}
	for _, t := range topics {
		for r := range m.topics[t] {
			if heard[r] || m.last[r] {
				continue
			}
			heard[r] = true
			if r == from && mine != nil {
				m.want[r] = append(m.want[r], mine...)
			} else {
				m.want[r] = append(m.want[r], others...)
			}
		}
	}
}

// TestModel runs random interleavings of everything a hub can do beside the model.
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

// A chooser makes random numbers of bytes, as long as there are any: each decides where in a range its number lies.
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

func runModel(t *testing.T, rnd *rand.Rand, steps int) {
	const limit = 16 << 10
	h := New(Limits{Topic: limit})
	shards := []*Shard{newShard(h), newShard(h), newShard(h)}
	m := model{map[string]map[*reader]bool{}, map[*reader][]byte{}, map[*reader]bool{}}
	topics := []string{"a", "b", "c", "d"}
	for _, name := range topics {
		m.topics[name] = map[*reader]bool{}
	}
	var all []*reader
	lazy := map[*reader]bool{} // reads a little now and then; may fall behind
	behind := map[*reader]bool{}
	for i := range 12 {
		r := join(shards[i%3], fmt.Sprint("r", i))
		lazy[r] = i%4 == 0
		all = append(all, r)
	}
	check := func(r *reader) {
		if !bytes.HasPrefix(m.want[r], r.stream) {
			t.Errorf("%s got\n%q, want a beginning of\n%q", r.name, r.stream, m.want[r])
		}
	}
	read := func(r *reader, n int) {
		if behind[r] {
			return
		}
		if err := r.read(n); err == ErrBehind {
			if !lazy[r] {
				t.Errorf("%s takes all it is offered and fell behind", r.name)
			}
			behind[r] = true
		}
		check(r)
	}
	turn := func(s *Shard) {
		s.Turn(1 + rnd.IntN(5))
		for _, r := range all {
			if r.woken && !lazy[r] {
				r.woken = false
				for r.More() && !behind[r] {
					read(r, 1+rnd.IntN(2000))
				}
			}
		}
	}
	for step := range steps {
		r := all[rnd.IntN(len(all))]
		name := topics[rnd.IntN(len(topics))]
		switch rnd.IntN(12) {
		case 0:
			if r.Subscribe(Topic{"app", name}) != (!m.topics[name][r] && !m.last[r]) {
				t.Errorf("Subscribe disagrees with the model")
			}
			m.topics[name][r] = true
		case 1:
			r.Unsubscribe(Topic{"app", name})
			delete(m.topics[name], r)
		case 2, 3, 4, 5, 6:
			to := topics[rnd.IntN(len(topics)):]
			others := fmt.Appendf(nil, "[%d%s]", step, bytes.Repeat([]byte("o"), rnd.IntN(1<<rnd.IntN(12))))
			var mine []byte
			switch rnd.IntN(3) {
			case 0:
				mine = fmt.Appendf(nil, "[%d mine]", step)
			case 1:
				mine = []byte{}
			}
			err := h.Publish(&r.Member, names(to...), others, mine)
			for ; err == ErrBusy; err = h.Publish(&r.Member, names(to...), others, mine) {
				for _, s := range shards {
					turn(s)
				}
			}
			if gone := err == ErrGone; gone != m.last[r] {
				t.Errorf("a publish says %v; the last frame is posted: %v", err, m.last[r])
			} else if !gone {
				m.publish(r, to, others, mine)
			}
		case 7:
			post := fmt.Appendf(nil, "[%d post]", step)
			if r.Post(post) == nil {
				m.want[r] = append(m.want[r], post...)
			}
		case 8:
			if rnd.IntN(100) == 0 && !m.last[r] {
				r.Finish([]byte("[last]"), false)
				m.want[r] = append(m.want[r], "[last]"...)
				m.last[r] = true
			}
		case 9:
			if lazy[r] {
				read(r, rnd.IntN(500))
			}
		default:
			turn(shards[rnd.IntN(3)])
		}
		if got := h.Stats().LogBytes; got > len(topics)*limit {
			t.Errorf("the logs hold %d bytes", got)
		}
	}
	for _, s := range shards {
		for s.Turn(100) {
		}
	}
	for _, r := range all {
		for r.More() && !behind[r] {
			read(r, 1000)
		}
		if !behind[r] && !bytes.Equal(r.stream, m.want[r]) {
			t.Errorf("%s got %d bytes in all, want %d", r.name, len(r.stream), len(m.want[r]))
		}
		r.Leave()
	}
	if st := h.Stats(); st.Topics != 0 || st.LogBytes != 0 {
		t.Errorf("when all have left: %+v", st)
	}
}

// TestConcurrent has everything happen at once, for the race detector, and checks order per publisher.
func TestConcurrent(t *testing.T) {
	h := New(Limits{Topic: 64 << 10})
	const publishers, messages = 4, 2000
	var readers [2][]*reader
	var loops, pubs sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 {
		wake := make(chan struct{}, 1)
		s := h.NewShard(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		for k := range 5 {
			readers[i] = append(readers[i], join(s, fmt.Sprint(i, k), "a", "b"))
		}
		turn := func() {
			for more := true; more; {
				more = s.Turn(3)
				for _, r := range readers[i] {
					if err := r.readAll(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		}
		loops.Go(func() {
			for {
				select {
				case <-wake:
					turn()
				case <-stop:
					turn()
					return
				}
			}
		})
	}
	for p := range publishers {
		pubs.Go(func() {
			from := readers[p%2][p/2]
			for n := range messages {
				frame := []byte{byte(p), byte(n >> 8), byte(n)}
				for {
					relief := h.Relief()
					if h.Publish(&from.Member, names("a", "b")[n%2:], frame, nil) == nil {
						break
					}
					<-relief
				}
			}
		})
	}
	pubs.Wait()
	close(stop)
	loops.Wait()
	for _, r := range append(readers[0], readers[1]...) {
		next := [publishers]int{}
		for s := r.stream; len(s) > 0; s = s[3:] {
			p, n := s[0], int(s[1])<<8|int(s[2])
			if next[p] != n {
				t.Fatalf("%s: publisher %d: message %d came when %d was due", r.name, p, n, next[p])
			}
			next[p]++
		}
		for p, n := range next {
			if n != messages {
				t.Errorf("%s: %d messages of publisher %d, want %d", r.name, n, p, messages)
			}
		}
	}
}
