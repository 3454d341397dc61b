package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAllApplyTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b, c := s.launch(t, "a"), s.launch(t, "b"), s.launch(t, "c")
		for i := range 50 {
			for _, x := range []*boat{a, b, c} {
				x.say(t, fmt.Sprintf("%016x-%d", x.Self(), i))
			}
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		level(t, a, b, c)
		same(t, a, b, c)
		records, mine, lost, _ := a.look()
		if len(records) != 150 || len(mine) != 50 || len(lost) != 0 {
			t.Errorf("%d records, %d own, %d lost", len(records), len(mine), len(lost))
		}
		if n := len(a.Servers()); n != 3 || !a.Servers()[0].Self || a.Servers()[1].Name != "b" {
			t.Errorf("servers: %v", a.Servers())
		}
		dock(t, a, b, c)
	})
}

// A batch that comes while another is under way is one batch with all that came.
func TestWhatComesMeanwhileIsTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a")
		level(t, a)
		before := a.Stats()
		for i := range 1000 {
			a.say(t, fmt.Sprint(i))
		}
		level(t, a)
		if after := a.Stats(); after.Records-before.Records != 1000 || after.Written-before.Written > 4 {
			t.Errorf("1,000 records in %d batches", after.Written-before.Written)
		}
		dock(t, a)
	})
}

func TestNothingDeliveredIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		s.with(func() { a.node.deaf, b.node.deaf = true, true })
		for i := range 100 {
			a.say(t, fmt.Sprint("a", i))
			b.say(t, fmt.Sprint("b", i))
			time.Sleep(time.Millisecond)
		}
		level(t, a, b)
		same(t, a, b)
		if n := b.Stats().Gaps; n == 0 {
			t.Error("no gap was filled")
		}
		dock(t, a, b)
	})
}

// The last record of a quiet log is not delivered: the next tick finds it.
func TestTailIsFoundByTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		s.with(func() { b.node.deaf = true })
		a.say(t, "tail")
		time.Sleep(1200 * time.Millisecond)
		if records, _, _, _ := b.look(); !slices.Contains(records, "tail") {
			t.Error("b has not found it")
		}
		dock(t, a, b)
	})
}

func TestStoredThoughTheStoreFailedIsNotDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		s.with(func() { s.faults.mute, s.faults.drop, s.faults.ghost = 0.5, 0.3, 0.2 })
		var want []string
		for i := range 60 {
			want = append(want, fmt.Sprint(i))
			a.say(t, fmt.Sprint(i))
			time.Sleep(20 * time.Millisecond)
		}
		level(t, a, b)
		records, mine, _, _ := a.look()
		if !slices.Equal(records, want) || !slices.Equal(mine, want) {
			t.Errorf("records %v\nown %v", records, mine)
		}
		if a.Stats().Resent == 0 {
			t.Error("nothing was sent again")
		}
		s.with(func() { s.faults = faults{journey: time.Millisecond} })
		dock(t, a, b)
	})
}

// Nobody acknowledges, but the batches come back.
func TestSeenIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a")
		level(t, a)
		s.with(func() { a.node.mute = true })
		begun := time.Now()
		for i := range 10 {
			a.say(t, fmt.Sprint(i))
			time.Sleep(5 * time.Millisecond)
		}
		level(t, a)
		if took := time.Since(begun); took > 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		dock(t, a)
	})
}

// A server that lags holds the others, until it is dead.
// A server that only reads says how far it is, so it does not hold the others.
func TestDeathAndGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b, c, d := s.launch(t, "a"), s.launch(t, "b"), s.launch(t, "c"), s.launch(t, "d")
		level(t, a, b, c, d)
		ids := []Server{d.Self(), b.Self(), c.Self()}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		level(t, a)
		if left, _ := a.events(); !slices.Equal(left, ids[:1]) {
			t.Errorf("left after a goodbye: %v", left)
		}
		b.sink()
		c.sink()
		time.Sleep(7 * time.Second)
		if n := len(a.Servers()); n != 3 {
			t.Errorf("after 7 s %d servers live", n)
		}
		time.Sleep(3 * time.Second)
		level(t, a)
		if left, _ := a.events(); !slices.Equal(left, ids) {
			t.Errorf("left: %v, want %v", left, ids)
		}
		if n := a.Stats().Deaths; n != 2 {
			t.Errorf("%d deaths", n)
		}
		dock(t, a)
	})
}

// A server that was frozen reads its own death: what it had is lost, and a new
// incarnation goes on.
func TestOwnDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		old := b.Self()
		b.node.freeze()
		b.say(t, "one")
		time.Sleep(time.Second)
		b.say(t, "two")
		time.Sleep(11 * time.Second)
		b.node.thaw()
		level(t, a, b)
		records, mine, lost, cuts := b.look()
		if len(records)+len(mine) != 0 || !slices.Equal(lost, []string{"one", "two"}) {
			t.Errorf("records %q, own %q, lost %q", records, mine, lost)
		}
		if len(cuts) != 1 || !errors.Is(cuts[0], ErrDead) || b.Self() == old {
			t.Errorf("cut off: %v", cuts)
		}
		want := []string{"lost", "lost", "cut off", "came"}
		if _, journal := b.events(); !slices.Equal(journal[len(journal)-4:], want) {
			t.Errorf("in this order: %q", journal)
		}
		if b.resets() != 1 {
			t.Error("it has started over, which it need not")
		}
		b.say(t, "three")
		level(t, a, b)
		same(t, a, b)
		if records, _, _, _ := a.look(); !slices.Equal(records, []string{"three"}) {
			t.Errorf("records %q", records)
		}
		dock(t, a, b)
	})
}

func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		b.say(t, "before")
		level(t, a, b)
		b.node.set(isolated)
		b.say(t, "under way")
		b.say(t, "queued")
		time.Sleep(4 * time.Second)
		if ok, why := b.Ready(); ok || why != "no quorum" {
			t.Errorf("after 4 s: %v %q", ok, why)
		}
		if _, _, lost, cuts := b.look(); len(lost)+len(cuts) != 0 {
			t.Errorf("after 4 s: lost %q, cut off %v", lost, cuts)
		}
		time.Sleep(20 * time.Second)
		_, _, lost, cuts := b.look()
		if !slices.Equal(lost, []string{"under way", "queued"}) || len(cuts) != 1 || !errors.Is(cuts[0], ErrCutOff) {
			t.Errorf("lost %q, cut off %v", lost, cuts)
		}
		if b.Self() != 0 || b.Stats().State != "cut off" {
			t.Errorf("state %s", b.Stats().State)
		}
		b.node.set(fine)
		level(t, a, b)
		b.say(t, "after")
		level(t, a, b)
		same(t, a, b)
		if records, _, _, _ := a.look(); !slices.Equal(records, []string{"before", "after"}) {
			t.Errorf("records %q", records)
		}
		dock(t, a, b)
	})
}

// Without a leader clients stay for Timeout, and are sent away once.
func TestLeaderless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a")
		level(t, a)
		a.node.set(leaderless)
		time.Sleep(29 * time.Second)
		if _, _, _, cuts := a.look(); len(cuts) != 0 {
			t.Errorf("cut off after 29 s: %v", cuts)
		}
		if ok, why := a.Ready(); ok || why != "no leader" {
			t.Errorf("ready: %v %q", ok, why)
		}
		time.Sleep(31 * time.Second)
		if _, _, _, cuts := a.look(); len(cuts) != 1 || !errors.Is(cuts[0], ErrCutOff) {
			t.Errorf("cut off: %v", cuts)
		}
		a.node.set(fine)
		level(t, a)
		dock(t, a)
	})
}

func TestOpenSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		s.faults.fail = 1
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.tryLaunch(ctx, "a")
		if err == nil || !strings.Contains(err.Error(), "waiting for a majority that stores the beginning of the log") {
			t.Errorf("%v", err)
		}
	})
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		answer := func(say string) func(*Config) {
			return func(c *Config) {
				c.Answer = func(q []byte) []byte {
					if say == "" {
						return nil
					}
					return fmt.Appendf(nil, "%s: %s", say, q)
				}
			}
		}
		a, b := s.launch(t, "a"), s.launch(t, "b", answer("b"))
		c, d := s.launch(t, "c", answer("")), s.launch(t, "d", answer("d"))
		level(t, a, b, c, d)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		answers, servers := a.Ask(ctx, []byte("who?"))
		slices.SortFunc(answers, func(x, y []byte) int { return strings.Compare(string(x), string(y)) })
		if fmt.Sprintf("%s", answers) != "[b: who? d: who?]" || servers != 4 || time.Since(begun) > time.Second {
			t.Errorf("%s of %d after %v", answers, servers, time.Since(begun))
		}
		// One that is behind answers when it is not any more.
		s.with(func() { d.node.deaf = true })
		a.say(t, "news")
		level(t, a)
		if answers, _ := a.Ask(ctx, []byte("now?")); len(answers) != 2 || d.Applied() < a.Applied()-1 {
			t.Errorf("%s", answers)
		}
		dock(t, a, b, c, d)
	})
}

func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		b.say(t, "last")
		dock(t, b)
		if err := b.Append(nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("append: %v", err)
		}
		if err := b.Sync(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("sync: %v", err)
		}
		if b.Export() != nil {
			t.Error("a closed log is exported")
		}
		level(t, a)
		if records, _, _, _ := a.look(); !slices.Equal(records, []string{"last"}) {
			t.Errorf("records %q", records)
		}
		// Without a leader there is no goodbye, and what is left is lost.
		a.say(t, "never")
		a.node.set(leaderless)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if _, _, lost, cuts := a.look(); !slices.Equal(lost, []string{"never"}) || len(cuts) != 0 {
			t.Errorf("lost %q, cut off %v", lost, cuts)
		}
	})
}

// What waits for a batch that has not come is bounded, except for the one that is
// applied next.
// A server that comes when there is much log to read does not hold the others, and
// does not die meanwhile.
// A log that is only read grows by ticks, one a second, and nothing else.
func TestQuietLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		_, stored := s.span()
		beat := a.Stats().Beat
		time.Sleep(60 * time.Second)
		if _, n := s.span(); n-stored < 118 || n-stored > 122 {
			t.Errorf("two servers wrote %d batches in a minute", n-stored)
		}
		if n := a.Stats().Beat - beat; n < 59 || n > 61 {
			t.Errorf("%d beats in a minute", n)
		}
		dock(t, a, b)
	})
}

// Await waits for a leader, and for nothing else.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a")
		if !a.Await(t.Context()) {
			t.Error("a server that is ready is not")
		}
		a.node.set(leaderless)
		time.Sleep(time.Second)
		began := time.Now()
		time.AfterFunc(3*time.Second, func() { a.node.set(fine) })
		ready := a.Await(t.Context())
		if took := time.Since(began); !ready || took < 3*time.Second || took > 8*time.Second {
			t.Errorf("a leader came after 3 s, and it waited %v: ready is %v", took, ready)
		}
		a.node.set(leaderless)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if a.Await(ctx) {
			t.Error("there is no leader")
		}
		a.node.set(isolated)
		time.Sleep(time.Second)
		began = time.Now()
		if a.Await(t.Context()) || time.Since(began) > 0 {
			t.Error("it waits for others")
		}
		a.node.set(fine)
		dock(t, a)
	})
}
