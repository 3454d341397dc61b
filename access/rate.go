package access

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Rate is how much there may be in a second. Zero means that there is no limit.
type Rate float64

// ParseRate reads a rate such as 100/s or 90/m.
func ParseRate(text string) (Rate, error) {
	number, unit, ok := strings.Cut(text, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !ok || seconds == 0 {
		return 0, errors.New("a rate is a number for each second, minute or hour, such as 100/s")
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n > 0) || math.IsInf(n, 1) {
		return 0, fmt.Errorf("%q is no number of a rate, such as 100/s", number)
	}
	return Rate(n / seconds), nil
}

// String returns the rate as ParseRate reads it; nothing if there is no limit.
func (r Rate) String() string {
	if r == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s"
}

// burst is how long somebody may have been silent and make up for it at once.
const burst = time.Second

// A Spent is what somebody has used of a rate: the time until which it has been
// used up. After a second of silence, what a second allows may come at once; in
// the long run there is never more than the rate.
//
// This is the generic cell rate algorithm, as a virtual scheduling algorithm.
// https://www.itu.int/rec/T-REC-I.371
type Spent time.Duration

// Spend notes that somebody uses n units at a time. It returns how long nothing
// more may be used; zero or less if something may be at once.
func (s *Spent) Spend(now time.Duration, n int, r Rate) (wait time.Duration) {
	if r == 0 {
		return 0
	}
	cost := float64(n) / float64(r) * float64(time.Second)
	*s = Spent(max(time.Duration(*s), now)) + Spent(min(cost, math.MaxInt64/4))
	return s.Wait(now)
}

// Wait returns how long nothing more may be used; zero or less if something may be
// at once.
func (s Spent) Wait(now time.Duration) time.Duration {
	return time.Duration(s) - now - burst + 1 // what is used up to the last is used up
}
