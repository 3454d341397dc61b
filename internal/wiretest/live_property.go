package wiretest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	liveSeed = flag.Uint64("live-seed", 0, "play the random test of /live with this seed only")
	liveTime = flag.Duration("live", 2*time.Second, "for how long the random test of /live plays; the full test takes 60s")
)

// testLiveProperty: some clients do what clients do, at random, and the model
// explains every frame that they get.
func testLiveProperty(t *testing.T, s server) { s.playAtRandom(t, 10*time.Second, *liveTime) }

// playAtRandom plays one seed after the other for some time. The server lets
// sessions linger for as long as is said.
func (s server) playAtRandom(t *testing.T, linger, length time.Duration) {
	t.Helper()
	first := *liveSeed
	if first == 0 {
		first = rand.Uint64N(1e9) + 1
	}
	runs := 0
	for start := time.Now(); runs == 0 || *liveSeed == 0 && time.Since(start) < length; runs++ {
		seed := first + uint64(runs)
		steps := liveSteps(seed, linger)
		if log, err := s.playSteps(linger, steps); err != nil {
			t.Fatalf("seed %d (go test -live-seed=%[1]d):\n%v\n\n%s", seed, err, s.shortest(linger, steps, log, err))
		}
	}
	t.Logf("%d runs from seed %d", runs, first)
}

// liveSteps makes up steps.
func liveSteps(seed uint64, linger time.Duration) (list []step) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	usual := strings.Fields("connect connect connect say say say say say say say read read read " +
		"cut resume resume resume close kick request request settle")
	if linger < time.Second {
		usual = append(usual, "wait", "cut")
	}
	for range 40 + rnd.IntN(120) {
		list = append(list, step{usual[rnd.IntN(len(usual))], rnd.IntN(liveClients), rnd.Uint64N(1e6)})
	}
	return list
}

// playSteps plays steps, and settles at the end.
func (s server) playSteps(linger time.Duration, steps []step) (log []string, err error) {
	p, err := s.newPlayer(linger)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, peer := range p.peers {
			if peer.nc != nil {
				peer.nc.Close()
				<-peer.done
			}
		}
	}()
	for _, step := range steps {
		if err := p.play(step); err != nil {
			return p.log, fmt.Errorf("%v: %w", step, err)
		}
	}
	return p.log, p.settle()
}

// shortest leaves out steps for as long as something goes wrong without them,
// and returns the log of the rest.
func (s server) shortest(linger time.Duration, steps []step, log []string, err error) string {
	deadline := time.Now().Add(30 * time.Second)
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps) && time.Now().Before(deadline); {
			fewer := append(append([]step(nil), steps[:at]...), steps[at+size:]...)
			shorter, fails := s.playSteps(linger, fewer)
			if fails == nil { // what goes wrong now and then gets a second chance to
				shorter, fails = s.playSteps(linger, fewer)
			}
			if fails != nil {
				steps, log, err = fewer, shorter, fails
				continue
			}
			at += size
		}
	}
	return fmt.Sprintf("In short (%d steps: %v):\n%s\n%v", len(steps), steps, strings.Join(log, "\n"), err)
}
