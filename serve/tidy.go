package serve

import (
	"context"
	"runtime/debug"
	"time"
)

// The buffers of net/http for a handshake are many times as large as what its
// connection needs, and after a storm of handshakes the heap stays as large as
// it was at its peak. So the memory is given back when a storm is over.
const (
	storm = 1000 // handshakes
	calm  = time.Second
	// rest is how long the server waits before it gives memory back again, as
	// a multiple of how long that took the last time.
	rest = 20
)

// tidy gives memory back after storms of handshakes, and renews the keys of
// session tickets, until ctx is done.
func (h *home) tidy(ctx context.Context) {
	ticker := time.NewTicker(calm)
	defer ticker.Stop()
	var done, last uint64 // handshakes: when memory was given back, and at the last tick
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		handshakes := h.handshakes.Load()
		over := handshakes-done >= storm && handshakes-last < storm/100
		last = handshakes
		start := time.Now()
		h.tickets.renew(start)
		if !over || start.Before(next) {
			continue
		}
		debug.FreeOSMemory()
		done = handshakes
		next = start.Add(rest * time.Since(start))
	}
}
