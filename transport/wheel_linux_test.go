package transport

import (
	"math/rand/v2"
	"testing"
)

// TestWheel: every line is looked at once its time has come, not more than a tick late, and early only
// beyond the wheel's reach; what was removed is not looked at.
func TestWheel(t *testing.T) {
	const tick = 10
	rnd := rand.New(rand.NewPCG(1, 1))
	w := newWheel(tick, 1000)
	reach := int64(len(w.slots)-6) * tick // some ticks are behind, and turned at once
	due, far := make(map[*line]int64), make(map[*line]bool)
	add := func(l *line, now int64) {
		due[l] = now + rnd.Int64N(1500)
		far[l] = due[l] > now+reach
		w.add(l, due[l])
	}
	for range 100 {
		add(new(line), 1000)
	}
	looks := 0
	for now := int64(1000); now < 20_000; now += rnd.Int64N(3 * tick) {
		w.advance(now, func(l *line) {
			at, ok := due[l]
			switch {
			case !ok:
				t.Fatal("a line is looked at that was taken out")
			case at > now && !far[l]:
				t.Fatalf("at %d a line is looked at that is due at %d", now, at)
			case at <= now:
				looks++
				add(l, now)
			default:
				far[l] = at > now+reach
				w.add(l, at)
			}
		})
		for l, at := range due {
			if at+tick <= now-now%tick {
				t.Fatalf("at %d a line has not been looked at that was due at %d", now, at)
			}
			if rnd.IntN(1000) == 0 {
				w.remove(l)
				delete(due, l)
				add(new(line), now)
			}
		}
	}
	if looks < 1000 {
		t.Errorf("only %d looks", looks)
	}
	w.advance(1e9, func(l *line) { delete(due, l) })
	if len(due) > 0 {
		t.Errorf("the clock leapt ahead, and %d lines are left", len(due))
	}
}
