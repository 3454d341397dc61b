package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// same fails the test if what the hubs remember of topics is not the same.
func same(t *testing.T, why string, a, b *Hub, topics ...string) {
	t.Helper()
	if a.Head() != b.Head() {
		t.Errorf("%s: the heads are %d and %d", why, a.Head(), b.Head())
	}
	for _, name := range names(topics...) {
		if a.Lost(name) != b.Lost(name) {
			t.Errorf("%s: of %s is lost up to %d and %d", why, name.Name, a.Lost(name), b.Lost(name))
		}
		as, bs := listed(a, name), listed(b, name)
		if !slices.Equal(as, bs) {
			t.Errorf("%s: %s is %q and %q", why, name.Name, as, bs)
		}
		aBytes, aAll := a.HistoryBytes(name)
		if bBytes, bAll := b.HistoryBytes(name); aBytes != bBytes || aAll != bAll {
			t.Errorf("%s: %s has %d of %d bytes, and %d of %d", why, name.Name, aBytes, aAll, bBytes, bAll)
		}
	}
}

// listed returns the messages of a history with their numbers.
func listed(h *Hub, name Topic) (list []string) {
	for k := range h.History(name, 0) {
		list = append(list, fmt.Sprintf("%d %s", k.Number, k.Frame))
	}
	return list
}

// TestRestore: a hub that was filled with what another one remembers goes on as
// that one does, whatever is published, and replays the same.
func TestRestore(t *testing.T) {
	topics := []string{"a", "b", "c"}
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		config := Config{Memory: 1 << 20, Backlog: 64 << 10, KeepHistory: true}
		old, fresh := newHub(t, config), newHub(t, config)
		s, other := newShard(old), newShard(fresh)
		limit := Retention{Messages: 1 + rnd.IntN(60), Bytes: 100 + rnd.IntN(8000)}
		publish := func(hubs ...*Hub) {
			frame := fmt.Appendf(nil, "[012345678 %0*d]", 1+rnd.IntN(300), rnd.Int())
			p := Publication{Topics: names(topics[rnd.IntN(len(topics))]), Frame: frame, NumberAt: 1, Keep: true}
			if rnd.IntN(4) == 0 {
				p.Topics, p.Keep = names("not kept"), false
			}
			for _, h := range hubs {
				if err := h.Publish(p); err != nil {
					t.Fatal(err)
				}
			}
		}
		ann := join(s, "ann", "a", "not kept")
		old.Retain(names("a")[0], limit)
		old.Retain(names("b")[0], limit)
		old.Retain(names("c")[0], limit)
		for range rnd.IntN(200) {
			publish(old)
			ann.Post([]byte("[post]"))
			settle(s)
			ann.readAll()
		}
		for _, name := range names(topics...) {
			fresh.Retain(name, limit)
			fresh.Restore(name, old.History(name, 0), old.Lost(name))
		}
		fresh.SetHead(old.Head())
		if n := fresh.Stats().Delivered; n > 0 || other.Turn(100) {
			t.Errorf("%d messages are delivered, or somebody is to be woken", n)
		}
		same(t, "restored", old, fresh, topics...)
		bob, cat := join(s, "bob", topics...), join(other, "cat", topics...)
		for _, to := range []struct {
			*reader
			*Hub
		}{{bob, old}, {cat, fresh}} {
			var replay Series
			replay.Add([]byte("[hello]"))
			for _, name := range names(topics...) {
				for k := range to.History(name, old.Head()/2) {
					replay.AddKept(k)
				}
			}
			if err := to.PostAll(&replay, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			publish(old, fresh)
		}
		settle(s, other)
		cat.readAll()
		bob.want(t, "replay, and what is published later", string(cat.stream))
		same(t, "later", old, fresh, topics...)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestRestoreLess: a history that may have less than what it is filled with has
// lost the rest; numbers go on after the last one even without SetHead.
func TestRestoreLess(t *testing.T) {
	h := newHub(t, Config{})
	a := names("a")[0]
	list := func(yield func(Kept) bool) {
		for _, n := range []uint64{7, 9, 30, 31} {
			if !yield(Kept{Number: n, Frame: fmt.Appendf(nil, "[%d]", n)}) {
				return
			}
		}
	}
	h.Restore(a, list, 5)
	if kept(h, "a", 0) != "" || h.Head() != 0 || h.Lost(a) != 0 {
		t.Error("a topic without a history was restored")
	}
	h.Retain(a, Retention{Messages: 3, Bytes: 1000})
	h.Restore(a, list, 5)
	if got := kept(h, "a", 0); got != "[9][30][31]" || h.Lost(a) != 7 {
		t.Errorf("it keeps %s, lost up to %d", got, h.Lost(a))
	}
	if n := keep(h, "a", "[next]"); n != 32 {
		t.Errorf("the next number is %d", n)
	}
	h.Unretain(a)
	h.Retain(a, Retention{Messages: 3, Bytes: 1000})
	h.Restore(a, func(func(Kept) bool) {}, 31)
	if h.Lost(a) != 31 || kept(h, "a", 0) != "" {
		t.Errorf("an empty history: lost up to %d", h.Lost(a))
	}
}

// TestSetHeadBack: a hub that nobody is in can begin again with lower numbers.
func TestSetHeadBack(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	gone := join(s, "gone", "a")
	h.SetHead(1000)
	keep(h, "a", "[x]")
	settle(s)
	gone.want(t, "high numbers", "[x]")
	gone.Leave()
	h.SetHead(10)
	ann, bob := join(s, "ann", "a"), join(s, "bob", "a")
	keep(h, "a", "[1]")
	h.Publish(Publication{From: &ann.Member, Topics: names("a"), Frame: []byte("[2]"), Echo: EchoCopy, Copy: []byte("[mine]")})
	ann.want(t, "nothing before the turn of its shard", "")
	ann.Post([]byte("[post]"))
	settle(s)
	ann.want(t, "in order", "[1][mine][post]")
	bob.want(t, "in order", "[1][2]")
	if h.Head() != 12 {
		t.Errorf("the head is %d", h.Head())
	}
}
