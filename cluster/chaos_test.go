package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	chaosSeed = flag.Uint64("chaos.seed", 0, "the only seed of TestChaos; 0: several")
	chaosRuns = flag.Int("chaos.runs", 8, "how many seeds TestChaos tries")
)

// A sailor is a process that appends to the log, from its start to its end.
type sailor struct {
	*boat
	name   string
	said   []string // what was appended without an error
	ended  bool
	closed bool // with a goodbye that was applied
	until  time.Time
	better func() // ends what is wrong with it at the moment
}

// A storm is servers on a rough sea.
type storm struct {
	t       *testing.T
	sea     *sea
	rand    *rand.Rand
	sailors []*sailor // all that there were
	opened  chan *sailor
	opening int
}

// TestChaos: servers append, are frozen, killed, closed, cut off and started again,
// while messages get lost, double and late. In the end all have the same state, and
// every record was applied once or is lost.
func TestChaos(t *testing.T) {
	seeds := []uint64{*chaosSeed}
	if *chaosSeed == 0 {
		seeds = nil
		for range *chaosRuns {
			seeds = append(seeds, rand.Uint64N(1_000_000)+1)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("chaos.seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &storm{t: t, sea: newSea(seed), rand: rand.New(rand.NewPCG(seed, 3)), opened: make(chan *sailor, 100)}
				s.blow()
				s.calm()
			})
		})
	}
}

func (s *storm) blow() {
	s.sea.faults = faults{
		fail: 0.05, mute: 0.05, ghost: 0.02, drop: 0.1, double: 0.1, late: 0.05, stale: 0.3,
		journey: time.Duration(1+s.rand.IntN(10)) * time.Millisecond,
	}
	for range 3 {
		s.start()
	}
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); {
		s.arrivals()
		for _, x := range s.afloat() {
			s.trouble(x)
			if !x.ended && (x.better == nil || s.rand.IntN(4) == 0) {
				s.append(x)
			}
		}
		time.Sleep(time.Duration(s.rand.IntN(40)) * time.Millisecond)
	}
}

func (s *storm) start() {
	x := &sailor{name: fmt.Sprintf("p%d", len(s.sailors)+s.opening)}
	s.opening++
	go func() {
		b, err := s.sea.tryLaunch(context.Background(), x.name, checkpoints(20_000))
		if err != nil {
			s.t.Errorf("open: %v", err)
		}
		x.boat = b
		s.opened <- x
	}()
}

func (s *storm) arrivals() {
	for {
		select {
		case x := <-s.opened:
			s.opening--
			s.sailors = append(s.sailors, x)
		default:
			return
		}
	}
}

func (s *storm) afloat() []*sailor {
	return slices.DeleteFunc(slices.Clone(s.sailors), func(x *sailor) bool { return x.ended })
}

func (s *storm) append(x *sailor) {
	if x.node.frozen() {
		return // it does not run
	}
	for range s.rand.IntN(3) {
		text := fmt.Sprintf("%s-%06d", x.name, len(x.said))
		switch err := x.Append([]byte(text), text); {
		case err == nil:
			x.said = append(x.said, text)
		case !errors.Is(err, ErrBusy):
			s.t.Errorf("append: %v", err)
		}
	}
}

func (n *node) frozen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ice != nil
}

// trouble begins or ends what is wrong with a server.
func (s *storm) trouble(x *sailor) {
	if x.better != nil {
		if time.Now().After(x.until) {
			x.better()
			x.better = nil
		}
		return
	}
	x.until = time.Now().Add(time.Duration(s.rand.Int64N(int64(12 * time.Second))))
	switch n := s.rand.IntN(2000); {
	case n < 4:
		x.node.freeze()
		x.better = x.node.thaw
	case n < 8:
		x.node.set(isolated)
		x.better = func() { x.node.set(fine) }
	case n < 10:
		x.node.set(leaderless)
		x.better = func() { x.node.set(fine) }
	case n < 12:
		x.ended = true
		x.sink()
		s.start()
	case n < 14:
		x.ended = true
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		x.closed = x.Close(ctx) == nil
		cancel()
		s.start()
	}
}

// calm ends all trouble, and checks what everybody has.
func (s *storm) calm() {
	s.sea.with(func() { s.sea.faults = faults{journey: time.Millisecond} })
	for _, x := range s.afloat() {
		x.node.thaw()
		x.node.set(fine)
	}
	for s.opening > 0 {
		time.Sleep(100 * time.Millisecond)
		s.arrivals()
	}
	time.Sleep(15 * time.Second)
	var boats []*boat
	for _, x := range s.afloat() {
		boats = append(boats, x.boat)
	}
	level(s.t, boats...)
	same(s.t, boats...)
	for _, b := range boats {
		if n := b.Stats().Disagreements; n != 0 {
			s.t.Errorf("%d disagreements", n)
		}
	}
	records, _, _, _ := boats[0].look()
	s.check(records)
	dock(s.t, boats...)
}

func (s *storm) check(records []string) {
	place := make(map[string]int)
	last := make(map[string]string)
	for i, text := range records {
		if place[text] != 0 {
			s.t.Errorf("%s is there twice", text)
		}
		place[text] = i + 1
		name, _, _ := strings.Cut(text, "-")
		if last[name] >= text {
			s.t.Errorf("%s comes after %s", text, last[name])
		}
		last[name] = text
	}
	var said, cuts int
	for _, x := range s.sailors {
		_, mine, lost, why := x.look()
		said, cuts = said+len(x.said), cuts+len(why)
		for _, text := range mine {
			if place[text] == 0 {
				s.t.Errorf("%s was applied, and is missing", text)
			}
		}
		// What was under way when a server was cut off may come later.
		exact := !slices.ContainsFunc(why, func(err error) bool { return !errors.Is(err, ErrDead) })
		for _, text := range lost {
			if place[text] != 0 && exact && !x.ended {
				s.t.Errorf("%s is lost, and there", text)
			}
		}
		both := slices.Sorted(slices.Values(slices.Concat(mine, lost)))
		if !slices.Equal(both, x.said) {
			s.t.Errorf("%s has appended %d records; %d were applied and %d are lost",
				x.name, len(x.said), len(mine), len(lost))
		}
		if x.closed && len(lost) > 0 && len(why) == 0 {
			s.t.Errorf("%s has said goodbye, and lost %q", x.name, lost)
		}
	}
	s.t.Logf("%d servers appended %d records; %d were applied; %d cut-offs", len(s.sailors), said, len(records), cuts)
}
