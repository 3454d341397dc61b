package wiretest

import (
	"strings"
	"testing"
)

// TestFlat: memory that grows is found, and so is memory that nobody knows.
func TestFlat(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		sizes []float64
		want  string // in the error; nothing: there is none
	}{
		{[]float64{20 * mib, 30 * mib, 31 * mib, 29 * mib}, ""},
		{[]float64{20 * mib, 30 * mib, 40 * mib, 45 * mib}, ""},
		{[]float64{20 * mib, 30 * mib, 40 * mib, 46 * mib}, "memory grows"},
		{nil, "does not tell its memory"},
		{[]float64{20 * mib}, "does not tell its memory"},
		{[]float64{0, 0, 0, 0}, "does not tell its memory"},
		{[]float64{20 * mib, 0, 0, 0}, "does not tell its memory"},
	} {
		err := flat(c.sizes)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.sizes, err, c.want)
		}
	}
}
