package serve

import (
	"container/heap"
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
)

// A who is who a client is, and what it may do.
type who struct {
	app.Identity
	may  *access.Grant // nil: everything
	mute []string      // topics that it says something to and does not hear; guarded by connection.mu

	place int // in expiries, from 1 on; 0 if it is not there; guarded by expiries.mu
}

// identify returns what a handshake asks for, and who its client is. A client
// whose grant has a name has that one.
func (m *mount) identify(r *http.Request, may *access.Grant) (url.Values, *who, *door.Refusal) {
	query, no := queryOf(r)
	if no != nil {
		return nil, nil, no
	}
	if err := may.Claim(query); err != nil {
		return nil, nil, door.RefusalOf(err)
	}
	identity, wrong := m.identifier.Identify(query, r.Header)
	if wrong != "" {
		return nil, nil, rejected(wrong)
	}
	if name := may.Name(); name != "" {
		identity.User = name
	}
	if m.home.keptOut(identity.User) {
		return nil, nil, &door.KeptOut
	}
	if identity == (app.Identity{}) && may == nil {
		return query, nil, nil
	}
	return query, &who{Identity: identity, may: may}, nil
}

// name returns the client's name, or nothing.
func (w *who) name() string {
	if w == nil {
		return ""
	}
	return w.User
}

// grant returns what the client may do.
func (w *who) grant() *access.Grant {
	if w == nil {
		return nil
	}
	return w.may
}

// expiries end connections when their grants do.
type expiries struct {
	mu     sync.Mutex
	queue  expiryQueue
	sooner chan struct{} // a buffered signal: the first of the queue is another one
}

func newExpiries() *expiries { return &expiries{sooner: make(chan struct{}, 1)} }

// add must be called when a connection begins, and remove when it ends.
func (x *expiries) add(s *connection) {
	if s.who == nil || s.who.may == nil || s.who.may.Expires.IsZero() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	heap.Push(&x.queue, s)
	if s.who.place == 1 {
		select {
		case x.sooner <- struct{}{}:
		default:
		}
	}
}

func (x *expiries) remove(s *connection) {
	if s.who == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.who.place > 0 {
		heap.Remove(&x.queue, s.who.place-1)
	}
}

// run ends connections until ctx is done.
func (x *expiries) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-x.sooner:
		case <-ctx.Done():
			return
		}
		for {
			s, wait := x.next(time.Now())
			if s == nil {
				timer.Reset(wait)
				break
			}
			s.close(errExpired)
		}
	}
}

// next returns a connection whose grant has ended, or how long that takes at
// least. An hour is as good as for ever, and clocks may be set meanwhile.
func (x *expiries) next(now time.Time) (s *connection, wait time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.queue) == 0 {
		return nil, time.Hour
	}
	if wait = x.queue[0].who.may.Expires.Sub(now); wait > 0 {
		return nil, min(wait, time.Hour)
	}
	return heap.Pop(&x.queue).(*connection), 0
}

// An expiryQueue is a heap of connections: the grant of the first ends first.
type expiryQueue []*connection

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, k int) bool { return q[i].who.may.Expires.Before(q[k].who.may.Expires) }

func (q expiryQueue) Swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].who.place, q[k].who.place = i+1, k+1
}

// Push implements heap.Interface.
func (q *expiryQueue) Push(x any) {
	s := x.(*connection)
	*q = append(*q, s)
	s.who.place = len(*q)
}

// Pop implements heap.Interface.
func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.who.place = 0
	return s
}
