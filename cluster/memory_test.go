package cluster

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// A sea is a stream and a bus in memory, with the faults that networks have. What
// it does follows from its seed and from the order of the calls.
type sea struct {
	mu      sync.Mutex
	rand    *rand.Rand
	faults  faults
	first   uint64   // place of messages[0]
	stored  [][]byte // the stream
	nodes   []*node
	running sync.WaitGroup
}

// faults are probabilities, from 0 to 1.
type faults struct {
	fail    float64       // a Store that does nothing
	mute    float64       // a Store that stores, and does not say so
	ghost   float64       // a Store that fails, and stores later
	drop    float64       // a delivery that never comes
	double  float64       // a delivery that comes twice
	late    float64       // a delivery that takes half a second
	stale   float64       // a Load that does not know the last messages yet
	journey time.Duration // at most, each way
}

// A node is a server's backend.
type node struct {
	*sea
	cb     callbacks
	health health
	ice    chan struct{} // closed by thaw; nil if the server is not frozen
	closed chan struct{}
	once   sync.Once
	deaf   bool // nothing is delivered
	mute   bool // nothing is acknowledged
}

var errSea = errors.New("the sea is rough")

func newSea(seed uint64) *sea {
	return &sea{rand: rand.New(rand.NewPCG(seed, 1)), first: 1, faults: faults{journey: time.Millisecond}}
}

func (s *sea) connect(cb callbacks) (*node, error) {
	n := &node{sea: s, cb: cb, closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, n)
	return n, nil
}

// chance reports true with the probability that p points to.
func (s *sea) chance(p *float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Float64() < *p
}

// journey waits for as long as a message takes.
func (n *node) journey(ctx context.Context) error {
	n.mu.Lock()
	d := time.Duration(n.rand.Int64N(int64(n.faults.journey) + 1))
	n.mu.Unlock()
	return n.sleep(ctx, d)
}

func (n *node) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return errSea
	}
	return n.pass(ctx)
}

// pass waits while the server is frozen.
func (n *node) pass(ctx context.Context) error {
	for {
		n.mu.Lock()
		ice := n.ice
		n.mu.Unlock()
		if ice == nil {
			return nil
		}
		select {
		case <-ice:
		case <-n.closed:
			return errSea
		}
	}
}

// reaches waits in vain if the server reaches no leader.
func (n *node) reaches(ctx context.Context) error {
	n.mu.Lock()
	h := n.health
	n.mu.Unlock()
	if h == fine {
		return nil
	}
	if n.chance(new(0.5)) {
		return errSea
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return errSea
	}
}

func (n *node) Store(ctx context.Context, data []byte, expect int64) (uint64, error) {
	if err := errors.Join(n.journey(ctx), n.reaches(ctx)); err != nil {
		return 0, err
	}
	switch {
	case n.chance(&n.faults.fail):
		return 0, errSea
	case n.chance(&n.faults.ghost):
		n.mu.Lock()
		d := time.Duration(n.rand.Int64N(int64(3 * time.Second)))
		n.mu.Unlock()
		n.running.Go(func() {
			time.Sleep(d)
			_, _ = n.add(data, expect)
		})
		return 0, errSea
	}
	seq, err := n.add(data, expect)
	if err != nil {
		return 0, err
	}
	n.mu.Lock()
	mute := n.mute
	n.mu.Unlock()
	if mute {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if n.chance(&n.faults.mute) {
		return 0, errSea
	}
	return seq, errors.Join(n.journey(ctx), n.reaches(ctx))
}

// add stores a message and delivers it.
func (s *sea) add(data []byte, expect int64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.first + uint64(len(s.stored)) - 1
	if expect != anyLast && uint64(expect) != last {
		return 0, errNotLast
	}
	s.stored = append(s.stored, bytes.Clone(data))
	for _, n := range s.nodes {
		if n.health != isolated && !n.deaf {
			n.deliver(message{last + 1, bytes.Clone(data)})
		}
	}
	return last + 1, nil
}

// deliver delivers a message, some time. mu is locked.
func (n *node) deliver(m message) {
	times := 1
	if n.rand.Float64() < n.faults.drop {
		return
	}
	if n.rand.Float64() < n.faults.double {
		times = 2
	}
	for range times {
		d := time.Duration(n.rand.Int64N(int64(n.faults.journey) + 1))
		if n.rand.Float64() < n.faults.late {
			d += 500 * time.Millisecond
		}
		n.running.Go(func() {
			if n.sleep(context.Background(), d) == nil {
				n.cb.deliver(m)
			}
		})
	}
}

func (n *node) Load(ctx context.Context, from uint64, fresh bool) ([]message, error) {
	if err := errors.Join(n.journey(ctx), n.reaches(ctx)); err != nil {
		return nil, err
	}
	stale := !fresh && n.chance(&n.faults.stale)
	n.mu.Lock()
	defer n.mu.Unlock()
	end := n.first + uint64(len(n.stored))
	if stale {
		end -= min(3, uint64(len(n.stored)))
	}
	if from < n.first || from >= end {
		return nil, errNone
	}
	var messages []message
	for seq := from; seq < min(end, from+7); seq++ {
		messages = append(messages, message{seq, bytes.Clone(n.stored[seq-n.first])})
	}
	return messages, nil
}

func (n *node) Bounds(ctx context.Context) (first, last uint64, err error) {
	if err := errors.Join(n.journey(ctx), n.reaches(ctx)); err != nil {
		return 0, 0, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.first, n.first + uint64(len(n.stored)) - 1, nil
}

func (n *node) Purge(ctx context.Context, before uint64) error {
	if err := errors.Join(n.journey(ctx), n.reaches(ctx)); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if before == everything {
		n.stored, n.first = nil, 1
	} else if before > n.first {
		n.stored = n.stored[min(before-n.first, uint64(len(n.stored))):]
		n.first = before
	}
	return nil
}

func (n *node) Ask(ctx context.Context, question []byte, each func([]byte) bool) error {
	n.mu.Lock()
	answers := make(chan []byte, len(n.nodes))
	for _, other := range n.nodes {
		if other != n && other.health != isolated {
			n.running.Go(func() {
				if other.journey(ctx) == nil {
					answers <- other.cb.respond(question)
				}
			})
		}
	}
	n.mu.Unlock()
	for {
		select {
		case a := <-answers:
			if a != nil && !each(a) {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *node) Health() health {
	_ = n.pass(context.Background())
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health
}

func (n *node) Close() {
	n.mu.Lock()
	n.nodes = slices.DeleteFunc(n.nodes, func(other *node) bool { return other == n })
	n.mu.Unlock()
	n.kill()
}

// kill ends the server without a goodbye.
func (n *node) kill() { n.once.Do(func() { close(n.closed) }) }

func (n *node) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ice == nil {
		n.ice = make(chan struct{})
	}
}

func (n *node) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ice != nil {
		close(n.ice)
		n.ice = nil
	}
}

func (n *node) set(h health) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.health = h
}

func (s *sea) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// span returns where the stream begins, and how many messages it has.
func (s *sea) span() (first uint64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, len(s.stored)
}
