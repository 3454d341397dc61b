package bench

import (
	"context"
	"sync/atomic"
	"time"

	"crier/client"
	"crier/ws"
)

// A subscriber is one connection: it checks all that it hears.
type subscriber struct {
	run  *run
	id   int // its publisher's number, if it is one
	conn *client.Conn

	leaving atomic.Bool // we hang up ourselves

	// Owned by listen, until it returns.
	next       []uint64 // number of the next message, by publisher
	gaps       uint64   // messages that never came, though later ones did
	disordered uint64
	wrongMe    uint64
	latency    histogram
	closed     error // why the server ended the connection
}

func newSubscriber(r *run, id int, conn *client.Conn) *subscriber {
	return &subscriber{run: r, id: id, conn: conn, next: make([]uint64, r.config.Publishers)}
}

// dialTimeout is how long the opening of one connection may take.
const dialTimeout = 30 * time.Second

func dial(ctx context.Context, address string, h client.Handshake) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return client.Dial(ctx, address, h)
}

// A server that never ends its messages makes every connection collect the largest one there may be.
const (
	oneHeard = 1 << 20   // bytes of a message
	allHeard = 128 << 20 // bytes of one message of each connection
)

// maxHeard returns the size of the largest message that a connection takes: at least that of our own with stamps. Other people's
// on the same server may be larger.
func (c Config) maxHeard() int {
	return max(2*c.Size+1024, min(oneHeard, allHeard/c.Subscribers))
}

// listen reads until the connection ends.
func (s *subscriber) listen() {
	deliveries, read, at := uint64(0), time.Time{}, time.Duration(0)
	for {
		if !s.conn.Buffered() { // what one read has got is counted at once
			s.run.heard(deliveries)
			deliveries = 0
		}
		data, binary, err := s.conn.Next()
		if err != nil {
			s.run.heard(deliveries)
			if !s.leaving.Load() {
				s.closed = err
			}
			return
		}
		if now := s.conn.LastRead(); now != read {
			read, at = now, now.Sub(s.run.start)
		}
		if !binary && s.check(data, at) {
			deliveries++
		}
	}
}

// check looks at one message and reports whether it is one of ours that was still missing.
func (s *subscriber) check(heard []byte, now time.Duration) bool {
	run, publisher, number, at, ok := parseMessage(heard)
	if !ok || run != s.run.id || publisher >= len(s.next) {
		return false // somebody else's
	}
	if mine, stamped := me(heard); stamped {
		if !s.run.stamped.Load() {
			s.run.stamped.Store(true)
		}
		if mine != (publisher == s.id) {
			s.wrongMe++
		}
	}
	if number < s.next[publisher] {
		s.disordered++
		return false
	}
	s.gaps += number - s.next[publisher]
	s.next[publisher] = number + 1
	if int64(at) >= s.run.from.Load() && int64(at) < s.run.to.Load() {
		s.latency.record(now - at)
	}
	return true
}

func (s *subscriber) hangUp() {
	if !s.leaving.Swap(true) {
		s.conn.Goodbye(ws.Close{Code: ws.NormalClosure})
	}
}

// heard counts deliveries and lets the window go on.
func (r *run) heard(deliveries uint64) {
	if deliveries == 0 {
		return
	}
	r.received.Add(deliveries)
	if r.config.Window > 0 {
		select {
		case r.room <- struct{}{}:
		default:
		}
	}
}
