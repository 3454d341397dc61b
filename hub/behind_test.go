package hub

import (
	"bytes"
	"fmt"
	"testing"
)

func TestFallingBehind(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10})
	s := newShard(h)
	slow, fast := join(s, "slow", "a"), join(s, "fast", "a")
	frame := bytes.Repeat([]byte("x"), 100)
	h.Publish(Publication{Topics: names("a"), Frame: frame})
	settle(s)
	slow.read(30) // stuck in the middle of a frame
	for range 200 {
		if err := h.Publish(Publication{Topics: names("a"), Frame: frame}); err != nil {
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

// missed is for Config.Skipped.
func missed(messages int) []byte { return fmt.Appendf(nil, "[%d missed]", messages) }

func TestSkip(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Skipped: missed})
	s := newShard(h)
	slow := join(s, "slow", "a")
	frame := bytes.Repeat([]byte("x"), 100)
	h.Publish(Publication{From: &slow.Member, Topics: names("a"), Frame: frame, Echo: EchoCopy, Copy: []byte("[mine]")})
	settle(s)
	slow.read(3)
	for range 100 {
		h.Publish(Publication{Topics: names("a"), Frame: frame})
		settle(s)
	}
	slow.Post([]byte("[post]"))
	settle(s)
	slow.Post([]byte("[later]")) // after the cut
	h.Publish(Publication{Topics: names("a"), Frame: []byte("[next]")})
	slow.read(1)
	settle(s)
	slow.want(t, "it continues at the head, after the frame under way", "[mine][100 missed][post][later][next]")
}

// TestSkipAfterOffer: what a member was offered before it had to skip, and has
// taken, it has not missed.
func TestSkipAfterOffer(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Skipped: missed})
	s := newShard(h)
	slow := join(s, "slow", "a")
	publish := func(frame string) {
		h.Publish(Publication{Topics: names("a"), Frame: []byte(frame)})
		settle(s)
	}
	publish("[1]")
	publish("[2]")
	slow.offer(1 << 20)
	publish("[3]")
	s.mu.Lock()
	slow.skip()
	s.mu.Unlock()
	slow.take(4) // and one byte of [2]
	publish("[4]")
	slow.want(t, "two of three were taken", "[1][2][1 missed][4]")
}

func TestBusy(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10})
	woken := 0
	s, lazy := h.NewShard(func() { woken++ }), newShard(h)
	ann, bob := join(s, "ann", "a"), join(lazy, "bob", "a")
	frame := bytes.Repeat([]byte("x"), 1000)
	sent := 0
	for h.Publish(Publication{Topics: names("a"), Frame: frame}) == nil {
		sent++
		settle(s)
		ann.readAll()
	}
	settle(s)
	if err := h.Publish(Publication{From: &ann.Member, Topics: names("a"), Frame: frame}); err != ErrBusy {
		t.Fatalf("the second refusal is %v", err)
	}
	retry, before := h.Retry(), woken
	settle(s)
	if woken != before {
		t.Error("the refused member's shard is woken for nothing")
	}
	settle(lazy)
	<-retry
	if woken == before {
		t.Error("the refused member's shard is not woken when the lazy one has caught up")
	}
	if err := h.Publish(Publication{Topics: names("a"), Frame: frame}); err != nil {
		t.Errorf("after the lazy shard caught up: %v", err)
	}
	settle(lazy)
	bob.want(t, "a member that takes what it is offered loses nothing", string(bytes.Repeat(frame, sent+1)))
}

// TestExpelledSkips: a member that had to give up its place goes on with what is
// published next, and what it missed is counted.
func TestExpelledSkips(t *testing.T) {
	h := newHub(t, Config{Backlog: 8 << 10, Skipped: missed})
	s := newShard(h)
	slow := join(s, "slow", "a")
	for range 3 {
		h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 500)})
	}
	settle(s)
	slow.offer(1)
	h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 500)})
	settle(s)
	slow.expel()
	slow.take(0)
	settle(s)
	slow.stream = nil
	slow.want(t, "after it was expelled", "[4 missed]")
	for _, frame := range []string{"[a]", "[b]"} {
		h.Publish(Publication{Topics: names("a"), Frame: []byte(frame)})
		settle(s)
		slow.stream = nil
		slow.want(t, "later", frame)
	}
	if st := h.Stats(); st.Missed != 4 || st.Delivered != 2 {
		t.Errorf("%d are counted as missed, %d as delivered", st.Missed, st.Delivered)
	}
}
