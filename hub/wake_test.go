package hub

import (
	"runtime"
	"testing"
)

// fill posts to r until there is no memory for more.
func (r *reader) fill() {
	for r.Post(make([]byte, 100)) == nil {
	}
}

// closed reports whether a channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// own is a publication to a topic that needs memory for its sender's copy.
func own(from *reader, topic string, size int) Publication {
	return Publication{From: &from.Member, Topics: names(topic), Frame: []byte("x"), Echo: EchoCopy, Copy: make([]byte, size)}
}

// TestPrivateMemoryComesBack: whoever waits for memory for its own copy is told
// at once when a member gives some back, in whatever way.
func TestPrivateMemoryComesBack(t *testing.T) {
	for name, way := range map[string]struct {
		behind bool // the member has fallen behind before
		leaves bool // its last frame is queued
		skips  bool
		do     func(*reader)
	}{
		"reading":            {do: func(r *reader) { r.read(1 << 20) }},
		"leaving":            {do: func(r *reader) { r.Leave() }},
		"finishing":          {do: func(r *reader) { r.Finish([]byte("[last]"), true) }},
		"skipping":           {behind: true, skips: true, do: func(r *reader) { r.offer(1) }},
		"finishing, behind":  {behind: true, leaves: true, do: func(r *reader) { r.offer(1) }},
		"expelled":           {behind: true, leaves: true, do: (*reader).expel},
		"expelled, skipping": {behind: true, skips: true, do: (*reader).expel},
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{Backlog: 8 << 10, Memory: 64 << 10}
			if way.skips {
				config.Skipped = missed
			}
			h := newHub(t, config)
			woken := 0
			s, other := newShard(h), h.NewShard(func() { woken++ })
			slow, ann := join(s, "slow", "a"), join(other, "ann", "b")
			for h.Publish(own(slow, "a", 1000)) == nil {
				settle(s)
			}
			for range 100 {
				if !way.behind {
					break
				}
				h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 500)})
				settle(s)
			}
			if way.leaves {
				slow.Finish([]byte("[last]"), false)
				settle(s)
			}
			if err := h.Publish(own(ann, "b", 2000)); err != ErrBusy {
				t.Fatalf("there is memory: %v", err)
			}
			retry, before := h.Retry(), woken
			way.do(slow)
			if !closed(retry) || woken == before {
				t.Error("there is memory, and the publisher is not told")
			}
			if err := h.Publish(own(ann, "b", 2000)); err != nil {
				t.Error(err)
			}
		})
	}
}

// expel does what a shard does with a member whose place others need.
func (r *reader) expel() {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	r.shard.hub.expelled++
	r.Member.expel()
}

// TestRefusedPublishGivesMemoryBack: a publish that was refused for want of a
// log had taken memory for a copy, which others waited for meanwhile.
func TestRefusedPublishGivesMemoryBack(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Memory: 64 << 10})
	woken := 0
	s, other := newShard(h), h.NewShard(func() { woken++ })
	ann, bob := join(s, "ann", "a"), join(other, "bob")
	for h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 500)}) == nil {
	}
	p := own(ann, "a", 2000)
	p.Frame = make([]byte, 500)
	refused := make(chan error)
	h.mu.Lock()
	go func() { refused <- h.Publish(p) }()
	for h.private.used.Load() == 0 {
		runtime.Gosched()
	}
	h.starving.Store(true) // as if bob had been refused just now
	h.refuse(&bob.Member)
	before := woken
	h.mu.Unlock()
	if err := <-refused; err != ErrBusy {
		t.Fatal(err)
	}
	if woken == before {
		t.Error("there is memory, and bob is not told")
	}
}

// TestRefusalTakesNothing: a request that is refused does not make another one
// fail that fits.
func TestRefusalTakesNothing(t *testing.T) {
	b := budget{limit: 100}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				b.take(1000)
			}
		}
	}()
	for range 1_000_000 {
		if !b.take(10) {
			t.Error("10 of 100 bytes are refused because somebody else was refused 1000")
			break
		}
		b.give(10)
	}
	close(stop)
	<-stopped
}

// TestMemoryComesBackInSteps: a publisher without memory for its own copy is
// told when there is enough, though some came back while it was being refused,
// which was too little.
func TestMemoryComesBackInSteps(t *testing.T) {
	for range 100 {
		h := newHub(t, Config{Memory: 64 << 10})
		s, other := newShard(h), newShard(h)
		slow, ann := join(s, "slow"), join(other, "ann", "a")
		slow.fill()
		settle(s)
		refused := make(chan error)
		h.mu.Lock()
		go func() { refused <- h.Publish(own(ann, "a", 2000)) }()
		for other.mu.TryLock() { // until the publisher has it
			other.mu.Unlock()
		}
		for range 20 {
			runtime.Gosched()
		}
		h.private.give(1) // as giveBack does
		if h.starving.CompareAndSwap(true, false) {
			h.reconsider()
		}
		h.mu.Unlock()
		if err := <-refused; err != ErrBusy {
			t.Fatal(err)
		}
		retry := h.Retry()
		slow.readAll()
		if !closed(retry) {
			t.Fatal("there is memory, and the publisher is not told")
		}
	}
}

// TestRefusedAgain: a publisher that is refused once more is told once more.
func TestRefusedAgain(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10})
	woken := 0
	s, other := newShard(h), h.NewShard(func() { woken++ })
	slow, ann := join(s, "slow", "a"), join(other, "ann")
	for range 3 {
		for h.Publish(Publication{From: &ann.Member, Topics: names("a"), Frame: make([]byte, 500)}) == nil {
		}
		before := woken
		settle(s)
		slow.readAll()
		settle(s)
		if woken == before {
			t.Fatal("there is room, and the publisher is not told")
		}
	}
}

// TestExpelWakes: the shard of a member that must give up its place is told, and
// not only when something else happens there.
func TestExpelWakes(t *testing.T) {
	h := newHub(t, Config{Backlog: 64 << 10, Memory: 128 << 10})
	woken := 0
	s := h.NewShard(func() { woken++ })
	slow := join(s, "slow", "a")
	for range 60 {
		h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 1000)})
		settle(s)
	}
	slow.offer(1)
	before := woken
	other := join(newShard(h), "ann", "b")
	for h.Publish(Publication{From: &other.Member, Topics: names("b"), Frame: make([]byte, 1000)}) == nil {
	}
	if woken == before {
		t.Error("the shard is not told")
	}
}
