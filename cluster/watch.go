package cluster

import "time"

// A reach is since when a server has not reached the others.
type reach struct {
	notFine  time.Time // zero: it does
	isolated time.Time
}

// watch is the watch: it writes a tick each second, and sees to it that a server
// that is cut off sends its clients away.
func (l *Log) watch() {
	look := time.NewTicker(lookEvery) // it drops what comes too fast: no bursts
	defer look.Stop()
	var r reach
	for {
		select {
		case <-look.C:
		case <-l.ctx.Done():
			return
		}
		h := l.backend.Health()
		l.watchAt(time.Now(), h, &r)
	}
}

// watchAt looks at everything that is a matter of time.
func (l *Log) watchAt(now time.Time, h health, r *reach) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health = h
	since(&r.notFine, now, h != fine)
	since(&r.isolated, now, h == isolated)
	inc := l.inc
	switch {
	case inc == nil && h == fine:
		l.ahead.wake() // the applier begins a new incarnation
	case inc == nil:
	case inc.live && (lasts(r.isolated, now, cutOffAfter) || lasts(r.notFine, now, l.config.Timeout)):
		l.cut = ErrCutOff
		l.ahead.wake()
	}
	l.held = false
	if inc != nil {
		l.tick(inc, now)
		l.held = lasts(inc.oldestTick(), now, heldAfter)
	}
	l.look()
	l.advanced() // some wait for a state
}

// tick lets inc tick if it is time. A tick that is not written yet is enough. mu is
// locked.
func (l *Log) tick(inc *incarnation, now time.Time) {
	if now.Sub(inc.ticked) < tickEvery-lookEvery/4 {
		return
	}
	inc.ticked = now
	if inc.tick.IsZero() {
		inc.tick = now
		l.wakePublisher()
	}
}

// oldestTick returns since when the oldest tick that is not acknowledged is due, or
// zero.
func (inc *incarnation) oldestTick() time.Time {
	for _, s := range inc.sent {
		if !s.stored && !s.tick.IsZero() {
			return s.tick
		}
	}
	return inc.tick
}

// since sets t to when something has begun that is so now, or to zero.
func since(t *time.Time, now time.Time, is bool) {
	if !is {
		*t = time.Time{}
	} else if t.IsZero() {
		*t = now
	}
}

// lasts reports whether something that began at t has lasted for d.
func lasts(t, now time.Time, d time.Duration) bool {
	return !t.IsZero() && now.Sub(t) >= d
}
