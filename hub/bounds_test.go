package hub

import (
	"fmt"
	"testing"
)

// TestNewTopicsFindRoom: readers that are stuck do not keep others from a first
// message, however many they are.
func TestNewTopicsFindRoom(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Memory: 64 << 10})
	s := newShard(h)
	var stuck []*reader
	expelled := 0
	for i := range 100 {
		r := join(s, fmt.Sprint(i), fmt.Sprint(i))
		for h.Publish(Publication{Topics: names(r.name), Frame: make([]byte, 2000)}) != nil {
			settle(s)
			for _, other := range stuck {
				if other.Behind() {
					other.Finish([]byte("[1013]"), true)
					expelled++
				}
			}
		}
		settle(s)
		stuck = append(stuck, r)
		if got := h.Stats().Memory; got > 64<<10 {
			t.Fatalf("%d bytes are in use, more than the limit", got)
		}
	}
	if err := stuck[99].read(1); err != nil || expelled < 70 || expelled > 90 {
		t.Errorf("%d of 100 readers were put behind; the newest: %v", expelled, err)
	}
	for _, r := range stuck {
		r.Leave()
	}
	if st := h.Stats(); st.Memory != 0 || st.Topics != 0 {
		t.Errorf("when all have left: %+v", st)
	}
}

// TestLeavingMakesRoom: whoever waits for memory is told when a reader leaves
// that held it, whatever else happens.
func TestLeavingMakesRoom(t *testing.T) {
	h := newHub(t, Config{Backlog: 64 << 10, Memory: 128 << 10})
	woken := 0
	s, other := newShard(h), h.NewShard(func() { woken++ })
	slow, ann := join(s, "slow", "a"), join(other, "ann")
	frame := make([]byte, 30<<10)
	for h.Publish(Publication{Topics: names("a"), Frame: frame}) == nil {
	}
	p := Publication{From: &ann.Member, Topics: names("a"), Frame: frame}
	if err := h.Publish(p); err != ErrBusy {
		t.Fatalf("the log is full: %v", err)
	}
	retry, before := h.Retry(), woken
	join(other, "new", "a") // so that the topic remains
	slow.Leave()
	<-retry
	if woken == before {
		t.Error("the member that was refused is not told")
	}
	if err := h.Publish(p); err != nil {
		t.Errorf("there is room now: %v", err)
	}
}

// TestWhoeverAsksForMorePays: members that fill the memory with topics that
// they do not read do so at their own cost, not at that of a slow reader of
// another topic, nor of its publisher.
func TestWhoeverAsksForMorePays(t *testing.T) {
	h := newHub(t, Config{Backlog: 64 << 10, Memory: 1 << 20})
	s := newShard(h)
	slow := join(s, "slow", "honest")
	sent := 0
	say := func() bool {
		if h.Publish(Publication{Topics: names("honest"), Frame: make([]byte, 1000)}) != nil {
			return false
		}
		settle(s)
		sent += 1000
		return true
	}
	for range 40 {
		say()
	}
	var hogs []*reader
	for i := range 4 {
		r := join(s, fmt.Sprint("hog ", i))
		for k := range 100 {
			r.Subscribe(Topic{App: "app", Name: fmt.Sprint(i, " ", k)})
		}
		hogs = append(hogs, r)
	}
	for k := range 100 {
		for i := range hogs {
			for range 10 {
				h.Publish(Publication{Topics: names(fmt.Sprint(i, " ", k)), Frame: make([]byte, 1000)})
				settle(s)
			}
			if hogs[i].Behind() {
				hogs[i].Finish([]byte("[1013]"), true)
			}
			if slow.Behind() {
				t.Fatal("the slow reader of another topic was put behind")
			}
			if got := h.Stats().Memory; got > 512<<10 {
				t.Fatalf("%d bytes are in use, more than the limit", got)
			}
		}
	}
	for tries := 0; !say(); tries++ {
		if tries == 10 {
			t.Fatal("nobody can talk in another topic")
		}
		settle(s)
		for _, r := range hogs {
			if r.Behind() {
				r.Finish([]byte("[1013]"), true)
			}
		}
	}
	if err := slow.readAll(); err != nil || len(slow.stream) != sent {
		t.Errorf("the slow reader got %d of %d bytes, %v", len(slow.stream), sent, err)
	}
}

// TestNobodyWaitsForEver: readers that are stuck, none of which holds more than
// its share, do not stop a topic that has a little, and a slow reader of its own.
func TestNobodyWaitsForEver(t *testing.T) {
	h := newHub(t, Config{Backlog: 256 << 10, Memory: 4 << 20})
	s := newShard(h)
	stuck := []*reader{join(s, "slow", "a")}
	publish := func(topic string, size int) error {
		defer settle(s)
		return h.Publish(Publication{Topics: names(topic), Frame: make([]byte, size)})
	}
	for range 3 {
		publish("a", 9<<10)
	}
	for i := range 8 {
		stuck = append(stuck, join(s, "stuck", fmt.Sprint(i)))
		for range 19 {
			publish(fmt.Sprint(i), 10<<10)
		}
	}
	for tries := 0; publish("a", 40<<10) != nil; tries++ {
		if tries == 3 {
			t.Fatal("nobody can talk where a slow reader listens")
		}
		for _, r := range stuck {
			if r.Behind() {
				r.Finish([]byte("[1013]"), true)
			}
		}
	}
}

// TestTooLarge: what can never find room is refused for good, not until others
// have read.
func TestTooLarge(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Memory: 64 << 10})
	s := newShard(h)
	ann := join(s, "ann", "a", "b", "c", "d", "e")
	for why, p := range map[string]Publication{
		"one topic's":   {Topics: names("a"), Frame: make([]byte, 30<<10)},
		"in all topics": {Topics: names("a", "b", "c", "d", "e"), Frame: make([]byte, 6<<10)},
		"for its copy":  own(ann, "a", 17<<10),
	} {
		if err := h.Publish(p); err != ErrTooLarge {
			t.Errorf("more than the memory %s: %v", why, err)
		}
	}
	for why, p := range map[string]Publication{
		"one topic's":   {Topics: names("a"), Frame: make([]byte, 25<<10)},
		"in all topics": {Topics: names("a", "b", "c", "d", "e"), Frame: make([]byte, 5<<10)},
		"for its copy":  own(ann, "a", 16000),
	} {
		for range 3 {
			if err := h.Publish(p); err != nil {
				t.Errorf("just the memory %s: %v", why, err)
			}
			settle(s)
			if err := ann.readAll(); err != nil {
				t.Error(err)
			}
			settle(s)
		}
	}
}

// TestExpelledTooLate: a member that was chosen to give up its place, and has
// read everything by the time its shard takes its turn, stays.
func TestExpelledTooLate(t *testing.T) {
	h := newHub(t, Config{Backlog: 64 << 10, Memory: 128 << 10})
	s := newShard(h)
	heavy, ann := join(s, "heavy", "a"), join(s, "ann", "b")
	for h.Stats().LogBytes < 50<<10 {
		h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 1000)})
		settle(s)
	}
	p := Publication{Topics: names("b"), Frame: make([]byte, 20<<10)}
	if err := h.Publish(p); err != ErrBusy || h.expelled != 1 {
		t.Fatalf("%v, and %d members are expelled", err, h.expelled)
	}
	if err := heavy.readAll(); err != nil {
		t.Fatal(err)
	}
	h.Publish(Publication{Topics: names("a"), Frame: []byte("[next]")})
	settle(s)
	if heavy.Behind() || h.expelled != 0 {
		t.Error("a member is expelled that has read everything it was offered")
	}
	if err := h.Publish(p); err != nil {
		t.Errorf("there is room: %v", err)
	}
	settle(s)
	heavy.stream = nil
	heavy.want(t, "it goes on", "[next]")
	if err := ann.readAll(); err != nil {
		t.Error(err)
	}
}

// TestSpentMemory: what everybody has read is kept for the next frame only as
// long as nobody else needs the memory.
func TestSpentMemory(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Memory: 64 << 10})
	s := newShard(h)
	for i := range 1000 {
		r := join(s, fmt.Sprint(i), fmt.Sprint(i))
		if err := h.Publish(Publication{Topics: names(r.name), Frame: make([]byte, 500)}); err != nil {
			t.Fatalf("topic %d: %v", i, err)
		}
		settle(s)
		if err := r.readAll(); err != nil {
			t.Fatal(err)
		}
		settle(s)
	}
}

// TestOwnCopiesAreCounted: a member that does not read cannot fill the memory
// with its own copies, nor with what is posted to it.
func TestOwnCopiesAreCounted(t *testing.T) {
	h := newHub(t, Config{Memory: 64 << 10})
	s := newShard(h)
	ann, bob := join(s, "ann", "a"), join(s, "bob")
	p := Publication{From: &ann.Member, Topics: names("a"), Frame: []byte("x"), Echo: EchoCopy, Copy: make([]byte, 1000)}
	sent := 0
	for ; h.Publish(p) == nil; sent++ {
		settle(s)
	}
	if sent < 10 || sent > 16 || ann.Waiting() < sent*1000 {
		t.Errorf("%d copies of 1000 bytes wait, %d bytes in all", sent, ann.Waiting())
	}
	if err := bob.Post(make([]byte, 2000)); err != ErrFull {
		t.Errorf("a post: %v, want ErrFull", err)
	}
	retry := h.Retry()
	settle(s)
	if err := ann.readAll(); err != nil {
		t.Fatal(err)
	}
	<-retry
	if err := h.Publish(p); err != nil {
		t.Errorf("after reading: %v", err)
	}
	ann.Leave()
	if err := bob.Post(make([]byte, 1000)); err != nil {
		t.Error(err)
	}
}

// TestGreedyMembersLeaveRoom: however many members do not read what waits for
// them alone, others can still publish small messages, and get answers; and the
// memory has its bound all the same.
func TestGreedyMembersLeaveRoom(t *testing.T) {
	const memory, members = 64 << 10, 40
	h := newHub(t, Config{Memory: memory})
	s := newShard(h)
	for i := range members {
		greedy := join(s, fmt.Sprint("greedy ", i))
		for greedy.Post(make([]byte, 1)) == nil {
		}
	}
	if used := h.private.used.Load(); used < memory/4 || used > memory/4+members*allowance {
		t.Errorf("they take %d bytes", used)
	}
	ann := join(s, "ann", "a")
	for range 3 {
		if err := h.Publish(own(ann, "a", 900)); err != nil {
			t.Errorf("a message of one who reads: %v", err)
		}
		settle(s)
		if err := ann.readAll(); err != nil {
			t.Error(err)
		}
		if err := ann.PostControl(make([]byte, 125)); err != nil {
			t.Errorf("a pong for one who reads: %v", err)
		}
		settle(s)
		ann.readAll()
	}
}

// TestReserve: a quarter of the memory can be taken from outside.
func TestReserve(t *testing.T) {
	h := newHub(t, Config{Memory: 64 << 10})
	if !h.Reserve(10<<10) || !h.Reserve(6<<10) || h.Reserve(1) {
		t.Error("not just a quarter of the memory can be reserved")
	}
	h.Release(10 << 10)
	if !h.Reserve(10 << 10) {
		t.Error("what was given back cannot be reserved again")
	}
	if got := h.Stats().Memory; got != 16<<10 {
		t.Errorf("%d bytes are counted", got)
	}
}

// TestControlOvertakes: frames that are no messages do not wait for a slow
// socket to take all messages before them; else they keep their place.
func TestControlOvertakes(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	ann := join(s, "ann", "a")
	publish := func(frame string) {
		h.Publish(Publication{Topics: names("a"), Frame: []byte(frame)})
	}
	publish("[1]")
	ann.PostControl([]byte("<ping>"))
	publish("[2]")
	settle(s)
	ann.want(t, "where the socket takes everything", "[1]<ping>[2]")
	publish("[1]")
	publish("[2]")
	settle(s)
	ann.offer(1 << 20)
	ann.take(1)
	ann.Post([]byte("[post]"))
	ann.PostControl([]byte("<ping>"))
	ann.PostControl([]byte("<pong>"))
	settle(s)
	ann.want(t, "after the frame under way", "[1]<ping><pong>[2][post]")
	for range 100 {
		publish("[message]")
	}
	ann.PostControl([]byte("<ping>"))
	settle(s)
	ann.offer(500)
	if end := ann.batch.Frames[len(ann.batch.Frames)-1]; string(end) != "<ping>" {
		t.Errorf("a batch that is full ends with %q", end)
	}
	ann.take(1 << 20)
}

func TestReadersLeaveNoBacklog(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	ann := join(s, "ann", "a")
	for range 50 {
		for range 50 {
			h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 3000)})
		}
		settle(s)
		ann.readAll()
		settle(s)
		if got := h.Stats().LogBytes; got > 2*maxChunk {
			t.Fatalf("everything is read, and the log holds %d bytes", got)
		}
	}
}
