package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// apply is the applier. It begins with the log, follows it, and begins again when
// a part of it is gone.
func (l *Log) apply() {
	for {
		err := l.begin()
		if err == nil {
			err = l.follow()
		}
		switch {
		case l.ctx.Err() != nil:
			l.endIncarnation(nil)
			return
		case errors.Is(err, ErrStartedOver):
			l.log.Warn("the cluster's log is not the one that this server has applied: it starts over")
			l.endIncarnation(err)
			l.rest(retryLast)
		default:
			l.log.Error("the cluster has stopped here", "err", err)
			l.endIncarnation(err)
			l.finish(err)
			l.openNow()
			for l.rest(time.Hour) {
			}
			return
		}
	}
}

// follow applies the batches in the order of their places. What has not come in
// gapAfter although it is stored is loaded.
func (l *Log) follow() error {
	var missing time.Time // since when the next batch is stored and not here
	for {
		if err := l.turn(); err != nil {
			return err
		}
		seq, data, ok := l.ahead.take()
		if ok && l.fromAnother(data) {
			l.ahead.moveTo(seq) // and load it
			ok = false
		}
		if ok {
			if err := l.applyMessage(seq, data); err != nil {
				return err
			}
			missing = time.Time{}
			continue
		}
		wait := time.Hour
		if l.ahead.stored() > l.applied.Load() {
			if missing.IsZero() {
				missing = time.Now()
				if !l.isOpen {
					missing = missing.Add(-gapAfter) // not while Open waits
				}
			}
			if wait = gapAfter - time.Since(missing); wait <= 0 {
				err := l.fill()
				if err == nil {
					continue // the rest of the gap does not wait again
				}
				if !errors.Is(err, errLoad) {
					return err
				}
				missing = time.Now().Add(loadAgain - gapAfter)
				wait = loadAgain
			}
		} else {
			missing = time.Time{}
		}
		if !l.pause(wait) {
			return l.ctx.Err()
		}
	}
}

// fromAnother reports whether a batch that was delivered means another log. If the
// stream was made anew, that log may have had it at the same place, and this one
// something else: only the stream knows.
func (l *Log) fromAnother(data []byte) bool {
	return len(data) >= headerSize && binary.BigEndian.Uint64(data[1:]) != l.epoch
}

// turn does what others have asked the applier for.
func (l *Log) turn() error {
	if !l.doubt.IsZero() && !time.Now().Before(l.doubt) {
		if err := l.verify(); err != nil {
			return err
		}
	}
	select {
	case call := <-l.calls:
		call()
	default:
	}
	l.mu.Lock()
	cut, replaced := l.cut, l.replaced
	back := l.inc == nil && l.health == fine && !l.closing && l.ended == nil
	l.mu.Unlock()
	switch {
	case l.ctx.Err() != nil:
		return l.ctx.Err()
	case replaced:
		return ErrStartedOver
	case cut != nil:
		l.endIncarnation(cut)
	case back:
		l.incarnate()
	}
	return nil
}

// pause waits until there may be something to do, at most for d. It returns false
// when the log is closed.
func (l *Log) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.ahead.signal:
	case call := <-l.calls:
		call()
	case <-t.C:
	case <-l.ctx.Done():
		return false
	}
	return true
}

// rest waits for d, and does meanwhile what is called for. It returns false when
// the log is closed.
func (l *Log) rest(d time.Duration) bool {
	for until := time.Now().Add(d); time.Now().Before(until); {
		if !l.pause(time.Until(until)) {
			return false
		}
	}
	return true
}

// applyMessage applies the batch after the last one.
func (l *Log) applyMessage(seq uint64, data []byte) error {
	b, err := parseBatch(data)
	if newer := (*newerError)(nil); errors.As(err, &newer) {
		if m := l.fold.member(newer.server); m != nil {
			newer.name = m.name
		}
		return newer
	}
	out := outcome{skipped: true}
	if err != nil {
		l.log.Error("the cluster's log has a message that is no batch", "place", seq)
	} else {
		s := l.ours(&b)
		if s != nil {
			l.owns = s.owns
		}
		out = l.fold.apply(&b, seq, len(data), l.give)
		l.owns = nil
	}
	if out.seed != nil {
		if err := l.plant(out.seed); err != nil {
			return err
		}
	}
	if out.begun {
		l.saveHere(seq)
	}
	l.count(seq, &b, len(data), &out)
	if out.foreign && l.doubt.IsZero() {
		l.doubt = time.Now()
	}
	if out.ended != 0 {
		l.compare(&out)
	}
	l.endIfGone(out.bye)
	return nil
}

// give gives an event to the machine.
func (l *Log) give(e *Event) {
	switch e.Kind {
	case Record:
		if len(l.owns) > 0 {
			e.Own = l.owns[0]
			l.owns = l.owns[1:]
		}
	case Came, Left:
		l.changed = true
	}
	l.config.Machine.Apply(e)
}

// ours returns what this server's incarnation has sent as this batch, or nil.
func (l *Log) ours(b *batch) *sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inc == nil || l.inc.id != b.server || len(l.inc.sent) == 0 || l.inc.sent[0].n != b.n {
		return nil
	}
	return l.inc.sent[0]
}

// count counts a batch that has been applied, and says so to everybody who
// waits.
func (l *Log) count(seq uint64, b *batch, size int, out *outcome) {
	l.lag.add(size)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied.Store(seq)
	l.ahead.moveTo(seq + 1)
	l.read += uint64(size)
	if l.stats.Beat != l.fold.beat {
		l.mayRemove()
	}
	l.stats.Beat = l.fold.beat
	l.stats.Deaths += uint64(out.deaths)
	if !out.skipped {
		l.stats.Batches++
		l.stats.Bytes += uint64(size)
		for items := b.items; len(items) > 0; {
			var k kind
			if k, _, items = next(items); k == itemRecord {
				l.stats.Records++
			}
		}
	}
	if l.changed {
		l.listServers()
	}
	l.lagging = l.othersLag()
	if inc := l.inc; inc != nil {
		inc.slow = l.lagging
		if inc.id == b.server && !out.skipped {
			l.written(inc, b.n)
		}
		l.report(inc)
	}
	l.look()
	l.advanced()
}

// written takes note that an own batch has been applied. mu is locked.
func (l *Log) written(inc *incarnation, n uint64) {
	for len(inc.sent) > 0 && inc.sent[0].n <= n {
		s := inc.sent[0]
		inc.sent[0] = nil
		inc.sent = inc.sent[1:]
		inc.bytes -= s.records
		s.done()
	}
	inc.applied = n
	if !inc.live {
		inc.live = true
		inc.noop = true // the others should know that it has applied its hello
		l.wakePublisher()
		l.openNow()
	}
}

// report writes what others wait for: how far this server has got, and a
// checkpoint if it is its turn. mu is locked.
func (l *Log) report(inc *incarnation) {
	if l.read-inc.read > maxLag/4 || l.applied.Load()-inc.reported > maxLagCount/4 {
		inc.noop = inc.noop || inc.live
	}
	if inc.writing && l.fold.begun.writer != inc.id && !inc.begin && l.fold.begun.writer != 0 {
		inc.writing, inc.chunks, inc.hash = false, nil, nil // superseded
	}
	if inc.live && !inc.writing && l.fold.due(l.config.CheckpointBytes) && l.fold.smallest() == inc.id {
		inc.begin, inc.writing = true, true
	}
	if inc.due() {
		l.wakePublisher()
	}
}

// othersLag reports whether a live server has much to apply still. One that has
// just come does not count: it has no clients.
func (l *Log) othersLag() bool {
	for _, m := range l.fold.servers {
		if m.ready() && m.id != l.inc.number() && l.lag.much(m.applied) {
			return true
		}
	}
	return false
}

func (inc *incarnation) number() Server {
	if inc == nil {
		return 0
	}
	return inc.id
}

// listServers makes the list that Servers returns. mu is locked.
func (l *Log) listServers() {
	l.changed = false
	l.servers = make([]ServerInfo, 0, len(l.fold.servers))
	for _, m := range l.fold.servers {
		l.servers = append(l.servers, ServerInfo{ID: m.id, Name: m.name})
	}
}

// endIfGone ends the incarnation if it lives no longer in the log. After a bye,
// that is how it should be. After its death, a new one begins at once, with the same
// fold.
func (l *Log) endIfGone(bye Server) {
	l.mu.Lock()
	gone := l.inc != nil && l.inc.live && l.fold.member(l.inc.id) == nil
	left := gone && l.inc.id == bye
	closing := l.closing
	l.mu.Unlock()
	switch {
	case left:
		l.endIncarnation(nil)
	case gone:
		l.endIncarnation(ErrDead)
		if !closing {
			l.incarnate()
		}
	}
}

// endIncarnation ends the incarnation: what it has appended and has not seen
// applied is lost. After ErrCutOff, a batch that is under way may still be stored
// and applied, as one of another server.
func (l *Log) endIncarnation(why error) {
	l.mu.Lock()
	inc := l.inc
	l.inc, l.cut, l.parted = nil, nil, why
	var owns []any
	if inc != nil {
		owns = inc.lost()
		for _, s := range inc.sent {
			s.done()
		}
	}
	l.look()
	l.advanced()
	l.mu.Unlock()
	for _, own := range owns {
		l.config.Machine.Apply(&Event{Kind: Lost, Server: inc.id, Now: l.fold.now, Beat: l.fold.beat, Own: own})
	}
	if why != nil && inc != nil && inc.live {
		l.log.Warn("this server's clients must go to others", "why", why)
		l.config.Machine.CutOff(why)
	}
}

// errLoad says that loading should be tried again.
var errLoad = errors.New("cluster: the log cannot be read at the moment")

// fill loads the batches after the last that was applied.
func (l *Log) fill() error {
	next := l.applied.Load() + 1
	messages, err := l.load(next)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if l.isOpen {
		l.stats.Gaps++
	}
	l.mu.Unlock()
	for _, m := range messages {
		if m.seq != l.applied.Load()+1 {
			continue
		}
		if err := l.applyMessage(m.seq, m.data); err != nil {
			return err
		}
	}
	if l.applied.Load() < next {
		return errLoad
	}
	return nil
}

// load loads the batches from a place on. The error is ErrStartedOver if they are
// gone, and errLoad if it is worth trying again.
func (l *Log) load(from uint64) ([]message, error) {
	for _, fresh := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(l.ctx, loadTime)
		messages, err := l.backend.Load(ctx, from, fresh)
		cancel()
		if err == nil && len(messages) > 0 {
			return messages, nil
		}
		if !errors.Is(err, errNone) {
			return nil, fmt.Errorf("%w: %w", errLoad, err)
		}
	}
	first, last, err := l.bounds()
	switch {
	case err != nil:
		return nil, err
	case first > from || last+1 < from:
		return nil, ErrStartedOver
	case last < from:
		l.ahead.forget(last) // nothing is there after all
	}
	return nil, errLoad
}

func (l *Log) bounds() (first, last uint64, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, loadTime)
	defer cancel()
	first, last, err = l.backend.Bounds(ctx)
	if err != nil {
		err = fmt.Errorf("%w: %w", errLoad, err)
	}
	return first, last, err
}

// verify asks whether the stream still has the log that this server has applied,
// after a batch that meant another. If so, it was the other server that was wrong.
func (l *Log) verify() error {
	first, _, err := l.bounds()
	var messages []message
	if err == nil {
		messages, err = l.load(first)
	}
	if err != nil {
		l.doubt = time.Now().Add(retryLast)
		return nil
	}
	l.doubt = time.Time{}
	b, err := parseBatch(messages[0].data)
	if err == nil && b.epoch != l.fold.epoch {
		return ErrStartedOver
	}
	return nil
}
