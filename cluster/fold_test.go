package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A script feeds a fold with batches, and notes its events.
type script struct {
	t      *testing.T
	fold   *fold
	seq    uint64
	n      map[Server]uint64
	events []string
}

func newScript(t *testing.T) *script {
	s := &script{t: t, fold: &fold{}, n: make(map[Server]uint64)}
	s.write(batch{epoch: 7, n: 1, clock: 1000}, appendItem(nil, itemEpoch, epochItem(7, 1)))
	return s
}

func (s *script) write(b batch, items []byte) outcome {
	s.seq++
	b.items = items
	data := make([]byte, headerSize)
	b.putHeader(data)
	parsed, err := parseBatch(append(data, items...))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.fold.apply(&parsed, s.seq, headerSize+len(items), func(e *Event) {
		name := [...]string{Record: "record", Beat: "beat", Came: "came", Left: "left"}[e.Kind]
		s.events = append(s.events, fmt.Sprintf("%s %d", name, e.Server))
	})
}

// says writes the server's next batch, with its clock.
func (s *script) says(id Server, clock int64, kinds ...kind) outcome {
	s.n[id]++
	var items []byte
	for _, k := range kinds {
		items = appendItem(items, k)
	}
	return s.write(batch{epoch: 7, server: id, n: s.n[id], clock: clock}, items)
}

func (s *script) want(events ...string) {
	s.t.Helper()
	if !slices.Equal(s.events, events) {
		s.t.Errorf("events %q, want %q", s.events, events)
	}
	s.events = nil
}

func TestBatchesCountOnce(t *testing.T) {
	s := newScript(t)
	s.says(1, 0, itemHello)
	s.says(1, 0, itemRecord)
	s.n[1] = 1
	s.says(1, 0, itemRecord) // the same again
	s.n[1] = 0
	s.says(1, 0, itemHello) // and a late hello
	s.n[1] = 3
	s.says(1, 0, itemRecord) // n 4, though 3 is missing
	s.says(2, 0, itemRecord) // no hello
	s.want("came 1", "record 1")
	s.n[1] = 2
	s.says(1, 0, itemBye, itemRecord)
	s.n[1] = 0
	s.says(1, 0, itemHello) // a hello that comes after the end
	s.want("left 1")
}

func TestRecordsAfterBye(t *testing.T) {
	s := newScript(t)
	s.says(1, 0, itemHello)
	s.says(1, 0, itemBye)
	s.says(1, 0, itemRecord)
	s.want("came 1", "left 1")
}

func TestBeats(t *testing.T) {
	s := newScript(t)
	s.says(1, 0, itemHello)
	s.says(2, 0, itemHello)
	s.says(3, 0, itemHello)
	s.want("came 1", "came 2", "came 3")
	s.says(1, 0, itemTick)
	s.says(2, 0, itemTick)
	s.says(2, 0, itemTick)
	s.says(1, 0, itemTick)
	s.want("beat 1", "beat 2")
	for range 5 {
		s.says(1, 0, itemTick)
	}
	s.want("beat 1", "beat 1", "beat 1", "beat 1", "beat 1")
	// 3 has been frozen. It is lifted to the others, and then counts like them.
	s.says(3, 0, itemTick)
	s.want()
	s.says(3, 0, itemTick)
	s.want("beat 3")
	// 2 has written last in beat 2: it dies in beat 10, 3 and 1 live.
	for range 3 {
		s.says(1, 0, itemTick)
	}
	s.want("beat 1", "beat 1", "left 2")
}

// Servers tick once a second or less often, freeze and thaw: beats are never closer
// together than their ticks, and come as long as one of them ticks.
func TestBeatsAreNoCloserThanTicks(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := newScript(t)
		next := make(map[Server]time.Duration)
		var last time.Duration
		for id := Server(1); id <= 3; id++ {
			s.says(id, 0, itemHello)
			next[id] = time.Second + time.Duration(r.Int64N(int64(time.Second)))
		}
		// A hello counts like a tick: here all are said to be at 0.
		for now := time.Duration(0); now < 60*time.Second; {
			id := Server(1)
			for other, at := range next {
				if at < next[id] {
					id = other
				}
			}
			now = next[id]
			before := s.fold.beat
			s.says(id, 0, itemTick)
			if s.fold.beat > before {
				if now-last < time.Second {
					t.Fatalf("seed %d: beats at %v and %v", seed, last, now)
				}
				if last > 0 && now-last > 5*time.Second {
					t.Fatalf("seed %d: no beat from %v to %v", seed, last, now)
				}
				last = now
			}
			next[id] = now + time.Second + time.Duration(r.Int64N(int64(time.Second/10)))
			if r.IntN(20) == 0 && id != 1 {
				next[id] += time.Duration(r.Int64N(int64(6 * time.Second)))
			}
		}
	}
}

// The dead leave in the order in which they came.
func TestDeaths(t *testing.T) {
	s := newScript(t)
	for _, id := range []Server{9, 4, 6, 5} {
		s.says(id, 0, itemHello)
	}
	s.events = nil
	for range 7 {
		s.says(4, 0, itemTick)
	}
	s.says(5, 0, itemNoop)
	s.events = nil
	if out := s.says(4, 0, itemTick); out.deaths != 2 {
		t.Errorf("%d deaths", out.deaths)
	}
	s.want("beat 4", "left 9", "left 6")
	s.says(9, 0, itemRecord)
	s.want()
}

func TestNow(t *testing.T) {
	s := newScript(t)
	now := func(want int64) {
		t.Helper()
		if s.fold.now != want {
			t.Errorf("now %d, want %d", s.fold.now, want)
		}
	}
	s.says(1, 5_000, itemHello)
	now(5_000)
	s.says(1, 3_000, itemNoop) // back
	now(5_000)
	s.says(1, 90_000, itemNoop) // nobody contradicts
	now(90_000)
	s.says(2, 91_000, itemHello)
	s.says(2, 500_000, itemNoop) // two: who is right?
	now(100_000)
	s.says(3, 92_000, itemHello)
	s.says(2, 600_000, itemNoop) // two against one
	now(102_000)
	s.says(1, 101_000, itemNoop)
	s.says(3, 103_000, itemNoop)
	now(103_000)
	s.says(2, 100, itemNoop) // and behind the others
	s.says(3, 104_000, itemNoop)
	now(104_000)
	for range 4 { // those before say nothing any more
		s.says(3, 9_000_000, itemTick)
	}
	now(9_000_000)
}

func TestForeign(t *testing.T) {
	s := newScript(t)
	s.says(1, 0, itemHello)
	if out := s.write(batch{epoch: 8, server: 1, n: 2}, nil); !out.foreign {
		t.Error("a batch for another log counts")
	}
	if out := s.write(batch{epoch: 9, n: 1}, appendItem(nil, itemEpoch, epochItem(9, 1))); !out.skipped {
		t.Error("a second epoch counts")
	}
}

func TestStateIsKept(t *testing.T) {
	s := newScript(t)
	for id := Server(1); id < 5; id++ {
		s.says(id, 1000, itemHello)
	}
	s.says(2, 2000, itemBye)
	s.says(1, 3000, itemTick, itemBegin, itemChunk)
	saved := s.fold.save(nil)
	f, err := restoreFold(saved)
	if err != nil || !bytes.Equal(f.save(nil), saved) {
		t.Fatalf("%v\n%x\n%x", err, saved, f.save(nil))
	}
	for i := range saved {
		if _, err := restoreFold(saved[:i]); err == nil {
			t.Errorf("%d bytes of %d are enough", i, len(saved))
		}
	}
}

func FuzzBatch(f *testing.F) {
	data := make([]byte, headerSize)
	(&batch{epoch: 7, server: 1, n: 1, clock: 5, applied: 3}).putHeader(data)
	data = appendItem(data, itemHello, []byte("a"))
	data = appendItem(data, itemRecord, []byte("x"), []byte("y"))
	data = appendItem(data, itemTick)
	f.Add(data)
	f.Add([]byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBatch(data)
		if err != nil {
			return
		}
		again := make([]byte, headerSize)
		b.putHeader(again)
		for items := b.items; len(items) > 0; {
			var k kind
			var item []byte
			k, item, items = next(items)
			again = appendItem(again, k, item)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%x is written as %x", data, again)
		}
		fold := &fold{epoch: b.epoch, beat: 9, servers: []*member{{id: b.server, n: b.n - 1}}}
		fold.apply(&b, 5, len(data), func(*Event) {})
		collect(map[Server]*collector{}, &b, 5)
	})
}

func FuzzState(f *testing.F) {
	fold := &fold{epoch: 1, ended: []Server{3}, servers: []*member{{id: 1, name: "a"}}}
	f.Add(saveState(nil, fold, &tape{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if f, _, err := splitState(data); err == nil {
			if saved := f.save(nil); !bytes.Equal(saved, data[4:4+len(saved)]) {
				t.Errorf("%x is saved as %x", data, saved)
			}
		}
	})
}

// What a record costs on its way through the fold.
func BenchmarkApply(b *testing.B) {
	f := &fold{epoch: 7, servers: []*member{{id: 1}, {id: 2}, {id: 3}}}
	data := make([]byte, headerSize)
	for range 1000 {
		data = appendItem(data, itemRecord, make([]byte, 100))
	}
	var n uint64
	records := 0
	emit := func(*Event) { records++ }
	b.ReportAllocs()
	for b.Loop() {
		n++
		(&batch{epoch: 7, server: 1, n: n, clock: 5, applied: n}).putHeader(data)
		parsed, err := parseBatch(data)
		if err != nil {
			b.Fatal(err)
		}
		f.apply(&parsed, n, len(data), emit)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
}
