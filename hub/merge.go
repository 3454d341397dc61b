package hub

// plan merges the member's logs and its private queue by number and appends the frames to dst, until they are
// max bytes or more; it always ends with a whole frame. What it took is in m.planned and the cursors' plan.
//
// The same state always gives the same plan, and news only ever adds to its end.
func (m *Member) plan(dst [][]byte, max int) [][]byte {
	m.planned = planned{got: m.got}
	p := &m.planned
	logs := m.openLogs()
	for {
		for len(logs) > 0 && logs[0].seq <= p.got { // it came as the member's own, or from another log
			logs = logs.advance(logs[0].plan + 1)
		}
		if p.bytes >= max {
			return dst
		}
		own := m.nextOwn()
		switch {
		case own != nil && (len(logs) == 0 || own.seq <= logs[0].seq):
			dst = m.takeOwn(dst, own)
			if own.last {
				return dst
			}
		case len(logs) == 0:
			return dst
		default:
			limit := logs.second()
			if own != nil {
				limit = min(limit, own.seq)
			}
			dst, logs = m.takeRun(dst, logs, limit, max-p.bytes)
		}
	}
}

// nextOwn returns the first private frame not yet planned, if the shard's cut has reached it.
func (m *Member) nextOwn() *private {
	if m.planned.own < len(m.out.own) {
		if p := &m.out.own[m.planned.own]; p.seq <= m.shard.cut {
			return p
		}
	}
	return nil
}

func (m *Member) takeOwn(dst [][]byte, own *private) [][]byte {
	p := &m.planned
	p.own++
	p.got = own.seq
	if len(own.frame) == 0 {
		return dst
	}
	p.bytes += len(own.frame)
	if !own.quiet {
		p.messages++
	}
	return append(dst, own.frame)
}

// takeRun takes entries from the log that is next: those before limit, or enough for max bytes.
func (m *Member) takeRun(dst [][]byte, logs logHeap, limit uint64, max int) ([][]byte, logHeap) {
	c := logs[0]
	frames, next, seq := c.group.view.run(c.plan, c.visible(), limit, max)
	p := &m.planned
	p.got = seq
	p.bytes += len(frames)
	p.messages += int(next - c.plan)
	return append(dst, frames), logs.advance(next)
}

// A logHeap holds cursors with something left to plan; the one with the lowest number is first.
type logHeap []*cursor

// openLogs starts a plan: all cursors that have news, at the place they have read to.
func (m *Member) openLogs() logHeap {
	logs := logHeap(m.news)
	n := 0
	for i, c := range logs {
		c.plan = c.next
		if c.next < c.visible() {
			c.seq = c.group.view.seq(c.next)
			logs[i], logs[n] = logs[n], c
			n++
		}
	}
	logs = logs[:n]
	for i := n/2 - 1; i >= 0; i-- {
		logs.down(i)
	}
	return logs
}

// advance moves the first cursor's plan and restores the order; a cursor with nothing left goes.
func (l logHeap) advance(plan uint64) logHeap {
	c := l[0]
	c.plan = plan
	if plan < c.visible() {
		c.seq = c.group.view.seq(plan)
	} else {
		last := len(l) - 1
		l[0], l[last] = l[last], c
		l = l[:last]
	}
	l.down(0)
	return l
}

// second returns the lowest number behind the first cursor's.
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
