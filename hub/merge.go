package hub

// merge adds to b what m's logs and its private frames hold, by seq, until
// the batch has max bytes or more. The batch always ends with a whole frame.
// control is a list of frames to be merged in as well; merge returns what is
// left of it. It requires the shard to be locked.
func (m *Member) merge(b *batcher, control []private, max int) (left []private) {
	own, cut := m.out.own, m.shard.cut
	got := m.got
	logs := m.openLogs(b.mem.logs[:0])
	b.mem.logs = logs
	for {
		for len(logs) > 0 && logs[0].seq <= got { // m got it as its own copy, or from another log
			logs = logs.advance(logs[0].at + 1)
		}
		if b.bytes >= max {
			return control
		}
		nextLog, nextOwn, nextControl := uint64(forever), first(own), first(control)
		if len(logs) > 0 {
			nextLog = logs[0].seq
		}
		switch next := min(nextLog, nextOwn, nextControl); {
		case next > cut:
			return control
		case next == nextControl && !(next == nextOwn && own[0].before(&control[0])):
			b.addControl(control[:1])
			control = control[1:]
		case next == nextOwn && own[0].series != nil:
			if !b.addSeries(&own[0], max) {
				return control
			}
			got = own[0].seq
			own = own[1:]
		case next == nextOwn:
			p := &own[0]
			own = own[1:]
			got = p.seq
			b.add(p.frame, &piece{
				kind: ownFrame, place: p.place, seq: p.seq,
				last: p.last, message: !p.quiet && len(p.frame) > 0, copy: !p.post && !p.last,
			})
			if p.last {
				return nil
			}
		default:
			p := piece{kind: run, cursor: logs[0].cursor}
			frames := p.cursor.run(logs[0].at, &p, min(logs.second(), nextOwn, nextControl), max-b.bytes)
			got = p.seq
			b.add(frames, &p)
			logs = logs.advance(p.chunk.first + uint64(p.to))
		}
	}
}

// first returns the seq of the first frame in a list, or forever.
func first(list []private) uint64 {
	if len(list) == 0 {
		return forever
	}
	return list[0].seq
}

// A logHeap holds cursors with entries left to take. The one with the lowest
// seq is first.
type logHeap []logPlace

// A logPlace is how far a merge has read one log.
type logPlace struct {
	cursor *cursor
	at     uint64 // ordinal of the first entry not taken yet
	seq    uint64 // its seq
}

// openLogs appends all cursors that have news, at the place up to which they
// were read, and makes the list a heap.
func (m *Member) openLogs(logs logHeap) logHeap {
	for _, c := range m.news {
		if c.next < c.visible() {
			logs = append(logs, logPlace{c, c.next, c.group.view.seq(c.next)})
		}
	}
	for i := len(logs)/2 - 1; i >= 0; i-- {
		logs.down(i)
	}
	return logs
}

// advance moves the first place on and restores the order. A log with nothing
// left is removed.
func (l logHeap) advance(to uint64) logHeap {
	c := l[0].cursor
	if to < c.visible() {
		l[0].at, l[0].seq = to, c.group.view.seq(to)
	} else {
		last := len(l) - 1
		l[0] = l[last]
		l = l[:last]
	}
	l.down(0)
	return l
}

// second returns the lowest seq after that of the first place, or forever.
func (l logHeap) second() uint64 {
	switch len(l) {
	case 1:
		return forever
	case 2:
		return l[1].seq
	}
	return min(l[1].seq, l[2].seq)
}

func (l logHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(l); child++ {
			if l[child].seq < l[least].seq {
				least = child
			}
		}
		if least == i {
			return
		}
		l[i], l[least] = l[least], l[i]
		i = least
	}
}
