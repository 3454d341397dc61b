package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func checkpoints(every int) func(*Config) {
	return func(c *Config) { c.CheckpointBytes = every }
}

// fill appends records until the log has had so many checkpoints.
func fill(t *testing.T, b *boat, checkpoints uint64) (records int) {
	t.Helper()
	for ; b.Stats().Checkpoints < checkpoints; records++ {
		retry := b.Retry()
		if err := b.Append(fmt.Appendf(nil, "%05d%s", records, strings.Repeat(".", 100)), records); err != nil {
			<-retry
		}
		time.Sleep(time.Millisecond)
		if records > 100_000 {
			t.Fatal("no checkpoint")
		}
	}
	return records
}

// A server that comes later begins with a checkpoint, because what is before has
// been removed.
func TestCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a", checkpoints(20_000)), s.launch(t, "b", checkpoints(20_000))
		fill(t, a, 3)
		time.Sleep(3 * time.Second)
		level(t, a, b)
		if first, _ := s.span(); first == 1 {
			t.Error("nothing was removed")
		}
		c := s.launch(t, "c", checkpoints(20_000))
		level(t, a, b, c)
		same(t, a, b, c)
		fill(t, c, 3)
		level(t, a, b, c)
		same(t, a, b, c)
		for _, x := range []*boat{a, b, c} {
			if st := x.Stats(); st.Disagreements != 0 || st.Incarnations != 1 {
				t.Errorf("stats: %+v", st)
			}
		}
		dock(t, a, b, c)
	})
}

// Servers that come while the stream is slow to read do not die meanwhile.
func TestSlowNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a", checkpoints(20_000))
		fill(t, a, 2)
		time.Sleep(3 * time.Second)
		boats := []*boat{a}
		for i := range 6 {
			s.with(func() { s.faults.journey = 900 * time.Millisecond })
			b := s.launch(t, fmt.Sprint(i), checkpoints(20_000))
			s.with(func() { s.faults.journey = time.Millisecond })
			level(t, a, b)
			b.say(t, fmt.Sprint("from ", i))
			boats = append(boats, b)
			level(t, boats...)
			if st := b.Stats(); st.Incarnations != 1 {
				t.Errorf("%+v", st)
			}
		}
		same(t, boats...)
		dock(t, boats...)
	})
}

// The writer of a checkpoint dies half way: the next one begins anew.
func TestCheckpointWriterDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a", checkpoints(1<<20)), s.launch(t, "b", checkpoints(1<<20))
		level(t, a, b)
		writer, other := a, b
		if b.Self() < a.Self() {
			writer, other = b, a
		}
		for other.Stats().Checkpoints == 0 && !writing(other) {
			retry := other.Retry()
			if other.Append(make([]byte, 1000), nil) != nil {
				<-retry
			}
			time.Sleep(100 * time.Microsecond)
		}
		writer.sink()
		if !writing(other) {
			t.Fatal("the checkpoint was too fast")
		}
		time.Sleep(12 * time.Second)
		level(t, other)
		if st := other.Stats(); st.Checkpoints != 1 {
			t.Errorf("stats: %+v", st)
		}
		dock(t, other)
	})
}

// writing reports whether a checkpoint has begun and not ended.
func writing(b *boat) (is bool) {
	done := make(chan struct{})
	b.calls <- func() { is = b.fold.begun.writer != 0; close(done) }
	<-done
	return is
}

func TestDisagreement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a", checkpoints(20_000))
		b := s.launch(t, "b", checkpoints(20_000))
		b.tape.mu.Lock()
		b.tape.state.Odd = 1
		b.tape.mu.Unlock()
		fill(t, a, 1)
		level(t, a, b)
		if n := a.Stats().Disagreements + b.Stats().Disagreements; n != 1 {
			t.Errorf("%d disagreements", n)
		}
		dock(t, a, b)
	})
}

// What a frozen server needs has been removed: it starts over.
func TestStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a", checkpoints(20_000)), s.launch(t, "b", checkpoints(20_000))
		level(t, a, b)
		b.node.freeze()
		b.say(t, "never")
		time.Sleep(12 * time.Second)
		fill(t, a, 2)
		time.Sleep(2 * time.Second)
		s.with(func() { b.node.deaf = true })
		b.node.thaw()
		time.Sleep(time.Second)
		s.with(func() { b.node.deaf = false })
		level(t, a, b)
		same(t, a, b)
		if _, _, lost, cuts := b.look(); !slices.Equal(lost, []string{"never"}) || len(cuts) != 1 {
			t.Errorf("lost %q, cut off %v", lost, cuts)
		}
		b.say(t, "again")
		level(t, a, b)
		if _, mine, _, _ := b.look(); !slices.Equal(mine, []string{"again"}) {
			t.Errorf("own %q", mine)
		}
		dock(t, a, b)
	})
}

// The stream is gone, and there is a new one: another log.
func TestAnotherLog(t *testing.T) {
	for _, lengths := range [][2]int{{0, 0}, {0, 100}, {1000, 0}} {
		t.Run(fmt.Sprint(lengths), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSea(1)
				a := s.launch(t, "a")
				for range lengths[0] {
					a.say(t, "old")
					time.Sleep(5 * time.Millisecond)
				}
				a.say(t, "old")
				level(t, a)
				a.node.freeze()
				s.with(func() { s.stored = nil })
				b := s.launch(t, "b")
				for i := range lengths[1] {
					b.say(t, fmt.Sprint(i))
					time.Sleep(5 * time.Millisecond)
				}
				b.say(t, "new")
				level(t, b)
				time.Sleep(100 * time.Millisecond)
				a.node.thaw()
				time.Sleep(5 * time.Second)
				level(t, a, b)
				same(t, a, b)
				records, _, _, cuts := a.look()
				if slices.Contains(records, "old") || !slices.Contains(records, "new") {
					t.Errorf("records %q", records)
				}
				if len(cuts) != 1 || !errors.Is(cuts[0], ErrStartedOver) {
					t.Errorf("cut off %v", cuts)
				}
				if _, _, _, cuts := b.look(); len(cuts) != 0 {
					t.Errorf("the one that was right was cut off: %v", cuts)
				}
				dock(t, a, b)
			})
		})
	}
}

// The stream is gone, and an empty one is in its place, or it has lost its end. The
// servers that are left go on with what they know, and so does one that comes
// meanwhile, or later.
func TestStreamIsLost(t *testing.T) {
	for _, left := range []int{0, 1, 50} {
		for seed := range uint64(20) {
			synctest.Test(t, func(t *testing.T) { testStreamIsLost(t, seed, left) })
		}
	}
}

func testStreamIsLost(t *testing.T, seed uint64, left int) {
	s := newSea(seed)
	servers := []*boat{s.launch(t, "a"), s.launch(t, "b")}
	var want []string
	for i, name := range []string{"c", "d"} { // it may happen twice
		for n := range 100 {
			want = append(want, fmt.Sprint(name, n))
			servers[n%2].say(t, want[len(want)-1])
			time.Sleep(5 * time.Millisecond)
		}
		level(t, servers...)
		s.with(func() { s.first, s.stored = 1, s.stored[:left] })
		time.Sleep(time.Duration(i+int(seed)) * 500 * time.Millisecond)
		servers = append(servers, s.launch(t, name))
		level(t, servers...)
	}
	want = append(want, "new")
	servers[3].say(t, "new")
	level(t, servers...)
	same(t, servers...)
	for _, server := range servers {
		records, _, _, _ := server.look()
		if slices.Sort(records); !slices.Equal(records, slices.Sorted(slices.Values(want))) {
			t.Errorf("seed %d, %d left: %d records of %d: %q", seed, left, len(records), len(want), records)
		}
	}
	dock(t, servers...)
}

// What another log had at a place may be delivered late, and hides what this one has
// there.
func TestDeliveryOfAnotherLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		a.say(t, "before")
		level(t, a, b)
		other := batch{epoch: a.epoch + 1, server: 1, n: 1}
		data := make([]byte, headerSize)
		other.putHeader(data)
		for i := range uint64(3) {
			b.ahead.put(message{b.Applied() + 1 + i, data})
		}
		a.say(t, "after")
		level(t, a, b)
		same(t, a, b)
		if records, _, _, _ := b.look(); !slices.Equal(records, []string{"before", "after"}) {
			t.Errorf("records %q", records)
		}
		dock(t, a, b)
	})
}

// A log begins with what another has exported, also if that takes many messages
// and is interrupted.
func TestSeed(t *testing.T) {
	for _, size := range []int{10, 3 * maxChunk} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := newSea(1)
				a := old.launch(t, "a", func(c *Config) { c.MaxRecord = 1 << 20 })
				for i := range size / 10 {
					retry := a.Retry()
					for a.Append(fmt.Appendf(nil, "%010d", i), i) != nil {
						<-retry
					}
				}
				for n := 0; n < size/10; time.Sleep(time.Millisecond) {
					_, mine, _, _ := a.look()
					n = len(mine)
				}
				self, seed := a.Self(), a.Export()
				dock(t, a)
				time.Sleep(time.Hour)

				s := newSea(2)
				s.faults.mute = 0.3
				with := func(c *Config) { c.Seed = seed }
				boats := make(chan *boat)
				for _, name := range []string{"b", "c"} {
					go func() { boats <- s.launch(t, name, with) }()
				}
				b, c := <-boats, <-boats
				b.say(t, "new")
				level(t, b, c)
				same(t, b, c)
				records, _, _, _ := c.look()
				if len(records) != size/10+1 || records[len(records)-1] != "new" {
					t.Errorf("%d records", len(records))
				}
				if left, _ := c.events(); !slices.Equal(left, []Server{self}) {
					t.Errorf("left: %v", left)
				}
				dock(t, b, c)
			})
		})
	}
}

// An import that has stopped half way is begun anew by a server that has the state.
func TestSeedInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newSea(1)
		a := old.launch(t, "a")
		for i := range 50_000 {
			retry := a.Retry()
			for a.Append(fmt.Appendf(nil, "%010d", i), i) != nil {
				<-retry
			}
		}
		level(t, a)
		level(t, a) // all drafts
		seed := a.Export()
		dock(t, a)

		s := newSea(2)
		torn := s.launch(t, "torn", func(c *Config) { c.Seed = seed })
		torn.sink()
		s.with(func() { s.stored = s.stored[:2] })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := s.tryLaunch(ctx, "without"); err == nil || !strings.Contains(err.Error(), "which writes the state") {
			t.Errorf("without the state: %v", err)
		}
		begun := time.Now()
		b := s.launch(t, "b", func(c *Config) { c.Seed = seed })
		if took := time.Since(begun); took < seedStuck {
			t.Errorf("it gave the other up after %v", took)
		}
		if records, _, _, _ := b.look(); len(records) != 50_000 {
			t.Errorf("%d records", len(records))
		}
		dock(t, b)
	})
}

func TestNewerVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "new one")
		level(t, a, b)
		a.say(t, "x")
		level(t, a, b)
		var newer []byte
		s.with(func() { newer = bytes.Clone(s.stored[len(s.stored)-1]) })
		newer[0] = 3
		(&batch{server: b.Self()}).putHeader(newer)
		newer[0] = 3
		_, _ = s.add(newer, anyLast)
		time.Sleep(time.Second)
		const want = "cluster: new one speaks version 3 of the log, this server version 1: upgrade it"
		if err := a.Append(nil, nil); err == nil || err.Error() != want {
			t.Errorf("append: %v", err)
		}
		if ok, why := a.Ready(); ok || why != want {
			t.Errorf("ready: %v %q", ok, why)
		}
		if _, _, _, cuts := a.look(); len(cuts) != 1 || cuts[0].Error() != want {
			t.Errorf("cut off: %v", cuts)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.tryLaunch(ctx, "c"); err == nil || err.Error() != want {
			t.Errorf("open: %v", err)
		}
		if err := a.Close(ctx); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("close: %v", err)
		}
		b.sink()
	})
}

// What a live server has not applied is not removed.
func TestNothingNeededIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a", checkpoints(20_000)), s.launch(t, "b", checkpoints(20_000))
		level(t, a, b)
		if a.Self() > b.Self() {
			a, b = b, a // a writes the checkpoints
		}
		s.with(func() { b.node.deaf = true })
		b.node.freeze()
		fill(t, a, 2)
		time.Sleep(3 * time.Second)
		if first, _ := s.span(); first != 1 {
			t.Errorf("the log begins at %d", first)
		}
		b.node.thaw()
		level(t, a, b)
		time.Sleep(5 * time.Second)
		if first, _ := s.span(); first == 1 {
			t.Error("nothing was removed later")
		}
		if b.resets() != 1 {
			t.Error("b has started over")
		}
		same(t, a, b)
		dock(t, a, b)
	})
}

// A newcomer that dies before it has begun, and whose hello has been removed, begins
// again.
func TestNewcomerDies(t *testing.T) {
	for delay := range 3 {
		synctest.Test(t, func(t *testing.T) { newcomerDies(t, time.Duration(delay)*15*time.Millisecond) })
	}
}

func newcomerDies(t *testing.T, delay time.Duration) {
	s := newSea(1)
	s.faults.journey = 20 * time.Millisecond
	a := s.launch(t, "a", checkpoints(20_000))
	fill(t, a, 2)
	time.Sleep(3 * time.Second)
	came := make(chan *boat)
	go func() {
		b, err := s.tryLaunch(t.Context(), "b", checkpoints(20_000))
		if err != nil {
			t.Errorf("open: %v", err)
		}
		came <- b
	}()
	for len(a.Servers()) == 1 { // until its hello is there
		time.Sleep(time.Millisecond)
	}
	time.Sleep(delay)
	var node *node
	s.with(func() { node = s.nodes[1] })
	node.freeze()
	time.Sleep(12 * time.Second)
	fill(t, a, 3)
	time.Sleep(3 * time.Second)
	node.thaw()
	b := <-came
	level(t, a, b)
	same(t, a, b)
	dock(t, a, b)
}
