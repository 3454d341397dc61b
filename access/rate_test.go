package access

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{"100/s": 100, "90/m": 1.5, "3600/h": 1, "0.5/s": 0.5, "1e3/s": 1000} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "100", "/s", "100/", "100/d", "0/s", "-1/s", "NaN/s", "Inf/s", "1e999/s", "100/s/s", "ten/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if s := Rate(1.5).String(); s != "1.5/s" {
		t.Error(s)
	}
}

// TestSpent: somebody who always takes what there is gets what a second allows at
// once, and then the rate exactly, in whatever portions it comes.
func TestSpent(t *testing.T) {
	for _, rate := range []Rate{0.5, 1, 7, 100, 12345, 1 << 20} {
		var s Spent
		const start, over = 5 * time.Second, 65 * time.Second
		used, most := 0, max(1, int(rate/10))
		for now := start; now < over; {
			n := 1 + rand.IntN(most)
			wait := s.Spend(now, n, rate)
			used += n
			if wait > 0 {
				now += wait
			}
		}
		want := float64(rate) * (1 + (over - start).Seconds())
		if got := float64(used); got < want-2 || got > want+float64(most)+2 {
			t.Errorf("at %v a second, %v were used in a minute, want %v", rate, got, want)
		}
	}
}

// TestSpentBurst: it is neither more nor less than what a second allows.
func TestSpentBurst(t *testing.T) {
	var s Spent
	now := time.Hour
	for i := range 100 {
		if wait := s.Spend(now, 1, 100); wait > 0 != (i == 99) {
			t.Fatalf("after %d it is %v", i+1, wait)
		}
	}
	if wait := s.Wait(now + 10*time.Millisecond); wait > 0 {
		t.Errorf("after 10 ms it is %v", wait)
	}
	s.Spend(now, 1<<62, 1e-9) // no overflow
	if s.Wait(now) < time.Hour {
		t.Error("so much takes long")
	}
}
