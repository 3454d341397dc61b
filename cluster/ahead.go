package cluster

import "sync"

// An ahead holds the batches that have been delivered and not applied, and knows
// how far the log has got. It is bounded: what it drops can be loaded.
type ahead struct {
	signal chan struct{} // wakes the applier

	mu      sync.Mutex
	next    uint64            // the place that is applied next
	known   uint64            // the last place known to be stored
	batches map[uint64][]byte // by place. Invariant: all are >= next
	bytes   int
}

func newAhead() *ahead {
	return &ahead{signal: make(chan struct{}, 1), next: 1, batches: make(map[uint64][]byte)}
}

// put takes a message that was delivered. It never waits.
func (a *ahead) put(m message) {
	a.mu.Lock()
	a.known = max(a.known, m.seq)
	full := len(a.batches) >= maxAhead || a.bytes+len(m.data) > maxAheadBytes
	if _, double := a.batches[m.seq]; m.seq >= a.next && !double && (!full || m.seq == a.next) {
		a.batches[m.seq] = m.data
		a.bytes += len(m.data)
	}
	a.mu.Unlock()
	a.wake()
}

// take returns the batch at next, if it has come, and moves next on.
func (a *ahead) take() (seq uint64, data []byte, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, ok = a.batches[a.next]
	if !ok {
		return 0, nil, false
	}
	seq = a.next
	a.drop(seq)
	a.next++
	return seq, data, true
}

// moveTo makes next the place that is applied next.
func (a *ahead) moveTo(next uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if next == a.next+1 {
		a.drop(a.next)
	} else {
		for seq := range a.batches {
			if seq < next {
				a.drop(seq)
			}
		}
	}
	a.next = next
}

func (a *ahead) drop(seq uint64) {
	a.bytes -= len(a.batches[seq])
	delete(a.batches, seq)
}

// know says that the log has got as far as seq.
func (a *ahead) know(seq uint64) {
	a.mu.Lock()
	a.known = max(a.known, seq)
	a.mu.Unlock()
	a.wake()
}

// forget drops everything: the log is another one, or its end is at last.
func (a *ahead) forget(last uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.batches)
	a.bytes, a.known = 0, last
}

// stored returns the last place known to be stored.
func (a *ahead) stored() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known
}

func (a *ahead) wake() {
	select {
	case a.signal <- struct{}{}:
	default:
	}
}
