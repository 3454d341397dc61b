package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// kept returns the frames of a topic's history with numbers greater than after.
func kept(h *Hub, topic string, after uint64) string {
	var b strings.Builder
	last := after
	for k := range h.History(names(topic)[0], after) {
		if k.Number <= last {
			return fmt.Sprintf("%d after %d", k.Number, last)
		}
		last = k.Number
		b.Write(k.Frame)
	}
	return b.String()
}

func keep(h *Hub, topic, frame string) (number uint64) {
	if err := h.Publish(Publication{Topics: names(topic), Frame: []byte(frame), Keep: true, Number: &number}); err != nil {
		panic(err)
	}
	return number
}

func TestHistory(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	a := names("a")[0]
	keep(h, "a", "[before]")
	h.Retain(a, Retention{Messages: 3, Bytes: 1000})
	var numbers []uint64
	for i := range 5 {
		numbers = append(numbers, keep(h, "a", fmt.Sprintf("[%d]", i)))
		h.Publish(Publication{Topics: names("a"), Frame: []byte("[not kept]")})
	}
	if got := kept(h, "a", 0); got != "[2][3][4]" {
		t.Errorf("without members: %s", got)
	}
	if got := kept(h, "a", numbers[2]); got != "[3][4]" {
		t.Errorf("after the first: %s", got)
	}
	if h.Lost(a) != numbers[1] {
		t.Errorf("lost up to %d, want %d", h.Lost(a), numbers[1])
	}
	ann := join(s, "ann", "a")
	ann.want(t, "history is not what happens", "")
	keep(h, "a", "[5]")
	settle(s)
	ann.want(t, "what happens", "[5]")
	ann.Leave()
	if got := kept(h, "a", 0); got != "[3][4][5]" {
		t.Errorf("after the last member: %s", got)
	}
	h.Forget(a, numbers[3])
	if got := kept(h, "a", 0); got != "[4][5]" || h.Lost(a) != numbers[3] {
		t.Errorf("forgot up to %d: %s, lost up to %d", numbers[3], got, h.Lost(a))
	}
	h.Unretain(a)
	if got := kept(h, "a", 0); got != "" || len(h.topics) != 0 {
		t.Errorf("it keeps %s, %d topics", got, len(h.topics))
	}
}

func TestHistoryBytes(t *testing.T) {
	h := newHub(t, Config{})
	h.Retain(names("a")[0], Retention{Messages: 1000, Bytes: 250})
	for i := range 10 {
		keep(h, "a", fmt.Sprintf("[%097d]", i))
	}
	if got := kept(h, "a", 0); len(got) != 198 {
		t.Errorf("%d bytes are kept", len(got))
	}
	keep(h, "a", strings.Repeat("x", 251))
	if got := kept(h, "a", 0); got != "" {
		t.Errorf("kept is %q", got)
	}
}

// TestHistoryGoesFirst fills the memory with histories. A log that needs memory
// gets it from the largest.
func TestHistoryGoesFirst(t *testing.T) {
	h := newHub(t, Config{Memory: 256 << 10, Backlog: 32 << 10})
	s := newShard(h)
	for i := range 10 {
		name := fmt.Sprint("t", i)
		h.Retain(names(name)[0], Retention{Messages: 1000, Bytes: 8 << 10})
		for range 100 {
			keep(h, name, strings.Repeat("x", 80))
		}
	}
	h.Retain(names("small")[0], Retention{Messages: 1000, Bytes: 8 << 10})
	keep(h, "small", "[small]")
	slow := join(s, "slow", "live")
	for i := range 20 {
		if err := h.Publish(Publication{Topics: names("live"), Frame: make([]byte, 1000)}); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		settle(s)
	}
	if err := slow.readAll(); err != nil || len(slow.stream) != 20_000 {
		t.Errorf("the reader got %d bytes, error %v", len(slow.stream), err)
	}
	if got := kept(h, "small", 0); got != "[small]" {
		t.Errorf("of the smallest history is left: %q", got)
	}
	if !h.Hold(60 << 10) {
		t.Error("there is memory if all histories go")
	}
	if h.Hold(60 << 10) {
		t.Error("logs have the other half")
	}
	h.Hold(-60 << 10)
}

func TestNumberInFrame(t *testing.T) {
	h := newHub(t, Config{})
	s := newShard(h)
	ann, bob := join(s, "ann", "a"), join(s, "bob", "a")
	h.Retain(names("a")[0], Retention{Messages: 10, Bytes: 1000})
	for range 40 {
		h.Publish(Publication{Topics: names("b"), Frame: []byte("[not here]")})
	}
	var number uint64
	err := h.Publish(Publication{
		From: &ann.Member, Topics: names("a"), Keep: true, Number: &number,
		Frame: []byte("[012345678]"), NumberAt: 1,
		Echo: EchoCopy, Copy: []byte("[mine 012345678]"), CopyNumberAt: 6,
	})
	if err != nil {
		t.Fatal(err)
	}
	settle(s)
	text := string(AppendNumber(nil, number))
	ann.want(t, "own copy", "[mine "+text+"]")
	bob.want(t, "others", "["+text+"]")
	if got := kept(h, "a", 0); got != "["+text+"]" {
		t.Errorf("kept is %s", got)
	}
}

func TestNumbers(t *testing.T) {
	last := ""
	for _, n := range []uint64{0, 1, 9, 10, 31, 32, 1 << 20, 1<<45 - 1} {
		text := string(AppendNumber(nil, n))
		if back, ok := ParseNumber(text); !ok || back != n || text <= last {
			t.Errorf("%d is %s after %s, and back %d, %v", n, text, last, back, ok)
		}
		last = text
	}
	for _, text := range []string{"", "00000000", "0000000000", "00000000w", "00000000A", "00000000-"} {
		if _, ok := ParseNumber(text); ok {
			t.Errorf("%q is a number", text)
		}
	}
}

// TestSeries posts a history, and reads it in pieces of every size, while other
// messages come.
func TestSeries(t *testing.T) {
	for size := 1; size < 200; size += 7 {
		h := newHub(t, Config{})
		s := newShard(h)
		h.Retain(names("a")[0], Retention{Messages: 100, Bytes: 10_000})
		want := "[hello]"
		for i := range 20 {
			frame := fmt.Sprintf("[kept %d]", i)
			keep(h, "a", frame)
			want += frame
			if i%3 == 0 {
				h.Publish(Publication{Topics: names("a"), Frame: []byte("[not kept]")})
			}
		}
		ann := join(s, "ann", "b")
		h.Publish(Publication{Topics: names("b"), Frame: []byte("[1]")})
		var series Series
		series.Add([]byte("[hello]"))
		for k := range h.History(names("a")[0], 0) {
			series.AddKept(k)
		}
		if len(series.parts) > 15 {
			t.Errorf("%d parts", len(series.parts))
		}
		if err := ann.PostAll(&series, nil); err != nil {
			t.Fatal(err)
		}
		ann.Subscribe(names("a")[0])
		h.Publish(Publication{Topics: names("a"), Frame: []byte("[2]")})
		for i := range 200 { // the history is overwritten meanwhile
			settle(s)
			ann.offer(size + 30)
			ann.take(size)
			keep(h, "a", fmt.Sprintf("[later %d]", i))
		}
		settle(s)
		ann.readAll()
		if got := string(ann.stream); !strings.HasPrefix(got, "[1]"+want+"[2][later 0][later 1]") || !strings.HasSuffix(got, "[later 199]") {
			t.Errorf("in pieces of %d bytes: %s", size, got)
		}
		if ann.Waiting() != 0 || h.private.used.Load() != 0 {
			t.Errorf("%d bytes wait, %d are in use", ann.Waiting(), h.private.used.Load())
		}
	}
}

func TestSeriesRefused(t *testing.T) {
	h := newHub(t, Config{Memory: 40 << 10})
	woken := 0
	s := h.NewShard(func() { woken++ })
	ann, bob := join(s, "ann"), join(s, "bob")
	big := func(n int) *Series {
		var f Series
		f.Add(make([]byte, n))
		return &f
	}
	if err := ann.PostAll(big(11<<10), nil); err != ErrTooLarge {
		t.Errorf("more than there can be: %v", err)
	}
	if err := ann.PostAll(big(6<<10), nil); err != nil {
		t.Error(err)
	}
	called := false
	if err := bob.PostAll(big(6<<10), func() error { called = true; return nil }); err != ErrBusy || called {
		t.Errorf("no room now: %v, called %v", err, called)
	}
	woken = 0
	settle(s)
	ann.readAll()
	if woken == 0 {
		t.Error("nobody was told that there is room")
	}
	if err := bob.PostAll(big(6<<10), func() error { return ErrFull }); err != ErrFull {
		t.Errorf("the error of before: %v", err)
	}
	if err := bob.PostAll(big(6<<10), nil); err != nil {
		t.Error(err)
	}
	bob.Finish([]byte("[bye]"), true)
	settle(s)
	bob.want(t, "all is dropped but the last frame", "[bye]")
	if err := bob.PostAll(big(1), nil); err != ErrGone {
		t.Errorf("it is gone: %v", err)
	}
}

// TestKeepHistory: with KeepHistory nothing is forgotten for others, and members
// that do not read pay instead.
func TestKeepHistory(t *testing.T) {
	h := newHub(t, Config{Memory: 220 << 10, Backlog: 32 << 10, KeepHistory: true})
	s := newShard(h)
	slow := join(s, "slow", "t3", "t4", "live")
	want := ""
	for i := range 10 {
		name := fmt.Sprint("t", i)
		h.Retain(names(name)[0], Retention{Messages: 1000, Bytes: 8000})
		for k := range 100 {
			frame := fmt.Sprintf("[%078d]", k)
			keep(h, name, frame)
			if i == 0 {
				want += frame
			}
		}
	}
	for i := range 500 {
		for _, name := range []string{"live", "t3", "t4"} {
			h.Publish(Publication{Topics: names(name), Frame: make([]byte, 800), Keep: true, Force: true})
		}
		if i%10 == 0 {
			settle(s)
		}
		for _, name := range []string{"t1", "t3"} {
			if topic, all := h.HistoryBytes(names(name)[0]); topic != 8000 || all != 80_000 {
				t.Fatalf("message %d: the history of %s has %d bytes, all have %d", i, name, topic, all)
			}
		}
	}
	if got := kept(h, "t0", 0); got != want {
		t.Errorf("it keeps %d bytes", len(got))
	}
	if !slow.Behind() {
		t.Error("the slow reader did not pay")
	}
	if h.Hold(50 << 10) {
		t.Error("there is memory for something else")
	}
	h.Forget(names("t0")[0], h.Head())
	if topic, all := h.HistoryBytes(names("t0")[0]); topic != 0 || all != 72_000 {
		t.Errorf("after it was forgotten, the history has %d bytes, all have %d", topic, all)
	}
}

// TestHistoryModel compares histories of a few topics, with members that come,
// go and read, with lists.
func TestHistoryModel(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		scarce := seed%2 == 0
		config := Config{Memory: 4 << 20, Backlog: 64 << 10}
		if scarce {
			config = Config{Memory: 40 << 10, Backlog: 8 << 10, KeepHistory: true}
		}
		h := New(config)
		shards := []*Shard{newShard(h), newShard(h)}
		limit := Retention{Messages: 1 + rnd.IntN(30), Bytes: 100 + rnd.IntN(4000)}
		lists := map[string][]string{"a": nil, "b": nil}
		var members []*reader
		for _, topic := range []string{"a", "b"} {
			h.Retain(names(topic)[0], limit)
		}
		for range 400 {
			topic := []string{"a", "b"}[rnd.IntN(2)]
			switch rnd.IntN(6) {
			case 0:
				members = append(members, join(shards[rnd.IntN(2)], "m", topic, "other"))
			case 1:
				if i := len(members); i > 0 {
					i = rnd.IntN(i)
					members[i].Leave()
					members = slices.Delete(members, i, i+1)
				}
			case 2:
				settle(shards...)
				for _, m := range members {
					if m.readAll() != nil {
						m.Finish(nil, true)
					}
				}
			case 3:
				other := topic
				if scarce { // where histories must be kept, other messages belong elsewhere
					other = "other"
				}
				h.Publish(Publication{Topics: names(other), Frame: make([]byte, rnd.IntN(300)), Force: scarce})
			default:
				frame := fmt.Sprintf("[%0*d]", 1+rnd.IntN(400), rnd.Int())
				h.Publish(Publication{Topics: names(topic), Frame: []byte(frame), Keep: true, Force: scarce})
				list := append(lists[topic], frame)
				for len(list) > limit.Messages || len(strings.Join(list, "")) > limit.Bytes {
					list = list[1:]
				}
				lists[topic] = list
			}
			if _, all := h.HistoryBytes(Topic{}); all != len(strings.Join(append(lists["a"], lists["b"]...), "")) {
				t.Fatalf("seed %d: the histories have %d bytes", seed, all)
			}
			for topic, list := range lists {
				if got := kept(h, topic, 0); got != strings.Join(list, "") {
					t.Fatalf("seed %d: %s keeps %q, want %q", seed, topic, got, list)
				}
			}
			if err := h.Check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}
