//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A storm is one test: what happens to the servers, and to the players.
type storm struct {
	t       *testing.T
	rand    *rand.Rand
	fleet   *fleet
	crowd   *crowd
	players []*player // that are there
	gone    []*player
	others  []*talker // clients of other apps
	steps   map[string]int
	began   time.Time

	talking sync.WaitGroup
	silence context.CancelFunc // ends all talk
	ctx     context.Context
}

// TestChaos: three servers with NATS in them.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes long")
	}
	blow(t, *length, nil)
}

// TestChaosOwnNATS: three servers that share a NATS, which is killed, too.
func TestChaosOwnNATS(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes long")
	}
	blow(t, *length/4, startNATS(t))
}

// blow lets there be chaos for some time, and then compares.
func blow(t *testing.T, length time.Duration, own *natsServer) {
	n := theSeed(t)
	rnd := rand.New(rand.NewPCG(n, 1))
	f := newFleet(t, 3, own)
	f.await(f.nodes...)
	s := &storm{t: t, rand: rnd, fleet: f, steps: make(map[string]int), began: time.Now()}
	s.crowd = &crowd{fleet: f, rand: rand.New(rand.NewPCG(n, 2))}
	s.ctx, s.silence = context.WithCancel(context.Background())
	defer s.leave()
	for range 20 {
		s.come()
	}
	s.listen()
	for end := time.Now().Add(length); time.Now().Before(end); {
		s.step()
		s.churn()
	}
	s.calm()
	s.summary()
}

// come lets a player come.
func (s *storm) come() {
	p := s.crowd.join(context.Background())
	s.players = append(s.players, p)
	seed := s.crowd.rand.Uint64()
	s.talking.Go(func() { p.speak(s.ctx, seed) })
}

// churn lets players come and go.
func (s *storm) churn() {
	for range s.rand.IntN(3) {
		i := s.rand.IntN(len(s.players))
		p := s.players[i]
		s.players = slices.Delete(s.players, i, i+1)
		s.gone = append(s.gone, p)
		s.talking.Go(p.leave)
		s.come()
	}
}

// leave ends all clients.
func (s *storm) leave() {
	s.silence()
	s.talking.Wait()
	var leaving sync.WaitGroup
	for _, p := range s.players {
		leaving.Go(p.leave)
	}
	for _, o := range s.others {
		leaving.Go(o.client.Close)
	}
	leaving.Wait()
}

// pause waits for a random time.
func (s *storm) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(s.rand.Int64N(int64(most-least))))
}

func (s *storm) did(what string, args ...any) {
	name, _, _ := strings.Cut(what, ":")
	s.steps[name]++
	s.t.Logf("%6.1fs %s", time.Since(s.began).Seconds(), fmt.Sprintf(what, args...))
}

// step does one thing to the servers. Those that it leaves alone are well before,
// so that there always is a majority, but for moments.
func (s *storm) step() {
	f := s.fleet
	x := f.nodes[s.rand.IntN(len(f.nodes))]
	f.await(f.others(x)...)
	if s.rand.IntN(2) == 0 {
		f.await(x)
	}
	if f.nats != nil && s.rand.IntN(5) == 0 {
		s.restartNATS()
		return
	}
	mode := []mode{frozen, closed}[s.rand.IntN(2)]
	switch s.rand.IntN(12) {
	case 0, 1, 2:
		s.did("kill: %s", x.job.Name)
		x.kill()
		s.pause(0, 6*time.Second)
		x.start()
	case 3, 4:
		s.did("stop: %s", x.job.Name)
		x.signal(syscall.SIGSTOP)
		s.pause(time.Second, 12*time.Second)
		x.signal(syscall.SIGCONT)
	case 5, 6:
		s.did("cut off: %s %v", x.job.Name, mode)
		f.isolate(x, mode)
		s.pause(time.Second, 12*time.Second)
		f.isolate(x, open)
	case 7, 8:
		s.partPair(mode)
	case 9:
		s.loseDisk(x)
	case 10:
		s.roll()
	case 11:
		s.restartAll()
	}
	s.pause(0, 2*time.Second)
}

func (s *storm) partPair(m mode) {
	if s.fleet.nats != nil {
		return
	}
	i := s.rand.IntN(3)
	a, b := s.fleet.nodes[i], s.fleet.nodes[(i+1)%3]
	s.did("part: %s and %s %v", a.job.Name, b.job.Name, m)
	s.fleet.part(a, b, m)
	s.pause(time.Second, 12*time.Second)
	s.fleet.part(a, b, open)
}

func (s *storm) loseDisk(x *node) {
	if s.fleet.nats != nil {
		return
	}
	s.fleet.await(s.fleet.nodes...)
	s.did("lose disk: %s", x.job.Name)
	x.kill()
	if err := os.RemoveAll(x.data()); err != nil {
		s.t.Error(err)
	}
	s.pause(0, 4*time.Second)
	x.start()
	s.fleet.await(x) // it must have the log again before another one may lose its own
}

// roll restarts all servers in good order, one after the other.
func (s *storm) roll() {
	s.did("roll")
	for _, x := range s.fleet.nodes {
		s.fleet.await(s.fleet.nodes...)
		x.end()
		x.start()
	}
}

func (s *storm) restartAll() {
	s.did("kill all")
	for _, x := range s.fleet.nodes {
		x.kill()
	}
	s.pause(0, time.Second)
	for _, i := range s.rand.Perm(len(s.fleet.nodes)) {
		s.fleet.nodes[i].start()
		s.pause(0, time.Second)
	}
}

func (s *storm) restartNATS() {
	s.did("kill NATS")
	s.fleet.nats.kill()
	s.pause(0, 4*time.Second)
	s.fleet.nats.start()
}

// calm ends all trouble, waits until everybody has everything, and compares.
func (s *storm) calm() {
	f := s.fleet
	f.await(f.nodes...)
	s.did("calm")
	s.silence()
	s.talking.Wait()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	var faults []string
	for deadline := time.Now().Add(patience); ; <-again.C {
		if faults = s.unsettled(); len(faults) == 0 {
			faults = s.compare()
		}
		if len(faults) == 0 || time.Now().After(deadline) {
			break
		}
	}
	faults = append(faults, s.fleet.disagreements()...)
	for i, fault := range faults {
		if i == 50 {
			s.t.Errorf("and %d more", len(faults)-i)
			break
		}
		s.t.Error(fault)
	}
}

// unsettled returns who has something on the way still.
func (s *storm) unsettled() (faults []string) {
	for _, p := range s.players {
		if n, state := p.client.Pending(), p.client.Status(); n > 0 || state.State.String() != "open" {
			faults = append(faults, fmt.Sprintf("%s has %d messages on the way: %v", p.name, n, state))
		}
	}
	first := s.fleet.nodes[0].digest()
	for _, x := range s.fleet.nodes[1:] {
		if d := x.digest(); d != first {
			faults = append(faults, fmt.Sprintf("%s knows something else than s0: %.16s, %.16s", x.job.Name, d, first))
		}
	}
	return faults
}

func (s *storm) summary() {
	fates := make(map[string]int)
	for _, p := range slices.Concat(s.players, s.gone) {
		for _, m := range p.sent {
			fates[m.outcome()]++
		}
	}
	for _, o := range s.others {
		for _, m := range o.sent {
			fates[m.outcome()]++
		}
	}
	total, sent := 0, 0
	for _, n := range s.steps {
		total += n
	}
	for _, n := range fates {
		sent += n
	}
	gaps := 0
	for _, p := range s.players {
		for _, list := range p.stretches {
			for _, stretch := range list {
				if stretch.again {
					gaps++
				}
			}
		}
	}
	s.t.Logf("%d steps: %v", total, s.steps)
	s.t.Logf("%d players; %d messages sent: %v; %d received; %d gaps that were told; longest silence %.1f s",
		len(s.players)+len(s.gone)+len(s.others), sent, fates, s.crowd.total, gaps, s.crowd.silence.Seconds())
	s.t.Logf("servers: %v", s.fleet.events())
}
