package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// saveHere saves the state after the batch at a place, where a checkpoint begins.
// All servers do that, and compare when the writer's hash comes. The writer goes
// on to write the state, a chunk in each of its batches.
func (l *Log) saveHere(place uint64) {
	state := saveState(nil, l.fold, l.config.Machine)
	l.saved, l.hash = place, sha256.Sum256(state)
	l.mu.Lock()
	defer l.mu.Unlock()
	if inc := l.inc; inc != nil && inc.id == l.fold.begun.writer {
		inc.chunks, inc.hash, inc.writing = state, bytes.Clone(l.hash[:]), true
		l.wakePublisher()
	}
}

// compare compares a checkpoint that is complete now with what this server had at
// its place.
func (l *Log) compare(out *outcome) {
	agrees := l.saved != out.ended || slices.Equal(l.hash[:], out.hash)
	l.log.Debug("a checkpoint is complete", "place", out.ended, "bytes", l.fold.lastSize)
	if !agrees {
		l.log.Error("this server's state is not that of the checkpoint: servers of different versions, or a bug",
			"place", out.ended)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Checkpoints++
	if !agrees {
		l.stats.Disagreements++
	}
	if l.inc != nil {
		l.inc.writing = l.inc.begin
	}
}

// mayRemove says what no server needs any more: what is before the last complete
// checkpoint, and applied by all that live. The server that writes checkpoints
// removes it. mu is locked.
func (l *Log) mayRemove() {
	if l.fold.complete == 0 || l.inc == nil || l.fold.smallest() != l.inc.id {
		return
	}
	if before := l.fold.complete; before > l.sweepTo && l.fold.slowest()+1 >= before {
		l.sweepTo = before
		select {
		case l.sweeps <- struct{}{}:
		default:
		}
	}
}

// sweep is the sweeper.
func (l *Log) sweep() {
	var swept uint64
	for {
		select {
		case <-l.sweeps:
		case <-l.ctx.Done():
			return
		}
		l.mu.Lock()
		before := l.sweepTo
		l.mu.Unlock()
		if before == swept {
			continue
		}
		ctx, cancel := context.WithTimeout(l.ctx, storeTime)
		err := l.backend.Purge(ctx, before)
		cancel()
		if err != nil {
			l.log.Warn("what is before the checkpoint could not be removed; the next one will", "err", err)
			continue
		}
		swept = before
	}
}

// A collector puts a checkpoint together from the batches of its writer.
type collector struct {
	place uint64
	n     uint64 // of the writer's last batch
	state []byte
}

// find returns the first checkpoint that is complete in the log. There may be
// others that were begun and not ended, also by servers that were dead by then.
func (l *Log) find(first, last uint64) (place uint64, state []byte, err error) {
	open := make(map[Server]*collector)
	for from := first; from <= last; {
		messages, err := l.load(from)
		if err != nil {
			return 0, nil, err
		}
		for _, m := range messages {
			b, err := parseBatch(m.data)
			if newer := (*newerError)(nil); errors.As(err, &newer) {
				return 0, nil, err
			} else if err != nil {
				continue // following the log says so
			}
			if c := collect(open, &b, m.seq); c != nil {
				return c.place, c.state, nil
			}
		}
		from = messages[len(messages)-1].seq + 1
	}
	return 0, nil, fmt.Errorf("%w: it begins at %d, and no checkpoint is complete", errLoad, first)
}

// collect takes what b has of a checkpoint, and returns it if it is complete now.
func collect(open map[Server]*collector, b *batch, seq uint64) *collector {
	c := open[b.server]
	if c != nil {
		if b.n != c.n+1 {
			return nil // a duplicate
		}
		c.n++
	}
	for items := b.items; len(items) > 0; {
		var k kind
		var data []byte
		switch k, data, items = next(items); {
		case k == itemBegin:
			c = &collector{place: seq, n: b.n}
			open[b.server] = c
		case k == itemChunk && c != nil:
			c.state = append(c.state, data...)
		case k == itemEnd && c != nil:
			if sum := sha256.Sum256(c.state); slices.Equal(sum[:], data) {
				return c
			}
			delete(open, b.server)
			c = nil
		}
	}
	return nil
}
