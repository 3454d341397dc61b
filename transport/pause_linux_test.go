package transport

import (
	"testing"
	"time"
)

// TestPause: a loop leaves time between records with many messages each, and for
// nothing else.
func TestPause(t *testing.T) {
	for name, c := range map[string]struct {
		w    workload
		want time.Duration
		left workload
	}{
		"nothing":                 {workload{}, 0, workload{}},
		"a flood of records":      {workload{lines: 512, sealed: 512 * 30, took: 8 * time.Millisecond}, 2 * time.Millisecond, workload{}},
		"not long yet":            {workload{lines: 256, sealed: 256 * 30, took: 3 * time.Millisecond}, 0, workload{256, 256 * 30, 3 * time.Millisecond}},
		"a few messages a record": {workload{lines: 512, sealed: 512 * 6, took: 8 * time.Millisecond}, 0, workload{}},
		"no records":              {workload{lines: 512, took: 8 * time.Millisecond}, 0, workload{}},
	} {
		if got := c.w.pause(); got != c.want || c.w != c.left {
			t.Errorf("%s: it waits for %v, want %v; then there is %+v", name, got, c.want, c.w)
		}
	}
}
