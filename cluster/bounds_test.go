package cluster

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a")
		level(t, a)
		s.with(func() { s.faults.fail = 1 })
		time.Sleep(1500 * time.Millisecond)
		a.say(t, "still taken")
		time.Sleep(2 * time.Second)
		if ok, why := a.Ready(); ok || why != "held" {
			t.Errorf("ready: %v %q", ok, why)
		}
		if err := a.Append([]byte("x"), nil); !errors.Is(err, ErrBusy) {
			t.Errorf("append: %v", err)
		}
		retry := a.Retry()
		s.with(func() { s.faults.fail = 0 })
		<-retry
		a.say(t, "again")
		level(t, a)
		if _, mine, _, _ := a.look(); !slices.Equal(mine, []string{"still taken", "again"}) {
			t.Errorf("own: %q", mine)
		}
		dock(t, a)
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a := s.launch(t, "a", func(c *Config) { c.MaxRecord = 3 << 20 })
		level(t, a)
		if err := a.Append(make([]byte, 3<<20+1), nil); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a record that is too large: %v", err)
		}
		taken := 0
		for ; a.Append(make([]byte, 3<<20), taken) == nil; taken++ {
		}
		if taken != 2 {
			t.Errorf("%d records of 3 MiB fit into 4 MiB and one record", taken)
		}
		<-a.Retry()
		if err := a.Append(make([]byte, 1), nil); err != nil {
			t.Errorf("after Retry: %v", err)
		}
		level(t, a)
		s.with(func() {
			for _, data := range s.stored {
				if len(data) > maxMessage(3<<20) {
					t.Errorf("a message of %d bytes", len(data))
				}
			}
		})
		if _, mine, _, _ := a.look(); !slices.Equal(mine, []string{"0", "1"}) {
			t.Errorf("own: %q", mine)
		}
		dock(t, a)
	})
}

func TestLagShutsTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		b.node.freeze()
		begun, sent := time.Now(), 0
		for time.Since(begun) < 3*time.Second {
			retry := a.Retry()
			if err := a.Append(make([]byte, 100_000), nil); err == nil {
				sent++
				continue
			}
			select {
			case <-retry:
			case <-time.After(time.Second):
			}
		}
		if sent*100_000 < maxLag || sent*100_000 > maxLag+maxQueue+1<<20 {
			t.Errorf("%d bytes were taken while the other did not apply them", sent*100_000)
		}
		if a.Stats().State != "lagging" {
			t.Errorf("state: %s", a.Stats().State)
		}
		time.Sleep(8 * time.Second) // b dies
		a.say(t, "on")
		level(t, a)
		b.node.thaw()
		level(t, a, b)
		if _, _, _, cuts := b.look(); len(cuts) != 1 || !errors.Is(cuts[0], ErrDead) {
			t.Errorf("b was cut off: %v", cuts)
		}
		same(t, a, b)
		dock(t, a, b)
	})
}

func TestReaderDoesNotHoldTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		a, b := s.launch(t, "a"), s.launch(t, "b")
		level(t, a, b)
		begun := time.Now()
		for sent := 0; sent < 100<<20; {
			retry := a.Retry()
			if a.Append(make([]byte, 100_000), nil) == nil {
				sent += 100_000
				continue
			}
			<-retry
		}
		if took := time.Since(begun); took > 800*time.Millisecond {
			t.Errorf("100 MiB took %v of the sea's time", took)
		}
		level(t, a, b)
		dock(t, a, b)
	})
}

func TestAheadIsBounded(t *testing.T) {
	a := newAhead()
	for seq := uint64(2); seq < 5000; seq++ {
		a.put(message{seq, []byte("x")})
	}
	if len(a.batches) != maxAhead || a.stored() != 4999 {
		t.Errorf("%d batches wait; %d is known", len(a.batches), a.stored())
	}
	a.put(message{1, []byte("x")})
	for want := uint64(1); want <= maxAhead+1; want++ {
		if seq, _, ok := a.take(); !ok || seq != want {
			t.Fatalf("%d %v, want %d", seq, ok, want)
		}
	}
	if _, _, ok := a.take(); ok || a.bytes != 0 {
		t.Errorf("there is more, or %d bytes", a.bytes)
	}
	for seq := uint64(5001); seq < 5100; seq++ {
		a.put(message{seq, make([]byte, 1<<20)})
	}
	if a.bytes != maxAheadBytes {
		t.Errorf("%d bytes wait", a.bytes)
	}
	a.put(message{5001, nil}) // twice
	a.moveTo(5002)
	if a.bytes != maxAheadBytes-1<<20 {
		t.Errorf("%d bytes wait after the first is gone", a.bytes)
	}
}

func TestNewcomerDoesNotHoldTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSea(1)
		s.faults.journey = 100 * time.Millisecond
		a := s.launch(t, "a")
		for range 900 {
			for a.Append(make([]byte, 100_000), nil) != nil {
				time.Sleep(10 * time.Millisecond)
			}
		}
		level(t, a)
		came := make(chan *boat)
		go func() {
			b, err := s.tryLaunch(t.Context(), "b")
			if err != nil {
				t.Errorf("open: %v", err)
			}
			came <- b
		}()
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			a.say(t, "x")
		}
		b := <-came
		level(t, a, b)
		same(t, a, b)
		if n := a.Stats().Deaths; n != 0 {
			t.Errorf("%d deaths", n)
		}
		dock(t, a, b)
	})
}
