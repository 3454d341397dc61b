package hub

import (
	"fmt"
	"sync"
	"testing"
)

// A shardLoop is a shard with a goroutine that takes its turns, and members
// that read all they are offered.
type shardLoop struct {
	t       *testing.T
	shard   *Shard
	wake    chan struct{}
	readers []*reader
}

func newShardLoop(t *testing.T, h *Hub, members int, topics ...string) *shardLoop {
	l := &shardLoop{t: t, wake: make(chan struct{}, 1)}
	l.shard = h.NewShard(func() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	})
	for i := range members {
		l.readers = append(l.readers, join(l.shard, fmt.Sprint("reader ", i), topics...))
	}
	return l
}

func (l *shardLoop) run(stop <-chan struct{}) {
	for {
		select {
		case <-l.wake:
			l.turn()
		case <-stop:
			l.turn()
			return
		}
	}
}

func (l *shardLoop) turn() {
	for more := true; more; {
		more = l.shard.Turn(3)
		for _, r := range l.readers {
			if err := r.readAll(); err != nil {
				l.t.Error(err)
				return
			}
		}
	}
}

// publishUntilTaken publishes again when the hub has caught up.
func (h *Hub) publishUntilTaken(p Publication) {
	for {
		retry := h.Retry()
		if h.Publish(p) == nil {
			return
		}
		<-retry
	}
}

// TestConcurrent has everything happen at once, for the race detector, and checks order per publisher.
func TestConcurrent(t *testing.T) {
	h := newHub(t, Config{Backlog: 64 << 10})
	const publishers, messages = 4, 2000
	var loops, pubs sync.WaitGroup
	stop := make(chan struct{})
	shards := []*shardLoop{newShardLoop(t, h, 5, "a", "b"), newShardLoop(t, h, 5, "a", "b")}
	for _, l := range shards {
		loops.Go(func() { l.run(stop) })
	}
	for p := range publishers {
		pubs.Go(func() {
			from := shards[p%2].readers[p/2]
			for n := range messages {
				frame := []byte{byte(p), byte(n >> 8), byte(n)}
				h.publishUntilTaken(Publication{From: &from.Member, Topics: names("a", "b")[n%2:], Frame: frame})
			}
		})
	}
	pubs.Wait()
	close(stop)
	loops.Wait()
	for i, l := range shards {
		for _, r := range l.readers {
			next := [publishers]int{}
			for s := r.stream; len(s) > 0; s = s[3:] {
				p, n := s[0], int(s[1])<<8|int(s[2])
				if next[p] != n {
					t.Fatalf("shard %d, %s: publisher %d: message %d came when %d was due", i, r.name, p, n, next[p])
				}
				next[p]++
			}
			if next != [publishers]int{messages, messages, messages, messages} {
				t.Errorf("shard %d, %s: got %d messages of the publishers, want %d of each", i, r.name, next, messages)
			}
		}
	}
}
