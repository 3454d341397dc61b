package api

import (
	"context"
	"sync"

	"crier/fair"
)

// A gate lets a limited number of requests through at once. The others wait:
// those of one origin in their order, and origins take turns.
type gate struct {
	mu      sync.Mutex
	free    int
	waiting *fair.Queue[chan struct{}] // each is closed when let through. Invariant: empty, or free is 0
}

// A place is a place in the line at a gate.
type place = *fair.Item[chan struct{}]

// maxWaiting is how many requests may wait for one endpoint: in all, and of one
// origin.
var maxWaiting = fair.Limits{Total: 10_000, PerKey: 1000}

func newGate(room int) *gate {
	return &gate{free: room, waiting: fair.NewQueue[chan struct{}](maxWaiting)}
}

// join must be followed by pass. The error is fair.ErrFull, or nil.
func (g *gate) join(from string) (place, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, err := g.waiting.Push(from, make(chan struct{}))
	g.admit()
	return p, err
}

// admit lets requests through while there is room. It requires g.mu.
func (g *gate) admit() {
	for g.free > 0 {
		next := g.waiting.Pop()
		if next == nil {
			return
		}
		g.free--
		close(next.Value)
	}
}

// pass waits until the request is let through. If it returns nil, leave must
// follow. Otherwise it returns the error of the context.
func (g *gate) pass(ctx context.Context, p place) error {
	select {
	case <-p.Value:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting.Remove(p) {
		return ctx.Err()
	}
	return nil // it was let through just then
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free++
	g.admit()
}
