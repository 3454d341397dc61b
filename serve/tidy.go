package serve

import (
	"context"
	"runtime/debug"
	"time"
)

// A handshake leaves many times the memory that its connection needs in buffers of net/http, and after a storm of them
// the heap stays as large as it was at its height. So when a storm is over the memory is given back.
const (
	storm = 1000 // handshakes
	calm  = time.Second
	// rest is how many times longer than giving memory back took the server waits before it does so again.
	rest = 20
)

// tidy gives memory back after storms of handshakes, until ctx is done.
func (h *home) tidy(ctx context.Context) {
	ticker := time.NewTicker(calm)
	defer ticker.Stop()
	var done, last uint64 // handshakes: when memory was given back, a moment ago
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
		if !over || start.Before(next) {
			continue
		}
		debug.FreeOSMemory()
		done = handshakes
		next = start.Add(rest * time.Since(start))
	}
}
