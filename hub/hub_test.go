package hub

import "testing"

// reader is a connection that reads as much as a test lets it.
type reader struct {
	Member
	name   string
	woken  bool
	stream []byte // all bytes it was given
	mem    Memory
	batch  Batch // offered, and not taken yet
}

func (r *reader) Wake() { r.woken = true }

// offer asks for a batch.
func (r *reader) offer(max int) (err error) {
	r.mem.Reset()
	r.batch, err = r.Pending(&r.mem, max)
	return err
}

// take takes the first n bytes of the batch, as a socket that is almost full
// would.
func (r *reader) take(n int) (messages int, finished bool) {
	n = min(n, r.batch.Bytes)
	left := n
	for _, frame := range r.batch.Frames {
		frame = frame[:min(len(frame), left)]
		r.stream = append(r.stream, frame...)
		left -= len(frame)
	}
	messages, finished = r.Advance(r.batch, n)
	r.batch = Batch{}
	r.mem.Reset()
	return messages, finished
}

// read takes at most n bytes.
func (r *reader) read(n int) error {
	if err := r.offer(n); err != nil {
		return err
	}
	r.take(n)
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

// newHub returns a hub whose accounts are checked when the test ends.
func newHub(t *testing.T, config Config) *Hub {
	h := New(config)
	t.Cleanup(func() {
		if err := h.Check(); err != nil {
			t.Errorf("at the end of the test: %v", err)
		}
	})
	return h
}

func newShard(h *Hub) *Shard { return h.NewShard(func() {}) }

func join(s *Shard, name string, topics ...string) *reader {
	r := &reader{name: name}
	s.Join(&r.Member, r)
	for _, t := range topics {
		r.Subscribe(Topic{App: "app", Name: t})
	}
	return r
}

func names(topics ...string) []Topic {
	var ts []Topic
	for _, t := range topics {
		ts = append(ts, Topic{App: "app", Name: t})
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

// A scene has ann and bob in the topics a and b, and cat, of another shard, in b.
type scene struct {
	t             *testing.T
	hub           *Hub
	shards        []*Shard
	ann, bob, cat *reader
}

func newScene(t *testing.T) *scene {
	h := newHub(t, Config{})
	s, other := newShard(h), newShard(h)
	return &scene{t, h, []*Shard{s, other}, join(s, "ann", "a", "b"), join(s, "bob", "a", "b"), join(other, "cat", "b")}
}

// publish publishes a frame to topics. The echo is what the sender gets: a copy
// of its own, "same" for everybody's, or "" for none.
func (s *scene) publish(from *reader, others, echo string, topics ...string) {
	s.t.Helper()
	p := Publication{Topics: names(topics...), Frame: []byte(others), Echo: EchoCopy, Copy: []byte(echo)}
	if from != nil {
		p.From = &from.Member
	}
	switch echo {
	case "same":
		p.Echo = EchoSame
	case "":
		p.Echo = EchoNone
	}
	if err := s.hub.Publish(p); err != nil {
		s.t.Fatal(err)
	}
	settle(s.shards...)
}

func TestOwnCopy(t *testing.T) {
	s := newScene(t)
	s.publish(s.ann, "[hi]", "[mine]", "a")
	s.ann.want(t, "the sender gets its own copy", "[mine]")
	s.bob.want(t, "others get theirs", "[hi]")
	s.cat.want(t, "not in a", "")
}

func TestNoEcho(t *testing.T) {
	s := newScene(t)
	s.publish(s.ann, "[hi]", "", "b")
	s.ann.want(t, "no echo is silence", "")
	s.bob.want(t, "others hear it all the same", "[hi]")
	s.cat.want(t, "in another shard too", "[hi]")
}

func TestEveryonesCopy(t *testing.T) {
	s := newScene(t)
	s.publish(s.ann, "[hi]", "same", "b")
	s.ann.want(t, "the sender gets what everybody gets", "[hi]")
	s.bob.want(t, "others of its shard hear it", "[hi]")
	s.cat.want(t, "others of another shard hear it", "[hi]")
}

func TestOnceThoughInTwoTopics(t *testing.T) {
	s := newScene(t)
	s.publish(s.ann, "[both]", "[mine]", "a", "b", "a")
	s.ann.want(t, "two topics, one copy for the sender", "[mine]")
	s.bob.want(t, "two topics, one message", "[both]")
	s.cat.want(t, "one of them", "[both]")
}

func TestSenderFromOutside(t *testing.T) {
	s := newScene(t)
	s.publish(s.cat, "[x]", "[mine]", "a")
	s.ann.want(t, "members hear somebody who is none", "[x]")
	s.bob.want(t, "members hear somebody who is none", "[x]")
	s.cat.want(t, "who is no member has no copy", "")
}

func TestNobodyIsHere(t *testing.T) {
	s := newScene(t)
	s.publish(nil, "[y]", "[mine]", "nobody is here")
	for _, r := range []*reader{s.ann, s.bob, s.cat} {
		r.want(t, "it is in other topics", "")
	}
}

func TestSubscribedMeanwhile(t *testing.T) {
	s := newScene(t)
	s.publish(nil, "[1]", "same", "a")
	s.bob.Unsubscribe(Topic{App: "app", Name: "a"})
	s.publish(nil, "[2]", "same", "a")
	s.bob.Subscribe(Topic{App: "app", Name: "a"})
	s.publish(nil, "[3]", "same", "a")
	s.bob.want(t, "what was published while it was subscribed", "[1][3]")
	s.ann.want(t, "it was subscribed all the time", "[1][2][3]")
}

func TestPostsKeepTheirPlace(t *testing.T) {
	h := newHub(t, Config{Posts: 10})
	s := newShard(h)
	ann := join(s, "ann", "a")
	h.Publish(Publication{From: &ann.Member, Topics: names("a"), Frame: []byte("others"), Echo: EchoCopy, Copy: []byte("[mine]")})
	ann.Post([]byte("[ack]"))
	h.Publish(Publication{Topics: names("a"), Frame: []byte("[later]")})
	if err := ann.Post([]byte("123456")); err != ErrFull {
		t.Errorf("a post beyond the limit: %v, want ErrFull", err)
	}
	settle(s)
	ann.want(t, "a post comes after what was published before it", "[mine][ack][later]")
	if err := ann.Post([]byte("123456")); err != nil {
		t.Errorf("after reading there is room again: %v", err)
	}
	ann.Finish([]byte("[bye]"), false)
	if err := h.Publish(Publication{From: &ann.Member, Topics: names("a"), Frame: []byte("others"), Echo: EchoCopy, Copy: []byte("[mine]")}); err != ErrGone {
		t.Errorf("a publish after the last frame: %v, want ErrGone", err)
	}
	h.Publish(Publication{Topics: names("a"), Frame: []byte("[too late]")})
	if err := ann.Post(nil); err != ErrGone {
		t.Errorf("a post after the last frame: %v, want ErrGone", err)
	}
	settle(s)
	ann.want(t, "nothing comes after the last frame", "123456[bye]")
	if _, finished := ann.Advance(Batch{}, 0); !finished {
		t.Error("the last frame is written, and Advance does not say so")
	}
}

// TestUnread counts what a member has yet to be given: of its topics what its shard has seen, and posts.
func TestUnread(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	ann := join(s, "ann", "a", "b")
	if n := ann.Unread(); n != 0 {
		t.Errorf("at first %d messages are unread", n)
	}
	h.Publish(Publication{Topics: names("a"), Frame: []byte("[1]")})
	h.Publish(Publication{Topics: names("b"), Frame: []byte("[2]")})
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
