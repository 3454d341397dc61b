package hub

import (
	"fmt"
	"sync"
	"testing"
)

// TestConcurrent has everything happen at once, for the race detector, and checks order per publisher.
func TestConcurrent(t *testing.T) {
	h := New(Config{Backlog: 64 << 10})
	const publishers, messages = 4, 2000
	var readers [2][]*reader
	var loops, pubs sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 {
		wake := make(chan struct{}, 1)
		s := h.NewShard(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		for k := range 5 {
			readers[i] = append(readers[i], join(s, fmt.Sprint(i, k), "a", "b"))
		}
		turn := func() {
			for more := true; more; {
				more = s.Turn(3)
				for _, r := range readers[i] {
					if err := r.readAll(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		}
		loops.Go(func() {
			for {
				select {
				case <-wake:
					turn()
				case <-stop:
					turn()
					return
				}
			}
		})
	}
	for p := range publishers {
		pubs.Go(func() {
			from := readers[p%2][p/2]
			for n := range messages {
				frame := []byte{byte(p), byte(n >> 8), byte(n)}
				for {
					retry := h.Retry()
					if h.Publish(Publication{From: &from.Member, Topics: names("a", "b")[n%2:], Frame: frame}) == nil {
						break
					}
					<-retry
				}
			}
		})
	}
	pubs.Wait()
	close(stop)
	loops.Wait()
	for _, r := range append(readers[0], readers[1]...) {
		next := [publishers]int{}
		for s := r.stream; len(s) > 0; s = s[3:] {
			p, n := s[0], int(s[1])<<8|int(s[2])
			if next[p] != n {
				t.Fatalf("%s: publisher %d: message %d came when %d was due", r.name, p, n, next[p])
			}
			next[p]++
		}
		for p, n := range next {
			if n != messages {
				t.Errorf("%s: %d messages of publisher %d, want %d", r.name, n, p, messages)
			}
		}
	}
}
