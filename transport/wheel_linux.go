package transport

// A wheel holds lines by the time at which they must be checked next. Adding
// and removing take the same short time for any number of lines. Checking a
// line early does no harm, so times beyond the wheel's reach wait in its last
// slot.
type wheel struct {
	tick int64 // milliseconds
	now  int64 // ticks: every slot before this has been emptied
	// slots[i] is a list of the lines for ticks t with t%len(slots) == i,
	// now < t < now+len(slots).
	slots [64]*line
}

func newWheel(tick, now int64) wheel { return wheel{tick: tick, now: now / tick} }

// add puts l where advance finds it at the time at, in milliseconds, or up to a
// tick later.
func (w *wheel) add(l *line, at int64) {
	t := min(max((at+w.tick-1)/w.tick, w.now+1), w.now+int64(len(w.slots))-1)
	slot := t % int64(len(w.slots))
	l.slot = uint8(slot) + 1
	head := &w.slots[slot]
	l.prev, l.next = nil, *head
	if l.next != nil {
		l.next.prev = l
	}
	*head = l
}

// remove takes l out. It must have been added.
func (w *wheel) remove(l *line) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		w.slots[l.slot-1] = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.prev, l.next, l.slot = nil, nil, 0
}

// advance takes out every line whose time has come and calls do with it.
func (w *wheel) advance(now int64, do func(*line)) {
	target := now / w.tick
	w.now = max(w.now, target-int64(len(w.slots))) // the process may have been stopped
	for w.now < target {
		w.now++
		slot := &w.slots[w.now%int64(len(w.slots))]
		for *slot != nil {
			l := *slot
			w.remove(l)
			do(l) // adds it for a later tick, if at all
		}
	}
}
