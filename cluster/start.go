package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// begin brings the machine to a place in the log from where it can follow: the
// beginning, or a checkpoint. It tries until that is done, and returns an error
// only if trying again would not help.
func (l *Log) begin() error {
	l.rescue()
	l.rewind()
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		err := l.tryBegin()
		var newer *newerError
		if err == nil || errors.As(err, &newer) || errors.Is(err, errState) {
			return err
		}
		l.log.Debug("the log cannot be begun yet", "err", err)
		if !l.rest(pause) {
			return l.ctx.Err()
		}
	}
}

// rescue keeps what this server knows of a log that is lost.
func (l *Log) rescue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shrunk && l.fold.epoch != 0 && l.fold.seed == nil {
		l.knows = l.applied.Load()
		l.rescued = rescued{saveState(nil, l.fold, l.config.Machine), l.fold.epoch, time.Now()}
	}
	l.shrunk = false
}

// rescued is what a server knows of a log that is lost, and what the next one
// begins with.
type rescued struct {
	state []byte // after the last batch; nil: no log is lost
	epoch uint64 // of that log
	since time.Time
}

// rewind goes back to where nothing is applied.
func (l *Log) rewind() {
	l.fold, l.doubt = &fold{}, time.Time{}
	l.mu.Lock()
	if l.applied.Load() > 0 {
		l.ahead.forget(0)
	}
	l.applied.Store(0)
	l.ahead.moveTo(1)
	l.replaced, l.epoch, l.sweepTo = false, 0, 0
	l.listServers()
	l.mu.Unlock()
}

// tryBegin is one try of begin: an epoch, a hello, and the state at a place.
func (l *Log) tryBegin() error {
	first, last, err := l.bounds()
	if err != nil {
		return err
	}
	if lost := first <= last && l.isLost(first); lost || first > last {
		if l.othersSeed() {
			l.setWaiting("another server, which brings what the log begins with")
			return errLoad
		}
		l.setWaiting("a majority that stores the beginning of the log")
		if lost {
			if last, err = l.discard(first); err != nil {
				return err
			}
		}
		if err := l.found(last); err != nil {
			return err
		}
		first, last, err = l.bounds()
		if err != nil {
			return err
		}
	}
	messages, err := l.load(first)
	if err != nil {
		return err
	}
	// The first message of a log, as the first after a checkpoint's place, is one
	// that all servers have applied: its epoch is the log's.
	b, err := parseBatch(messages[0].data)
	if err != nil {
		return err
	}
	if err := l.whole(&b, first, last); err != nil {
		return err
	}
	l.mu.Lock()
	l.epoch = b.epoch
	begun := l.inc != nil
	l.mu.Unlock()
	if !begun {
		l.incarnate()
	}
	l.setWaiting(fmt.Sprintf("the rest of the log, %d batches", last-first+1))
	place, state := first-1, []byte(nil)
	if !b.founds() {
		if place, state, err = l.find(first, last); err != nil {
			return err
		}
	}
	if err := l.restore(place, state); err != nil {
		return err
	}
	l.ahead.know(last)
	l.rescued = rescued{}
	l.mu.Lock()
	l.knows = 0
	l.mu.Unlock()
	return nil
}

// isLost reports whether nobody can begin with the log that begins at that place.
// When a stream is lost, and there is an empty one in its place, servers that do
// not know yet write on: a batch of theirs may come before the first message of
// the new log, which is at the first place. And a server that knows that its log is
// lost begins with nothing but another one. Only the leader's word counts here.
func (l *Log) isLost(first uint64) bool {
	rescuing := l.rescued.state != nil
	if first != 1 && !rescuing {
		return false
	}
	ctx, cancel := context.WithTimeout(l.ctx, loadTime)
	defer cancel()
	messages, err := l.backend.Load(ctx, first, true)
	if err != nil {
		return false // look again
	}
	b, err := parseBatch(messages[0].data)
	return err == nil && (b.server != 0 || rescuing && b.epoch == l.rescued.epoch)
}

// discard removes a log that is lost, unless another server has begun one in its
// place meanwhile. It returns the last place of what is there then.
func (l *Log) discard(first uint64) (last uint64, err error) {
	if !l.isLost(first) {
		return 0, errLoad // look again
	}
	l.log.Warn("the cluster's log is lost: another one begins", "rescued", l.rescued.state != nil)
	return 0, l.purge(everything)
}

func (l *Log) purge(before uint64) error {
	ctx, cancel := context.WithTimeout(l.ctx, storeTime)
	defer cancel()
	if err := l.backend.Purge(ctx, before); err != nil {
		return fmt.Errorf("%w: %w", errLoad, err)
	}
	return nil
}

// founds reports whether b is the first message of a log.
func (b *batch) founds() bool {
	k, _ := b.first()
	return k == itemEpoch && b.server == 0
}

// restore makes a state that of this server, which has applied everything up to
// its place.
func (l *Log) restore(place uint64, state []byte) error {
	f, machine := &fold{}, []byte(nil)
	if state != nil {
		var err error
		if f, machine, err = splitState(state); err != nil {
			return err
		}
	}
	if err := l.config.Machine.Restore(machine); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	l.fold = f
	l.saved, l.hash = 0, [sha256.Size]byte{}
	if state != nil {
		l.saved, l.hash = place, sha256.Sum256(state)
	}
	l.lag.reset(place)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied.Store(place)
	l.ahead.moveTo(place + 1)
	l.read = 0
	l.stats.Beat = f.beat
	l.listServers()
	l.inc.read, l.inc.reported = 0, place
	switch m := f.member(l.inc.id); {
	case m != nil: // its hello is before the checkpoint
		l.written(l.inc, m.n)
	case l.inc.came > 0 && l.inc.came <= place: // it is dead by then
		l.replaced = true
	}
	l.look()
	l.advanced()
	return nil
}

// openNow lets Open return.
func (l *Log) openNow() {
	if !l.isOpen {
		l.isOpen = true
		close(l.opened)
	}
}

// found writes the first messages of an empty log whose last place was last: an
// epoch, and the state that the log begins with. Another server may be faster.
func (l *Log) found(last uint64) error {
	state := l.rescued.state
	if state == nil {
		state = l.config.Seed
	}
	parts := max(1, (len(state)+maxChunk-1)/maxChunk)
	b := batch{epoch: uint64(newServer()), clock: time.Now().UnixMilli()}
	for i := range parts {
		b.n = uint64(i + 1)
		data := make([]byte, headerSize)
		b.putHeader(data)
		if i == 0 {
			data = appendItem(data, itemEpoch, epochItem(b.epoch, parts))
		}
		if chunk := state[i*maxChunk : min(len(state), (i+1)*maxChunk)]; len(chunk) > 0 {
			data = appendItem(data, itemChunk, chunk)
		}
		if i == parts-1 && len(state) > 0 {
			sum := sha256.Sum256(state)
			data = appendItem(data, itemEnd, sum[:])
		}
		if err := l.storeAfter(data, last+uint64(i), i > 0); err != nil {
			return err
		}
	}
	return nil
}

// storeAfter stores a message as the one after last. If it must be ours, and
// somebody has stored one there, it was ours: a try whose acknowledgement was
// lost. Nobody else writes to a log whose first messages are not complete.
func (l *Log) storeAfter(data []byte, last uint64, ours bool) error {
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		ctx, cancel := context.WithTimeout(l.ctx, storeTime)
		_, err := l.backend.Store(ctx, data, int64(last))
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, errNotLast) {
			_, now, err := l.bounds()
			if err == nil && ours && now == last+1 {
				return nil
			}
			return errLoad // look again
		}
		if !ours {
			return fmt.Errorf("%w: %w", errLoad, err)
		}
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}

// An importing is how far another server has got with the first messages.
type importing struct {
	last  uint64
	since time.Time
}

// whole returns nil if the first messages of the log are complete, or if they are
// not needed any more, because there is a checkpoint. A server that has a state to
// begin with itself does not wait for ever for one that has died half way: it
// begins anew.
func (l *Log) whole(b *batch, first, last uint64) error {
	torn := b.server == 0
	if b.founds() {
		_, item := b.first()
		torn = last-first+1 < epochParts(item)
	}
	if !torn {
		return nil
	}
	l.setWaiting("another server, which writes the state that the log begins with")
	if l.seeds.last != last || l.seeds.since.IsZero() {
		l.seeds = importing{last: last, since: time.Now()}
	}
	if (l.config.Seed != nil || l.rescued.state != nil) && time.Since(l.seeds.since) > seedStuck {
		if err := l.purge(last + 1); err != nil {
			return err
		}
	}
	return errLoad
}

// plant makes a state of another log that of this one. The servers in it are gone.
func (l *Log) plant(state []byte) error {
	f, machine, err := splitState(state)
	if err != nil {
		return err
	}
	if err := l.config.Machine.Restore(machine); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	l.fold.plant(f, l.give)
	l.noteSeed(state)
	return nil
}
