package lambda

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestStress: whatever happens at the same time (events that nobody waits for any more, crashes, reloads), every event gets an
// answer, a failure, or its caller's own impatience, and in the end nothing is left.
func TestStress(t *testing.T) {
	f := openFunction(t, "node", "index.moody", func(c *Config) { c.Concurrency = 4; c.Timeout = 2 * time.Second })
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for {
			select {
			case <-time.After(50 * time.Millisecond):
				f.Reload()
			case <-stop:
				return
			}
		}
	})
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 30 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(400))*time.Millisecond)
				got, err := f.Invoke(ctx, fmt.Appendf(nil, `{"mood":%d}`, rand.IntN(20)))
				var failed *Error
				if err == nil && string(got) != `"well"` || err != nil && !errors.As(err, &failed) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %s, %v", got, err)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	close(stop)
	all.Wait()
	if got, err := f.invoke(t, `{"mood":19}`); err != nil || got != `"well"` {
		t.Errorf("in the end: %s, %v", got, err)
	}
	f.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.live)+len(f.idle)+f.waiting.Len()+f.starting != 0 {
		t.Errorf("left: %d live, %d idle, %d waiting, %d starting", len(f.live), len(f.idle), f.waiting.Len(), f.starting)
	}
}
