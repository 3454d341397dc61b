package bench

import (
	"math/bits"
	"time"
)

// A histogram counts times, each with an error of at most 1/16: buckets are 16 to each power of two of microseconds.
type histogram struct {
	counts [buckets]uint32
	max    time.Duration
}

// buckets reach to an hour; what takes longer is in the last.
const buckets = 16 * 29

func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 16 {
		return int(us)
	}
	power := bits.Len64(us) - 5 // us>>power is from 16 to 31
	return min(16*power+int(us>>power), buckets-1)
}

// upTo is the largest time in a bucket.
func upTo(bucket int) time.Duration {
	if bucket < 16 {
		return time.Duration(bucket) * time.Microsecond
	}
	power := bucket/16 - 1
	return time.Duration((16+bucket%16+1)<<power-1) * time.Microsecond
}

func (h *histogram) record(d time.Duration) {
	h.counts[bucket(d)]++
	h.max = max(h.max, d)
}

func (h *histogram) add(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.max = max(h.max, other.max)
}

// quantile returns the time, in milliseconds, that a share q of all times does not exceed.
func (h *histogram) quantile(q float64) float64 {
	total := uint64(0)
	for _, n := range h.counts {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	seen, d := uint64(0), h.max
	for i, n := range h.counts {
		if seen += uint64(n); float64(seen) >= q*float64(total) {
			d = min(upTo(i), h.max)
			break
		}
	}
	return float64(d.Microseconds()) / 1000
}
