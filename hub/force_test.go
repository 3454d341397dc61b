package hub

import (
	"fmt"
	"testing"
)

// forced publishes a frame of size bytes to topics, and fails if it is refused.
func forced(t *testing.T, h *Hub, size int, topics ...string) {
	t.Helper()
	if err := h.Publish(Publication{Topics: names(topics...), Frame: make([]byte, size), Force: true}); err != nil {
		t.Fatalf("a publish that is forced: %v", err)
	}
}

// TestForceWhileBusy: where a publisher would have to wait for a shard, a forced
// publish fills the other half of the backlog. Then members fall behind.
func TestForceWhileBusy(t *testing.T) {
	h := newHub(t, Config{Backlog: 16 << 10})
	s := newShard(h)
	bob := join(s, "bob", "a")
	sent := 0
	for h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 1000)}) == nil {
		sent++
	}
	for range 3 {
		forced(t, h, 1000, "a")
		sent++
	}
	settle(s)
	if err := bob.readAll(); err != nil || len(bob.stream) != sent*1000 {
		t.Fatalf("of %d messages came %d bytes, %v", sent, len(bob.stream), err)
	}
	for range 100 {
		forced(t, h, 1000, "a")
		if got := h.Stats().LogBytes; got > 16<<10 {
			t.Fatalf("the log has %d bytes, more than its backlog", got)
		}
	}
	settle(s)
	if err := bob.readAll(); err != ErrBehind {
		t.Errorf("100 messages at once, for a backlog of 16: %v", err)
	}
}

// TestForceOverSlowReaders: a forced publish in a topic that has nothing finds
// memory, and the reader that has most of it falls behind.
func TestForceOverSlowReaders(t *testing.T) {
	h := newHub(t, Config{Backlog: 256 << 10, Memory: 128 << 10})
	s := newShard(h)
	ann, heavy := join(s, "ann", "a"), join(s, "heavy", "b")
	for h.Publish(Publication{Topics: names("b"), Frame: make([]byte, 1000)}) == nil {
		settle(s)
	}
	forced(t, h, 2000, "a")
	if got := h.Stats().LogBytes; got > 72<<10 {
		t.Errorf("the logs have %d bytes", got)
	}
	settle(s)
	if err := ann.readAll(); err != nil || len(ann.stream) != 2000 {
		t.Errorf("the reader that keeps up got %d bytes, %v", len(ann.stream), err)
	}
	if !heavy.Behind() {
		t.Error("the reader that holds the memory is not behind")
	}
}

// TestForceIsBounded: however many topics there are, and though no shard takes a
// turn, the logs take an eighth more than they may, and a chunk for each topic
// of a publish.
func TestForceIsBounded(t *testing.T) {
	const limit = 128 << 10 // for logs
	h := newHub(t, Config{Backlog: 64 << 10, Memory: 2 * limit})
	s := newShard(h)
	var members []*reader
	for i := range 500 {
		members = append(members, join(s, fmt.Sprint(i), fmt.Sprint(i)))
	}
	for i := range 5000 {
		size, topics := 1+i*7919%3000, []string{fmt.Sprint(i * 31 % 500)}
		if i%10 == 0 {
			topics = append(topics, fmt.Sprint(i*17%500), fmt.Sprint(i*13%500))
		}
		if i%100 == 0 {
			size = 40 << 10
		}
		forced(t, h, size, topics...)
		if got, most := h.Stats().LogBytes, limit+limit/8+len(topics)*footprint(max(minChunk, size)); got > most {
			t.Fatalf("the logs have %d bytes, more than %d", got, most)
		}
	}
	settle(s)
	behind := 0
	for _, m := range members {
		if m.readAll() == ErrBehind {
			behind++
			m.Finish([]byte("[1013]"), true)
		}
	}
	if behind == 0 {
		t.Error("no member is behind")
	}
	settle(s)
	for _, m := range members {
		if err := m.readAll(); err != nil {
			t.Error(err)
		}
	}
	settle(s)
	forced(t, h, 100, "1")
	if got := h.Stats().LogBytes; got > limit {
		t.Errorf("everything is read, and the logs have %d bytes", got)
	}
}

// TestForceTooLarge: not even what is larger than all of the memory is refused.
func TestForceTooLarge(t *testing.T) {
	h := newHub(t, Config{Backlog: 16 << 10, Memory: 64 << 10})
	s := newShard(h)
	ann := join(s, "ann", "a", "b")
	p := Publication{
		From: &ann.Member, Topics: names("a", "b"), Frame: make([]byte, 40<<10),
		Echo: EchoCopy, Copy: make([]byte, 20<<10), Force: true,
	}
	for range 2 {
		if err := h.Publish(p); err != nil {
			t.Fatal(err)
		}
		settle(s)
		if err := ann.readAll(); err != nil || len(ann.stream) != 20<<10 {
			t.Errorf("it got %d bytes, %v", len(ann.stream), err)
		}
		settle(s)
		ann.stream = nil
	}
	if h.private.used.Load() != 0 {
		t.Errorf("%d bytes of private memory are in use", h.private.used.Load())
	}
}

// TestForceFromGone: a forced publish does not need its sender. What the sender
// is in does not matter either.
func TestForceFromGone(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	ann, bob := join(s, "ann", "a"), join(s, "bob", "a", "b")
	p := Publication{From: &ann.Member, Topics: names("a"), Frame: []byte("[x]"), Echo: EchoCopy, Copy: []byte("[mine]"), Force: true}
	publish := func() {
		t.Helper()
		if err := h.Publish(p); err != nil {
			t.Errorf("%v", err)
		}
		settle(s)
	}
	publish()
	p.Topics = nil
	publish()
	ann.want(t, "present: a copy, and nothing without topics", "[mine]")
	bob.want(t, "present", "[x]")
	p.Topics = names("b")
	publish()
	ann.want(t, "no copy of what is published elsewhere", "")
	bob.want(t, "from outside", "[x]")
	p.Topics = names("a")
	ann.Finish([]byte("[bye]"), false)
	publish()
	ann.want(t, "leaving: the last frame is the last", "[bye]")
	bob.want(t, "of a member that is leaving", "[x]")
	ann.Leave()
	publish()
	bob.want(t, "of a member that has left", "[x]")
	if h.Head() != 5 || h.private.used.Load() != 0 {
		t.Errorf("the head is %d, %d bytes of private memory are in use", h.Head(), h.private.used.Load())
	}
}

// TestWhoPays: a topic that has much gets memory from a member that holds very
// much, if there is one, and else from its own slow readers. A forced publish
// gets it from the same members.
func TestWhoPays(t *testing.T) {
	for _, force := range []bool{false, true} {
		for _, heavy := range []bool{false, true} {
			h := newHub(t, Config{Backlog: 8 << 20, Memory: 16 << 20})
			s := newShard(h)
			publish := func(topic string) error {
				defer settle(s)
				return h.Publish(Publication{Topics: names(topic), Frame: make([]byte, 10<<10), Force: force})
			}
			slow, hog := join(s, "slow", "a"), join(s, "hog", "hog")
			for range 20 {
				publish("a")
			}
			for heavy && h.Stats().LogBytes < 4<<20 {
				publish("hog")
			}
			others := []*reader{}
			for i := 0; h.Stats().LogBytes < 8<<20-400<<10; i++ {
				others = append(others, join(s, "other", fmt.Sprint(i)))
				for range 20 {
					publish(fmt.Sprint(i))
				}
			}
			for tries := 0; !slow.Behind() && !hog.Behind(); tries++ {
				if err := publish("a"); force && err != nil || tries > 1000 {
					t.Fatalf("%v, nobody pays", err)
				}
			}
			if hog.Behind() != heavy || slow.Behind() == heavy {
				t.Errorf("force %v: the heaviest pays: %v, the topic's own slow reader: %v", force, hog.Behind(), slow.Behind())
			}
			for _, r := range others {
				if r.Behind() {
					t.Error("the reader of another topic pays")
				}
			}
		}
	}
}

// TestForceTakesOwnFirst: as long as no shard takes a turn, a topic with forced
// publishes drops its own messages, not those of others.
func TestForceTakesOwnFirst(t *testing.T) {
	h := newHub(t, Config{Backlog: 1 << 20, Memory: 128 << 10})
	s := newShard(h)
	ann, bob := join(s, "ann", "a"), join(s, "bob", "b")
	forced(t, h, 1000, "b")
	for range 500 {
		forced(t, h, 1000, "a")
	}
	settle(s)
	if !ann.Behind() {
		t.Error("500 KB are in 64 KiB")
	}
	if err := bob.readAll(); err != nil || len(bob.stream) != 1000 {
		t.Errorf("the reader of another topic got %d bytes, %v", len(bob.stream), err)
	}
}

// TestForceTakesFromOthers: if many topics with forced publishes need more than
// there can be, members of other topics fall behind, and notice it.
func TestForceTakesFromOthers(t *testing.T) {
	const topics = 48 // with a chunk each, these are almost all of the memory
	h := newHub(t, Config{Memory: 128 << 10})
	s := newShard(h)
	var old, fresh []*reader
	for i := range 2 * topics {
		r := join(s, "reader", fmt.Sprint(i))
		forced(t, h, 1000, fmt.Sprint(i))
		if i < topics {
			old = append(old, r)
			settle(s)
		} else {
			fresh = append(fresh, r)
		}
	}
	settle(s)
	behind := 0
	for _, r := range append(old, fresh...) {
		if r.Behind() {
			behind++
		} else if err := r.readAll(); err != nil || len(r.stream) != 1000 {
			t.Errorf("a reader got %d bytes, %v", len(r.stream), err)
		}
	}
	if behind < 39 || behind > 60 { // 57 chunks fit, with an eighth more than the memory
		t.Errorf("%d members fell behind", behind)
	}
}
