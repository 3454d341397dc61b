package serve

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"crier/door"
	"crier/hub"
)

// A sharedLog is the log that several servers share: see [cluster.Log]. What is
// appended comes back to the replica of every server, in one order.
type sharedLog interface {
	Append(record []byte, own any) error
	Retry() <-chan struct{}
	Sync(ctx context.Context) error
	Ask(ctx context.Context, question []byte) (answers [][]byte, servers int)
}

// Terms are what all servers must agree on, because what rooms know depends on
// it. The server that began last decides.
type terms struct {
	Linger       time.Duration
	History      int
	HistoryBytes int
	HistoryAge   time.Duration
	Keys         int
	StateBytes   int
	IdleTopics   time.Duration
	Histories    int // bytes of the histories of all rooms
	States       int // bytes of memory for the state of all rooms
}

func (c *Config) terms() *terms {
	return &terms{
		c.Linger, c.History, c.HistoryBytes, c.HistoryAge, c.Keys, c.StateBytes, c.IdleTopics,
		c.Memory / 8, c.Memory / 8,
	}
}

// messagesKept is how much of its messages a topic of live keeps.
func (t *terms) messagesKept() hub.Retention {
	return hub.Retention{Messages: t.History, Bytes: t.HistoryBytes}
}

// joinsKept is how much a topic of live keeps of who has come and left.
func (t *terms) joinsKept() hub.Retention {
	return hub.Retention{Messages: math.MaxInt, Bytes: t.HistoryBytes}
}

// A clock is that of the shared log. Nothing that changes what rooms know may ask
// another one.
type clock struct {
	now  atomic.Int64 // milliseconds since 1970
	beat atomic.Uint64
}

// now is the time for what rooms know.
func (h *home) now() time.Time {
	if h.shared == nil {
		return time.Now()
	}
	return time.UnixMilli(h.clock.now.Load())
}

// pulse is a time that passes while servers are there to see it, for sessions
// that linger.
func (h *home) pulse() time.Time {
	if h.shared == nil {
		return time.Now()
	}
	return time.Unix(int64(h.clock.beat.Load()), 0)
}

// lingersUntil is when a session ends that begins to linger now, by pulse. A
// pulse is the beginning of a second of the log, so that second does not count:
// otherwise the session would end up to a second early.
func (h *home) lingersUntil() time.Time {
	linger := h.terms.Load().Linger
	if h.shared != nil && linger > 0 {
		linger += time.Second
	}
	return h.pulse().Add(linger)
}

// upToDate waits until this server knows what has happened until now, on all
// servers.
func (h *home) upToDate(ctx context.Context) *door.Refusal {
	if h.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if h.shared.Sync(ctx) != nil {
		return &door.NotReady
	}
	return nil
}

// shardPatience is how long a message waits for the shards of this server to
// catch up, before it overruns them. Clients are not waited for.
const shardPatience = 50 * time.Millisecond

// deliver publishes what has happened. With a shared log it is in the log
// already, so there is no refusal.
func (h *home) deliver(p hub.Publication) error {
	if h.shared == nil {
		return h.publish(p)
	}
	err := h.hub.Publish(p)
	if errors.Is(err, hub.ErrBusy) {
		err = h.publishWhenCaughtUp(p)
	}
	if err != nil { // there is still no room, or its sender has gone
		p.Force = true
		err = h.hub.Publish(p)
	}
	return err
}

// publishWhenCaughtUp tries to publish until the shards have caught up, or took
// too long for that.
func (h *home) publishWhenCaughtUp(p hub.Publication) error {
	for late := time.After(shardPatience); ; {
		retry := h.hub.Retry()
		err := h.hub.Publish(p)
		if !errors.Is(err, hub.ErrBusy) {
			return err
		}
		select {
		case <-retry:
		case <-late:
			return err
		}
	}
}
