package cloud

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// firstWait and maxWait bound the pauses before something is tried again; each is up to twice as long as the last.
	firstWait = 50 * time.Millisecond
	maxWait   = 2 * time.Second
	// maxTries is how often a post is tried.
	maxTries = 8
	// newcomer is the age up to which 410 may mean that a handshake is not finished.
	newcomer = 15 * time.Second
	// maxSlow is how many recipients of a message may be taken for slow readers.
	maxSlow = 10
	// slowTries is how often posts to those are tried.
	slowTries = 3
)

// A recipient is somebody to post to.
type recipient struct {
	member
	bodies    []*body // to be posted one after the other
	tries     int
	throttled bool // the last time
	gone      bool // the last time: it has left, or not finished its handshake
	hung      bool // it did not answer
	sent      bool // it may have got this already: an answer did not come
}

// work posts to who is in the line. Throttling slows it down.
func (d *delivery) work(line <-chan recipient) {
	wait := time.Duration(0)
	for r := range line {
		if wait > 0 {
			pause(d.ctx, rand.N(wait))
		}
		if d.post(r) == http.StatusTooManyRequests {
			wait = min(max(2*wait, firstWait), maxWait)
		} else {
			wait = 0
		}
	}
}

// post posts to one recipient and notes what becomes of it.
func (d *delivery) post(r recipient) (status int) {
	poster, timeout := d.handler.poster, postTimeout
	known := r.hung || poster.hanging.knows(r.member)
	if known {
		timeout = probeTimeout
	}
	status, again, err := poster.post(d.ctx, timeout, d.to, r.id, r.bodies[0])
	if again {
		d.counts.retried.Add(1)
		d.counts.unsure.Add(1)
	}
	if err != nil {
		d.handler.log.Debug("post", "connectionId", r.id, "error", err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && d.ctx.Err() == nil {
		d.hang(r, known)
		return noAnswer
	}
	switch {
	case status == http.StatusOK:
		d.counts.delivered.Add(1)
		d.counts.units.Add(units(len(r.bodies[0].data)))
		poster.hanging.forget(r.id)
		poster.slow.remove(r.id)
		if len(r.bodies) > 1 {
			return d.post(recipient{member: r.member, bodies: r.bodies[1:]})
		}
	case status == http.StatusGone && time.Until(r.expires) < lifetime-newcomer:
		d.counts.gone.Add(1)
		d.note(func() { d.gone = append(d.gone, r.member) })
	case isFinal(status):
		d.counts.refused.Add(1)
		d.stray(r)
		d.note(func() {
			if d.wrong == nil {
				d.wrong = fmt.Errorf("post to %s: status %d", r.id, status)
			}
		})
	default: // throttled, a mistake of theirs, the network, or a handshake that is not finished
		r.tries++
		r.throttled = status == http.StatusTooManyRequests
		r.gone = status == http.StatusGone
		r.sent = r.sent || status == noAnswer && !errors.Is(err, errUnsent)
		if r.tries == slowTries && poster.slow.has(r.id) {
			d.counts.slow.Add(1)
			return status
		}
		d.note(func() { d.again = append(d.again, r) })
	}
	return status
}

// hang notes that a client does not answer. It is tried once more, for a short time, unless it is known for that.
func (d *delivery) hang(r recipient, known bool) {
	if !known {
		r.tries++
		r.hung, r.sent = true, true
		d.note(func() { d.again = append(d.again, r) })
		return
	}
	d.counts.hanging.Add(1)
	d.handler.poster.hanging.add(r.id, time.Now())
	d.note(func() { d.hung = append(d.hung, r.member) })
}

// stray notes that a recipient got nothing, if it is a sender.
func (d *delivery) stray(r recipient) {
	for _, m := range d.messages {
		if m.Sender == r.id {
			d.counts.strayed.Store(r.id, true)
		}
	}
}

func (d *delivery) note(what func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
}

// retry tries again what failed, in rounds, so that those who answer do not wait for those who do not.
func (d *delivery) retry() {
	wait := firstWait
	for try := 2; try <= maxTries && len(d.again) > 0; try++ {
		if pause(d.ctx, wait/2+rand.N(wait/2)) != nil {
			break
		}
		wait = min(2*wait, maxWait)
		round := d.again
		d.again = nil
		line := make(chan recipient)
		var posting sync.WaitGroup
		for range min(maxPosts, len(round)) {
			posting.Go(func() { d.work(line) })
		}
		for _, r := range round {
			d.counts.retried.Add(1)
			if r.sent {
				d.counts.unsure.Add(1)
			}
			line <- r
		}
		close(line)
		posting.Wait()
	}
	d.again = slices.DeleteFunc(d.again, func(r recipient) bool { // it has left, and not just come
		if r.gone {
			d.counts.gone.Add(1)
		}
		return r.gone
	})
	d.counts.lost.Add(int64(len(d.again)))
	for _, r := range d.again {
		d.stray(r)
	}
	// Where most hear and few are throttled, it is these that read too slowly, and not API Gateway that has too much to do.
	if few := len(d.again) <= maxSlow && d.counts.delivered.Load() > int64(len(d.again)); few {
		for _, r := range d.again {
			if r.throttled {
				d.handler.poster.slow.add(r.id)
			}
		}
	}
}

// maxRemembered is how many clients are remembered that hang, or read too slowly.
const maxRemembered = 1000

// hanging are clients that did not answer when they were posted to last. They are left out for a while, so that nobody waits
// for them, and then tried again. The table remembers them for other environments of the function.
type hanging struct {
	pause time.Duration // for which they are left out

	mu    sync.Mutex
	until map[string]time.Time
}

// hangingPause is how long a client that hangs is left out. If it answers again, that is what it has missed.
const hangingPause = 10 * time.Second

// knows reports whether a client hung when it was posted to last.
func (h *hanging) knows(m member) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.until[m.id]
	return ok || !m.hangs.IsZero()
}

// skip reports whether a client is to be left out.
func (h *hanging) skip(m member, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Before(m.hangs) || now.Before(h.until[m.id])
}

func (h *hanging) add(id string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil || len(h.until) == maxRemembered {
		h.until = make(map[string]time.Time)
	}
	h.until[id] = now.Round(0).Add(h.pause)
}

func (h *hanging) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.until, id)
}

// slow are connections that were throttled to the end when they were last posted to, while others were not.
type slow struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func (s *slow) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ids[id]
	return ok
}

func (s *slow) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil || len(s.ids) == maxRemembered {
		s.ids = make(map[string]struct{})
	}
	s.ids[id] = struct{}{}
}

func (s *slow) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
}
