package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"
)

// A tape is a machine that remembers everything.
type tape struct {
	mu    sync.Mutex
	state struct {
		Hash    []byte              // a chain of all events
		Records []string            // in their order
		By      map[Server][]string // and by who wrote them
		Live    []Server
		Left    []Server
		Beats   int
		Odd     int // makes this tape differ from others
	}
	// Of this process.
	mine    []string // own records that were applied
	lost    []string
	cuts    []error
	resets  int
	journal []string // of Came, Left, Lost, CutOff
	now     int64
}

func (p *tape) Apply(e *Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Kind == Lost {
		p.lost = append(p.lost, fmt.Sprint(e.Own))
		p.journal = append(p.journal, "lost")
		return
	}
	s := &p.state
	head := fmt.Appendf(s.Hash, "%d %d %d %d ", e.Kind, e.Server, e.Now, e.Beat+uint64(s.Odd))
	sum := sha256.Sum256(append(head, e.Data...))
	s.Hash = sum[:]
	if e.Now < p.now {
		panic("the log's time goes back")
	}
	p.now = e.Now
	switch e.Kind {
	case Record:
		text := string(e.Data[:min(len(e.Data), 40)])
		s.Records = append(s.Records, text)
		if s.By == nil {
			s.By = make(map[Server][]string)
		}
		s.By[e.Server] = append(s.By[e.Server], text)
		if e.Own != nil {
			p.mine = append(p.mine, fmt.Sprint(e.Own))
		}
	case Beat:
		s.Beats++
	case Came:
		s.Live = append(s.Live, e.Server)
		p.journal = append(p.journal, "came")
	case Left:
		s.Live = slices.DeleteFunc(s.Live, func(id Server) bool { return id == e.Server })
		s.Left = append(s.Left, e.Server)
		p.journal = append(p.journal, "left")
	}
}

func (p *tape) Save(dst []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := json.Marshal(p.state)
	if err != nil {
		panic(err)
	}
	return append(dst, data...)
}

func (p *tape) Restore(data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	odd := p.state.Odd
	p.state = tape{}.state
	p.now = 0
	p.resets++
	if len(data) > 0 {
		return json.Unmarshal(data, &p.state)
	}
	p.state.Odd = odd
	return nil
}

func (p *tape) CutOff(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = append(p.cuts, why)
	p.journal = append(p.journal, "cut off")
}

// A boat is a server on the sea.
type boat struct {
	*Log
	tape *tape
	node *node
}

// launch opens a log on the sea.
func (s *sea) launch(t *testing.T, name string, change ...func(*Config)) *boat {
	t.Helper()
	b, err := s.tryLaunch(t.Context(), name, change...)
	if err != nil {
		t.Fatalf("%s cannot open the log: %v", name, err)
	}
	return b
}

func (s *sea) tryLaunch(ctx context.Context, name string, change ...func(*Config)) (*boat, error) {
	b := &boat{tape: &tape{}}
	c := Config{Machine: b.tape, Name: name, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	var err error
	b.Log, err = open(ctx, c, func(cb callbacks) (backend, error) {
		b.node, err = s.connect(cb)
		return b.node, err
	})
	return b, err
}

// sink ends a server as a SIGKILL does.
func (b *boat) sink() {
	b.node.kill()
	b.end(ErrClosed)
}

// dock ends all servers, and waits until the sea is calm.
func dock(t *testing.T, boats ...*boat) {
	t.Helper()
	for _, b := range boats {
		b.node.thaw()
		if b.ctx.Err() != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		if err := b.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		b.node.running.Wait()
	}
}

// say appends a record whose own value is the record, as soon as the gate is open.
func (b *boat) say(t *testing.T, text string) {
	t.Helper()
	for {
		retry := b.Retry()
		err := b.Append([]byte(text), text)
		if err == nil {
			return
		}
		select {
		case <-retry:
		case <-time.After(time.Minute):
			t.Fatalf("append %s: %v", text, err)
		}
	}
}

// level brings all servers to the same place of the same log.
func level(t *testing.T, boats ...*boat) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for of := boats[0].epochNow(); ; of = boats[0].epochNow() {
		reachLast(ctx, t, boats)
		if !slices.ContainsFunc(boats, func(b *boat) bool { return b.epochNow() != of }) {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the servers have different logs")
		}
		time.Sleep(time.Second) // one of them has yet to notice that there is another log
	}
}

// epochNow returns the epoch of the log that the server is in.
func (b *boat) epochNow() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epoch
}

func reachLast(ctx context.Context, t *testing.T, boats []*boat) {
	t.Helper()
	for _, b := range boats {
		if err := b.Sync(ctx); err != nil {
			t.Fatalf("sync: %v (%v)", err, b.Stats().State)
		}
	}
	last := uint64(0)
	for _, b := range boats {
		last = max(last, b.Applied())
	}
	for _, b := range boats {
		if err := b.Reach(ctx, last); err != nil {
			t.Fatalf("reach: %v", err)
		}
	}
}

// look returns a copy of what the tape has.
func (b *boat) look() (records, mine, lost []string, cuts []error) {
	b.tape.mu.Lock()
	defer b.tape.mu.Unlock()
	p := b.tape
	return slices.Clone(p.state.Records), slices.Clone(p.mine), slices.Clone(p.lost), slices.Clone(p.cuts)
}

// events returns who has left, and the journal.
func (b *boat) events() (left []Server, journal []string) {
	b.tape.mu.Lock()
	defer b.tape.mu.Unlock()
	return slices.Clone(b.tape.state.Left), slices.Clone(b.tape.journal)
}

// resets returns how often the tape was restored.
func (b *boat) resets() int {
	b.tape.mu.Lock()
	defer b.tape.mu.Unlock()
	return b.tape.resets
}

// same fails unless all servers have the same state at the same place.
func same(t *testing.T, boats ...*boat) {
	t.Helper()
	var places []uint64
	var states [][]byte
	for range 100 {
		places, states = nil, nil
		for _, b := range boats {
			var place uint64
			done := make(chan struct{})
			b.calls <- func() {
				place = b.Applied()
				states = append(states, saveState(nil, b.fold, b.tape))
				close(done)
			}
			<-done
			places = append(places, place)
		}
		if len(slices.Compact(slices.Clone(places))) == 1 {
			break
		}
		time.Sleep(7 * time.Millisecond)
	}
	for i := range states {
		if places[i] != places[0] {
			t.Errorf("server %d is at %d, the first at %d", i, places[i], places[0])
		} else if !bytes.Equal(states[i], states[0]) {
			t.Errorf("server %d and the first differ at %d:\n%.600q\n%.600q", i, places[i], states[i], states[0])
		}
	}
}
